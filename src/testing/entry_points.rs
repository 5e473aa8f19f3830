//! Entry points for fuzzing: internal parts without a public interface. They may change in any release.

use std::io::IoSlice;

use crate::proto::{
    Authentication, AuthenticationFailure, Capabilities, ChannelBinding, Credentials, Heard, Input,
    Interruption, Machine, Mechanism, MechanismSet, Need, Nonce, Output, ProtocolError, Reply, ReplyCode,
    ReplyLimits, ReplyParser, SaslLimits, SaslTerms,
};
#[cfg(feature = "hickory")]
pub use crate::resolver::{DnsStep, DnsWalk};

/// Reads the text of a reply to EHLO: its lines without reply codes, separated by LF.
pub fn capabilities(text: &[u8]) -> Capabilities {
    Capabilities::read(&Reply::new(ReplyCode::new(250), text))
}

/// Settings of a [`Login`].
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "the callers are in the same repository")]
pub struct LoginTerms {
    /// Mechanism of the exchange.
    pub mechanism: Mechanism,
    /// Credentials of the client.
    pub credentials: Credentials,
    /// Mechanisms that the server offers.
    pub offered: MechanismSet,
    /// Data of the TLS channel, if there is one.
    pub binding: Option<[u8; 32]>,
    /// Random bytes of the nonce of the client.
    pub nonce: [u8; 18],
    /// Limits of the exchange.
    pub limits: SaslLimits,
}

/// An AUTH command with its exchange, over buffers.
#[derive(Debug)]
pub struct Login {
    machine: Authentication,
    output: Output,
    input: Input,
    parser: ReplyParser,
}

impl Login {
    /// Begins the exchange.
    pub fn new(terms: &LoginTerms) -> Self {
        let (binding, nonce) = (terms.binding.map(ChannelBinding), Nonce::new(terms.nonce));
        let mut output = Output::default();
        let sasl = SaslTerms {
            credentials: &terms.credentials,
            offered: terms.offered,
            binding: binding.as_ref(),
            nonce: &nonce,
            host: Some("relay.example"),
            port: Some(587),
            limits: terms.limits,
        };
        let machine = Authentication::new(terms.mechanism, &sasl, &mut output);
        Self { machine, output, input: Input::default(), parser: ReplyParser::new(ReplyLimits::default()) }
    }

    /// Takes the bytes that the client sends now.
    pub fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while !self.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let used = self.output.slices(&mut slices);
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
            self.output.advance(bytes.len());
            sent.extend(bytes);
        }
        sent
    }

    /// Hands over bytes of the server. Returns `true` while the exchange needs more.
    pub fn receive(&mut self, bytes: &[u8]) -> bool {
        self.input.extend_from_slice(bytes);
        while self.machine.poll(&mut self.output) != Need::Nothing {
            match self.parser.hear(&mut self.input, |_| false) {
                Ok(Heard::Reply(reply)) => self.machine.handle_reply(reply, &mut self.output),
                Ok(Heard::Nothing | Heard::Code) => return true,
                Err(error) => {
                    self.machine.handle_interruption(ProtocolError::from(error).into(), &mut self.output);
                }
            }
        }
        false
    }

    /// Closes the connection, and returns the result.
    ///
    /// # Errors
    /// The client is not authenticated.
    pub fn finish(mut self) -> Result<(), AuthenticationFailure> {
        if self.machine.poll(&mut self.output) != Need::Nothing {
            self.machine.handle_interruption(Interruption::Disconnected, &mut self.output);
        }
        self.machine.finish()
    }
}
