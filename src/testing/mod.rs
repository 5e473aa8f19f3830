//! A scripted mail server, for the tests of whoever delivers mail (feature `testing`).
//!
//! It speaks SMTP or LMTP on a loopback address or a unix socket, and does what it was told:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nexthop::testing::ScriptedServer;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let server = ScriptedServer::script(
//!     r"
//!     S: 220 mx.example ESMTP
//!     C: EHLO *
//!     S: 250 mx.example
//!     C: QUIT
//!     S: 221 bye
//!     ",
//! )
//! .listen_tcp()
//! .await?;
//!
//! // the client to be tested; here a few octets
//! let mut client = tokio::net::TcpStream::connect(server.address()).await?;
//! client.write_all(b"EHLO client.example\r\nQUIT\r\n").await?;
//! client.read_to_end(&mut Vec::new()).await?;
//!
//! server.finish().await?; // the dialogue ran to its end, and to nothing else
//! assert_eq!(server.transcript()[0][1], "C: EHLO client.example");
//! # Ok(())
//! # }
//! ```
//!
//! There are two ways to tell it:
//!
//! - [`Script`], a dialogue line by line, for a test that means exactly this dialogue. What else a client says is
//!   a [`Departure`], which [`ScriptedServer::finish`] returns.
//! - [`Rules`], a server that answers any number of connections with sense, except where it was told otherwise:
//!   [`ScriptedServer::smtp`] and [`ScriptedServer::lmtp`].
//!
//! Both speak TLS with a [`ServerIdentity`], by STARTTLS or from the first octet.
//!
//! Both keep a transcript and the messages. What they keep and read is bounded by [`Limits`]. No task outlives the
//! server: dropping it stops everything and removes its socket.

mod command;
mod content;
mod directive;
#[doc(hidden)]
pub mod entry_points;
mod identity;
mod ledger;
mod limits;
mod listener;
mod network;
mod player;
#[cfg(test)]
mod player_tests;
mod record;
mod rules;
mod script;
mod server;
mod session;
#[cfg(test)]
mod session_tests;
mod socket;
mod stream;
#[cfg(test)]
mod test_client;
#[cfg(test)]
mod tls_tests;
mod wire;

pub use identity::{Handshake, IdentityError, ServerIdentity};
pub use limits::Limits;
pub use listener::ListenError;
pub use network::{Cut, CutKind, HostState, Link, Network, NetworkDialer, NetworkListener, NetworkStream};
pub use record::{Departure, Got, Received};
pub use rules::Rules;
pub use script::{Script, ScriptError, ScriptProblem};
pub use server::ScriptedServer;
