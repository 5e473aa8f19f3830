//! TLS from the first octet.

use nexthop::TlsLevel::{self, Off, Opportunistic, Verified};
use nexthop::testing::{Rules, ScriptedServer, ServerIdentity};
use nexthop::{HopTls, NextHop, Route};

use crate::bed::{builder, hop, outcome, send, sent, settings, wire};
use crate::pki::Pki;

const SCHEMES: [&str; 3] = ["smtps", "submissions", "lmtps"];
const DELIVERED: &str = "<tls> EHLO MAIL RCPT DATA content QUIT";
const DEFERRED: &str = "deferred 4.7.5 securing start-tls";

fn rules(scheme: &str) -> Rules {
    if scheme.starts_with("lmtp") { ScriptedServer::lmtp() } else { ScriptedServer::smtp() }
}

/// Delivers to a server on a TCP port: the outcome and the words of the only connection.
async fn by_tcp(pki: &Pki, scheme: &str, identity: &ServerIdentity, level: TlsLevel) -> (String, String) {
    let server = rules(scheme).implicit_tls(identity).listen_tcp().await.unwrap();
    let report = sent(&hop(scheme, &server), settings(pki, level)).await;
    (outcome(&report), wire(&server).await.join(" | "))
}

/// As [`by_tcp`], on a unix socket.
async fn by_unix(pki: &Pki, identity: &ServerIdentity, level: TlsLevel) -> (String, String) {
    let server = rules("lmtps").implicit_tls(identity);
    let server = server.listen_unix(pki.path("socket")).await.unwrap();
    let report = sent(&server.url(), settings(pki, level)).await;
    (outcome(&report), wire(&server).await.join(" | "))
}

fn words(outcome: &str, wire: &str) -> (String, String) {
    (outcome.into(), wire.into())
}

#[tokio::test]
async fn check_177_a_good_server_takes_the_message() {
    let pki = Pki::new();
    for scheme in SCHEMES {
        let found = by_tcp(&pki, scheme, &pki.good(), Opportunistic).await;
        assert_eq!(found, words("delivered pkix", DELIVERED), "{scheme}");
    }
}

#[tokio::test]
async fn check_177_verification_is_not_turned_off_by_a_lower_level() {
    let pki = Pki::new();
    for scheme in SCHEMES {
        for level in [Off, Opportunistic] {
            for bad in [pki.wrong_name(), pki.expired(), pki.self_signed(), pki.unknown_issuer()] {
                let found = by_tcp(&pki, scheme, &bad, level).await;
                assert_eq!(found, words(DEFERRED, "<tls> <no-tls>"), "{scheme} {level}");
            }
        }
    }
}

/// A server that greets in the clear. What it hears is a handshake, and nothing in the clear but an alert.
async fn plain(pki: &Pki, scheme: &str, unix: bool) -> (String, String) {
    let script = ScriptedServer::script("S: 220 mx.example\nC: <tls-record>\nC: <rest>");
    let (server, hop) = match unix {
        true => {
            let path = pki.path("plain");
            let hop = format!("{scheme}://{}", path.display());
            (script.listen_unix(path).await.unwrap(), hop)
        }
        false => {
            let server = script.listen_tcp().await.unwrap();
            let hop = hop(scheme, &server);
            (server, hop)
        }
    };
    let report = sent(&hop, settings(pki, Opportunistic)).await;
    let found = (outcome(&report), wire(&server).await.join(" | "));
    assert_eq!(server.finish().await, Ok(()), "{scheme}");
    found
}

#[tokio::test]
async fn check_177_no_octet_goes_out_in_the_clear() {
    let pki = Pki::new();
    for scheme in SCHEMES {
        assert_eq!(plain(&pki, scheme, false).await, words(DEFERRED, "<record>"), "{scheme}");
    }
    for scheme in ["smtps+unix", "lmtps+unix"] {
        assert_eq!(plain(&pki, scheme, true).await, words(DEFERRED, "<record>"), "{scheme}");
    }
}

#[tokio::test]
async fn a_unix_socket_has_no_name_to_be_verified() {
    let pki = Pki::new();
    for identity in [pki.good(), pki.self_signed()] {
        let found = by_unix(&pki, &identity, Opportunistic).await;
        assert_eq!(found, words("delivered unverified", DELIVERED));
    }
}

#[tokio::test]
async fn check_167_verified_tls_to_a_unix_socket_is_not_to_be_had() {
    let pki = Pki::new();
    for identity in [pki.good(), pki.of_address()] {
        let (outcome, _) = by_unix(&pki, &identity, Verified).await;
        assert_eq!(outcome, DEFERRED);
    }
}

#[tokio::test]
async fn law_6_a_hop_raises_the_level_of_immediate_tls() {
    let pki = Pki::new();
    let server = ScriptedServer::smtp().implicit_tls(&pki.self_signed()).listen_tcp().await.unwrap();
    let hop: NextHop = hop("smtp", &server).parse().unwrap();
    for (level, found) in [(TlsLevel::Off, "delivered unverified"), (Verified, DEFERRED)] {
        let route = Route::relay(hop.clone().with_tls(HopTls::Immediate(level)));
        let report = send(&builder(route, settings(&pki, Off)).build().unwrap()).await;
        assert_eq!(outcome(&report), found, "{level}");
    }
}
