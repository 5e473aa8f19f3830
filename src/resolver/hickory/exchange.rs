//! [`Client`]: one question to one name server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsRequestSender, FirstAnswer};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, DnsResponse, Message, Query as Question, ResponseCode,
};
use hickory_resolver::proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::extended_error;
use super::settings::ResolverSettings;

/// After which time a datagram is sent once more, as one of the two may be lost.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(1500);
/// Datagrams for one question to one server.
const DATAGRAMS: u8 = 2;

/// How questions are put to a server.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) settings: &'a ResolverSettings,
    /// For one server, UDP and TCP each.
    pub(super) timeout: Duration,
    pub(super) wants: Wants,
}

/// What is asked for beside the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing.
    Answer,
    /// The server's verdict on DNSSEC: the AD bit (RFC 6840 section 5.7).
    Verdict,
    /// No validation, so that also what is bogus comes: the CD bit (RFC 4035 section 3.2.2).
    AnyAnswer,
}

/// Why a server is of no use for a question.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    #[error("silent for {0:?}")]
    Silent(Duration),
    #[error("answered {}", ResponseCode::ServFail)]
    Failed {
        /// What validation found wrong, if the server says so.
        bogus: Option<&'static str>,
    },
    #[error("answered {0}")]
    Code(ResponseCode),
    #[error("answered with a referral, it does not resolve for others")]
    Referral,
    #[error("answered another question")]
    OtherQuestion,
    #[error("sent what cannot be read")]
    Malformed(#[from] ProtoError),
    #[error("could not be asked")]
    Net(#[source] NetError),
    #[error("could not be asked over TCP")]
    Tcp(#[from] io::Error),
}

impl ServerError {
    /// Nothing was heard of the server at all.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Net(_))
    }
}

impl Client<'_> {
    /// The response, complete, with NOERROR or NXDOMAIN.
    pub(super) async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Message, ServerError> {
        let response = match self.over_udp(server, question).await {
            Ok(response) if response.truncation => self.over_tcp(server, question).await?,
            // an answer in another case: forged, or from a server that does not keep it. TCP tells them apart
            Err(NetError::QueryCaseMismatch) => self.over_tcp(server, question).await?,
            Ok(response) => response,
            Err(NetError::Timeout) => return Err(ServerError::Silent(self.timeout)),
            Err(NetError::Proto(error)) => return Err(ServerError::Malformed(error)),
            Err(error) => return Err(ServerError::Net(error)),
        };
        usable(response.into_message())
    }

    async fn over_udp(&self, server: SocketAddr, question: &Question) -> Result<DnsResponse, NetError> {
        // a stream of its own a question: its socket and port too, and no task that could outlive a runtime
        let mut udp = UdpClientStream::builder(server, TokioRuntimeProvider::new())
            .with_timeout(Some(self.timeout))
            .with_max_retries(DATAGRAMS)
            .build();
        udp.send_message(self.request(question)).first_answer().await
    }

    async fn over_tcp(&self, server: SocketAddr, question: &Question) -> Result<DnsResponse, ServerError> {
        let request = self.request(question);
        let octets = request.to_vec()?;
        let exchange = timeout(self.timeout, exchange_over_tcp(server, &octets)).await;
        let octets = exchange.map_err(|_| ServerError::Silent(self.timeout))??;
        let response = DnsResponse::from_buffer(octets)?;
        let matches = response.id == request.id && response.queries == request.queries;
        matches.then_some(response).ok_or(ServerError::OtherQuestion)
    }

    fn request(&self, question: &Question) -> DnsRequest {
        let mut options = DnsRequestOptions::default();
        options.edns_payload_len = self.settings.udp_payload;
        options.case_randomization = self.settings.case_randomization;
        options.retry_interval = RETRANSMIT_AFTER;
        let mut request = DnsRequest::from_query(question.clone(), options);
        request.metadata.authentic_data = self.wants == Wants::Verdict;
        request.metadata.checking_disabled = self.wants == Wants::AnyAnswer;
        request
    }
}

/// One message there, one back, each behind its length (RFC 1035 section 4.2.2).
async fn exchange_over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
    let mut response = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut response).await?;
    Ok(response)
}

fn usable(message: Message) -> Result<Message, ServerError> {
    match message.response_code {
        ResponseCode::NoError if is_referral(&message) => Err(ServerError::Referral),
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
        ResponseCode::ServFail => Err(ServerError::Failed { bogus: extended_error::bogus(&message) }),
        code => Err(ServerError::Code(code)),
    }
}

/// Name servers instead of an answer (RFC 2308 section 2.2): taken for a denial it would deny what exists.
fn is_referral(message: &Message) -> bool {
    let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
    message.answers.is_empty() && has(RecordType::NS) && !has(RecordType::SOA)
}
