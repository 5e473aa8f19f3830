//! What the system's configuration says of name servers.

use std::error::Error;
use std::net::SocketAddr;

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::system_conf::read_system_conf;

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The system's configuration of the DNS cannot be read, or names no server.
#[derive(Debug, thiserror::Error)]
#[error("no name servers in the configuration of the system")]
pub struct SystemConfigError(#[source] Box<dyn Error + Send + Sync>);

/// The name servers of the system.
pub(super) fn servers() -> Result<Vec<SocketAddr>, SystemConfigError> {
    let (config, _) = read_system_conf().map_err(|e| SystemConfigError(e.into()))?;
    Ok(servers_of(&config))
}

/// Whether the system vouches for what its servers say of DNSSEC. Never where the servers come from elsewhere.
pub(super) fn trusts_ad() -> bool {
    let servers_are_from_file = cfg!(all(unix, not(any(target_os = "android", target_vendor = "apple"))));
    servers_are_from_file && std::fs::read(RESOLV_CONF).is_ok_and(|octets| has_trust_ad(&octets))
}

fn servers_of(config: &ResolverConfig) -> Vec<SocketAddr> {
    config.name_servers().iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect()
}

/// `options … trust-ad …`, as resolv.conf(5) has it. The parser of hickory drops that option.
fn has_trust_ad(resolv_conf: &[u8]) -> bool {
    String::from_utf8_lossy(resolv_conf).lines().any(|line| {
        let mut words = line.split_ascii_whitespace().take_while(|word| !word.starts_with(['#', ';']));
        words.next() == Some("options") && words.any(|word| word == "trust-ad")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn check_067_only_servers_are_taken_from_the_system() {
        let text = "search corp.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:5\n";
        let (config, _) = hickory_resolver::system_conf::parse_resolv_conf(text).unwrap();
        assert_eq!(
            servers_of(&config),
            ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]
        );
    }

    #[test]
    fn check_203_trust_ad_is_an_option_of_its_own() {
        for text in ["options trust-ad", "nameserver 192.0.2.1\noptions edns0\noptions ndots:1\ttrust-ad\n"] {
            assert!(has_trust_ad(text.as_bytes()), "{text:?}");
        }
        for text in [
            "",
            "# options trust-ad",
            ";options trust-ad",
            "options edns0 # trust-ad",
            "options no-trust-ad",
            "search trust-ad",
            "trust-ad",
        ] {
            assert!(!has_trust_ad(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn octets_that_are_no_text_do_not_hide_the_option() {
        assert!(has_trust_ad(b"# \xff\noptions trust-ad\n"));
    }
}
