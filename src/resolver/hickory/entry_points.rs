//! [`DnsWalk`]: a lookup over datagrams instead of sockets, for fuzzing.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions};

use crate::mail::DnsName;

use super::super::question::RecordKind;
use super::super::record::{Mx, Srv, Tlsa, Txt};
use super::exchange::{ServerError, usable};
use super::reply::{has_same_case, reply_to};
use super::response::Response;
use super::walk::Walk;
use super::wire::{WireRecord, question};

/// A lookup of one kind of record, from a name to the end of its aliases.
#[derive(Debug)]
pub struct DnsWalk {
    kind: RecordKind,
    walk: Walk,
}

/// Result of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the callers are in the same repository")]
pub enum DnsStep {
    /// The datagram is no reply to the query; the resolver waits for another one.
    Ignored,
    /// The reply is of no use, or reports an error.
    Failed(String),
    /// The resolver asks for [`DnsWalk::name`] next.
    Ask,
    /// There is no such name.
    NoSuchName,
    /// Records at [`DnsWalk::name`], as text.
    Records(Vec<String>),
}

impl DnsWalk {
    /// Begins at a name.
    pub fn new(name: DnsName, kind: RecordKind, max_aliases: usize) -> Self {
        Self { kind, walk: Walk::new(name, max_aliases) }
    }

    /// Returns the name that the resolver asks for now, or the last one.
    pub fn name(&self) -> &DnsName {
        self.walk.name()
    }

    /// Handles a datagram as the reply to the query with this id.
    pub fn take(&mut self, id: u16, datagram: &[u8]) -> DnsStep {
        match self.kind {
            RecordKind::Mx => self.take_as::<Mx>(id, datagram),
            RecordKind::Ipv4 => self.take_as::<Ipv4Addr>(id, datagram),
            RecordKind::Ipv6 => self.take_as::<Ipv6Addr>(id, datagram),
            RecordKind::Tlsa => self.take_as::<Tlsa>(id, datagram),
            RecordKind::Txt => self.take_as::<Txt>(id, datagram),
            RecordKind::Srv => self.take_as::<Srv>(id, datagram),
        }
    }

    fn take_as<T: WireRecord + Debug>(&mut self, id: u16, datagram: &[u8]) -> DnsStep {
        let question = match question(self.walk.name(), T::TYPE) {
            Ok(question) => question,
            Err(error) => return DnsStep::Failed(error.to_string()),
        };
        let mut request = DnsRequest::from_query(question, DnsRequestOptions::default());
        request.metadata.id = id;
        let reply = match reply_to(&request, datagram) {
            None => return DnsStep::Ignored,
            Some(Ok(reply)) if !has_same_case(&request, &reply) => Err(ServerError::OtherCase),
            Some(reply) => reply.and_then(usable),
        };
        let end = match reply {
            Ok(message) => self.walk.take(Response::<T>::read(&message, true)),
            Err(error) => return DnsStep::Failed(error.to_string()),
        };
        match end {
            Ok(None) => DnsStep::Ask,
            Ok(Some(end)) => end.records.map_or(DnsStep::NoSuchName, |records| {
                DnsStep::Records(records.iter().map(|record| format!("{record:?}")).collect())
            }),
            Err(error) => DnsStep::Failed(error.to_string()),
        }
    }
}
