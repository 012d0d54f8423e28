//! Rules of the cloud that the module relies on. Each is in the API's reference; those that are not there were left out.

use super::state::{Refusal, State, text};
use serde_json::Value;
use std::net::IpAddr;

/// Longest user data of a server in bytes.
pub const USER_DATA_LIMIT: usize = 32 * 1024;
/// Most servers in a placement group of type spread.
const GROUP_LIMIT: usize = 10;
/// Most resources attached to one network.
const NETWORK_LIMIT: usize = 100;
/// Most sources of a firewall's rule, and rules of a firewall.
const FIREWALL_LIMITS: (usize, usize) = (100, 50);

/// Names are unique within a kind; those of servers are host names.
pub(super) fn name(state: &State, kind: &str, name: &str, own: Option<u64>) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let host = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(plain)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.']);
    if name.is_empty() || (kind == "servers" && !host) {
        return Err(Refusal::field("name", "must be a valid host name of at most 63 characters"));
    }
    let taken = |object: &&Value| object["name"] == name && object["id"].as_u64() != own;
    match state.each(kind).find(taken) {
        Some(_) => Err(Refusal::new(409, "uniqueness_error", format!("name is already used in {kind}"))),
        None => Ok(()),
    }
}

/// Keys may have a DNS prefix; values end at 63 characters.
pub(super) fn labels(labels: &Value) -> Result<(), Refusal> {
    let part = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let edges = |c: char| c.is_ascii_alphanumeric();
        text.len() <= 63 && plain && text.starts_with(edges) && text.ends_with(edges)
    };
    for (key, value) in labels.as_object().into_iter().flatten() {
        let (prefix, own) = key.split_once('/').unwrap_or(("a", key));
        let prefix_fits = prefix.len() <= 253 && prefix.split('.').all(part);
        if !prefix_fits || !part(own) || !(text(value).is_empty() || part(text(value))) {
            return Err(Refusal::field("labels", format!("{key}={value} is not allowed")));
        }
    }
    Ok(())
}

/// A block without bits behind its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    first: u128,
    bits: u32,
    width: u32,
}

impl Block {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (first, width) = as_number(address)?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= width)?;
        let block = Self { first, bits, width };
        (block.start(first) == first).then_some(block)
    }

    fn start(self, address: u128) -> u128 {
        let free = self.width - self.bits;
        if free >= 128 { 0 } else { address >> free << free }
    }

    pub(super) fn contains(self, address: &str) -> bool {
        as_number(address).is_some_and(|(number, width)| width == self.width && self.start(number) == self.first)
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.width == other.width && self.bits <= other.bits && self.start(other.first) == self.first
    }
}

fn as_number(address: &str) -> Option<(u128, u32)> {
    match address.parse().ok()? {
        IpAddr::V4(v4) => Some((u32::from(v4).into(), 32)),
        IpAddr::V6(v6) => Some((v6.into(), 128)),
    }
}

pub(super) fn firewall_rules(rules: &Value) -> Result<(), Refusal> {
    let rules: Vec<&Value> = rules.as_array().into_iter().flatten().collect();
    if rules.len() > FIREWALL_LIMITS.1 {
        return Err(Refusal::field("rules", "too many rules"));
    }
    for rule in rules {
        let sources: Vec<&Value> = rule["source_ips"].as_array().into_iter().flatten().collect();
        let bad = sources.iter().find(|source| Block::parse(text(source)).is_none());
        if let Some(bad) = bad {
            return Err(Refusal::field("rules.source_ips", format!("{bad} is not a network")));
        }
        if sources.is_empty() || sources.len() > FIREWALL_LIMITS.0 {
            return Err(Refusal::field("rules.source_ips", "must have 1 to 100 networks"));
        }
        let wants_port = matches!(text(&rule["protocol"]), "tcp" | "udp");
        if wants_port == rule["port"].is_null() {
            return Err(Refusal::field("rules.port", "is needed with tcp and udp, and only there"));
        }
    }
    Ok(())
}

pub(super) fn placement(state: &State, group: u64) -> Result<(), Refusal> {
    state.get("placement_groups", group)?;
    let there = state.each("servers").filter(|server| server["placement_group"] == group).count();
    if there >= GROUP_LIMIT {
        return Err(Refusal::new(422, "placement_error", "placement group has the most servers it may have"));
    }
    Ok(())
}

/// The subnet of a network that has this address, free and in the zone.
pub(super) fn private_address(state: &State, network: u64, address: &str, zone: &str) -> Result<(), Refusal> {
    let object = state.get("networks", network)?;
    let subnets = object["subnets"].as_array().into_iter().flatten();
    let mut in_zone = subnets.filter(|subnet| subnet["network_zone"] == zone).peekable();
    if in_zone.peek().is_none() {
        return Err(Refusal::new(422, "no_subnet_available", "network has no subnet in this network zone"));
    }
    if !in_zone.any(|subnet| Block::parse(text(&subnet["ip_range"])).is_some_and(|block| block.contains(address))) {
        return Err(Refusal::field("ip", format!("{address} is in no subnet of the network")));
    }
    let attached = state.each("servers").chain(state.each("load_balancers"));
    let nets: Vec<&Value> = attached
        .flat_map(|object| object["private_net"].as_array().into_iter().flatten())
        .filter(|net| net["network"] == network)
        .collect();
    // The first address of a network is its gateway's.
    if address.ends_with(".0.0.1") || nets.iter().any(|net| net["ip"] == address) {
        return Err(Refusal::new(422, "ip_not_available", format!("IP {address} is not available")));
    }
    if nets.len() >= NETWORK_LIMIT {
        return Err(Refusal::new(403, "resource_limit_exceeded", "network attachment limit reached"));
    }
    Ok(())
}
