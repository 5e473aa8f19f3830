//! [`MemoryResolverBuilder`]: the script of a `MemoryResolver`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::mail::{DnsName, DomainError};

use super::error::ResolveError;
use super::memory::{MemoryResolver, Table, Zone};
use super::question::RecordKind;
use super::record::{Exchange, Mx, Srv, Tlsa, Txt};

/// Writes the script of a [`MemoryResolver`]. Calls for one name add to each other.
///
/// Names are read as [`DnsName::parse`] reads them; the first that is none is reported by
/// [`build`](MemoryResolverBuilder::build).
#[derive(Debug, Default)]
pub struct MemoryResolverBuilder {
    zone: Zone,
    error: Option<ScriptError>,
}

/// A text in a script that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a name: \"{text}\"")]
pub struct ScriptError {
    text: String,
    #[source]
    reason: DomainError,
}

impl MemoryResolverBuilder {
    /// A mail exchanger; `.` is a null MX, a text that is no name becomes [`Exchange::Invalid`].
    #[must_use]
    pub fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        let record = Mx { preference, exchange: Exchange::parse(exchange) };
        self.record(name, record, |zone| &mut zone.mx)
    }

    /// An IPv4 address.
    #[must_use]
    pub fn ipv4(self, name: &str, address: impl Into<Ipv4Addr>) -> Self {
        self.record(name, address.into(), |zone| &mut zone.ipv4)
    }

    /// An IPv6 address.
    #[must_use]
    pub fn ipv6(self, name: &str, address: impl Into<Ipv6Addr>) -> Self {
        self.record(name, address.into(), |zone| &mut zone.ipv6)
    }

    /// A TLSA record, at a name like `_25._tcp.mx.example`.
    #[must_use]
    pub fn tlsa(self, name: &str, record: Tlsa) -> Self {
        self.record(name, record, |zone| &mut zone.tlsa)
    }

    /// A text record.
    #[must_use]
    pub fn txt(self, name: &str, text: impl Into<Vec<u8>>) -> Self {
        self.record(name, Txt(text.into()), |zone| &mut zone.txt)
    }

    /// A server of a service.
    #[must_use]
    pub fn srv(self, name: &str, record: Srv) -> Self {
        self.record(name, record, |zone| &mut zone.srv)
    }

    /// IPv4 addresses that change: each question gets the next answer, the last one stays. Replaces what was said before.
    #[must_use]
    pub fn ipv4_sequence<A: Into<Vec<Ipv4Addr>>>(
        self,
        name: &str,
        answers: impl IntoIterator<Item = A>,
    ) -> Self {
        let answers = answers.into_iter().map(Into::into).collect();
        self.known(name, |zone, name| zone.ipv4.entry(name).or_default().answers = answers)
    }

    /// IPv6 addresses that change: each question gets the next answer, the last one stays. Replaces what was said before.
    #[must_use]
    pub fn ipv6_sequence<A: Into<Vec<Ipv6Addr>>>(
        self,
        name: &str,
        answers: impl IntoIterator<Item = A>,
    ) -> Self {
        let answers = answers.into_iter().map(Into::into).collect();
        self.known(name, |zone, name| zone.ipv6.entry(name).or_default().answers = answers)
    }

    /// An alias. At a name that has records of the kind asked for it is ignored.
    #[must_use]
    pub fn cname(self, name: &str, target: &str) -> Self {
        match DnsName::parse(target) {
            Ok(target) => self.known(name, |zone, name| zone.aliases.extend([(name, target)])),
            Err(reason) => self.wrong(target, reason),
        }
    }

    /// A name that exists, without records.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.known(name, |_, _| ())
    }

    /// Questions for one kind of records at this name, asked or reached by an alias, fail.
    #[must_use]
    pub fn fail(self, name: &str, kind: RecordKind, error: ResolveError) -> Self {
        self.at(name, |zone, name| zone.failures.extend([((name, Some(kind)), error)]))
    }

    /// Questions for this name, asked or reached by an alias, fail.
    #[must_use]
    pub fn fail_all(self, name: &str, error: ResolveError) -> Self {
        self.at(name, |zone, name| zone.failures.extend([((name, None), error)]))
    }

    /// This name and everything below it is proved by DNSSEC.
    #[must_use]
    pub fn secure(self, name: &str) -> Self {
        self.at(name, |zone, name| zone.secure.extend([name]))
    }

    /// The resolver.
    ///
    /// # Errors
    /// A text in the script is no name; the first of them.
    pub fn build(self) -> Result<MemoryResolver, ScriptError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(MemoryResolver::with_zone(self.zone)),
        }
    }

    fn record<T>(self, name: &str, record: T, table: impl FnOnce(&mut Zone) -> &mut Table<T>) -> Self {
        self.known(name, |zone, name| {
            let answers = &mut table(zone).entry(name).or_default().answers;
            match answers.last_mut() {
                Some(records) => records.push(record),
                None => answers.push(vec![record]),
            }
        })
    }

    fn known(self, name: &str, edit: impl FnOnce(&mut Zone, DnsName)) -> Self {
        self.at(name, |zone, name| {
            zone.known.insert(name.clone());
            edit(zone, name);
        })
    }

    fn at(mut self, name: &str, edit: impl FnOnce(&mut Zone, DnsName)) -> Self {
        match DnsName::parse(name) {
            Ok(name) => edit(&mut self.zone, name),
            Err(reason) => return self.wrong(name, reason),
        }
        self
    }

    fn wrong(mut self, text: &str, reason: DomainError) -> Self {
        self.error.get_or_insert_with(|| ScriptError { text: text.escape_debug().to_string(), reason });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_that_is_no_name_is_reported() {
        let script = MemoryResolver::builder().ipv4("a b", [192, 0, 2, 1]).cname("a.example", "");
        assert_eq!(script.build().unwrap_err().to_string(), "not a name: \"a b\"");
        let script = MemoryResolver::builder().cname("a.example", "1.2.3.4");
        assert_eq!(script.build().unwrap_err().to_string(), "not a name: \"1.2.3.4\"");
    }

    #[test]
    fn exchanges_may_be_no_names() {
        assert!(MemoryResolver::builder().mx("a.example", 10, "192.0.2.1.").build().is_ok());
    }
}
