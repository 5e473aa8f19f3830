//! The server's side of SCRAM (RFC 5802), written from the RFC, with no code of the crate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes that HMAC takes at once.
const BLOCK: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

/// The messages of an exchange, and the password.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) hash: Hash,
    pub(super) password: &'static str,
    /// First message of the client without the GS2 header.
    pub(super) client_first: String,
    pub(super) server_first: String,
    pub(super) client_final: String,
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }

    /// RFC 2104.
    fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut key = if key.len() > BLOCK { self.digest(key) } else { key.to_vec() };
        key.resize(BLOCK, 0);
        let padded = |pad: u8| key.iter().map(|byte| byte ^ pad).collect::<Vec<_>>();
        let inner = self.digest(&[&padded(0x36)[..], bytes].concat());
        self.digest(&[&padded(0x5c)[..], &inner].concat())
    }

    /// `Hi` of RFC 5802 section 2.2.
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut last = self.hmac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut salted = last.clone();
        for _ in 1..iterations {
            last = self.hmac(password, &last);
            salted = xor(&salted, &last);
        }
        salted
    }
}

impl Exchange {
    /// Returns the signature of the server, or `None` if its first message is malformed.
    pub(super) fn signature(&self) -> Option<Vec<u8>> {
        let key = self.hash.hmac(&self.salted()?, b"Server Key");
        Some(self.hash.hmac(&key, self.message()?.as_bytes()))
    }

    /// Checks the proof of the client (RFC 5802 section 3).
    pub(super) fn is_proved(&self) -> Option<bool> {
        let (_, proof) = self.client_final.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        let stored_key = self.hash.digest(&self.hash.hmac(&self.salted()?, b"Client Key"));
        let signature = self.hash.hmac(&stored_key, self.message()?.as_bytes());
        Some(self.hash.digest(&xor(&proof, &signature)) == stored_key)
    }

    fn salted(&self) -> Option<Vec<u8>> {
        let attribute = |name: &str| self.server_first.split(',').find_map(|part| part.strip_prefix(name));
        let salt = STANDARD.decode(attribute("s=")?).ok()?;
        let iterations: u32 = attribute("i=")?.parse().ok()?;
        Some(self.hash.salted(self.password.as_bytes(), &salt, iterations))
    }

    fn message(&self) -> Option<String> {
        let (without_proof, _) = self.client_final.rsplit_once(",p=")?;
        Some(format!("{},{},{without_proof}", self.client_first, self.server_first))
    }
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}
