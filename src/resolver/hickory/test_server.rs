//! [`TestServer`]: a name server on loopback that says what a closure says.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, rdata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// A question as it came: the text has the final dot if the name was absolute.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) transport: &'static str,
    pub(super) name: String,
    pub(super) kind: RecordType,
    pub(super) wants_ad: bool,
    /// The CD bit.
    pub(super) wants_no_check: bool,
    /// `true` if the query has an OPT record.
    pub(super) has_opt: bool,
    message: Message,
}

impl Asked {
    /// `udp MX a.test.`
    pub(super) fn line(&self) -> String {
        format!("{} {} {}", self.transport, self.kind, self.name)
    }

    fn read(transport: &'static str, octets: &[u8]) -> io::Result<Self> {
        let message = Message::from_vec(octets).map_err(io::Error::other)?;
        let question = &message.queries[0];
        Ok(Self {
            transport,
            name: question.name().to_ascii().to_ascii_lowercase(),
            kind: question.query_type(),
            wants_ad: message.authentic_data,
            wants_no_check: message.checking_disabled,
            has_opt: message.edns.is_some(),
            message: message.clone(),
        })
    }

    /// A response without records.
    pub(super) fn reply(&self) -> Message {
        let mut reply = Message::response(self.message.id, OpCode::Query);
        reply.metadata.recursion_available = true;
        reply.add_query(self.message.queries[0].clone());
        reply
    }

    /// Returns a reply that is only a header, with this code and this number of questions.
    pub(super) fn header(&self, code: ResponseCode, questions: u8) -> Vec<u8> {
        let flags = [0x81, 0x80 | code.low(), 0, questions, 0, 0, 0, 0, 0, 0];
        [&self.message.id.to_be_bytes()[..], &flags].concat()
    }

    pub(super) fn code(&self, code: ResponseCode) -> Message {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        reply
    }

    /// A response whose records are `owner CNAME target`, `owner A 192.0.2.1` and so on.
    pub(super) fn records(&self, lines: &[&str]) -> Message {
        let mut reply = self.reply();
        reply.add_answers(lines.iter().map(|line| record(line)));
        reply
    }
}

/// Adds an OPT record.
pub(super) fn with_opt(mut reply: Message) -> Message {
    reply.set_edns(Edns::new());
    reply
}

/// Adds the SOA record of a denial.
pub(super) fn denial(mut reply: Message) -> Message {
    let soa = rdata::SOA::new(name("ns.test."), name("host.test."), 1, 3600, 600, 86400, 60);
    reply.add_authority(Record::from_rdata(name("test."), 300, RData::SOA(soa)));
    reply
}

pub(super) fn authentic(mut reply: Message) -> Message {
    reply.metadata.authentic_data = true;
    reply
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(line: &str) -> Record {
    let fields: Vec<&str> = line.split(' ').collect();
    let data = match fields[1..] {
        ["A", address] => RData::A(rdata::A(address.parse().unwrap())),
        ["AAAA", address] => RData::AAAA(rdata::AAAA(address.parse().unwrap())),
        ["CNAME", target] => RData::CNAME(rdata::CNAME(name(target))),
        ["MX", preference, exchange] => {
            RData::MX(rdata::MX::new(preference.parse().unwrap(), name(exchange)))
        }
        ["TLSA", usage, selector, matching] => {
            let octet = |text: &str| text.parse::<u8>().unwrap();
            let (usage, selector, matching) = (octet(usage), octet(selector), octet(matching));
            RData::TLSA(rdata::TLSA::new(usage.into(), selector.into(), matching.into(), vec![7; 32]))
        }
        ["SRV", port, target] => RData::SRV(rdata::SRV::new(1, 2, port.parse().unwrap(), name(target))),
        _ => panic!("no record: {line}"),
    };
    Record::from_rdata(name(fields[0]), 300, data)
}

type Script = Arc<dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync>;
type Log = Arc<Mutex<Vec<Asked>>>;

/// Answers over UDP and TCP on one port of 127.0.0.1 until dropped. No message: it stays silent.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    log: Log,
    _tasks: JoinSet<()>,
}

impl TestServer {
    pub(super) async fn start(script: impl Fn(&Asked) -> Option<Message> + Send + Sync + 'static) -> Self {
        Self::start_raw(move |asked| script(asked).map(|reply| reply.to_vec().unwrap())).await
    }

    /// Starts a server that replies with any bytes.
    pub(super) async fn start_raw(
        script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind().await;
        let (script, log): (Script, Log) = (Arc::new(script), Log::default());
        let address = udp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&log)));
        tasks.spawn(serve_tcp(tcp, script, Arc::clone(&log)));
        Self { address, log, _tasks: tasks }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

/// Both sockets on one port: the one UDP got may be in use for TCP.
async fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

fn answer(transport: &'static str, octets: &[u8], script: &Script, log: &Log) -> Option<Vec<u8>> {
    let asked = Asked::read(transport, octets).unwrap();
    let reply = script(&asked);
    log.lock().unwrap().push(asked);
    reply
}

async fn serve_udp(socket: UdpSocket, script: Script, log: Log) {
    let mut octets = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut octets).await.unwrap();
        if let Some(reply) = answer("udp", &octets[..length], &script, &log) {
            socket.send_to(&reply, peer).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, script: Script, log: Log) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // a client that went away is its own affair
        let _ = serve_connection(stream, &script, &log).await;
    }
}

async fn serve_connection(mut stream: TcpStream, script: &Script, log: &Log) -> io::Result<()> {
    let mut octets = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut octets).await?;
    let Some(reply) = answer("tcp", &octets, script, log) else { return Ok(()) };
    stream.write_u16(reply.len().try_into().unwrap()).await?;
    stream.write_all(&reply).await
}
