//! Address blocks of firewalls, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a text is no address block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not of the form address, slash, prefix.
    #[error("`{0}` is no address block such as 203.0.113.0/24 or 2001:db8::/32")]
    NotABlock(String),
    /// An address inside a block instead of its start.
    #[error("`{given}` is inside a block, not its start, which is {block}")]
    InsideBlock {
        /// The text.
        given: String,
        /// The block that was probably meant.
        block: String,
    },
}

/// Checks a block such as `203.0.113.0/24` or `2001:db8::/32`.
///
/// # Errors
/// When it is not a block, or not written by its start.
pub fn check_cidr(text: &str) -> Result<(), CidrError> {
    let no_block = || CidrError::NotABlock(text.to_owned());
    let (address, prefix) = text.split_once('/').ok_or_else(no_block)?;
    let address: IpAddr = address.parse().ok().filter(|parsed| is_plain(*parsed, address)).ok_or_else(no_block)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (prefix == "0" || !prefix.starts_with('0'));
    let prefix: u32 = prefix.parse().ok().filter(|bits| plain && *bits <= longest).ok_or_else(no_block)?;
    let start = block_start(address, prefix);
    if start == address {
        return Ok(());
    }
    Err(CidrError::InsideBlock { given: text.to_owned(), block: format!("{start}/{prefix}") })
}

/// IPv4 in the clothes of IPv6 is read in two ways: as the one or as the other.
fn is_plain(parsed: IpAddr, text: &str) -> bool {
    match parsed {
        IpAddr::V4(_) => true,
        IpAddr::V6(parsed) => parsed.to_ipv4_mapped().is_none() && !text.contains('.'),
    }
}

fn block_start(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_both_families_pass_and_others_are_told_why() {
        for good in ["0.0.0.0/0", "203.0.113.7/32", "10.0.0.0/8", "::/0", "2001:db8::/32", "2001:db8::1/128"] {
            assert_eq!(check_cidr(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "x/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0.0.0/",
            "::ffff:10.0.0.0/104",
            "::ffff:a00:0/104",
            "64:ff9b::192.0.2.0/120",
        ] {
            assert_eq!(check_cidr(bad), Err(CidrError::NotABlock(bad.to_owned())), "{bad}");
        }
        assert!(check_cidr("203.0.113.7/24").unwrap_err().to_string().ends_with("which is 203.0.113.0/24"));
        assert!(check_cidr("2001:db8::1/64").unwrap_err().to_string().ends_with("which is 2001:db8::/64"));
    }
}
