//! [`Bare`]: bytes made beforehand, small content in one write with its commands: the upper bound for any client.

use super::Error;
use super::connection::Connection;
use super::job::{Job, SENDER, Target};

/// Octets of the largest message that goes out together with its commands.
const ONE_FLIGHT: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Bare {
    pub(super) connections: Vec<Connection>,
    flights: Vec<Flight>,
}

/// Octets, and the replies that they are answered with.
#[derive(Debug)]
pub(super) struct Flight {
    octets: Vec<u8>,
    replies: usize,
}

impl Bare {
    pub(super) async fn new(job: &Job, chunking: bool) -> Result<Self, Error> {
        let mut connections = Vec::new();
        for _ in 0..job.connections {
            connections.push(Connection::open(&job.target).await?);
        }
        let flights = if chunking { chunks(job) } else { data(job) };
        Ok(Self { connections, flights })
    }

    pub(super) fn parts(&mut self) -> (&mut [Connection], &[Flight]) {
        (&mut self.connections, &self.flights)
    }
}

pub(super) async fn send(connection: &mut Connection, flights: &[Flight]) -> Result<(), Error> {
    for flight in flights {
        connection.flight(&flight.octets, flight.replies).await?;
    }
    Ok(())
}

fn data(job: &Job) -> Vec<Flight> {
    let (mut commands, replies) = envelope(job);
    commands.extend_from_slice(b"DATA\r\n");
    // no line of the content begins with a dot
    let content = [&job.content, &b".\r\n"[..]].concat();
    vec![Flight { octets: commands, replies: replies + 1 }, Flight { octets: content, replies: finals(job) }]
}

fn chunks(job: &Job) -> Vec<Flight> {
    let (commands, replies) = envelope(job);
    let chunk = [format!("BDAT {} LAST\r\n", job.content.len()).as_bytes(), &job.content].concat();
    if job.content.len() <= ONE_FLIGHT {
        return vec![Flight { octets: [commands, chunk].concat(), replies: replies + finals(job) }];
    }
    vec![Flight { octets: commands, replies }, Flight { octets: chunk, replies: finals(job) }]
}

/// MAIL and RCPT, and how many replies they bring.
fn envelope(job: &Job) -> (Vec<u8>, usize) {
    let recipients: String = job.recipients().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
    let commands = format!("MAIL FROM:<{SENDER}> SIZE={}\r\n{recipients}", job.content.len());
    (commands.into_bytes(), 1 + job.recipients)
}

/// Replies to the content.
fn finals(job: &Job) -> usize {
    if matches!(job.target, Target::Unix(_)) { job.recipients } else { 1 }
}
