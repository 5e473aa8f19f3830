//! Digests and what is made of them.

use hmac::digest::{Key, KeyInit};
use hmac::{Hmac, Mac};
use md5::Md5;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::secret::SecretOctets;

/// Octets that HMAC with MD5, SHA-1 and SHA-256 takes at once.
const BLOCK: usize = 64;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    pub(super) fn digest(self, message: &[u8]) -> SecretOctets {
        match self {
            Self::Sha1 => Sha1::digest(message).to_vec().into(),
            Self::Sha256 => Sha256::digest(message).to_vec().into(),
        }
    }

    /// HMAC (RFC 2104) with a key that is a digest.
    pub(super) fn hmac(self, key: &[u8], message: &[u8]) -> SecretOctets {
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, message),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, message),
        }
    }

    /// `Hi` of RFC 5802 section 2.2, which is PBKDF2 (RFC 8018) with one block of output.
    pub(super) fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> SecretOctets {
        match self {
            Self::Sha1 => {
                let mut key = vec![0; 20];
                pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut key);
                key.into()
            }
            Self::Sha256 => {
                let mut key = vec![0; 32];
                pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut key);
                key.into()
            }
        }
    }
}

/// HMAC with MD5, with a key of any length.
pub(super) fn hmac_md5(key: &[u8], message: &[u8]) -> SecretOctets {
    match key.len() {
        0..=BLOCK => mac::<Hmac<Md5>>(key, message),
        _ => mac::<Hmac<Md5>>(&Md5::digest(key), message),
    }
}

/// A key that is no longer than a block is filled up with zeros, and so cannot have a wrong length.
fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> SecretOctets {
    let mut block = Key::<M>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <M as KeyInit>::new(&block);
    zeroize::Zeroize::zeroize(block.as_mut_slice());
    mac.update(message);
    mac.finalize().into_bytes().to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn hmac_md5_as_in_rfc_2202() {
        assert_eq!(hex(&hmac_md5(&[0x0b; 16], b"Hi There")), "9294727a3638bb1c13f48ef8158bfc9d");
        let long = hmac_md5(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    #[test]
    fn pbkdf2_as_in_rfc_6070() {
        let key = Hash::Sha1.salted(b"password", b"salt", 4096);
        assert_eq!(hex(&key), "4b007901b765489abead49d926f721d065a429c1");
    }
}
