//! lettre: with its pool, and over connections of its own that are kept by hand, where TCP_NODELAY can be set.

use ::lettre::address::Envelope;
use ::lettre::transport::smtp::PoolConfig;
use ::lettre::transport::smtp::client::AsyncSmtpConnection;
use ::lettre::transport::smtp::extension::ClientId;
use ::lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use futures_util::future::try_join_all;

use super::Error;
use super::connection::tcp;
use super::job::{CLIENT, Job, SENDER, Target};

pub(crate) type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Builds a transport that keeps as many connections as it uses.
pub(super) fn pooled(job: &Job) -> Result<Transport, Error> {
    let size = u32::try_from(job.connections)?;
    let builder = Transport::builder_dangerous("127.0.0.1").port(port(&job.target)?);
    let builder = builder.hello_name(ClientId::Domain(CLIENT.to_owned()));
    Ok(builder.pool_config(PoolConfig::new().max_size(size)).build())
}

pub(super) async fn connections(job: &Job) -> Result<Vec<AsyncSmtpConnection>, Error> {
    try_join_all((0..job.connections).map(|_| connection(job))).await
}

async fn connection(job: &Job) -> Result<AsyncSmtpConnection, Error> {
    let (stream, name) = (Box::new(tcp(port(&job.target)?).await?), ClientId::Domain(CLIENT.to_owned()));
    let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &name).await?;
    if let Target::Tls { lettre, .. } = &job.target {
        connection.starttls(lettre.clone(), &name).await?;
    }
    Ok(connection)
}

pub(super) fn envelope(job: &Job) -> Result<Envelope, Error> {
    let recipients = job.recipients().map(|to| to.parse()).collect::<Result<_, _>>()?;
    Ok(Envelope::new(Some(SENDER.parse()?), recipients)?)
}

pub(super) async fn by_pool(transport: &Transport, envelope: &Envelope, content: &[u8]) -> Result<(), Error> {
    transport.send_raw(envelope, content).await?;
    Ok(())
}

pub(super) async fn by_connection(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    content: &[u8],
) -> Result<(), Error> {
    connection.send(envelope, content).await?;
    Ok(())
}

fn port(target: &Target) -> Result<u16, Error> {
    match target {
        Target::Tcp(port) | Target::Tls { port, .. } => Ok(*port),
        Target::Unix(_) => Err("only TCP is compared".into()),
    }
}
