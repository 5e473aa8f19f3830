//! The trait [`Resolver`].

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use async_trait::async_trait;

use super::answer::Answer;
use super::error::ResolveError;
use super::question::Query;
use super::record::{Mx, Srv, Tlsa, Txt};

/// Asks the DNS.
///
/// # Contract
///
/// - Names are absolute. No search list, no hosts file, no completion (RFC 5321 section 2.3.5).
/// - Aliases are followed, a bounded number of them; an endless chain is [`ResolveError::Temporary`]. What is
///   said is said of the last name: records, their absence (an empty [`Answer`]), or no such name.
/// - Only a denial that came from the DNS is an empty answer or [`ResolveError::NoSuchName`]. Silence and
///   failure are never a denial: mail would be returned, or a protection switched off, that should only wait.
/// - [`Security`](super::Security) claims nothing that was not validated, by the resolver itself or by a server that can be
///   trusted over a path that can be trusted (RFC 7672 section 2.1.1).
/// - Every question ends within a bounded time. Dropping the future abandons the question.
/// - Questions may come many at a time, and equal ones again and again: caching is the resolver's part.
///
/// No method has a default, so a wrapper that forgets to pass one on does not compile.
///
/// # Implementing
///
/// A resolver in front of another that knows one name itself:
///
/// ```
/// use std::net::{Ipv4Addr, Ipv6Addr};
///
/// use nexthop::Resolver;
/// use nexthop::resolver::{Answer, Mx, Query, ResolveError, Srv, Tlsa, Txt};
///
/// #[derive(Debug)]
/// struct WithRelay<R> {
///     relay: Ipv4Addr,
///     dns: R,
/// }
///
/// #[async_trait::async_trait]
/// impl<R: Resolver> Resolver for WithRelay<R> {
///     async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
///         if query.name.as_str() == "relay.internal" {
///             return Ok(Answer::new(query.name.clone(), [self.relay]));
///         }
///         self.dns.ipv4(query).await
///     }
///
///     async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
///         self.dns.mx(query).await
///     }
///
///     async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
///         self.dns.ipv6(query).await
///     }
///
///     async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
///         self.dns.tlsa(query).await
///     }
///
///     async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
///         self.dns.txt(query).await
///     }
///
///     async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
///         self.dns.srv(query).await
///     }
/// }
/// ```
#[async_trait]
pub trait Resolver: Debug + Send + Sync + 'static {
    /// The mail exchangers of a domain, unsorted.
    async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError>;
    /// The IPv4 addresses of a host.
    async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError>;
    /// The IPv6 addresses of a host.
    async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError>;
    /// The TLSA records at a name like `_25._tcp.mx.example`.
    async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError>;
    /// The text records at a name.
    async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError>;
    /// The servers of a service, at a name like `_submissions._tcp.example`, unsorted.
    async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError>;
}

macro_rules! forward_to_pointee {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<R: Resolver + ?Sized> Resolver for $pointer<R> {
            async fn mx(&self, query: &Query) -> Result<Answer<Mx>, ResolveError> {
                (**self).mx(query).await
            }

            async fn ipv4(&self, query: &Query) -> Result<Answer<Ipv4Addr>, ResolveError> {
                (**self).ipv4(query).await
            }

            async fn ipv6(&self, query: &Query) -> Result<Answer<Ipv6Addr>, ResolveError> {
                (**self).ipv6(query).await
            }

            async fn tlsa(&self, query: &Query) -> Result<Answer<Tlsa>, ResolveError> {
                (**self).tlsa(query).await
            }

            async fn txt(&self, query: &Query) -> Result<Answer<Txt>, ResolveError> {
                (**self).txt(query).await
            }

            async fn srv(&self, query: &Query) -> Result<Answer<Srv>, ResolveError> {
                (**self).srv(query).await
            }
        }
    };
}

forward_to_pointee!(Arc);
forward_to_pointee!(Box);

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryResolver;
    use super::*;
    use crate::mail::DnsName;

    #[tokio::test]
    async fn pointers_to_resolvers_are_resolvers() {
        async fn ask(resolver: impl Resolver) -> usize {
            let query = Query::new(DnsName::parse("a.example").unwrap());
            resolver.ipv4(&query).await.unwrap().records.len()
        }
        let dns = || MemoryResolver::builder().ipv4("a.example", [192, 0, 2, 1]).build().unwrap();
        assert_eq!(ask(Arc::new(dns()) as Arc<dyn Resolver>).await, 1);
        assert_eq!(ask(Box::new(dns()) as Box<dyn Resolver>).await, 1);
    }
}
