//! [`ChannelBinding`]: what only the two ends of a TLS session have in common (RFC 5056).

/// Keying material exported from a TLS session (RFC 9266), which SCRAM's `-PLUS` forms prove to be the same on both
/// sides. Without it, as in TLS 1.2, these forms are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelBinding(pub(crate) [u8; 32]);

impl ChannelBinding {
    /// The name in the registry of the IANA.
    pub(super) const NAME: &'static str = "tls-exporter";

    pub(super) fn data(&self) -> &[u8] {
        &self.0
    }
}
