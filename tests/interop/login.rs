//! Logging in to Postfix (RFC 4954), which asks Dovecot: every mechanism that they have in common with the crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nexthop::deliverer::DelivererBuilder;
use nexthop::{
    CredentialError, CredentialProvider, CredentialRequest, Credentials, FailureKind, LoginSettings,
    Mechanism, NextHop, Protocol, Session, StaticCredentials, StoredCredentials, TlsLevel,
};
use tokio::net::TcpStream;

use crate::certificate::Flaw;
use crate::delivery::{along, by_mx, deliver_one, envelope, message, session_settings, to, told, trusting};
use crate::dovecot::PASSWORDS;
use crate::relay::Submission;
use crate::samples::MESSAGE;
use crate::token;

const DELIVERED: &str = "delivered 250 2.0.0, TLSv1.3 pkix";
const REFUSED: &str = "deferred 535 4.7.8 at auth, authenticating";
const ALICE: (&str, &str) = PASSWORDS[0];
const BOB: (&str, &str) = PASSWORDS[1];
const CAROL: (&str, &str) = PASSWORDS[2];

fn password((user, password): (&str, &str)) -> Credentials {
    Credentials::password(user, password)
}

fn only(mechanism: Mechanism) -> LoginSettings {
    let mut settings = LoginSettings::default();
    settings.only = Some(mechanism);
    settings
}

/// To the relay by STARTTLS, with credentials for it.
fn with(submission: &Submission, credentials: Credentials) -> DelivererBuilder {
    let hop = submission.relay.by_starttls(TlsLevel::Verified).with_credentials(credentials);
    to(hop).tls(trusting(submission.relay.roots()))
}

async fn logs_in(credentials: Credentials, mechanism: Mechanism) {
    let Some(submission) = Submission::start() else { return };
    let builder = with(&submission, credentials).login(only(mechanism));
    assert_eq!(deliver_one(builder).await, DELIVERED);
    assert_eq!(submission.await_login(), format!("{mechanism}, sasl_username=alice"));
    submission.relay.postfix.await_messages("alice", 1);
}

#[tokio::test]
async fn check_190_plain() {
    logs_in(password(ALICE), Mechanism::Plain).await;
}

#[tokio::test]
async fn check_191_login() {
    logs_in(password(ALICE), Mechanism::Login).await;
}

#[tokio::test]
async fn check_192_cram_md5() {
    logs_in(password(ALICE), Mechanism::CramMd5).await;
}

#[tokio::test]
async fn check_193_scram_sha_1() {
    logs_in(password(ALICE), Mechanism::ScramSha1).await;
}

#[tokio::test]
async fn check_193_scram_sha_256() {
    logs_in(password(ALICE), Mechanism::ScramSha256).await;
}

#[tokio::test]
async fn check_199_oauthbearer() {
    logs_in(Credentials::token("alice", token::for_user("alice")), Mechanism::OAuthBearer).await;
}

#[tokio::test]
async fn check_200_xoauth2() {
    logs_in(Credentials::token("alice", token::for_user("alice")), Mechanism::XOAuth2).await;
}

/// What is tested here is all that is offered: Dovecot 2.3 has no SCRAM that is bound to the TLS session.
#[tokio::test]
async fn every_mechanism_that_is_offered_is_tested() {
    let Some(submission) = Submission::start_with(Flaw::None, &["smtpd_tls_auth_only=no"]) else { return };
    let stream = TcpStream::connect(submission.relay.clear_address()).await.expect("the server listens");
    let session = Session::open(stream, Protocol::Smtp, session_settings()).await.expect("it greets");
    let offered = session.capabilities().auth.to_string();
    assert_eq!(offered, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN OAUTHBEARER XOAUTH2");
}

#[tokio::test]
async fn check_202_the_strongest_mechanism_is_used() {
    let Some(submission) = Submission::start() else { return };
    assert_eq!(deliver_one(with(&submission, password(ALICE))).await, DELIVERED);
    assert_eq!(submission.await_login(), "SCRAM-SHA-256, sasl_username=alice");
}

#[tokio::test]
async fn check_198_scram_over_tls_1_2() {
    let options = ["smtpd_tls_protocols=<=TLSv1.2"];
    let Some(submission) = Submission::start_with(Flaw::None, &options) else { return };
    let outcome = deliver_one(with(&submission, password(ALICE))).await;
    assert_eq!(outcome, "delivered 250 2.0.0, TLSv1.2 pkix");
}

#[tokio::test]
async fn check_189_plain_with_octets_above_127() {
    let Some(submission) = Submission::start() else { return };
    let builder = with(&submission, password(CAROL)).login(only(Mechanism::Plain));
    assert_eq!(deliver_one(builder).await, DELIVERED);
}

#[tokio::test]
async fn check_189_scram_with_octets_above_127() {
    let Some(submission) = Submission::start() else { return };
    assert_eq!(deliver_one(with(&submission, password(CAROL))).await, DELIVERED);
}

/// Refused with 535, nothing of the envelope is said, and the recipient may be tried again.
async fn is_refused(credentials: Credentials, mechanism: Mechanism) {
    let Some(submission) = Submission::start() else { return };
    let builder = with(&submission, credentials).login(only(mechanism));
    assert_eq!(deliver_one(builder).await, REFUSED);
    let commands = "ehlo=2 starttls=1 auth=0/1 quit=1 commands=4/5";
    assert_eq!(submission.relay.postfix.await_commands(), commands);
}

#[tokio::test]
async fn check_186_a_wrong_password_by_plain() {
    is_refused(password(("alice", "wrong")), Mechanism::Plain).await;
}

#[tokio::test]
async fn check_186_a_wrong_password_by_login() {
    is_refused(password(("alice", "wrong")), Mechanism::Login).await;
}

#[tokio::test]
async fn check_186_a_wrong_password_by_cram_md5() {
    is_refused(password(("alice", "wrong")), Mechanism::CramMd5).await;
}

#[tokio::test]
async fn check_186_a_wrong_password_by_scram_sha_1() {
    is_refused(password(("alice", "wrong")), Mechanism::ScramSha1).await;
}

#[tokio::test]
async fn check_186_a_wrong_password_by_scram_sha_256() {
    is_refused(password(("alice", "wrong")), Mechanism::ScramSha256).await;
}

#[tokio::test]
async fn check_186_an_unknown_user() {
    is_refused(password(("nobody", "wrong")), Mechanism::Plain).await;
}

#[tokio::test]
async fn check_199_a_forged_token_by_oauthbearer() {
    let forged = Credentials::token("alice", token::forged_for_user("alice"));
    is_refused(forged, Mechanism::OAuthBearer).await;
}

#[tokio::test]
async fn check_200_a_forged_token_by_xoauth2() {
    is_refused(Credentials::token("alice", token::forged_for_user("alice")), Mechanism::XOAuth2).await;
}

#[tokio::test]
async fn check_187_without_a_mechanism_in_common_nothing_is_sent() {
    let Some(submission) = Submission::start() else { return };
    let builder = with(&submission, password(ALICE)).login(only(Mechanism::ScramSha256Plus));
    assert_eq!(deliver_one(builder).await, "deferred - 4.7.0 at auth, authenticating");
    assert_eq!(submission.relay.postfix.await_commands(), "ehlo=2 starttls=1 quit=1 commands=4");
}

#[tokio::test]
async fn check_187_a_server_without_auth_gets_no_mail_from_who_is_to_log_in() {
    let Some(submission) = Submission::start() else { return };
    let plain = format!("smtp://alice:wrong@{}", submission.relay.postfix.address());
    let mut login = LoginSettings::default();
    login.cleartext_on_loopback = true;
    let outcome = deliver_one(along(&plain).login(login)).await;
    assert_eq!(outcome, "deferred - 4.7.0 at auth, authenticating");
}

#[tokio::test]
async fn a_relay_that_wants_a_login_refuses_who_does_not_log_in() {
    let Some(submission) = Submission::start() else { return };
    let builder = to(submission.relay.by_starttls(TlsLevel::Required));
    assert_eq!(deliver_one(builder).await, "failed 554 5.7.1 at rcpt-to, refused");
}

/// `user:password` as it stands in a route.
fn encoded((user, password): (&str, &str)) -> String {
    let octet = |octet: u8| format!("%{octet:02X}");
    format!("{user}:{}", password.bytes().map(octet).collect::<String>())
}

async fn logs_in_by_route(user: (&str, &str)) {
    let Some(submission) = Submission::start() else { return };
    let port = submission.relay.starttls_address().port();
    let route = format!("submission://{}@localhost:{port}", encoded(user));
    let builder = along(&route).tls(trusting(submission.relay.roots()));
    assert_eq!(deliver_one(builder).await, DELIVERED);
    assert_eq!(submission.await_login(), format!("SCRAM-SHA-256, sasl_username={}", user.0));
}

#[tokio::test]
async fn credentials_from_a_route() {
    logs_in_by_route(ALICE).await;
}

#[tokio::test]
async fn credentials_from_a_route_with_what_means_something_there() {
    logs_in_by_route(BOB).await;
}

#[tokio::test]
async fn credentials_from_a_route_with_octets_above_127() {
    logs_in_by_route(CAROL).await;
}

#[tokio::test]
async fn check_177_credentials_from_a_route_with_tls_from_the_first_octet() {
    let Some(submission) = Submission::start() else { return };
    let port = submission.relay.immediate_address().port();
    let route = format!("submissions://{}@localhost:{port}", encoded(ALICE));
    assert_eq!(deliver_one(along(&route).tls(trusting(submission.relay.roots()))).await, DELIVERED);
}

/// To the relay by STARTTLS, with whom somebody else gives credentials for.
fn asking(submission: &Submission, provider: impl CredentialProvider) -> DelivererBuilder {
    let hop = submission.relay.by_starttls(TlsLevel::Verified);
    to(hop).tls(trusting(submission.relay.roots())).credentials(provider)
}

#[tokio::test]
async fn credentials_from_a_file() {
    let Some(submission) = Submission::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    std::fs::write(&path, format!("{}\n", BOB.1)).expect("the folder is ours");
    let builder = asking(&submission, StoredCredentials::password_file(BOB.0, path));
    assert_eq!(deliver_one(builder).await, DELIVERED);
    assert_eq!(submission.await_login(), "SCRAM-SHA-256, sasl_username=bob");
}

#[tokio::test]
async fn a_token_from_a_file() {
    let Some(submission) = Submission::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, token::for_user("alice")).expect("the folder is ours");
    let builder = asking(&submission, StoredCredentials::token_file("alice", path));
    assert_eq!(deliver_one(builder).await, DELIVERED);
    assert_eq!(submission.await_login(), "OAUTHBEARER, sasl_username=alice");
}

#[tokio::test]
async fn a_file_that_is_missing_defers() {
    let Some(submission) = Submission::start() else { return };
    let builder = asking(&submission, StoredCredentials::password_file("alice", "/nowhere/password"));
    assert_eq!(deliver_one(builder).await, "deferred - 4.7.0, authenticating");
}

#[tokio::test]
async fn credentials_of_the_route_go_before_those_of_a_provider() {
    let Some(submission) = Submission::start() else { return };
    let provider = StaticCredentials::new(password(("alice", "wrong")));
    let builder = with(&submission, password(BOB)).credentials(provider);
    assert_eq!(deliver_one(builder).await, DELIVERED);
    assert_eq!(submission.await_login(), "SCRAM-SHA-256, sasl_username=bob");
}

/// Counts how often it is asked, and gives what the relay takes.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

#[async_trait::async_trait]
impl CredentialProvider for Counting {
    async fn credentials(
        &self,
        _request: &CredentialRequest<'_>,
    ) -> Result<Option<Credentials>, CredentialError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Some(password(ALICE)))
    }
}

#[tokio::test]
async fn a_provider_is_asked_for_every_connection() {
    let Some(submission) = Submission::start() else { return };
    let provider = Arc::new(Counting::default());
    let route = format!("submission://{}", submission.relay.starttls_address());
    let builder = along(&route).tls(trusting(submission.relay.roots())).credentials(Arc::clone(&provider));
    let deliverer = builder.build().expect("the configuration is sound");
    for _ in 0..2 {
        let report = deliverer.deliver(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
        assert_eq!(told(&report), ["delivered 250 2.0.0"]);
    }
    assert_eq!(provider.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn check_178_nobody_logs_in_to_a_mail_exchanger() {
    let Some(submission) = Submission::start() else { return };
    let provider = Arc::new(Counting::default());
    let builder = by_mx(submission.relay.starttls_address()).credentials(Arc::clone(&provider));
    let builder = builder.tls(trusting(submission.relay.roots()));
    assert_eq!(deliver_one(builder).await, "failed 554 5.7.1 at rcpt-to, refused");
    assert_eq!(provider.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_relay_that_refuses_the_login_is_followed_by_the_next() {
    let Some(submission) = Submission::start() else { return };
    let relay = &submission.relay;
    let (first, second) = (relay.starttls_address(), relay.immediate_address());
    let (wrong, right) = (encoded(("alice", "wrong")), encoded(ALICE));
    let route = format!("submission://{wrong}@{first},submissions://{right}@{second}");
    let deliverer = along(&route).tls(trusting(relay.roots())).build().expect("the configuration is sound");
    let report = deliverer.deliver(&envelope(&["alice@example.test"]), &message(MESSAGE)).await;
    let [attempt] = &report.recipients()[0].attempts[..] else { panic!("one attempt besides: {report:?}") };
    assert_eq!(attempt.failure().kind(), FailureKind::Authenticating);
    assert_eq!(told(&report), ["delivered 250 2.0.0"]);
}

fn impostor() -> Option<Submission> {
    Submission::start_with(Flaw::WrongName, &[])
}

fn opportunistic(submission: &Submission) -> NextHop {
    submission.relay.by_starttls(TlsLevel::Opportunistic).with_credentials(password(ALICE))
}

#[tokio::test]
async fn check_180_whoever_is_not_verified_sees_no_credentials() {
    let Some(submission) = impostor() else { return };
    let builder = to(opportunistic(&submission)).tls(trusting(submission.relay.roots()));
    assert_eq!(deliver_one(builder).await, "deferred - 4.7.5 at start-tls, securing");
    assert_eq!(submission.relay.postfix.await_commands(), "ehlo=1 starttls=0/1 commands=1/2");
}

#[tokio::test]
async fn check_180_but_where_any_certificate_will_do() {
    let Some(submission) = impostor() else { return };
    let outcome = deliver_one(to(opportunistic(&submission).accepting_invalid_certificates())).await;
    assert_eq!(outcome, "delivered 250 2.0.0, TLSv1.3 unverified");
}

/// A server that lets clients log in in the clear.
fn careless() -> Option<Submission> {
    Submission::start_with(Flaw::None, &["smtpd_tls_auth_only=no"])
}

fn clear(submission: &Submission) -> NextHop {
    submission.relay.in_the_clear(TlsLevel::Opportunistic).with_credentials(password(ALICE))
}

#[tokio::test]
async fn check_180_no_credentials_in_the_clear() {
    let Some(submission) = careless() else { return };
    assert_eq!(deliver_one(to(clear(&submission))).await, "deferred - 4.7.5 at start-tls, securing");
    assert_eq!(submission.relay.postfix.await_commands(), "ehlo=1 quit=1 commands=2");
}

#[tokio::test]
async fn check_180_but_on_loopback_where_the_host_will_have_it() {
    let Some(submission) = careless() else { return };
    let mut login = only(Mechanism::Plain);
    login.cleartext_on_loopback = true;
    let builder = to(clear(&submission)).login(login);
    assert_eq!(deliver_one(builder).await, "delivered 250 2.0.0, in the clear");
    assert_eq!(submission.await_login(), "PLAIN, sasl_username=alice");
}
