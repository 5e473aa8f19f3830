//! Messages played at SCRAM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{CredentialsError, SaslError};
use super::exchange::exchange;
use super::*;

const USER: &str = "user";
const PASSWORD: &str = "pencil";
const NONCE_1: &str = "fyko+d2lbbFgONRv9qkxdawL";
const NONCE_256: &str = "rOprNGfwEbeRWgbNEkqO";
const FIRST_256: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL_256: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// An exchange with the names of RFC 5802 and RFC 7677, with and without channel binding.
struct Play {
    credentials: Credentials,
    offered: &'static str,
    binding: Option<ChannelBinding>,
    limits: SaslLimits,
}

impl Play {
    fn new() -> Self {
        let credentials = Credentials::password(USER, PASSWORD);
        Self { credentials, offered: "SCRAM-SHA-256", binding: None, limits: SaslLimits::default() }
    }

    fn begin(&self, mechanism: Mechanism, nonce: &str) -> Result<Box<dyn Exchange>, SaslError> {
        let terms = SaslTerms {
            credentials: &self.credentials,
            offered: MechanismSet::from_names(self.offered.split(' ')),
            binding: self.binding.as_ref(),
            nonce: &Nonce::of(nonce),
            host: None,
            port: None,
            limits: self.limits,
        };
        exchange(mechanism, &terms)
    }

    fn first(&self, mechanism: Mechanism) -> String {
        said(self.begin(mechanism, "abc").unwrap().initial().unwrap())
    }
}

fn said(response: SecretOctets) -> String {
    String::from_utf8(response.to_vec()).unwrap()
}

/// The exchange of RFC 7677 section 3 behind its first message.
fn begun() -> Box<dyn Exchange> {
    let mut exchange = Play::new().begin(Mechanism::ScramSha256, NONCE_256).unwrap();
    exchange.initial();
    exchange
}

/// What is said to a first message of the server.
fn answer(server_first: &str) -> Result<String, SaslError> {
    begun().answer(server_first.as_bytes()).map(said)
}

#[test]
fn check_193_the_example_of_rfc_5802() {
    let mut exchange = Play::new().begin(Mechanism::ScramSha1, NONCE_1).unwrap();
    assert_eq!(said(exchange.initial().unwrap()), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    let first = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
    let proof = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(said(exchange.answer(first).unwrap()), proof);
    assert_eq!(said(exchange.answer(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap()), "");
    assert!(exchange.is_complete());
}

#[test]
fn check_193_the_example_of_rfc_7677() {
    let mut exchange = Play::new().begin(Mechanism::ScramSha256, NONCE_256).unwrap();
    assert_eq!(said(exchange.initial().unwrap()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(said(exchange.answer(FIRST_256.as_bytes()).unwrap()), proof);
    assert_eq!(said(exchange.answer(FINAL_256.as_bytes()).unwrap()), "");
    assert!(exchange.is_complete());
}

#[test]
fn check_194_nothing_is_complete_before_the_proof_of_the_server() {
    let mut exchange = begun();
    assert!(!exchange.is_complete());
    exchange.answer(FIRST_256.as_bytes()).unwrap();
    assert!(!exchange.is_complete());
}

#[test]
fn check_193_a_nonce_has_to_extend_the_own() {
    for nonce in ["evil7", "rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkqo7", "xrOprNGfwEbeRWgbNEkqO"] {
        assert_eq!(answer(&format!("r={nonce},s=AAAA,i=4096")), Err(SaslError::ForeignNonce), "{nonce}");
    }
}

#[test]
fn check_193_extensions_are_taken_if_they_may_be_left_out() {
    let before = format!("m=x,{FIRST_256}");
    let behind = format!("{FIRST_256},m=x");
    assert_eq!(answer(&before), Err(SaslError::MandatoryExtension));
    assert_eq!(answer(&behind), Err(SaslError::MandatoryExtension));
    assert!(answer(&format!("{FIRST_256},x=y")).is_ok());
}

#[test]
fn check_195_iterations_are_bounded() {
    let count = |count: &str| answer(&format!("r={NONCE_256}x,s=AAAA,i={count}"));
    for (text, number) in [("1", 1), ("4095", 4095), ("0", 0), ("100001", 100_001)] {
        assert_eq!(count(text), Err(SaslError::Iterations(number)));
    }
    assert!(count("4096").is_ok());
}

#[test]
fn attack_a41_an_iteration_bomb_is_refused_unseen() {
    let count = |count: &str| answer(&format!("r={NONCE_256}x,s=AAAA,i={count}"));
    assert_eq!(count("4294967295"), Err(SaslError::Iterations(u32::MAX)));
    assert_eq!(count("99999999999999999999999"), Err(SaslError::Iterations(u32::MAX)));
}

#[test]
fn check_195_the_bounds_are_settings() {
    let limits = SaslLimits { min_iterations: 5000, max_iterations: 5000, ..SaslLimits::default() };
    let play = Play { limits, ..Play::new() };
    let ask =
        |first: &str| play.begin(Mechanism::ScramSha256, NONCE_256).unwrap().answer(first.as_bytes()).is_ok();
    assert!(!ask(FIRST_256));
    assert!(ask(&FIRST_256.replace("4096", "5000")));
}

#[test]
fn check_193_malformed_first_messages_are_refused() {
    for first in [
        "",
        "r=",
        "r=rOprNGfwEbeRWgbNEkqOx",
        "r=rOprNGfwEbeRWgbNEkqOx,i=4096,s=AAAA",
        "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=+4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096 ",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=",
    ] {
        assert_eq!(answer(first), Err(SaslError::MalformedChallenge), "{first}");
    }
    assert_eq!(begun().answer(b"r=\xff").unwrap_err(), SaslError::MalformedChallenge);
}

#[test]
fn attack_a40_a_wrong_signature_is_a_failure() {
    let zeros = format!("v={}", STANDARD.encode([0; 32]));
    let cut = format!("v={}", STANDARD.encode(&STANDARD.decode(&FINAL_256[2..]).unwrap()[..31]));
    for last in [zeros.as_str(), "v=", &cut] {
        let mut exchange = begun();
        exchange.answer(FIRST_256.as_bytes()).unwrap();
        assert_eq!(exchange.answer(last.as_bytes()).unwrap_err(), SaslError::WrongSignature, "{last}");
        assert!(!exchange.is_complete());
    }
}

#[test]
fn attack_a40_the_proof_of_another_password_is_a_failure() {
    let play = Play { credentials: Credentials::password(USER, "Pencil"), ..Play::new() };
    let mut exchange = play.begin(Mechanism::ScramSha256, NONCE_256).unwrap();
    exchange.answer(FIRST_256.as_bytes()).unwrap();
    assert_eq!(exchange.answer(FINAL_256.as_bytes()).unwrap_err(), SaslError::WrongSignature);
}

#[test]
fn check_193_malformed_last_messages_are_refused() {
    for last in ["", "v", "w=AAAA", "v=?", "x=y,v=AAAA", FIRST_256] {
        let mut exchange = begun();
        exchange.answer(FIRST_256.as_bytes()).unwrap();
        assert_eq!(exchange.answer(last.as_bytes()).unwrap_err(), SaslError::MalformedChallenge, "{last}");
    }
}

#[test]
fn check_193_a_complaint_is_answered_with_nothing_and_is_no_success() {
    let mut exchange = begun();
    exchange.answer(FIRST_256.as_bytes()).unwrap();
    assert_eq!(said(exchange.answer(b"e=invalid-proof").unwrap()), "");
    assert_eq!((exchange.is_complete(), exchange.complaint()), (false, Some(&b"invalid-proof"[..])));
    assert_eq!(exchange.answer(FINAL_256.as_bytes()).unwrap_err(), SaslError::UnexpectedChallenge);
}

#[test]
fn check_193_there_is_no_way_on_behind_an_error_or_the_end() {
    let mut failed = begun();
    failed.answer(b"m=x").unwrap_err();
    assert_eq!(failed.answer(FIRST_256.as_bytes()).unwrap_err(), SaslError::UnexpectedChallenge);

    let mut ended = begun();
    ended.answer(FIRST_256.as_bytes()).unwrap();
    ended.answer(FINAL_256.as_bytes()).unwrap();
    assert_eq!(ended.answer(FINAL_256.as_bytes()).unwrap_err(), SaslError::UnexpectedChallenge);
    assert!(!ended.is_complete());
}

#[test]
fn check_196_the_header_says_what_is_known_of_channel_binding() {
    let binding = Some(ChannelBinding([1; 32]));
    let play = |offered, binding| Play { offered, binding, ..Play::new() };
    let unable = play("SCRAM-SHA-256", None);
    assert_eq!(unable.first(Mechanism::ScramSha256), "n,,n=user,r=abc");
    let stripped = play("SCRAM-SHA-256", binding.clone());
    assert_eq!(stripped.first(Mechanism::ScramSha256), "y,,n=user,r=abc");
    let both = play("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", binding.clone());
    assert_eq!(both.first(Mechanism::ScramSha256Plus), "p=tls-exporter,,n=user,r=abc");
    assert_eq!(both.first(Mechanism::ScramSha256), "n,,n=user,r=abc", "the server does offer a bound form");
}

#[test]
fn check_197_the_data_of_the_channel_is_in_the_proof() {
    let binding = Some(ChannelBinding([0xA5; 32]));
    let play = Play { offered: "SCRAM-SHA-256-PLUS", binding, ..Play::new() };
    let mut exchange = play.begin(Mechanism::ScramSha256Plus, NONCE_256).unwrap();
    let last = said(exchange.answer(FIRST_256.as_bytes()).unwrap());
    let data = [b"p=tls-exporter,,".as_slice(), &[0xA5; 32]].concat();
    assert!(last.starts_with(&format!("c={},r=", STANDARD.encode(data))), "{last}");
}

#[test]
fn check_198_no_bound_form_without_a_binding() {
    let refused = Play::new().begin(Mechanism::ScramSha256Plus, "abc").map(drop);
    let unsuited = CredentialsError::Unsuited(Mechanism::ScramSha256Plus);
    assert_eq!(refused, Err(unsuited.into()));
}

#[test]
fn check_193_names_are_escaped() {
    let credentials = Credentials::password("a,b=c", PASSWORD).acting_as("d,e");
    let play = Play { credentials, ..Play::new() };
    assert_eq!(play.first(Mechanism::ScramSha256), "n,a=d=2Ce,n=a=2Cb=3Dc,r=abc");
}

#[test]
fn check_189_user_and_password_are_prepared() {
    let credentials = Credentials::password("u\u{ad}ser", "pen\u{ad}cil");
    let play = Play { credentials, ..Play::new() };
    let mut exchange = play.begin(Mechanism::ScramSha256, NONCE_256).unwrap();
    exchange.answer(FIRST_256.as_bytes()).unwrap();
    assert!(exchange.answer(FINAL_256.as_bytes()).is_ok());
}

#[test]
fn check_201_debug_shows_nothing_of_the_exchange() {
    let mut exchange = begun();
    exchange.answer(FIRST_256.as_bytes()).unwrap();
    assert_eq!(format!("{exchange:?}"), "Scram { .. }");
}
