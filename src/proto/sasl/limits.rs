//! [`SaslLimits`]: how much a server may ask for.

/// Bounds of an authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaslLimits {
    /// Rounds of PBKDF2 that a server must ask for in SCRAM, 4096 (RFC 7677 section 4). Fewer would let it,
    /// or whoever plays it, guess the password from one attempt at little cost.
    pub min_iterations: u32,
    /// Rounds of PBKDF2 that are computed for a server, 100 000. They are computed where the session runs: this
    /// many take some 10 ms, and a hostile server could ask for hours.
    pub max_iterations: u32,
    /// Challenges of one exchange, 10. No mechanism has more than two.
    pub max_rounds: u32,
    /// Octets of the text of a challenge, 12 288 (RFC 4954 section 4). The bound on lines of replies counts
    /// as well.
    pub max_challenge: usize,
}

impl Default for SaslLimits {
    fn default() -> Self {
        Self { min_iterations: 4096, max_iterations: 100_000, max_rounds: 10, max_challenge: 12_288 }
    }
}
