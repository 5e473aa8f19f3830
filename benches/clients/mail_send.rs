//! mail-send: connections that are kept by hand, with TCP_NODELAY.

use std::time::Duration;

use ::mail_send::SmtpClient;
use ::mail_send::smtp::message::Message;

use super::Error;
use super::connection::{Connection, Stream};
use super::job::{Job, SENDER};

pub(crate) type Client = SmtpClient<Box<dyn Stream>>;

pub(super) async fn connections(job: &Job) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::new();
    for _ in 0..job.connections {
        let stream = Connection::open(&job.target).await?.into_stream();
        clients.push(SmtpClient { stream, timeout: Duration::from_secs(60) });
    }
    Ok(clients)
}

/// The message, with the content borrowed.
pub(super) fn message<'a>(recipients: &'a [String], content: &'a [u8]) -> Message<'a> {
    Message::new(SENDER, recipients.iter().map(String::as_str), content)
}

pub(super) async fn send(client: &mut Client, recipients: &[String], content: &[u8]) -> Result<(), Error> {
    client.send(message(recipients, content)).await?;
    Ok(())
}
