//! Every level against every kind of server.

use nexthop::Protocol;
use nexthop::TlsLevel::{self, Off, Opportunistic, Required, Verified};
use nexthop::testing::{Departure, Rules, ScriptedServer};

use crate::bed::{BY_STARTTLS, CLEAR, hello, hop, outcome, sent, settings, wire};
use crate::pki::Pki;

/// What a server does about STARTTLS.
#[derive(Debug, Clone, Copy)]
enum Server {
    DoesNotOffer,
    RefusesForNow,
    RefusesForGood,
    RefusesAndLeaves,
    SpeaksOnInTheClear,
    Injects,
    Resets,
    Closes,
    Alerts,
    SpeaksTls10,
    HasAnotherName,
    Expired,
    SelfSigned,
    OfAnUnknownIssuer,
    Valid,
}

const SERVERS: [Server; 15] = [
    Server::DoesNotOffer,
    Server::RefusesForNow,
    Server::RefusesForGood,
    Server::RefusesAndLeaves,
    Server::SpeaksOnInTheClear,
    Server::Injects,
    Server::Resets,
    Server::Closes,
    Server::Alerts,
    Server::SpeaksTls10,
    Server::HasAnotherName,
    Server::Expired,
    Server::SelfSigned,
    Server::OfAnUnknownIssuer,
    Server::Valid,
];

/// Lines of a reply where a ServerHello should be.
const CLEARTEXT: &str = r#"S: 220 go
    C: <tls-record>
    S: <raw "250-evil.example\r\n250 AUTH PLAIN\r\n">
    C: <rest>"#;

/// A fatal alert, handshake_failure.
const ALERT: &str = r#"S: 220 go
    C: <tls-record>
    S: <raw "\x15\x03\x03\0\x02\x02\x28">
    C: <rest>"#;

/// A ServerHello of TLS 1.0 with TLS_RSA_WITH_AES_128_CBC_SHA.
const TLS_1_0: &str = r#"S: 220 go
    C: <tls-record>
    S: <raw "\x16\x03\x01\0\x2a\x02\0\0\x26\x03\x01" "0123456789abcdef0123456789abcdef" "\0\0\x2f\0">
    C: <rest>"#;

/// More than the answer to STARTTLS, in one segment.
const INJECTION: &str = r#"S: <raw "220 go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n">
        C: <close>"#;

/// An outcome, and the words of each connection.
type Expected = (&'static str, &'static [&'static str]);

/// What becomes of it. Cleartext is a new connection, unless no handshake was begun; nothing but an alert follows on a
/// handshake that failed.
fn expected(server: Server, level: TlsLevel) -> Expected {
    const IN_CLEAR: &str = "delivered clear";
    const UNVERIFIED: &str = "delivered unverified";
    const DEFERRED: &str = "deferred 4.7.5 securing start-tls";
    use Server::*;
    match (server, level) {
        (_, Off) | (DoesNotOffer, Opportunistic) => (IN_CLEAR, &[CLEAR]),
        (DoesNotOffer, _) => (DEFERRED, &["EHLO QUIT"]),
        (RefusesForNow | RefusesForGood, Opportunistic) => {
            (IN_CLEAR, &["EHLO STARTTLS MAIL RCPT DATA content QUIT"])
        }
        (RefusesForNow, _) => ("deferred 4.7.0 securing start-tls", &["EHLO STARTTLS QUIT"]),
        (RefusesAndLeaves, Opportunistic) => ("deferred 4.3.2 refused start-tls", &["EHLO STARTTLS"]),
        (RefusesAndLeaves, _) => ("deferred 4.3.2 securing start-tls", &["EHLO STARTTLS"]),
        (RefusesForGood, _) => (DEFERRED, &["EHLO STARTTLS QUIT"]),
        (Injects, _) => (DEFERRED, &["EHLO STARTTLS"]),
        (Resets | Closes, Opportunistic) => (IN_CLEAR, &["EHLO STARTTLS", CLEAR]),
        (Resets | Closes, _) => (DEFERRED, &["EHLO STARTTLS"]),
        (SpeaksOnInTheClear | Alerts | SpeaksTls10, Opportunistic) => {
            (IN_CLEAR, &["EHLO STARTTLS <record>", CLEAR])
        }
        (SpeaksOnInTheClear | Alerts | SpeaksTls10, _) => (DEFERRED, &["EHLO STARTTLS <record>"]),
        (Valid, Verified) => ("delivered pkix", &[BY_STARTTLS]),
        (HasAnotherName | Expired | SelfSigned | OfAnUnknownIssuer, Verified) => {
            (DEFERRED, &["EHLO STARTTLS <tls> <no-tls>"])
        }
        (HasAnotherName | Expired | SelfSigned | OfAnUnknownIssuer | Valid, _) => {
            (UNVERIFIED, &[BY_STARTTLS])
        }
    }
}

fn rules(protocol: Protocol) -> Rules {
    match protocol {
        Protocol::Smtp => ScriptedServer::smtp(),
        Protocol::Lmtp => ScriptedServer::lmtp(),
    }
}

/// Up to the answer to STARTTLS.
fn beginning(protocol: Protocol) -> String {
    let hello = hello(protocol);
    format!("S: 220 x\nC: {hello} *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\n")
}

/// A delivery in the clear to a server that offers STARTTLS.
fn in_the_clear(protocol: Protocol) -> String {
    let hello = hello(protocol);
    format!(
        "S: 220 x\nC: {hello} *\nS: 250-x\nS: 250 STARTTLS\nC: MAIL FROM:<news@example.net>\nS: 250 ok\n\
         C: RCPT TO:<ann@example.org>\nS: 250 ok\nC: DATA\nS: 354 go\nC: <content>\nS: 250 ok\nC: QUIT\nS: 221 bye"
    )
}

/// A script that departs from the protocol behind STARTTLS, and has another connection in the clear where that is due.
async fn scripted(after: &str, level: TlsLevel, protocol: Protocol) -> ScriptedServer {
    let broken = format!("{}{after}", beginning(protocol));
    let script = match (level, after == INJECTION) {
        (Off, _) => ScriptedServer::script(&in_the_clear(protocol)),
        (Opportunistic, false) => ScriptedServer::script(&broken).then(&in_the_clear(protocol)),
        _ => ScriptedServer::script(&broken),
    };
    script.listen_tcp().await.unwrap()
}

impl Server {
    async fn listen(self, pki: &Pki, level: TlsLevel, protocol: Protocol) -> ScriptedServer {
        let rules = rules(protocol);
        let rules = match self {
            Self::DoesNotOffer => rules,
            Self::RefusesForNow => rules.keyword("STARTTLS").answer("STARTTLS", "454 4.7.0 not now"),
            Self::RefusesForGood => rules.keyword("STARTTLS").answer("STARTTLS", "554 5.7.0 never"),
            Self::RefusesAndLeaves => rules.keyword("STARTTLS").answer("STARTTLS", "421 4.3.2 bye"),
            Self::SpeaksOnInTheClear => return scripted(CLEARTEXT, level, protocol).await,
            Self::Injects => return scripted(INJECTION, level, protocol).await,
            Self::Resets => return scripted("S: 220 go\nS: <reset>", level, protocol).await,
            Self::Closes => return scripted("S: 220 go\nS: <close>", level, protocol).await,
            Self::Alerts => return scripted(ALERT, level, protocol).await,
            Self::SpeaksTls10 => return scripted(TLS_1_0, level, protocol).await,
            Self::HasAnotherName => rules.tls(&pki.wrong_name()),
            Self::Expired => rules.tls(&pki.expired()),
            Self::SelfSigned => rules.tls(&pki.self_signed()),
            Self::OfAnUnknownIssuer => rules.tls(&pki.unknown_issuer()),
            Self::Valid => rules.tls(&pki.good()),
        };
        rules.listen_tcp().await.unwrap()
    }
}

#[tokio::test]
async fn check_162_165_166_167_169_173_attack_a35_a37_a38_the_matrix() {
    let pki = Pki::new();
    let mut wrong = Vec::new();
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for level in [Off, Opportunistic, Required, Verified] {
            for server in SERVERS {
                let found = found(&pki, server, level, protocol).await;
                if found != as_expected(server, level) {
                    wrong.push(format!("{protocol} {level} {server:?}: {found:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

type Found = (String, Vec<String>, Result<(), Departure>);

async fn found(pki: &Pki, server: Server, level: TlsLevel, protocol: Protocol) -> Found {
    let server = server.listen(pki, level, protocol).await;
    let report = sent(&hop(&protocol.to_string(), &server), settings(pki, level)).await;
    (outcome(&report), wire(&server).await, server.finish().await)
}

fn as_expected(server: Server, level: TlsLevel) -> Found {
    let (outcome, words) = expected(server, level);
    (outcome.to_owned(), words.iter().copied().map(str::to_owned).collect(), Ok(()))
}
