//! [`ResolverSettings`].

use std::time::Duration;

/// How a [`HickoryResolver`](super::HickoryResolver) asks.
///
/// ```
/// use std::time::Duration;
///
/// use nexthop::resolver::ResolverSettings;
///
/// let mut settings = ResolverSettings::default();
/// settings.deadline = Duration::from_secs(4);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolverSettings {
    /// How long one server has for one question before the next one is asked: this, or its share of the deadline
    /// if that is less. Default: 5 s.
    pub timeout: Duration,
    /// How often the list of servers is gone through, at least once. Default: 2.
    pub rounds: u32,
    /// How long one lookup may take in all: servers, rounds and aliases. Default: 10 s; at most an hour.
    pub deadline: Duration,
    /// Whose word on DNSSEC is taken. Default: [`DnssecMode::Off`].
    pub dnssec: DnssecMode,
    /// How large an answer over UDP may be, in octets; larger ones come over TCP. Default: 1232 (RFC 9715 section 3.1).
    pub udp_payload: u16,
    /// Whether names are sent in random case and the server must return them so, against forged answers.
    /// A server that does not is asked over TCP. Default: true.
    pub case_randomization: bool,
    /// How many aliases of one name are followed; an error beyond. Default: 16.
    pub max_aliases: usize,
    /// How many questions one lookup may put to servers, over all aliases, servers and rounds; an error beyond.
    /// Default: 40, enough for the longest chain of aliases.
    pub max_questions: usize,
    /// Maximum number of queries in flight, each with one socket and at most 80 KiB of buffers; at least 1.
    ///
    /// Further queries wait for a permit. Permits are divided fairly among [requesters](super::super::Query::requester): a
    /// new query takes the permit of one that has long been unanswered, which is sent again later. A lookup that gets no
    /// permit before its [deadline](Self::deadline) fails temporarily. Default: 256.
    pub max_in_flight: usize,
    /// Time for which a query keeps its permit while a new query of the same requester, or of one with one permit less,
    /// waits; at least 1 ms. It keeps it four times as long if the other requester has as many permits.
    ///
    /// Should be longer than a round trip to the servers, because a query that loses its permit must be sent again, and
    /// shorter than the acceptable delay of a new query. Default: 20 ms.
    pub time_slice: Duration,
    /// Time for which a server that rejected OPT, but answered without it, is asked without it (RFC 6891 sections 6.2.2 and
    /// 7). An answer without OPT is secure only if its AD bit is set and believed. Default: 15 minutes.
    pub edns_memory: Duration,
    /// For how long a server that was silent is asked after all others. Default: 10 s.
    pub silence_memory: Duration,
    /// How much is kept, in octets, about. Default: 16 MiB, some 20,000 answers. With 0 nothing is kept, and equal
    /// questions are asked each for itself.
    pub cache_octets: u64,
    /// The longest that an answer or a denial is kept, whatever its time to live. Default: a day.
    pub max_ttl: Duration,
    /// How long a failure is kept, [bogus](super::super::ResolveError::Bogus) or temporary. Default: 5 s (RFC 9520
    /// section 3.2 wants at least one and at most 300).
    pub failure_ttl: Duration,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            rounds: 2,
            deadline: Duration::from_secs(10),
            dnssec: DnssecMode::Off,
            udp_payload: 1232,
            case_randomization: true,
            max_aliases: 16,
            max_questions: 40,
            max_in_flight: 256,
            time_slice: Duration::from_millis(20),
            edns_memory: Duration::from_secs(15 * 60),
            silence_memory: Duration::from_secs(10),
            cache_octets: 16 * 1024 * 1024,
            max_ttl: Duration::from_secs(24 * 60 * 60),
            failure_ttl: Duration::from_secs(5),
        }
    }
}

/// Whose word on DNSSEC is taken (RFC 7672 section 2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DnssecMode {
    /// Nobody's: no answer is secure, and DANE is off.
    #[default]
    Off,
    /// The AD bit of servers that validate, if every server has a loopback address, or if the servers are those of
    /// the system and its `resolv.conf` says `options trust-ad`; otherwise nobody's.
    Ad,
    /// The AD bit of every server. Only if each of them validates and is reached over a path on which nobody
    /// can forge an answer: whoever can, decides what DANE accepts.
    AdFromAnyServer,
}
