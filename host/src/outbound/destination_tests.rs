//! Which addresses are public, which names the surroundings alone know, and what a list of the operator changes.

use super::destination::*;
use std::net::IpAddr;

fn allowed(text: &str) -> AllowedClouds {
    AllowedClouds::parse(text).expect("a list")
}

fn address(text: &str) -> Host {
    Host::Address(text.parse().expect("an address"))
}

const SPECIAL: [&str; 53] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
];

#[test]
fn what_is_not_public_is_refused_with_what_it_is() {
    for text in SPECIAL {
        let refused = allowed("").judge(&address(text)).expect_err(text);
        assert!(
            refused.to_string().contains("CATALYST_ALLOWED_CLOUDS") && refused.rule.starts_with("is "),
            "{refused}"
        );
    }
    let public = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "192.0.3.1",
        "192.167.255.255",
        "192.169.0.1",
        "198.17.255.255",
        "198.20.0.1",
        "203.0.112.255",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2a01:4f8::1",
        "3ffe:ffff::1",
    ];
    for text in public {
        assert_eq!(allowed("").judge(&address(text)), Ok(Standing::Allowed), "{text}");
    }
}

#[test]
fn a_network_of_the_list_is_allowed_and_nothing_beside_it() {
    let list = allowed("10.20.0.0/16, 127.0.0.1 fd12::/16");
    for text in ["10.20.0.1", "10.20.255.255", "127.0.0.1", "::ffff:127.0.0.1", "fd12:1::1"] {
        assert_eq!(list.judge(&address(text)), Ok(Standing::Allowed), "{text}");
    }
    for text in ["10.21.0.1", "127.0.0.2", "fd13::1", "::ffff:127.0.0.2", "64:ff9b::7f00:1", "::1"] {
        assert!(list.judge(&address(text)).is_err(), "{text}");
    }
    // What is translated leads to what it carries.
    let nat64 = allowed("64:ff9b::/96 10.0.0.0/8");
    assert!(nat64.judge(&address("64:ff9b::808:808")).is_ok() && nat64.judge(&address("64:ff9b::a00:1")).is_ok());
    assert!(nat64.judge(&address("64:ff9b::7f00:1")).is_err());
}

#[test]
fn a_metadata_service_is_allowed_by_its_own_address_alone() {
    let wide = allowed("0.0.0.0/0 ::/0");
    let metadata = [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ];
    for text in metadata {
        let refused = wide.judge(&address(text)).expect_err(text);
        assert!(refused.rule.contains("metadata"), "{refused}");
    }
    assert!(wide.judge(&address("169.254.1.1")).is_ok() && wide.judge(&address("127.0.0.1")).is_ok());
    assert!(allowed("169.254.169.254").judge(&address("169.254.169.254")).is_ok());
    for text in
        metadata.iter().chain(&["169.254.7.7", "fe80::1", "::ffff:169.254.7.7"]).filter(|t| !t.starts_with("64:"))
    {
        assert!(is_metadata_or_link_local(text.parse().unwrap()), "{text}");
    }
    assert!(
        !["127.0.0.1", "10.0.0.1", "192.0.2.7", "::1", "fd12::1"]
            .iter()
            .any(|t| is_metadata_or_link_local(t.parse().unwrap()))
    );
}

#[test]
fn a_name_is_judged_by_the_list_then_its_zone_then_its_addresses() {
    let list = allowed("Keystone.cloud.svc, .corp.example *.lan 10.0.0.0/8");
    let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().expect("an address")).collect::<Vec<IpAddr>>();
    for (name, addresses, passes) in [
        ("keystone.cloud.svc", vec!["127.0.0.1"], true),
        ("a.corp.example", vec!["192.168.0.1"], true),
        ("A.B.Corp.Example.", vec!["192.168.0.1"], true),
        ("nas.lan", vec!["169.254.169.254"], true),
        ("corp.example", vec!["192.168.0.1"], false),
        ("notcorp.example", vec!["192.168.0.1"], false),
        ("cloud.example.org", vec!["93.184.216.34", "2606:4700::1111"], true),
        ("cloud.example.org", vec!["93.184.216.34", "192.168.0.1"], false),
        ("cloud.example.org", vec!["10.1.2.3"], true),
        ("cloud.example.org", vec![], true),
        ("nova.cloud.svc", vec!["10.1.2.3"], true),
        ("nova.cloud.svc", vec!["10.1.2.3", "93.184.216.34"], false),
        ("nova.cloud.svc", vec![], false),
        ("metadata", vec!["93.184.216.34"], false),
        ("localhost", vec!["127.0.0.1"], false),
        ("127.0.0.1.", vec![], false),
    ] {
        assert_eq!(list.judge_resolved(name, &ips(&addresses)).is_ok(), passes, "{name} {addresses:?}");
    }
    for name in
        ["localhost", "a.localhost", "keystone", "x.svc", "x.cluster.local", "metadata.google.internal", "x.home.arpa"]
    {
        let refused = allowed("").judge_unresolved(&Host::named(name)).expect_err(name);
        assert!(refused.to_string().starts_with(name), "{refused}");
    }
    assert!(allowed("").judge_unresolved(&Host::named("cloud.example.org")).is_ok());
    let refused = allowed("").judge_resolved("cloud.example.org", &ips(&["10.1.2.3"])).unwrap_err().to_string();
    assert!(
        refused.contains("cloud.example.org leads to 10.1.2.3, which is a private address (RFC 1918)"),
        "{refused}"
    );
}

#[test]
fn what_is_no_entry_is_refused_by_its_own_words() {
    for bad in [
        "https://keystone.example",
        "keystone.example:5000",
        "keystone.example/v3",
        "10.0.0.0/33",
        "10.0.0/8",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "*",
        "*.",
        ".",
        "a..b",
        "a*.example",
        "*.*.example",
        "-a.example",
        "a_b.example-",
        "keyst\u{f6}ne.example",
        "[::1]",
        "user@a.example",
        "a.example.",
        "10.0.0.1:80",
        "!10.0.0.0/8",
        "a\tb",
    ] {
        let why = AllowedClouds::parse(&format!("10.0.0.0/8 {bad}")).expect_err(bad);
        assert!(why.contains(&format!("{bad:?}")), "{why}");
    }
    assert!(AllowedClouds::parse(&"a.example ".repeat(257)).is_err());
    assert!(allowed(" , ").is_empty() && !allowed("::1").is_empty());
    assert_eq!(allowed("10.1.2.3/8,fd00::/8"), allowed("10.0.0.0/8 fd00::/8"));
}
