//! Wrong bearers: who is limited, who is told, and how much is remembered.

use super::*;

fn id(n: u8) -> DeploymentId {
    DeploymentId::from_bytes([n; 8])
}

fn from(address: &str) -> IpAddr {
    network(address.parse().unwrap())
}

#[test]
fn h9_a_burst_is_let_through_and_then_limited_by_deployment_and_peer() {
    let bearers = WrongBearers::default();
    let key = (id(1), from("192.0.2.1"));
    for _ in 0..BURST.get() {
        assert_eq!(bearers.limit(key.clone()), Verdict::Wrong);
    }
    let Verdict::Limited { retry_after } = bearers.limit(key) else { panic!("not limited") };
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(3), "{retry_after:?}");
    assert_eq!(bearers.limit((id(2), from("192.0.2.1"))), Verdict::Wrong);
    assert_eq!(bearers.limit((id(1), from("192.0.2.2"))), Verdict::Wrong);
}

#[test]
fn one_network_of_ipv6_is_one_peer() {
    assert_eq!(from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"));
    assert_ne!(from("2001:db8:1:2::1"), from("2001:db8:1:3::1"));
    assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
}

#[test]
fn memory_is_bounded_and_a_full_one_limits_everybody_else() {
    let bearers = WrongBearers::default();
    for n in 0..PAIRS as u32 + 100 {
        bearers.limit((id(1), IpAddr::from(n.to_be_bytes())));
    }
    assert_eq!(bearers.limiter.len(), PAIRS);
    assert!(matches!(bearers.limit((id(1), from("192.0.2.1"))), Verdict::Limited { .. }));
}

#[test]
fn viewers_are_told_the_first_at_once_and_the_rest_together() {
    let bearers = WrongBearers::default();
    let more = |count: u64| {
        let mut untold = bearers.untold();
        let entry = untold.entry(id(1)).or_default();
        entry.count += count;
        entry.last = Some(from("192.0.2.7"));
    };
    more(1);
    let text = "refused 1 kubeconfig upload(s) with a wrong bearer, the last one from 192.0.2.7";
    assert_eq!(bearers.take(&id(1)).as_deref(), Some(text));
    more(41);
    assert!(bearers.take(&id(1)).unwrap().starts_with("refused 41 "));
    assert_eq!(bearers.take(&id(1)), None);
    assert!(bearers.untold().is_empty(), "a quiet deployment is forgotten");
}
