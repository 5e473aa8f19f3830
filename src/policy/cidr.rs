//! [`Cidr`]: a block of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A block of addresses, `10.0.0.0/8` or `2001:db8::/32` (RFC 4632 section 3.1, RFC 4291 section 2.3).
///
/// ```
/// use nexthop::policy::Cidr;
///
/// let block: Cidr = "172.16.0.0/12".parse().unwrap();
/// assert!(block.contains([172, 31, 0, 1].into()));
/// assert!("172.16.0.1/12".parse::<Cidr>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr(IpNet);

/// Why a text is not a [`Cidr`], with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// Neither an address nor an address, a slash and a number.
    #[error("not a block of addresses: \"{0}\"")]
    Syntax(String),
    /// A prefix longer than 32 bits, or 128 for IPv6.
    #[error("prefix too long: \"{0}\"")]
    TooLong(String),
    /// The address has bits that the prefix does not cover. Nobody knows which of the two was meant.
    #[error("\"{text}\" has bits beyond its prefix; the block is {block}")]
    BitsBeyondPrefix {
        /// What was read.
        text: String,
        /// The block without these bits.
        block: Cidr,
    },
}

impl Cidr {
    /// The block of this address and prefix length.
    ///
    /// # Errors
    /// The prefix is too long for the address, or too short for its bits.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, CidrError> {
        let text = || format!("{address}/{prefix_len}");
        let given = IpNet::new(address, prefix_len).map_err(|_| CidrError::TooLong(text()))?;
        let block = Self(given.trunc());
        let exact = block.0 == given;
        exact.then_some(block).ok_or_else(|| CidrError::BitsBeyondPrefix { text: text(), block })
    }

    /// Whether the address lies in the block. An IPv6 address never lies in an IPv4 block, IPv4-mapped or not.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.0, address) {
            (IpNet::V4(block), IpAddr::V4(address)) => {
                let differs = block.addr().to_bits() ^ address.to_bits();
                differs.checked_shr(32 - u32::from(block.prefix_len())).unwrap_or(0) == 0
            }
            (IpNet::V6(block), IpAddr::V6(address)) => {
                let differs = block.addr().to_bits() ^ address.to_bits();
                differs.checked_shr(128 - u32::from(block.prefix_len())).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The first address.
    #[cfg(test)]
    pub(super) fn first(&self) -> IpAddr {
        self.0.addr()
    }

    /// Whether its first address is this one or one before it. IPv4 addresses are before IPv6 addresses.
    pub(super) fn begins_by(&self, address: IpAddr) -> bool {
        match (self.0, address) {
            (IpNet::V4(block), IpAddr::V4(address)) => block.addr().to_bits() <= address.to_bits(),
            (IpNet::V6(block), IpAddr::V6(address)) => block.addr().to_bits() <= address.to_bits(),
            (block, _) => matches!(block, IpNet::V4(_)),
        }
    }

    /// Bits of the prefix.
    pub const fn prefix_len(&self) -> u8 {
        match self.0 {
            IpNet::V4(block) => block.prefix_len(),
            IpNet::V6(block) => block.prefix_len(),
        }
    }

    /// Whether it is a block of IPv6 addresses.
    pub const fn is_ipv6(&self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }

    pub(super) const fn v4(address: Ipv4Addr, prefix_len: u8) -> Self {
        Self(IpNet::V4(Ipv4Net::new_assert(address, prefix_len)))
    }

    pub(super) const fn v6(address: Ipv6Addr, prefix_len: u8) -> Self {
        Self(IpNet::V6(Ipv6Net::new_assert(address, prefix_len)))
    }
}

/// The block of this one address.
impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(address.into())
    }
}

/// A bare address is the block of this one address.
impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let syntax = || CidrError::Syntax(text.escape_debug().to_string());
        let Some((address, prefix_len)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(|_| syntax());
        };
        let address = address.parse().map_err(|_| syntax())?;
        Self::new(address, number(prefix_len).ok_or_else(syntax)?)
    }
}

/// Digits alone; what does not fit is longer than any prefix.
fn number(digits: &str) -> Option<u8> {
    let plain = matches!(digits.len(), 1..=3) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u8::MAX))
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Cidr, CidrError> {
        text.parse()
    }

    #[test]
    fn a_block_is_written_as_it_is_read() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bare_address_is_a_block_of_one() {
        assert_eq!(parse("192.0.2.1"), parse("192.0.2.1/32"));
        assert_eq!(parse("::1"), parse("::1/128"));
    }

    #[test]
    fn check_094_other_spellings_are_refused() {
        for bad in
            ["", "/", "/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "10/8", "0x0a.0.0.0/8", "010.0.0.0/8"]
        {
            assert_eq!(parse(bad), Err(CidrError::Syntax(bad.into())));
        }
        for bad in ["[::1]/128", "fe80::1%1/128", "10.0.0.0/255.0.0.0", " 10.0.0.0/8", "example"] {
            assert_eq!(parse(bad), Err(CidrError::Syntax(bad.into())));
        }
    }

    #[test]
    fn a_prefix_fits_its_family() {
        for bad in ["10.0.0.0/33", "::/129", "::/255"] {
            assert_eq!(parse(bad), Err(CidrError::TooLong(bad.into())));
        }
        assert!(parse("::/999").is_err());
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_with_the_block_that_may_be_meant() {
        let error = parse("127.0.0.1/8").unwrap_err();
        assert_eq!(error.to_string(), "\"127.0.0.1/8\" has bits beyond its prefix; the block is 127.0.0.0/8");
        assert!(parse("2001:db8::1/64").is_err());
    }

    #[test]
    fn blocks_end_where_they_end() {
        let block = parse("172.16.0.0/12").unwrap();
        for (address, inside) in
            [([172, 16, 0, 0], true), ([172, 31, 255, 255], true), ([172, 32, 0, 0], false)]
        {
            assert_eq!(block.contains(address.into()), inside, "{address:?}");
        }
        assert!(!block.contains("::ffff:172.16.0.1".parse().unwrap()));
        assert!(parse("::/0").unwrap().contains("::ffff:172.16.0.1".parse().unwrap()));
    }
}
