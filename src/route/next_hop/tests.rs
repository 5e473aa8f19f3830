use super::super::security::TlsLevel;
use super::*;

fn unix(path: &str) -> Result<NextHop, NextHopError> {
    NextHop::unix(Protocol::Lmtp, path)
}

#[test]
fn check_103_lmtp_is_not_spoken_on_port_25() {
    let host = Host::parse("mail.example").unwrap();
    let refused = NextHop::tcp(Protocol::Lmtp, host.clone(), 25);
    assert_eq!(refused, Err(NextHopError::LmtpOnSmtpPort { host: host.clone() }));
    assert!(NextHop::tcp(Protocol::Lmtp, host.clone(), 24).is_ok());
    assert!(NextHop::tcp(Protocol::Smtp, host, 25).is_ok());
}

#[test]
fn check_111_a_socket_path_has_107_octets_at_most() {
    let longest = format!("/{}", "a".repeat(106));
    assert!(unix(&longest).is_ok());
    assert!(matches!(unix(&format!("{longest}a")), Err(NextHopError::PathTooLong { .. })));
    // octets, not characters
    assert!(matches!(unix(&format!("/{}", "ü".repeat(54))), Err(NextHopError::PathTooLong { .. })));
}

#[test]
fn check_111_abstract_and_relative_names_are_refused() {
    for bad in ["", "relative", "./a", "@abstract"] {
        assert!(matches!(unix(bad), Err(NextHopError::PathNotAbsolute { .. })), "{bad:?}");
    }
}

#[test]
fn check_111_control_characters_are_refused_in_a_path() {
    for bad in ["\0abstract", "/a\0b", "/a\r\nb", "/a\u{2028}"] {
        assert!(matches!(unix(bad), Err(NextHopError::PathCharacters { .. })), "{bad:?}");
    }
}

#[test]
fn check_111_a_directory_is_no_socket() {
    assert!(matches!(unix("/"), Err(NextHopError::PathOfDirectory { .. })));
    assert!(matches!(unix("/run/"), Err(NextHopError::PathOfDirectory { .. })));
}

#[test]
fn port_0_cannot_be_dialled() {
    let hop = NextHop::tcp(Protocol::Smtp, Host::parse("mail.example").unwrap(), 0);
    assert_eq!(hop, Err(NextHopError::Port { authority: "mail.example:0".into() }));
}

fn relay() -> NextHop {
    NextHop::tcp(Protocol::Smtp, Host::parse("relay.example").unwrap(), 2525).unwrap()
}

#[test]
fn a_name_is_looked_up_in_three_ways() {
    assert_eq!(relay().lookup(), RelayLookup::Addresses);
    for lookup in [RelayLookup::Addresses, RelayLookup::Mx, RelayLookup::Srv] {
        assert_eq!(relay().with_lookup(lookup).unwrap().lookup(), lookup);
    }
}

#[test]
fn only_a_name_of_the_dns_has_mx_and_srv_records() {
    let address = NextHop::tcp(Protocol::Smtp, Host::parse("192.0.2.1").unwrap(), 25).unwrap();
    let local = NextHop::tcp(Protocol::Smtp, Host::parse("localhost").unwrap(), 25).unwrap();
    for hop in [address, local, unix("/run/x").unwrap()] {
        assert_eq!(hop.clone().with_lookup(RelayLookup::Addresses), Ok(hop.clone()));
        for lookup in [RelayLookup::Mx, RelayLookup::Srv] {
            let refused = hop.clone().with_lookup(lookup);
            assert!(matches!(refused, Err(NextHopError::Lookup { .. })), "{hop} {lookup:?}");
        }
    }
}

/// With a name of so many octets, more than 192.
fn long(octets: usize) -> NextHop {
    let name = format!("{}{}", format!("{}.", "a".repeat(63)).repeat(3), "b".repeat(octets - 192));
    NextHop::tcp(Protocol::Smtp, Host::parse(&name).unwrap(), 25).unwrap()
}

#[test]
fn a_name_has_to_bear_the_labels_of_the_service() {
    let (fits, too_long) = (long(253 - 18), long(253 - 17));
    let fits = fits.with_lookup(RelayLookup::Srv).unwrap();
    assert!(fits.with_tls(HopTls::Immediate(TlsLevel::Verified)).for_submissions().srv_name().is_some());
    assert!(too_long.clone().with_lookup(RelayLookup::Srv).is_err());
    assert!(too_long.with_lookup(RelayLookup::Mx).is_ok());
}

#[test]
fn the_service_of_srv_records_follows_tls() {
    for (tls, service) in [
        (HopTls::Configured, "_smtp"),
        (HopTls::StartTls(TlsLevel::Verified), "_submission"),
        (HopTls::StartTls(TlsLevel::Required), "_smtp"),
        (HopTls::Immediate(TlsLevel::Verified), "_smtps"),
        (HopTls::Immediate(TlsLevel::Required), "_smtps"),
    ] {
        let hop = relay().with_lookup(RelayLookup::Srv).unwrap().with_tls(tls);
        assert_eq!(hop.srv_name().unwrap().as_str(), format!("{service}._tcp.relay.example"), "{tls:?}");
    }
}

#[test]
fn only_srv_lookups_have_a_name_of_srv_records() {
    for lookup in [RelayLookup::Addresses, RelayLookup::Mx] {
        assert_eq!(relay().with_lookup(lookup).unwrap().srv_name(), None);
    }
}

#[test]
fn a_port_that_is_not_used_makes_no_difference() {
    let other = NextHop::tcp(Protocol::Smtp, Host::parse("relay.example").unwrap(), 2526).unwrap();
    assert_eq!(relay().with_lookup(RelayLookup::Srv), other.clone().with_lookup(RelayLookup::Srv));
    assert_ne!(relay().with_lookup(RelayLookup::Mx), other.with_lookup(RelayLookup::Mx));
}

#[test]
fn check_034_hops_that_differ_in_weight_sources_or_lookup_differ() {
    let sourced = relay().with_sources(vec![[192, 0, 2, 7].into()]);
    for other in [relay().with_weight(0), sourced, relay().with_lookup(RelayLookup::Mx).unwrap()] {
        assert_ne!(other, relay());
    }
}

#[test]
fn weight_and_sources_are_read_but_have_no_text_form() {
    let hop = relay().with_weight(777).with_sources(vec![[192, 0, 2, 7].into()]);
    assert_eq!((hop.weight(), hop.sources()), (Some(777), &[IpAddr::from([192, 0, 2, 7])][..]));
    assert_eq!((relay().weight(), relay().sources()), (None, &[][..]));
    assert_eq!(hop.to_string(), relay().to_string());
}
