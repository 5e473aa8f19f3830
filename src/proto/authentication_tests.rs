//! Literal octets played at AUTH.

use std::io::IoSlice;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::authentication::{Authentication, AuthenticationFailure};
use super::input::Input;
use super::machine::{Interruption, Machine, Need, ProtocolError};
use super::output::Output;
use super::reply::{Reply, ReplyCode};
use super::reply_parser::{ReplyLimits, ReplyParser};
use super::sasl::{
    ChannelBinding, Credentials, Mechanism, MechanismSet, Nonce, SaslError, SaslLimits, SaslTerms,
};
use super::stage::Stage;

const PASSWORD: &str = "s3cr3t-Pa55/word";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// An authentication with its server's replies typed in by hand.
struct Play {
    machine: Authentication,
    output: Output,
    input: Input,
    parser: ReplyParser,
}

impl Play {
    fn new(mechanism: Mechanism, credentials: &Credentials) -> Self {
        Self::limited(mechanism, credentials, SaslLimits::default())
    }

    fn limited(mechanism: Mechanism, credentials: &Credentials, limits: SaslLimits) -> Self {
        let terms = SaslTerms {
            credentials,
            offered: [mechanism].into_iter().collect::<MechanismSet>(),
            binding: Some(&ChannelBinding([3; 32])),
            nonce: &Nonce::of(NONCE),
            host: Some("relay.example"),
            port: Some(587),
            limits,
        };
        let mut output = Output::default();
        let machine = Authentication::new(mechanism, &terms, &mut output);
        let replies = ReplyLimits { line: 20_000, ..ReplyLimits::default() };
        Self { machine, output, input: Input::default(), parser: ReplyParser::new(replies) }
    }

    fn password(mechanism: Mechanism) -> Self {
        Self::new(mechanism, &Credentials::password("tester", PASSWORD))
    }

    fn token(mechanism: Mechanism) -> Self {
        Self::new(mechanism, &Credentials::token("tester", "ya29.token-value"))
    }

    /// What goes out now.
    fn sent(&mut self) -> String {
        let mut slices = [IoSlice::new(&[]); 4];
        let used = self.output.slices(&mut slices);
        let octets: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        self.output.advance(octets.len());
        String::from_utf8(octets).unwrap()
    }

    /// What goes out once the server said this.
    fn says(&mut self, octets: &str) -> String {
        self.input.extend_from_slice(octets.as_bytes());
        while self.machine.poll(&mut self.output) != Need::Nothing {
            let Some(reply) = self.parser.next(&mut self.input).unwrap() else { break };
            self.machine.handle_reply(reply, &mut self.output);
        }
        self.sent()
    }

    fn challenges(&mut self, challenge: &str) -> String {
        self.says(&format!("334 {}\r\n", STANDARD.encode(challenge)))
    }

    fn result(mut self) -> Result<(), AuthenticationFailure> {
        assert_eq!(self.machine.poll(&mut self.output), Need::Nothing);
        self.machine.finish()
    }

    fn given_up(self) -> SaslError {
        match self.result() {
            Err(AuthenticationFailure::Mechanism(error)) => error,
            other => panic!("not given up: {other:?}"),
        }
    }

    fn refused(self) -> (String, Option<String>) {
        match self.result() {
            Err(AuthenticationFailure::Refused { reply, complaint, .. }) => (reply.to_string(), complaint),
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn line(text: &str) -> String {
    format!("{}\r\n", STANDARD.encode(text))
}

#[test]
fn check_190_plain_takes_one_line() {
    let mut play = Play::password(Mechanism::Plain);
    assert_eq!(play.sent(), format!("AUTH PLAIN {}", line("\0tester\0s3cr3t-Pa55/word")));
    assert_eq!(play.machine.poll(&mut play.output), Need::Io(Stage::Auth));
    assert_eq!(play.says("235 2.7.0 welcome\r\n"), "");
    assert!(play.result().is_ok());
}

#[test]
fn check_181_a_long_initial_response_waits_for_a_challenge() {
    let token = "x".repeat(600);
    let mut play = Play::new(Mechanism::XOAuth2, &Credentials::token("u", token.as_str()));
    assert_eq!(play.sent(), "AUTH XOAUTH2\r\n");
    let message = format!("user=u\x01auth=Bearer {token}\x01\x01");
    assert_eq!(play.says("334 \r\n"), line(&message));
    play.says("235\r\n");
    assert!(play.result().is_ok());
}

#[test]
fn check_181_the_limit_counts_the_whole_line() {
    let first_line = |length| {
        Play::new(Mechanism::External, &Credentials::external().acting_as("x".repeat(length))).sent()
    };
    assert_eq!(first_line(372).len(), 512);
    assert_eq!(first_line(373), "AUTH EXTERNAL\r\n");
    let plain = |length| Play::new(Mechanism::Plain, &Credentials::password("u", "x".repeat(length))).sent();
    assert_eq!(plain(369).len(), 509);
    assert_eq!(plain(370), "AUTH PLAIN\r\n", "513 with the line end");
}

#[test]
fn check_181_success_before_the_waiting_response_is_not_believed() {
    let mut play = Play::new(Mechanism::XOAuth2, &Credentials::token("u", "x".repeat(600)));
    play.sent();
    play.says("235 fine\r\n");
    assert_eq!(play.given_up(), SaslError::Premature);
}

#[test]
fn check_182_an_empty_initial_response_is_an_equals_sign() {
    let mut play = Play::new(Mechanism::External, &Credentials::external());
    assert_eq!(play.sent(), "AUTH EXTERNAL =\r\n");
    let mut play = Play::new(Mechanism::External, &Credentials::external().acting_as("u"));
    assert_eq!(play.sent(), "AUTH EXTERNAL dQ==\r\n");
}

#[test]
fn check_182_a_challenge_may_lack_its_text() {
    for challenge in ["334\r\n", "334 \r\n"] {
        let mut play = Play::password(Mechanism::Login);
        play.sent();
        assert_eq!(play.says(challenge), line("tester"));
    }
}

#[test]
fn check_183_what_is_not_base64_is_cancelled() {
    for text in ["!!!", "VXNlcm5h=bWU6", "VXN", "=", "VXNl bWU6", "VXNlcm5hbWU6 "] {
        let mut play = Play::password(Mechanism::CramMd5);
        play.sent();
        assert_eq!(play.says(&format!("334 {text}\r\n")), "*\r\n", "{text}");
        assert_eq!(play.machine.poll(&mut play.output), Need::Io(Stage::Auth));
        play.says("501 5.7.0 cancelled\r\n");
        assert_eq!(play.given_up(), SaslError::NotBase64);
    }
}

#[test]
fn check_183_a_challenge_of_two_lines_is_cancelled() {
    let mut play = Play::password(Mechanism::CramMd5);
    play.sent();
    assert_eq!(play.says("334-VXNl\r\n334 VXNl\r\n"), "*\r\n");
}

/// Texts of challenges that are not base64, and an empty one.
const ANY_TEXT: [&str; 6] = ["", "!!!", "VXN", "VXNl bWU6", "Username:", "\u{fc}"];

#[test]
fn check_191_login_accepts_challenges_whatever_they_contain() {
    for text in ANY_TEXT {
        let mut play = Play::password(Mechanism::Login);
        play.sent();
        assert_eq!(play.says(&format!("334 {text}\r\n")), line("tester"), "{text}");
        assert_eq!(play.says(&format!("334-{text}\r\n334 {text}\r\n")), line(PASSWORD), "{text}");
        play.says("235 2.7.0 welcome\r\n");
        assert!(play.result().is_ok(), "{text}");
    }
}

#[test]
fn check_181_a_waiting_initial_response_accepts_a_challenge_whatever_it_contains() {
    let long = "x".repeat(600);
    for (mechanism, credentials) in [
        (Mechanism::Plain, Credentials::password("u", long.as_str())),
        (Mechanism::External, Credentials::external().acting_as(long.as_str())),
        (Mechanism::XOAuth2, Credentials::token("u", long.as_str())),
        (Mechanism::OAuthBearer, Credentials::token("u", long.as_str())),
        (Mechanism::ScramSha256, Credentials::password(long.as_str(), "p")),
    ] {
        for text in ANY_TEXT {
            let mut play = Play::new(mechanism, &credentials);
            assert_eq!(play.sent(), format!("AUTH {mechanism}\r\n"));
            let response = play.says(&format!("334 {text}\r\n"));
            assert!(response.len() > 600, "{mechanism} {text}: {response}");
        }
    }
}

#[test]
fn check_199_200_a_complaint_that_is_not_base64_is_shown_as_it_is() {
    for (mechanism, answer) in [(Mechanism::OAuthBearer, "AQ==\r\n"), (Mechanism::XOAuth2, "\r\n")] {
        let mut play = Play::token(mechanism);
        play.sent();
        assert_eq!(play.says("334 token: expired\r\n"), answer);
        play.says("535 5.7.8 bad token\r\n");
        assert_eq!(play.refused().1.as_deref(), Some("token: expired"));
    }
}

#[test]
fn check_183_mechanisms_that_read_challenges_reject_what_is_not_base64() {
    for mechanism in [Mechanism::CramMd5, Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        let mut play = Play::password(mechanism);
        play.sent();
        assert_eq!(play.says("334 !!!\r\n"), "*\r\n", "{mechanism}");
        play.says("501 5.7.0 cancelled\r\n");
        assert_eq!(play.given_up(), SaslError::NotBase64);
    }
}

#[test]
fn check_184_challenges_of_any_content_are_bounded_with_all_their_lines() {
    let half = "!".repeat(6200);
    let mut play = Play::password(Mechanism::Login);
    play.sent();
    assert_eq!(play.says(&format!("334-{half}\r\n334 {half}\r\n")), "*\r\n");
    play.says("501\r\n");
    assert_eq!(play.given_up(), SaslError::ChallengeTooLong);
}

#[test]
fn check_196_a_refusal_other_than_of_the_credentials_may_be_for_channel_binding() {
    let may_be = |challenge: Option<&str>, reply: &str| {
        let mut play = Play::new(Mechanism::ScramSha256Plus, &Credentials::password("user", "pencil"));
        play.sent();
        if let Some(challenge) = challenge {
            let first = "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            assert!(play.challenges(first).len() > 80, "the proof of the client");
            assert_eq!(play.challenges(challenge), "\r\n");
        }
        play.says(&format!("{reply} no\r\n"));
        play.result().is_err_and(|failure| failure.may_refuse_channel_binding())
    };
    for reply in ["501", "504", "534", "550", "554", "454"] {
        assert!(may_be(None, reply), "{reply}");
        assert!(may_be(Some("e=other-error"), reply), "{reply}");
        assert!(!may_be(Some("e=invalid-proof"), reply), "{reply}");
    }
    for error in
        ["channel-bindings-dont-match", "unsupported-channel-binding-type", "channel-binding-not-supported"]
    {
        for reply in ["501", "535", "554"] {
            assert!(may_be(Some(&format!("e={error}")), reply), "{error} {reply}");
            assert!(may_be(Some(&format!("e={error},x=y")), reply), "{error} {reply}");
        }
        assert!(!may_be(Some(&format!("e={error}")), "421"));
    }
    for challenge in [None, Some("e=other-error"), Some("e=invalid-proof"), Some("e=unknown-user")] {
        assert!(!may_be(challenge, "535"), "{challenge:?}");
    }
    assert!(!may_be(None, "421"));
    assert!(!AuthenticationFailure::NoMechanism.may_refuse_channel_binding());
}

#[test]
fn attack_a40_success_behind_a_cancellation_is_none() {
    for reply in ["235 2.7.0 welcome\r\n", "334 \r\n"] {
        let mut play = Play::password(Mechanism::CramMd5);
        play.sent();
        play.says("334 !\r\n");
        assert_eq!(play.says(reply), "");
        assert_eq!(play.given_up(), SaslError::NotBase64);
    }
}

#[test]
fn check_184_long_challenges_are_read_up_to_the_limit() {
    let mut play = Play::password(Mechanism::Login);
    play.sent();
    assert_eq!(play.says(&format!("334 {}\r\n", "A".repeat(12_000))), line("tester"));
    assert_eq!(play.says(&format!("334 {}\r\n", "A".repeat(12_292))), "*\r\n");
    play.says("501\r\n");
    assert_eq!(play.given_up(), SaslError::ChallengeTooLong);
}

#[test]
fn attack_a41_endless_challenges_are_cancelled() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256] {
        let mut play = Play::password(mechanism);
        play.sent();
        let rounds = (0..200).take_while(|_| play.says("334 \r\n") != "*\r\n").count();
        assert!(rounds <= 2, "{mechanism}: {rounds}");
        play.says("501\r\n");
        play.given_up();
    }
}

#[test]
fn check_184_rounds_are_counted() {
    let credentials = Credentials::password("tester", PASSWORD);
    let limits = SaslLimits { max_rounds: 1, ..SaslLimits::default() };
    let mut play = Play::limited(Mechanism::Login, &credentials, limits);
    play.sent();
    assert_eq!(play.says("334 \r\n"), line("tester"));
    assert_eq!(play.says("334 \r\n"), "*\r\n");
    play.says("501\r\n");
    assert_eq!(play.given_up(), SaslError::TooManyRounds);
}

#[test]
fn check_184_a_response_that_no_line_can_hold_is_not_sent() {
    let mut play = Play::new(Mechanism::XOAuth2, &Credentials::token("u", "x".repeat(9300)));
    assert_eq!(play.sent(), "");
    assert_eq!(play.given_up(), SaslError::ResponseTooLong);
}

#[test]
fn check_186_refusals_are_given_as_they_are() {
    for reply in ["535 5.7.8 bad credentials", "454 4.7.0 later", "432 4.7.12 transition", "421 bye"] {
        let mut play = Play::password(Mechanism::Plain);
        play.sent();
        play.says(&format!("{reply}\r\n"));
        assert_eq!(play.refused(), (reply.to_owned(), None));
    }
}

#[test]
fn check_186_some_refusals_are_of_the_mechanism_only() {
    let permits = |code: u16| {
        let mut play = Play::password(Mechanism::Plain);
        play.sent();
        play.says(&format!("{code} x\r\n"));
        play.result().is_err_and(|failure| failure.permits_another())
    };
    assert_eq!([504, 534, 538].map(permits), [true; 3]);
    assert_eq!([535, 530, 503, 500, 454, 421].map(permits), [false; 6]);
    assert!(!AuthenticationFailure::NoMechanism.permits_another());
}

#[test]
fn check_191_login_does_not_mind_the_prompts() {
    for prompt in ["Username:", "who?", ""] {
        let mut play = Play::password(Mechanism::Login);
        assert_eq!(play.sent(), "AUTH LOGIN\r\n");
        assert_eq!(play.challenges(prompt), line("tester"));
        assert_eq!(play.challenges(prompt), line(PASSWORD));
        play.says("235\r\n");
        assert!(play.result().is_ok());
    }
}

#[test]
fn attack_a40_success_before_the_end_is_not_believed() {
    for (mechanism, challenges) in [(Mechanism::Login, 0), (Mechanism::Login, 1), (Mechanism::CramMd5, 0)] {
        let mut play = Play::password(mechanism);
        play.sent();
        (0..challenges).for_each(|_| drop(play.says("334 \r\n")));
        play.says("235 2.7.0 welcome\r\n");
        assert_eq!(play.given_up(), SaslError::Premature, "{mechanism} {challenges}");
    }
}

/// SCRAM up to the proof of the client.
fn scram() -> Play {
    let mut play = Play::new(Mechanism::ScramSha256, &Credentials::password("user", "pencil"));
    assert_eq!(play.sent(), format!("AUTH SCRAM-SHA-256 {}", line(&format!("y,,n=user,r={NONCE}"))));
    let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert!(play.challenges(first).starts_with(&STANDARD.encode("c=eSws,r=rOprNGfwEbeRWgbNEkqO%")[..40]));
    play
}

/// The proof of the server for [`scram`], computed apart.
const PROOF: &str = "v=dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U=";

#[test]
fn check_194_success_counts_behind_the_proof_of_the_server() {
    let mut play = scram();
    assert_eq!(play.challenges(PROOF), "\r\n");
    play.says("235 2.7.0 welcome\r\n");
    assert!(play.result().is_ok());
}

#[test]
fn check_194_success_without_the_proof_of_the_server_is_not_believed() {
    let mut play = scram();
    play.says("235 2.7.0 welcome\r\n");
    assert_eq!(play.given_up(), SaslError::Premature);
    let mut play = Play::password(Mechanism::ScramSha256);
    play.sent();
    play.says("235 2.7.0 welcome\r\n");
    assert_eq!(play.given_up(), SaslError::Premature);
}

#[test]
fn check_194_data_behind_235_is_no_proof() {
    let mut play = scram();
    play.says(&format!("235 {}\r\n", STANDARD.encode(PROOF)));
    assert_eq!(play.given_up(), SaslError::Premature);
}

#[test]
fn attack_a40_a_wrong_proof_is_cancelled() {
    let mut play = scram();
    assert_eq!(play.challenges(&format!("v={}", STANDARD.encode([0; 32]))), "*\r\n");
    play.says("501\r\n");
    assert_eq!(play.given_up(), SaslError::WrongSignature);
}

#[test]
fn check_193_what_the_server_says_of_a_proof_is_told() {
    let mut play = scram();
    assert_eq!(play.challenges("e=invalid-proof"), "\r\n");
    play.says("535 5.7.8 no\r\n");
    assert_eq!(play.refused(), ("535 5.7.8 no".to_owned(), Some("invalid-proof".to_owned())));
}

#[test]
fn check_199_200_what_the_server_says_of_a_token_is_told() {
    for (mechanism, answer) in [(Mechanism::OAuthBearer, "AQ==\r\n"), (Mechanism::XOAuth2, "\r\n")] {
        let mut play = Play::token(mechanism);
        play.sent();
        assert_eq!(play.challenges("{\"status\":\"ya29.token-value\"}\r\n"), answer);
        play.says("535 5.7.8 bad token\r\n");
        let (reply, complaint) = play.refused();
        assert_eq!(reply, "535 5.7.8 bad token");
        assert_eq!(complaint.as_deref(), Some("{\"status\":\"***\"}\\u{d}\\u{a}"));
    }
}

#[test]
fn check_199_the_failure_tells_what_the_server_says_of_a_token() {
    let mut play = Play::token(Mechanism::OAuthBearer);
    play.sent();
    play.challenges("{\"status\":\"invalid_token\"}");
    play.says("535 5.7.8 bad token\r\n");
    let told = play.result().expect_err("it was refused").to_string();
    assert_eq!(told, "the server refused the authentication: {\"status\":\"invalid_token\"}");
}

#[test]
fn check_199_a_complaint_is_bounded() {
    let mut play = Play::token(Mechanism::OAuthBearer);
    play.sent();
    play.challenges(&"\x1b".repeat(9000));
    play.says("535 no\r\n");
    assert!(play.refused().1.is_some_and(|complaint| complaint.len() <= 500));
}

#[test]
fn check_199_success_behind_a_complaint_is_not_believed() {
    let mut play = Play::token(Mechanism::OAuthBearer);
    play.sent();
    play.challenges("{}");
    play.says("235 fine\r\n");
    assert_eq!(play.given_up(), SaslError::Premature);
}

#[test]
fn attack_a20_echoed_credentials_are_not_kept() {
    let message = STANDARD.encode(format!("\0tester\0{PASSWORD}"));
    let mut play = Play::password(Mechanism::Plain);
    play.sent();
    play.says(&format!("535 5.7.8 bad {message} {PASSWORD} {}\r\n", STANDARD.encode(PASSWORD)));
    assert_eq!(play.refused().0, "535 5.7.8 bad *** *** ***");
}

#[test]
fn attack_a20_echoed_responses_are_not_kept() {
    let mut play = Play::password(Mechanism::Login);
    play.sent();
    let user = play.challenges("Username:");
    let password = play.challenges("Password:");
    play.says(&format!("535 {}{}\r\n", user.trim(), password.trim()));
    assert_eq!(play.refused().0, "535 ******");
    let mut play = Play::password(Mechanism::CramMd5);
    play.sent();
    let response = play.challenges("<1@x>");
    play.says(&format!("535 <{}>\r\n", response.trim()));
    assert_eq!(play.refused().0, "535 <***>");
}

#[test]
fn attack_a20_senseless_replies_are_not_kept_as_they_are() {
    for (before, reply) in [(true, "999"), (false, "535")] {
        let mut play = Play::password(Mechanism::Plain);
        if before {
            play.sent();
        }
        play.says(&format!("{reply} {PASSWORD}\r\n"));
        let shown = format!("{:?}", play.result());
        assert!(shown.contains("***") && !shown.contains(PASSWORD), "{shown}");
    }
}

#[test]
fn attack_a20_a_reply_with_different_codes_is_not_kept_as_it_is() {
    let mut play = Play::password(Mechanism::Plain);
    play.sent();
    play.input.extend_from_slice(format!("535-{PASSWORD}\r\n235 ok\r\n").as_bytes());
    let error = ProtocolError::from(play.parser.next(&mut play.input).unwrap_err());
    play.machine.handle_interruption(error.into(), &mut play.output);
    let shown = format!("{:?}", play.result());
    assert!(shown.contains("535-*** / 235 ok") && !shown.contains(PASSWORD), "{shown}");
}

#[test]
fn attack_a22_a_reply_before_auth_was_sent_answers_nothing() {
    let mut play = Play::password(Mechanism::Plain);
    play.says("235 2.7.0 welcome\r\n");
    assert!(matches!(play.result(), Err(AuthenticationFailure::Interrupted(Interruption::Protocol(_)))));
}

#[test]
fn check_201_debug_shows_neither_secrets_nor_messages() {
    let mut play = Play::new(Mechanism::XOAuth2, &Credentials::token("u", "x".repeat(600)));
    play.sent();
    let shown = format!("{:?}", play.machine);
    assert!(!shown.contains("xxx") && !shown.contains("120"), "{shown}");
}

#[test]
fn check_189_credentials_that_cannot_be_sent_are_not() {
    let mut play = Play::new(Mechanism::Plain, &Credentials::password("u", "a\0b"));
    assert_eq!(play.sent(), "");
    assert!(matches!(play.given_up(), SaslError::Credentials(_)));
}

#[test]
fn a_lost_connection_is_an_interruption_unless_the_client_had_given_up() {
    let mut play = Play::password(Mechanism::Plain);
    play.machine.handle_interruption(Interruption::Disconnected, &mut play.output);
    assert_eq!(play.sent(), "", "nothing goes out any more");
    assert!(matches!(play.result(), Err(AuthenticationFailure::Interrupted(Interruption::Disconnected))));
    let mut play = Play::password(Mechanism::CramMd5);
    play.sent();
    play.says("334 !\r\n");
    play.machine.handle_interruption(Interruption::TimedOut, &mut play.output);
    assert_eq!(play.given_up(), SaslError::NotBase64);
}

/// Few rounds of PBKDF2, so that many plays take little time.
fn quick() -> SaslLimits {
    SaslLimits { min_iterations: 1, max_iterations: 9, ..SaslLimits::default() }
}

/// Challenges that come near to what the mechanisms expect.
fn text() -> impl Strategy<Value = String> {
    let near =
        (0..3usize, "[ -~]{0,8}", "[A-Za-z0-9+/]{0,8}", 0..20u32).prop_map(|(cut, nonce, salt, count)| {
            let nonce = format!("{}{nonce}", &NONCE[cut / 2..]);
            STANDARD.encode(format!("r={nonce},s={salt},i={count}"))
        });
    let first = Just(STANDARD.encode(format!("r={NONCE}x,s=AAAA,i=2")));
    let last = proptest::collection::vec(any::<u8>(), 32)
        .prop_map(|octets| STANDARD.encode(format!("v={}", STANDARD.encode(octets))));
    let other = "[ev]=[ -~]{0,9}|<[a-z]@[a-z]>".prop_map(|text| STANDARD.encode(text));
    prop_oneof![near, first, last, other, "[ -~]{0,20}", Just(String::new())]
}

fn reply() -> impl Strategy<Value = Reply> {
    let code = prop_oneof![6 => Just(334u16), 3 => Just(235), 1 => 0..1000u16];
    (code, text()).prop_map(|(code, text)| Reply::new(ReplyCode::new(code), text))
}

proptest! {
    #[test]
    fn check_193_no_stream_of_replies_stands_for_the_proof_of_the_server(
        replies in proptest::collection::vec(reply(), 0..8), mechanism in 0..4usize
    ) {
        let credentials = Credentials::password("tester", PASSWORD);
        let mut play = Play::limited(Mechanism::ALL[mechanism], &credentials, quick());
        for reply in replies {
            play.sent();
            if play.machine.poll(&mut play.output) == Need::Nothing {
                break;
            }
            play.machine.handle_reply(reply, &mut play.output);
        }
        prop_assert!(play.machine.finish().is_err());
    }

    #[test]
    fn no_stream_of_replies_panics_or_gets_a_second_line(
        replies in proptest::collection::vec(reply(), 0..8), mechanism in 0..10usize
    ) {
        let mechanism = Mechanism::ALL[mechanism];
        let credentials = match mechanism {
            Mechanism::External => Credentials::external(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => Credentials::token("u", "token"),
            _ => Credentials::password("u", "p"),
        };
        let mut play = Play::limited(mechanism, &credentials, quick());
        for reply in replies {
            let sent = play.sent();
            prop_assert!(sent.matches('\n').count() <= 1 && (sent.is_empty() || sent.ends_with("\r\n")));
            play.machine.handle_reply(reply, &mut play.output);
        }
        let _ = play.machine.finish();
    }
}
