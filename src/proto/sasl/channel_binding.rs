//! [`ChannelBinding`]: what only the two ends of a TLS session have in common (RFC 5056).

/// Data of a TLS session that SCRAM's `-PLUS` forms prove to be the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    /// Exported keying material (RFC 9266): TLS 1.3, or TLS 1.2 with the extended master secret.
    TlsExporter([u8; 32]),
    /// The hash of the server's certificate (RFC 5929 section 4).
    TlsServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    /// The name in the registry of the IANA.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::TlsExporter(_) => "tls-exporter",
            Self::TlsServerEndPoint(_) => "tls-server-end-point",
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        match self {
            Self::TlsExporter(data) => data,
            Self::TlsServerEndPoint(data) => data,
        }
    }
}
