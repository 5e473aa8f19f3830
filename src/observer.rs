//! [`Observer`]: hears what happens, as it happens.

use std::fmt::Debug;
use std::sync::Arc;

use crate::proto::Reply;

/// Hears what happens on connections, as it happens; words are whoever listens' own.
///
/// # Contract
/// Called in the middle of deliveries: must not block and must not panic. Texts come from peers and are not escaped;
/// [`Reply`] and [`escape`](str::escape_debug) know how. No event holds credentials.
///
/// # Implementing
/// ```
/// use nexthop::{Event, Observer};
///
/// #[derive(Debug)]
/// struct Transcript;
///
/// impl Observer for Transcript {
///     fn observe(&self, event: &Event<'_>) {
///         match event {
///             Event::Sent { connection, line, .. } => eprintln!("{connection} C: {line}"),
///             Event::Received { connection, reply, .. } => eprintln!("{connection} S: {reply}"),
///             _ => {}
///         }
///     }
/// }
/// ```
pub trait Observer: Debug + Send + Sync + 'static {
    /// Hears one event.
    fn observe(&self, event: &Event<'_>);
}

/// Something that happened on a connection, which is named by what it leads to.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection is tried.
    #[non_exhaustive]
    Connecting {
        /// What it leads to.
        connection: &'a str,
    },
    /// A connection stands.
    #[non_exhaustive]
    Connected {
        /// What it leads to.
        connection: &'a str,
    },
    /// A handshake was finished.
    #[non_exhaustive]
    Secured {
        /// What it leads to.
        connection: &'a str,
        /// The version, and how the server proved who it is: `TLSv1.3, pkix`.
        what: &'a str,
    },
    /// The client said a line.
    #[non_exhaustive]
    Sent {
        /// What the connection leads to.
        connection: &'a str,
        /// The line without its end.
        line: &'a str,
    },
    /// The server said a reply.
    #[non_exhaustive]
    Received {
        /// What the connection leads to.
        connection: &'a str,
        /// All of it.
        reply: &'a Reply,
    },
    /// A line of an authentication, either side's, without what is secret in it. Only where
    /// [`TraceLevels::authentication`] asks for it.
    #[non_exhaustive]
    Authentication {
        /// What the connection leads to.
        connection: &'a str,
        /// `AUTH PLAIN ***`, `***`, `235`.
        line: &'a str,
    },
    /// A piece of the content of a message. Only where [`TraceLevels::content`] asks for it.
    #[non_exhaustive]
    Content {
        /// What the connection leads to.
        connection: &'a str,
        /// The octets, before anything is doubled or added.
        octets: &'a [u8],
    },
}

/// What an observer hears beyond the dialogue. Both are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TraceLevels {
    /// The lines of an authentication, without what is secret in them.
    pub authentication: bool,
    /// The content of messages.
    pub content: bool,
}

#[deny(clippy::missing_trait_methods)]
impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Observer + ?Sized> Observer for Box<T> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}

/// An observer that hears of one connection, or nobody.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    observer: Option<Arc<dyn Observer>>,
    levels: TraceLevels,
    connection: Arc<str>,
}

impl Reporter {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>, levels: TraceLevels, connection: &str) -> Self {
        Self { observer, levels, connection: connection.into() }
    }

    /// Nobody hears.
    pub(crate) fn nobody() -> Self {
        Self { observer: None, levels: TraceLevels::default(), connection: Arc::from("") }
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.observer.is_some()
    }

    pub(crate) fn connecting(&self) {
        self.tell(&Event::Connecting { connection: &self.connection });
    }

    pub(crate) fn connected(&self) {
        self.tell(&Event::Connected { connection: &self.connection });
    }

    pub(crate) fn secured(&self, what: &str) {
        self.tell(&Event::Secured { connection: &self.connection, what });
    }

    pub(crate) fn sent(&self, line: &str) {
        self.tell(&Event::Sent { connection: &self.connection, line });
    }

    pub(crate) fn received(&self, reply: &Reply) {
        self.tell(&Event::Received { connection: &self.connection, reply });
    }

    pub(crate) fn authentication(&self, line: &str) {
        if self.levels.authentication {
            self.tell(&Event::Authentication { connection: &self.connection, line });
        }
    }

    pub(crate) fn content(&self, octets: &[u8]) {
        if self.levels.content {
            self.tell(&Event::Content { connection: &self.connection, octets });
        }
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }
}
