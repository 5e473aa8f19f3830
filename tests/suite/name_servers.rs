//! What the resolver of the crate believes of a name server.

use nexthop::resolver::{DnssecMode, Query, ResolverSettings, Security};
use nexthop::{DnsName, HickoryResolver, Resolver};
use tokio::net::UdpSocket;

/// The octets of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// The type and the class behind the name of a question.
const TYPE_AND_CLASS: usize = 4;
/// A response that ended well, with recursion, and authentic data (RFC 4035 section 3.2.3).
const AUTHENTIC: [u8; 2] = [0x81, 0xa0];

/// `192.0.2.1` for the name that was asked for, and the AD bit whether that was wanted or not.
fn forged(question: &[u8]) -> Vec<u8> {
    let name = question[HEADER..].iter().position(|octet| *octet == 0).unwrap() + 1;
    let asked = &question[HEADER..HEADER + name + TYPE_AND_CLASS];
    let counts = [0, 1, 0, 1, 0, 0, 0, 0];
    let record = [0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    [&question[..2], &AUTHENTIC, &counts, asked, &record].concat()
}

/// What the resolver takes for proved with these settings.
async fn believed(edit: impl FnOnce(&mut ResolverSettings)) -> Security {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = HickoryResolver::from_servers([socket.local_addr().unwrap()]);
    let mut settings = ResolverSettings::default();
    edit(&mut settings);
    let (resolver, query) =
        (resolver.with_settings(settings), Query::new(DnsName::parse("a.example").unwrap()));
    let server = async {
        let mut octets = [0; 1500];
        let (length, client) = socket.recv_from(&mut octets).await.unwrap();
        socket.send_to(&forged(&octets[..length]), client).await.unwrap();
    };
    let (answer, ()) = crate::support::in_time(async { tokio::join!(resolver.ipv4(&query), server) }).await;
    answer.unwrap().security
}

#[tokio::test]
async fn attack_a10_nobodys_ad_bit_is_believed_unless_the_host_says_so() {
    assert_eq!(believed(|_| ()).await, Security::NONE);
}

#[tokio::test]
async fn attack_a10_the_ad_bit_of_a_server_on_loopback_is_believed_where_the_host_says_so() {
    assert_eq!(believed(|settings| settings.dnssec = DnssecMode::Ad).await, Security::CHAIN);
}

#[test]
fn attack_a10_a_server_elsewhere_needs_a_word_of_its_own() {
    let believes = |dnssec| {
        let mut settings = ResolverSettings::default();
        settings.dnssec = dnssec;
        let servers = ["127.0.0.1:53", "192.0.2.53:53"].map(|server| server.parse().unwrap());
        HickoryResolver::from_servers(servers).with_settings(settings).believes_ad()
    };
    assert!(!believes(DnssecMode::Ad));
    assert!(believes(DnssecMode::AdFromAnyServer));
}
