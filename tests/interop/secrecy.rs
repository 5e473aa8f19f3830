//! Whoever watches a login sees no secret (law 10): neither an observer who hears everything, nor who reads the
//! report or a debugging text.

use std::sync::{Arc, Mutex};

use nexthop::{
    Credentials, Event, LoginSettings, Mechanism, Observer, StaticCredentials, TlsLevel, TraceLevels,
};

use crate::delivery::{envelope, message, to, trusting};
use crate::dovecot::PASSWORDS;
use crate::relay::Submission;
use crate::samples::MESSAGE;
use crate::secrets::assert_hidden;
use crate::token;

/// Keeps everything that it hears.
#[derive(Debug, Default)]
struct Recorder(Mutex<String>);

impl Recorder {
    fn heard(&self) -> String {
        self.0.lock().expect("nobody panicked").clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Content { octets, .. } => String::from_utf8_lossy(octets).into_owned(),
            event => format!("{event:?}"),
        };
        self.0.lock().expect("nobody panicked").push_str(&(line + "\n"));
    }
}

/// Everything that there is to see of one delivery with a login.
async fn seen(submission: &Submission, credentials: Credentials, mechanism: Mechanism) -> String {
    let (mut login, mut levels) = (LoginSettings::default(), TraceLevels::default());
    login.only = Some(mechanism);
    (levels.authentication, levels.content) = (true, true);
    let recorder = Arc::new(Recorder::default());
    let deliverer = to(submission.relay.by_starttls(TlsLevel::Verified))
        .tls(trusting(submission.relay.roots()))
        .credentials(StaticCredentials::new(credentials))
        .login(login)
        .observer(Arc::clone(&recorder))
        .trace(levels)
        .build()
        .expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
    let json = serde_json::to_string(&report).expect("a report is JSON");
    format!("{}{report}\n{report:?}\n{json}\n{deliverer:#?}", recorder.heard())
}

/// A login that the server takes.
async fn hides(mechanism: Mechanism, credentials: fn(&str) -> Credentials, secret: &str) {
    let Some(submission) = Submission::start() else { return };
    let seen = seen(&submission, credentials(secret), mechanism).await;
    for heard in [&format!("AUTH {mechanism}"), "\"235\"", "Subject: folded", ": delivered (250"] {
        assert!(seen.contains(heard), "{heard} is not in:\n{seen}");
    }
    assert_hidden(secret, &seen);
}

/// A login that the server refuses, with a secret that is none.
async fn hides_what_is_wrong(mechanism: Mechanism, credentials: fn(&str) -> Credentials, secret: &str) {
    let Some(submission) = Submission::start() else { return };
    let seen = seen(&submission, credentials(secret), mechanism).await;
    for heard in [&format!("AUTH {mechanism}"), "\"535\"", "said 535"] {
        assert!(seen.contains(heard), "{heard} is not in:\n{seen}");
    }
    assert_hidden(secret, &seen);
}

fn alice(password: &str) -> Credentials {
    Credentials::password("alice", password)
}

fn with_token(token: &str) -> Credentials {
    Credentials::token("alice", token)
}

const PASSWORD: &str = PASSWORDS[0].1;
const WRONG: &str = "incorrect+Horse/battery-STAPLE";

#[tokio::test]
async fn check_201_plain_hides_the_password() {
    hides(Mechanism::Plain, alice, PASSWORD).await;
}

#[tokio::test]
async fn check_201_login_hides_the_password() {
    hides(Mechanism::Login, alice, PASSWORD).await;
}

#[tokio::test]
async fn check_201_cram_md5_hides_the_password() {
    hides(Mechanism::CramMd5, alice, PASSWORD).await;
}

#[tokio::test]
async fn check_201_scram_sha_1_hides_the_password() {
    hides(Mechanism::ScramSha1, alice, PASSWORD).await;
}

#[tokio::test]
async fn check_201_scram_sha_256_hides_the_password() {
    hides(Mechanism::ScramSha256, alice, PASSWORD).await;
}

#[tokio::test]
async fn check_201_oauthbearer_hides_the_token() {
    hides(Mechanism::OAuthBearer, with_token, &token::for_user("alice")).await;
}

#[tokio::test]
async fn check_201_xoauth2_hides_the_token() {
    hides(Mechanism::XOAuth2, with_token, &token::for_user("alice")).await;
}

#[tokio::test]
async fn check_201_plain_hides_a_wrong_password() {
    hides_what_is_wrong(Mechanism::Plain, alice, WRONG).await;
}

#[tokio::test]
async fn check_201_login_hides_a_wrong_password() {
    hides_what_is_wrong(Mechanism::Login, alice, WRONG).await;
}

#[tokio::test]
async fn check_201_scram_sha_256_hides_a_wrong_password() {
    hides_what_is_wrong(Mechanism::ScramSha256, alice, WRONG).await;
}

#[tokio::test]
async fn check_201_oauthbearer_hides_a_forged_token() {
    hides_what_is_wrong(Mechanism::OAuthBearer, with_token, &token::forged_for_user("alice")).await;
}

#[tokio::test]
async fn check_201_xoauth2_hides_a_forged_token() {
    hides_what_is_wrong(Mechanism::XOAuth2, with_token, &token::forged_for_user("alice")).await;
}

#[test]
fn check_201_debugging_credentials_shows_no_secret() {
    let token = token::for_user("alice");
    let shown = format!("{:#?} {:?}", alice(PASSWORD), StaticCredentials::new(with_token(&token)));
    assert_hidden(PASSWORD, &shown);
    assert_hidden(&token, &shown);
}
