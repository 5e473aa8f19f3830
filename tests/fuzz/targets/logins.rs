//! AUTH: SASL exchanges with a server that says anything.
//!
//! An input is a byte of settings and replies of the server, separated by `WAIT`. A reply that begins with `ENCODE` is a
//! challenge: it goes out as 334 with the rest in base64, in which `%N` stands for the nonce of the client, `%S` for the
//! right signature of a SCRAM server, and `%W` for a wrong one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nexthop::Credentials;
use nexthop::proto::{AuthenticationFailure, Mechanism, MechanismSet, SaslLimits};
use nexthop::testing::entry_points::{self, Login, LoginTerms};

use super::dialogue::Replies;
use super::scram::{Exchange, Hash};
use super::script::WAIT;
use super::trace::Trace;

/// What follows is a challenge, not encoded.
const ENCODE: u8 = 0x1e;
const USER: &str = "ann";
const PASSWORD: &str = "s3cretPw";
/// Random bytes of the client.
const NONCE: [u8; 18] = [0x5a; 18];
/// Bytes of a line of the client (RFC 4954 section 4).
const MAX_LINE: usize = 12_288;

/// An exchange that is over.
#[derive(Debug)]
struct Held {
    mechanism: Mechanism,
    /// Lines of the client without their ends.
    lines: Vec<String>,
    /// Bytes of the server.
    stream: Vec<u8>,
    result: Result<(), AuthenticationFailure>,
}

/// Runs an exchange, and judges its result.
pub(crate) fn logins(input: &[u8]) -> Trace {
    let [first, replies @ ..] = input else { return Trace::new() };
    let terms = terms(*first);
    let held = hold(&terms, replies);
    held.check();
    let mut trace = Trace::new();
    trace.add(held.mechanism.name());
    trace.add([held.lines.len() as u8]);
    match &held.result {
        Ok(()) => trace.add("ok"),
        Err(AuthenticationFailure::Mechanism(error)) => {
            trace.add(format!("{error:?}").replace(|c: char| c.is_ascii_digit(), ""))
        }
        Err(AuthenticationFailure::Interrupted(why)) => {
            trace.add(format!("{why:?}").split('"').next().unwrap_or_default())
        }
        Err(AuthenticationFailure::Refused { reply, complaint, .. }) => {
            trace.add(reply.code().to_string());
            trace.add([u8::from(complaint.is_some())]);
        }
        Err(error) => trace.add_variant(error),
    }
    trace
}

/// Returns the result of an input as text.
pub(crate) fn result(input: &[u8]) -> String {
    let held = hold(&terms(input[0]), &input[1..]);
    format!("{:?}", held.result)
}

fn terms(first: u8) -> LoginTerms {
    let mechanism = Mechanism::ALL[usize::from(first & 15) % Mechanism::ALL.len()];
    let password = || Credentials::password(USER, PASSWORD);
    let credentials = match first >> 4 & 3 {
        // those that suit
        0 | 1 => match mechanism {
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => Credentials::token(USER, PASSWORD),
            Mechanism::External => Credentials::external(),
            _ => password(),
        },
        2 => password().acting_as("other, one=two"),
        _ => Credentials::password(USER.repeat(300), PASSWORD),
    };
    let mut limits = SaslLimits::default();
    (limits.min_iterations, limits.max_iterations) = (1, 4);
    limits.max_challenge = 1000;
    let binding = (first & 0x40 != 0 || mechanism.is_bound()).then_some([7; 32]);
    let offered = if first & 0x80 != 0 {
        entry_points::capabilities(b"x\nAUTH SCRAM-SHA-256-PLUS").auth
    } else {
        MechanismSet::default()
    };
    LoginTerms { mechanism, credentials, offered, binding, nonce: NONCE, limits }
}

fn hold(terms: &LoginTerms, replies: &[u8]) -> Held {
    let mut login = Login::new(terms);
    let mut held = Held { mechanism: terms.mechanism, lines: Vec::new(), stream: Vec::new(), result: Ok(()) };
    held.add_lines(&login.sent());
    for reply in replies.split(|byte| *byte == WAIT) {
        let bytes = match reply.split_first() {
            Some((&ENCODE, challenge)) => held.challenge(challenge, terms),
            _ => reply.to_vec(),
        };
        held.stream.extend_from_slice(&bytes);
        let goes_on = login.receive(&bytes);
        held.add_lines(&login.sent());
        if !goes_on {
            break;
        }
    }
    held.result = login.finish();
    held
}

impl Held {
    fn add_lines(&mut self, sent: &[u8]) {
        let Some(sent) = sent.strip_suffix(b"\r\n") else {
            return assert!(sent.is_empty(), "a line without an end");
        };
        for line in String::from_utf8(sent.to_vec()).expect("lines are ASCII").split("\r\n") {
            assert!(!line.contains(char::is_control), "a control character in {line:?}");
            assert!(line.len() + 2 <= MAX_LINE, "a line of {} bytes", line.len());
            self.lines.push(line.to_owned());
        }
    }

    /// Makes a challenge of what stands in the input.
    fn challenge(&self, text: &[u8], terms: &LoginTerms) -> Vec<u8> {
        let signature = || self.exchange().and_then(|exchange| exchange.signature()).unwrap_or_default();
        let (mut challenge, mut rest) = (Vec::new(), text);
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            match (byte, behind.first()) {
                (b'%', Some(b'N')) => challenge.extend(STANDARD.encode(terms.nonce).bytes()),
                (b'%', Some(b'S')) => challenge.extend(STANDARD.encode(signature()).bytes()),
                (b'%', Some(b'W')) => {
                    let wrong: Vec<u8> = signature().iter().map(|byte| byte ^ 1).collect();
                    challenge.extend(STANDARD.encode(wrong).bytes());
                }
                _ => {
                    challenge.push(*byte);
                    continue;
                }
            }
            rest = &behind[1..];
        }
        format!("334 {}\r\n", STANDARD.encode(challenge)).into_bytes()
    }

    /// The exchange as a server of SCRAM sees it, once the client has given its proof.
    fn exchange(&self) -> Option<Exchange> {
        let hash = match self.mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Hash::Sha256,
            _ => return None,
        };
        // the initial response stands in the first line, or in the second one if it is long
        let decoded = |text: &str| STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let in_command = self.lines.first()?.split(' ').nth(2);
        let (first, skipped) = match in_command {
            Some(response) => (decoded(response)?, 0),
            None => (decoded(self.lines.get(1)?)?, 1),
        };
        let server_first = decoded(&self.challenges().nth(skipped)?)?;
        let client_final = decoded(self.lines.get(1 + skipped)?).filter(|text| text.contains(",p="))?;
        let bare = first.splitn(3, ',').nth(2)?.to_owned();
        Some(Exchange { hash, password: PASSWORD, client_first: bare, server_first, client_final })
    }

    /// Texts of the challenges.
    fn challenges(&self) -> impl Iterator<Item = String> {
        let replies = Replies::read(&self.stream).all;
        replies.into_iter().map(|reply| String::from_utf8_lossy(&reply.text).into_owned())
    }

    fn check(&self) {
        let replies = Replies::read(&self.stream).all;
        let shown = match &self.result {
            Ok(()) => String::new(),
            Err(error) => format!("{error} {error:?}"),
        };
        for secret in [PASSWORD.to_owned(), STANDARD.encode(PASSWORD)] {
            let has_secret = self.mechanism != Mechanism::External && shown.contains(&secret);
            assert!(!has_secret, "a failure shows a secret: {shown}");
        }
        if let Some(exchange) = self.exchange() {
            assert_eq!(exchange.is_proved(), Some(true), "the proof of the client is wrong: {exchange:?}");
        }
        if self.result.is_err() {
            return;
        }
        let answered = &replies[..self.lines.len()];
        let (last, challenges) = answered.split_last().expect("there is a command");
        assert!(last.is_positive(), "success without a positive reply: {last:?}");
        assert!(challenges.iter().all(|reply| reply.code / 100 == 3), "a line was no answer to a challenge");
        assert!(!self.lines.iter().any(|line| line == "*"), "success after it was given up");
        let responses = self.lines.len() - usize::from(!self.lines[0].contains(' '));
        match self.mechanism {
            Mechanism::Login => assert_eq!(responses, 3, "user and password are sent"),
            Mechanism::CramMd5 => assert_eq!(responses, 2, "the digest is sent"),
            _ => {}
        }
        let is_scram = self.mechanism.name().starts_with("SCRAM");
        assert!(!is_scram || self.has_right_signature(), "success without the right signature");
    }

    fn has_right_signature(&self) -> bool {
        let Some(wanted) = self.exchange().and_then(|exchange| exchange.signature()) else { return false };
        let wanted = STANDARD.encode(wanted);
        let challenges = self.challenges().filter_map(|text| STANDARD.decode(text).ok());
        let mut firsts =
            challenges.map(|text| String::from_utf8_lossy(&text).split(',').next().map(str::to_owned));
        firsts.any(|first| first == Some(format!("v={wanted}")))
    }
}

/// Parts of replies.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"\x1c",
    b"\x1e",
    b"\x1er=%N-x,s=QSXCR+Q6sek8bf92,i=4",
    b"\x1er=%N-x,s=QSXCR+Q6sek8bf92,i=4,x=y",
    b"\x1c\x1ev=%S",
    b"\x1c\x1ev=%W",
    b"\x1c\x1ev=%S,x=y",
    b"\x1c\x1ee=invalid-proof",
    b"m=x,",
    b"%N",
    b"%S",
    b"%W",
    b"r=",
    b"s=",
    b"i=1",
    b"i=4294967296",
    b"v=",
    b"\x1c235 2.7.0 ok\r\n",
    b"235 ok\r\n",
    b"\x1c250 ok\r\n",
    b"334 \r\n",
    b"334\r\n",
    b"\x1c334 VXNlcm5hbWU6\r\n",
    b"\x1c334 UGFzc3dvcmQ6\r\n",
    b"\x1e<1896.697170952@postoffice.reston.mci.net>",
    b"\x1e{\"status\":\"invalid_token\"}",
    b"334-a\r\n334 b\r\n",
    b"\x1c535 5.7.8 no s3cretPw\r\n",
    b"535 czNjcmV0UHc=\r\n",
    b"\x1es3cretPw",
    b"454 4.7.0 later\r\n",
    b"504 5.5.4 mechanism\r\n",
    b"534 5.7.9 weak\r\n",
    b"\x1c501 5.5.2 cancelled\r\n",
    b"421 bye\r\n",
    b"299 x\r\n",
    b"354 x\r\n",
    b"999 x\r\n",
    b"junk\r\n",
    b"\r\n",
    b",",
    b"=",
];
