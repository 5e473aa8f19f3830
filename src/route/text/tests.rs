use proptest::prelude::*;

use super::super::security::{HopTls, TlsLevel};
use super::*;

fn route(text: &str) -> Route {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn error(text: &str) -> RouteParseError {
    text.parse::<Route>().expect_err(text)
}

fn hop_error(text: &str) -> NextHopError {
    text.parse::<NextHop>().expect_err(text)
}

#[test]
fn every_form_is_written_as_it_is_read() {
    for text in [
        "mx",
        "mx:example.org",
        "local",
        "smtp://mx.example:25",
        "smtp://192.0.2.1:2525",
        "lmtp://[2001:db8::1]:24",
        "lmtp://localhost:2424",
        "smtp+unix:///run/smtp.sock",
        "lmtp+unix:///run/a b?c#d@e",
        "lmtp+unix:///run/lmtp.sock,smtp://relay.example:25,smtp://[::1]:26",
        "smtp+mx://relay.example:25",
        "submission+mx://relay.example:2587,lmtps+mx://store:24",
        "smtp+srv://example.org",
        "submissions+srv://example.org,smtps+srv://example.org",
        "lmtp+srv://store.example",
        "refuse:no mail for you, sir",
        "defer: later:smtp://x",
    ] {
        assert_eq!(route(text).to_string(), text);
    }
}

#[test]
fn the_port_has_a_default() {
    assert_eq!(route("smtp://mx.example").to_string(), "smtp://mx.example:25");
    assert_eq!(route("lmtp://[::1]").to_string(), "lmtp://[::1]:24");
    assert_eq!(route("submission+mx://mx.example").to_string(), "submission+mx://mx.example:587");
}

#[test]
fn words_may_be_in_upper_case() {
    for (text, same) in [
        ("MX:Example.org", "mx:example.org"),
        ("Lmtp://Host:24", "lmtp://host"),
        ("REFUSE:x", "refuse:x"),
        ("SMTP+Srv://a", "smtp+srv://a"),
    ] {
        assert_eq!(route(text), route(same));
    }
}

#[test]
fn check_068_mx_domains_are_equal_by_their_a_labels() {
    assert_eq!(route("mx:BÜCHER.example."), route("mx:xn--bcher-kva.example"));
}

#[test]
fn check_034_next_hops_are_equal_by_host_and_port() {
    assert_eq!(route("smtp://MX.example."), route("smtp://mx.example:25"));
    assert_ne!(route("smtp://mx.example"), route("smtp://mx.example:26"));
    assert_ne!(route("smtp://mx.example:26"), route("lmtp://mx.example:26"));
}

#[test]
fn check_088_a_relay_is_a_host_and_a_port_an_address_or_a_path() {
    for text in
        ["smtp://relay.example:26", "smtp://192.0.2.1:26", "smtp://[2001:db8::1]:26", "smtp+unix:///s"]
    {
        assert!(matches!(route(text), Route::Relay(hops) if hops.len() == 1), "{text}");
    }
}

#[test]
fn check_103_lmtp_on_port_25_is_refused() {
    assert!(matches!(hop_error("lmtp://mail.example:25"), NextHopError::LmtpOnSmtpPort { .. }));
    assert!(matches!(hop_error("lmtp://[::1]:0025"), NextHopError::LmtpOnSmtpPort { .. }));
}

#[test]
fn check_111_a_path_too_long_is_refused() {
    let longest = format!("lmtp+unix:///{}", "a".repeat(106));
    assert!(longest.parse::<NextHop>().is_ok());
    assert!(matches!(hop_error(&format!("{longest}a")), NextHopError::PathTooLong { .. }));
    // an escape counts as the octet that it stands for
    assert!(format!("lmtp+unix:///{}", "%61".repeat(106)).parse::<NextHop>().is_ok());
}

#[test]
fn check_111_only_absolute_paths_in_the_file_system_are_sockets() {
    for path in ["relative", "localhost/run/x", "@abstract", "%00abstract", "%2Frun"] {
        let refused = hop_error(&format!("lmtp+unix://{path}"));
        assert_eq!(refused, NextHopError::PathNotAbsolute { path: path.into() });
    }
}

#[test]
fn check_111_no_control_character_is_decoded_into_a_path() {
    assert!(matches!(hop_error("lmtp+unix:///run/a%00b"), NextHopError::PathCharacters { .. }));
}

#[test]
fn a_path_is_percent_decoded_once() {
    let hop: NextHop = "lmtp+unix:///a%2Cb%252Cc%20d".parse().unwrap();
    assert_eq!(hop, NextHop::unix(Protocol::Lmtp, "/a,b%2Cc d").unwrap());
    assert_eq!(hop.to_string(), "lmtp+unix:///a%2Cb%252Cc d");
}

#[test]
fn a_broken_escape_in_a_path_is_refused() {
    for path in ["/a%", "/a%2", "/a%g0", "/a%+1", "/%ff"] {
        let refused = hop_error(&format!("lmtp+unix://{path}"));
        assert_eq!(refused, NextHopError::PathEncoding { path: path.into() });
    }
}

#[test]
fn errors_show_the_offending_part() {
    for (text, part) in [
        ("", "\"\""),
        ("mx:", "mx:"),
        ("mx:a b", "mx:a b"),
        ("nonsense://x", "nonsense"),
        ("nonsense", "nonsense"),
        ("ftp://host", "ftp"),
        ("smtp://", "smtp:"),
        ("smtp://:25", "smtp:"),
        ("smtp+mx://", "smtp+mx:"),
        ("smtp+unix+mx:///run/x", "smtp+unix+mx"),
        ("smtp+mx+srv://host", "smtp+mx+srv"),
        ("+mx://host", "+mx"),
        ("lmtp+srv://host:24", "host:24"),
        ("smtp+srv://host:", "host:"),
        ("smtps+mx://[::1]", "smtps+mx://[::1]:465"),
        ("smtp:host", "smtp"),
        ("smtp://host:99999", "99999"),
        ("smtp://host:port", "port"),
        ("smtp://host:+25", "+25"),
        ("smtp://host:0", "host:0"),
        ("smtp://host:", "host:"),
        ("smtp://host/", "host/"),
        ("smtp://[::1", "[::1"),
        ("smtp://[::1]x:25", "[::1]x"),
        ("smtp://2001:db8::1", "2001:db8::1"),
        ("smtp://ho st", "ho st"),
        ("lmtp://host:25", "host:25"),
        ("lmtp+unix://relative", "relative"),
        ("smtp://a,,smtp://b", "\",\""),
        ("smtp://a,", "\",\""),
        ("smtp://a,mx", "mx"),
        ("mx,smtp://a", "mx"),
        ("mx:example.org,smtp://a", "mx"),
        ("smtp://a,refuse:x", "refuse"),
        ("smtp://a,nonsense://b", "nonsense"),
        ("refuse", "refuse:"),
        ("defer: ", "defer:"),
        (" smtp://a", " smtp"),
    ] {
        let message = error(text).to_string();
        assert!(message.contains(part), "{text:?}: {message}");
    }
}

#[test]
fn an_address_without_brackets_is_no_host() {
    for text in ["smtp://2001:db8::1", "smtp://::1", "smtp://[::1", "smtp://[::1:25"] {
        assert!(matches!(hop_error(text), NextHopError::Host(_)), "{text}");
    }
}

#[test]
fn only_next_hops_stand_in_a_list() {
    for text in ["mx,smtp://a", "smtp://a,MX:example.org", "smtp://a,local", "smtp://a,defer:x"] {
        assert!(matches!(error(text), RouteParseError::NotInList { .. }), "{text}");
    }
}

#[test]
fn a_next_hop_is_neither_a_list_nor_another_route() {
    for text in ["smtp://a,smtp://b", "mx", "local", "refuse:x"] {
        assert!(text.parse::<NextHop>().is_err(), "{text}");
    }
}

#[test]
fn control_characters_are_refused_everywhere() {
    for text in
        ["smtp://a\r\nQUIT", "refuse:a\nb", "mx:a\0", "lmtp+unix:///a\tb", "\u{85}", "defer:a\u{2028}b"]
    {
        assert!(
            matches!(error(text), RouteParseError::NextHop(NextHopError::ControlCharacter(_))),
            "{text:?}"
        );
    }
    assert_eq!(error("refuse:a\nb").to_string(), "a control character: '\\n'");
}

#[test]
fn check_177_schemes_say_how_tls_begins_and_what_it_must_prove() {
    let verified = TlsLevel::Verified;
    for (text, tls, shown) in [
        ("smtp://host", HopTls::Configured, "smtp://host:25"),
        ("smtps://host", HopTls::Immediate(verified), "smtps://host:465"),
        ("SUBMISSIONS://host", HopTls::Immediate(verified), "smtps://host:465"),
        ("submission://host", HopTls::StartTls(verified), "submission://host:587"),
        ("lmtps://host", HopTls::Immediate(verified), "lmtps://host:24"),
        ("lmtps+unix:///run/x", HopTls::Immediate(TlsLevel::Required), "lmtps+unix:///run/x"),
    ] {
        let hop: NextHop = text.parse().unwrap();
        assert_eq!((hop.tls(), hop.to_string().as_str()), (tls, shown));
    }
}

#[test]
fn suffixes_say_how_a_name_leads_to_its_servers() {
    for (text, lookup) in [
        ("smtps://host", RelayLookup::Addresses),
        ("smtps+mx://host", RelayLookup::Mx),
        ("smtps+srv://host", RelayLookup::Srv),
    ] {
        let hop: NextHop = text.parse().unwrap();
        assert_eq!((hop.lookup(), hop.tls()), (lookup, HopTls::Immediate(TlsLevel::Verified)), "{text}");
    }
}

#[test]
fn the_scheme_is_the_service_of_srv_records() {
    for scheme in ["smtp", "smtps", "submission", "submissions", "lmtp", "lmtps"] {
        let hop: NextHop = format!("{scheme}+srv://example.org").parse().unwrap();
        assert_eq!(hop.srv_name().unwrap().as_str(), format!("_{scheme}._tcp.example.org"));
    }
}

#[test]
fn a_port_stands_in_srv_records_only() {
    let refused = NextHopError::SrvPort { authority: "example.org:587".into() };
    assert_eq!(hop_error("submission+srv://example.org:587"), refused);
}

#[test]
fn what_is_no_name_of_the_dns_is_not_looked_up() {
    for suffix in ["mx", "srv"] {
        for host in ["192.0.2.1", "[::1]", "localhost", "a.localhost"] {
            let refused = hop_error(&format!("smtp+{suffix}://{host}"));
            assert!(matches!(refused, NextHopError::Lookup { .. }), "{suffix} {host}: {refused:?}");
        }
        let refused = hop_error(&format!("lmtp+unix+{suffix}:///run/x"));
        assert_eq!(refused, NextHopError::Lookup { hop: format!("lmtp+unix+{suffix}:///run/x") });
    }
}

#[test]
fn submissions_differ_from_smtps_by_their_srv_records_only() {
    assert_eq!(route("submissions://example.org"), route("smtps://example.org"));
    assert_eq!(route("submissions+mx://example.org"), route("smtps+mx://example.org"));
    assert_ne!(route("submissions+srv://example.org"), route("smtps+srv://example.org"));
}

#[test]
fn credentials_stand_before_the_host_and_are_never_written() {
    for (text, user, password) in [
        ("smtps://user:p%40ss@host:26", "user", "p@ss"),
        ("smtps://u:p@x@host:26", "u", "p@x"),
        ("smtps://u:p%2Fw:x@host:26", "u", "p/w:x"),
        ("smtps://%C3%BC:@host:26", "\u{fc}", ""),
    ] {
        let hop: NextHop = text.parse().unwrap();
        assert_eq!(hop.credentials(), Some(&Credentials::password(user, password)), "{text}");
        assert_eq!(hop.to_string(), "smtps://host:26");
    }
}

#[test]
fn credentials_without_a_password_or_before_a_path_are_refused() {
    let broken = |target: &str| NextHopError::BrokenCredentials { target: target.into() };
    assert_eq!(hop_error("smtps://user@host:26"), NextHopError::NoPassword { target: "host:26".into() });
    assert_eq!(hop_error("lmtp+unix://user:secret@/run/x"), broken("/run/x"));
}

#[test]
fn broken_percent_encoding_of_credentials_is_refused() {
    for text in ["smtp://us%zzer:p@host", "smtp://user:p%@host", "smtp://user:p%4@host", "smtp://u:p,w@host"]
    {
        let broken = NextHopError::BrokenCredentials { target: "host".into() };
        assert_eq!(error(text), RouteParseError::NextHop(broken), "{text}");
    }
}

#[test]
fn attack_a39_no_error_shows_a_password() {
    for text in [
        "smtp://user:s3cret@host:99999",
        "smtp://user:s3cret@",
        "smtp://user:s3cret%@host",
        "smtp://user:s3cret,x@host",
        "smtp://user:x,s3cret@host",
        "smtp://u:s3cret,c://ret@h.example",
        "smtp:user:s3cret@host",
        "smtp+srv://user:s3cret@host:25",
        "smtp+mx://user:s3cret@[::1]",
        "nonsense://user:s3cret@host",
        "smtps://user:s3cret@ho st",
        "lmtp+unix://user:s3cret@relative",
        "mx://user:s3cret@relay.example",
        "mx:user:s3cret@relay.example",
    ] {
        let error = error(text);
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{text}: {error:?}");
    }
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9]{0,9}(\\.[a-z_][a-z0-9]{0,9}){0,3}".prop_map(|name| Host::parse(&name).unwrap()),
        any::<std::net::IpAddr>().prop_map(Host::Address),
    ]
}

fn lookup() -> impl Strategy<Value = RelayLookup> {
    prop_oneof![Just(RelayLookup::Mx), Just(RelayLookup::Srv)]
}

fn hop() -> impl Strategy<Value = NextHop> {
    let protocol = || prop_oneof![Just(Protocol::Smtp), Just(Protocol::Lmtp)];
    prop_oneof![
        (protocol(), host(), any::<u16>())
            .prop_filter_map("unfit port", |(protocol, host, port)| NextHop::tcp(protocol, host, port).ok()),
        (protocol(), host(), lookup(), any::<u16>()).prop_filter_map(
            "unfit",
            |(protocol, host, lookup, port)| {
                NextHop::tcp(protocol, host, port).and_then(|hop| hop.with_lookup(lookup)).ok()
            }
        ),
        (protocol(), "/[^\\x00]{1,25}")
            .prop_filter_map("unfit path", |(protocol, path)| NextHop::unix(protocol, path).ok()),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    prop_oneof![
        Just(Route::mx()),
        Just(Route::Local),
        "[a-z]{1,9}\\.(example|bücher)".prop_map(|domain| Route::mx_of(Domain::parse(&domain).unwrap())),
        prop::collection::vec(hop(), 1..4).prop_map(Route::relays),
        any::<String>().prop_map(Route::refuse),
        any::<String>().prop_map(Route::defer),
    ]
}

/// Whether a route holds credentials, which are never written.
fn has_credentials(route: &Route) -> bool {
    matches!(route, Route::Relay(hops) if hops.iter().any(|hop| hop.credentials().is_some()))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(route in any_route()) {
        prop_assert_eq!(route.to_string().parse::<Route>(), Ok(route));
    }

    #[test]
    fn a_hop_that_is_written_is_read_back(hop in hop()) {
        prop_assert_eq!(hop.to_string().parse::<NextHop>(), Ok(hop));
    }

    #[test]
    fn reading_never_panics_and_is_settled_after_once(
        scheme in "(smtp://|lmtp://|lmtp\\+unix://|mx:|refuse:|,)?", rest in any::<String>(),
    ) {
        if let Ok(route) = format!("{scheme}{rest}").parse::<Route>() {
            let written = route.to_string().parse::<Route>();
            prop_assert!(written.is_ok());
            prop_assert!(has_credentials(&route) || written == Ok(route));
        }
    }

    #[test]
    fn a_text_near_a_hop_never_panics(text in "(s|lmtp|smtp)(\\+(unix|mx|srv))?:/{0,3}[a1:@%,\\[\\]/. ü]{0,12}") {
        if let Ok(route) = text.parse::<Route>() {
            let written = route.to_string().parse::<Route>();
            prop_assert!(written.is_ok());
            prop_assert!(has_credentials(&route) || written == Ok(route));
        }
    }
}
