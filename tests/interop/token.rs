//! Tokens that Dovecot validates by itself: JSON Web Tokens (RFC 7519) with HMAC-SHA-256.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The key in the form in which Dovecot reads it.
pub(crate) fn key() -> String {
    STANDARD.encode(KEY)
}

/// A token that says it is a user's, and holds for long.
pub(crate) fn for_user(name: &str) -> String {
    signed(name, KEY)
}

/// The same by somebody who does not know the key.
pub(crate) fn forged_for_user(name: &str) -> String {
    signed(name, b"another key")
}

fn signed(name: &str, key: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{name}","iat":1577836800,"exp":4102444800}}"#));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(format!("{header}.{claims}").as_bytes());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
