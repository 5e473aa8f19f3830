//! [`Client`]: any of them.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use ::lettre::address::Envelope;
use ::lettre::transport::smtp::client::AsyncSmtpConnection;
use futures_util::future::try_join_all;

use super::bare::{self, Bare};
use super::job::{Job, Target};
use super::lettre::{self, Transport};
use super::nexthop::{Mode, Nexthop};
use super::{Error, mail_send};

/// Whose client it is, and how it sends content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// While the next message waits.
    NexthopChunks,
    NexthopData,
    /// With content and commands in one write, which the operator has to allow.
    NexthopSingleFlight,
    /// One message after another.
    NexthopChunksInTurn,
    NexthopDataInTurn,
    NexthopSingleFlightInTurn,
    BareData,
    BareChunks,
    /// With TCP_NODELAY, which its pool does not set.
    Lettre,
    LettrePool,
    MailSend,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::NexthopChunks,
        Self::NexthopData,
        Self::NexthopSingleFlight,
        Self::NexthopChunksInTurn,
        Self::NexthopDataInTurn,
        Self::NexthopSingleFlightInTurn,
        Self::BareChunks,
        Self::BareData,
        Self::Lettre,
        Self::LettrePool,
        Self::MailSend,
    ];

    /// Whether it can deliver there what the others do.
    pub(crate) fn can(self, target: &Target) -> bool {
        match self {
            Self::NexthopData | Self::NexthopChunks => true,
            Self::NexthopDataInTurn | Self::NexthopChunksInTurn => true,
            Self::BareData | Self::BareChunks => true,
            Self::LettrePool => matches!(target, Target::Tcp(_)),
            // under LMTP content always waits for the replies to RCPT
            Self::NexthopSingleFlight | Self::NexthopSingleFlightInTurn => !matches!(target, Target::Unix(_)),
            Self::Lettre | Self::MailSend => matches!(target, Target::Tcp(_) | Target::Tls { .. }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NexthopData => "nexthop DATA",
            Self::NexthopChunksInTurn => "nexthop in turn",
            Self::NexthopDataInTurn => "nexthop DATA in turn",
            Self::NexthopSingleFlight => "nexthop single flight",
            Self::NexthopSingleFlightInTurn => "nexthop single flight in turn",
            Self::NexthopChunks => "nexthop",
            Self::BareData => "bare DATA",
            Self::BareChunks => "bare",
            Self::Lettre => "lettre",
            Self::LettrePool => "lettre pool",
            Self::MailSend => "mail-send",
        })
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| format!("no client {text:?}").into())
    }
}

/// A client with its connections and what it sends.
pub(crate) enum Client {
    Nexthop(Nexthop),
    Bare(Bare),
    Lettre(Vec<AsyncSmtpConnection>, Envelope, Vec<u8>),
    LettrePool(Vec<Transport>, Envelope, Vec<u8>),
    MailSend(Vec<mail_send::Client>, Vec<String>, Vec<u8>),
}

impl Client {
    pub(crate) async fn new(kind: Kind, job: &Job) -> Result<Self, Error> {
        let content = job.content.clone();
        Ok(match kind {
            Kind::NexthopData => Self::Nexthop(Nexthop::new(job, Mode::Data)?),
            Kind::NexthopChunks => Self::Nexthop(Nexthop::new(job, Mode::Chunks)?),
            Kind::NexthopSingleFlight => Self::Nexthop(Nexthop::new(job, Mode::SingleFlight)?),
            Kind::NexthopDataInTurn => Self::Nexthop(Nexthop::new(&job.in_turn(), Mode::Data)?),
            Kind::NexthopChunksInTurn => Self::Nexthop(Nexthop::new(&job.in_turn(), Mode::Chunks)?),
            Kind::NexthopSingleFlightInTurn => {
                Self::Nexthop(Nexthop::new(&job.in_turn(), Mode::SingleFlight)?)
            }
            Kind::BareData => Self::Bare(Bare::new(job, false).await?),
            Kind::BareChunks => Self::Bare(Bare::new(job, true).await?),
            Kind::Lettre => Self::Lettre(lettre::connections(job).await?, lettre::envelope(job)?, content),
            Kind::LettrePool => {
                let transport = lettre::pooled(job)?;
                Self::LettrePool(vec![transport; job.connections], lettre::envelope(job)?, content)
            }
            Kind::MailSend => {
                Self::MailSend(mail_send::connections(job).await?, job.recipients().collect(), content)
            }
        })
    }

    /// Delivers so many messages over all connections.
    pub(crate) async fn send(&mut self, messages: usize) -> Result<(), Error> {
        match self {
            Self::Nexthop(nexthop) => nexthop.send(messages).await,
            Self::Bare(bare) => {
                let (connections, flights) = bare.parts();
                share(connections, messages, async |connection| bare::send(connection, flights).await).await
            }
            Self::Lettre(connections, envelope, content) => {
                let send =
                    async |connection: &mut _| lettre::by_connection(connection, envelope, content).await;
                share(connections, messages, send).await
            }
            Self::LettrePool(transports, envelope, content) => {
                let send = async |transport: &mut _| lettre::by_pool(transport, envelope, content).await;
                share(transports, messages, send).await
            }
            Self::MailSend(clients, recipients, content) => {
                let send = async |client: &mut _| mail_send::send(client, recipients, content).await;
                share(clients, messages, send).await
            }
        }
    }

    /// Says goodbye on all connections; this crate has done so with each message, if it kept none.
    pub(crate) async fn quit(self) -> Result<(), Error> {
        match self {
            Self::Nexthop(_) | Self::LettrePool(..) => {}
            Self::Bare(mut bare) => {
                for connection in bare.parts().0 {
                    connection.flight(b"QUIT\r\n", 1).await?;
                }
            }
            Self::Lettre(connections, ..) => {
                for mut connection in connections {
                    connection.quit().await?;
                }
            }
            Self::MailSend(clients, ..) => {
                for client in clients {
                    client.quit().await?;
                }
            }
        }
        Ok(())
    }
}

/// Each connection takes the next message as soon as it is through with one.
async fn share<C>(
    connections: &mut [C],
    messages: usize,
    send: impl AsyncFn(&mut C) -> Result<(), Error>,
) -> Result<(), Error> {
    let (left, send) = (&Cell::new(messages), &send);
    let each = connections.iter_mut().map(async |connection| {
        while let Some(fewer) = left.get().checked_sub(1) {
            left.set(fewer);
            send(connection).await?;
        }
        Ok(())
    });
    try_join_all(each).await.map(drop)
}
