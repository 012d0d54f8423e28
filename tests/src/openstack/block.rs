//! Address blocks.

use std::net::IpAddr;

/// Whether an address is in a block such as `10.0.1.0/24`.
pub(super) fn contains(block: &str, address: &str) -> bool {
    let Some((first, bits)) = block.split_once('/') else { return false };
    let (Some((first, width)), Some((address, other))) = (number(first), number(address)) else { return false };
    let Some(bits) = bits.parse::<u32>().ok().filter(|bits| *bits <= width) else { return false };
    let free = width - bits;
    width == other && (free >= 128 || first >> free == address >> free)
}

/// Whether a block has no bits behind its prefix.
pub(super) fn is_plain(block: &str) -> bool {
    let Some((first, bits)) = block.split_once('/') else { return false };
    let (Some((first, width)), Ok(bits)) = (number(first), bits.parse::<u32>()) else { return false };
    let free = width.saturating_sub(bits);
    bits <= width && (free >= 128 && first == 0 || free < 128 && first >> free << free == first)
}

/// Whether an address or a block is of IPv6.
pub(super) fn is_v6(text: &str) -> bool {
    text.contains(':')
}

fn number(address: &str) -> Option<(u128, u32)> {
    match address.parse().ok()? {
        IpAddr::V4(v4) => Some((u32::from(v4).into(), 32)),
        IpAddr::V6(v6) => Some((v6.into(), 128)),
    }
}
