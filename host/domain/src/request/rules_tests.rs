//! What a request must keep to, and that all of it is found at once.

use super::*;

fn good() -> Request {
    Request {
        org_name: "Acme".into(),
        org_email: "ops@acme.example".into(),
        sovereign_fqdn: "a.acme.example".into(),
        region: "r1".into(),
        ssh_public_key: "ssh-ed25519 AAAA".into(),
        ..Request::default()
    }
}

fn codes(change: impl FnOnce(&mut Request)) -> Vec<String> {
    let mut request = good();
    change(&mut request);
    validate(&request).into_iter().map(|f| format!("{} {}", f.pointer, f.code)).collect()
}

#[test]
fn a_plain_request_passes() {
    assert!(codes(|_| ()).is_empty());
}

#[test]
fn everything_wrong_is_found_at_once() {
    let all = validate(&Request::default());
    let pointers: Vec<&str> = all.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers, ["/region", "/sovereignFQDN", "/orgName", "/orgEmail", "/sshPublicKey"]);
    let words = ["region", "FQDN", "organisation name", "organisation email", "SSH public key"];
    assert!(all.iter().zip(words).all(|(f, word)| f.message.contains(word)), "{all:?}");
}

#[test]
fn regions_are_named_by_index() {
    let slot = RegionSlot { worker_count: 1, ..RegionSlot::default() };
    let mut request =
        Request { regions: vec![slot, RegionSlot { worker_count: -1, ..RegionSlot::default() }], ..good() };
    request.mirror_first_region();
    let messages: Vec<String> = validate(&request).into_iter().map(|f| f.message).collect();
    for part in [
        "region[0]: provider",
        "region[0]: cloudRegion",
        "region[0]: controlPlaneSize",
        "region[0]: workerSize",
        "region[1]: workerCount",
    ] {
        assert!(messages.iter().any(|m| m.contains(part)), "{part}: {messages:?}");
    }
    assert_eq!(codes(|r| r.worker_count = -1), ["/workerCount negative"]);
}

#[test]
fn f7_names_are_checked_before_anything_is_created() {
    for bad in [
        "a",
        "A.example",
        "a..example",
        "-a.example",
        "a-.example",
        "a.example.",
        "a/b.example",
        "a.1",
        &format!("{}.example", "a".repeat(64)),
    ] {
        assert_eq!(codes(|r| r.sovereign_fqdn = (*bad).into()), ["/sovereignFQDN dns-name"], "{bad}");
    }
    assert!(codes(|r| r.sovereign_fqdn = "1a.2b.example".into()).is_empty());
    for bad in ["a", "@a.b", "a@b", "a@.b", "a@b.", "a b@c.d", "a@b@c.d"] {
        assert_eq!(codes(|r| r.org_email = (*bad).into()), ["/orgEmail email"], "{bad}");
    }
    assert_eq!(codes(|r| r.org_name = "a\u{1}".into()), ["/orgName forbidden-character"]);
    assert_eq!(codes(|r| r.org_name = "\u{e000}".into()), ["/orgName forbidden-character"]);
    assert_eq!(codes(|r| r.org_name = "x".repeat(201)), ["/orgName too-long"]);
}

#[test]
fn b5_a_pool_name_must_fit_its_domain() {
    let pool = |fqdn: &str, label: &str| {
        let (fqdn, label) = (fqdn.to_owned(), label.to_owned());
        codes(move |r| {
            r.sovereign_domain_mode = "pool".into();
            r.sovereign_pool_domain = "pool.example".into();
            r.sovereign_subdomain = label;
            r.sovereign_fqdn = fqdn;
        })
    };
    assert!(pool("x.pool.example", "x").is_empty());
    assert_eq!(pool("y.pool.example", "x"), ["/sovereignSubdomain fqdn-mismatch"]);
    assert_eq!(pool("x.pool.example", ""), ["/sovereignSubdomain required"]);
    assert_eq!(codes(|r| r.sovereign_domain_mode = "elsewhere".into()), ["/sovereignDomainMode unknown-mode"]);
    for mode in ["", "byo", "byo-manual"] {
        assert!(codes(|r| r.sovereign_domain_mode = mode.into()).is_empty(), "{mode}");
    }
    let remark = codes(|r| r.sovereign_domain_mode = "byo-api".into());
    assert_eq!(remark, ["/sovereignDomainMode nameservers-not-set"]);
}

#[test]
fn what_rests_on_a_fault_is_not_a_second_one() {
    let pool = |fqdn: &str| {
        let fqdn = fqdn.to_owned();
        codes(move |r| {
            (r.sovereign_domain_mode, r.sovereign_pool_domain) = ("pool".into(), "pool.example".into());
            (r.sovereign_subdomain, r.sovereign_fqdn) = ("x".into(), fqdn);
        })
    };
    assert_eq!(pool("X..pool.example"), ["/sovereignFQDN dns-name"]);
    assert_eq!(pool("y.pool.example"), ["/sovereignSubdomain fqdn-mismatch"]);
}

#[test]
fn t13_a_public_key_of_several_lines_is_told_so() {
    for several in ["ssh-ed25519 AAAA\nssh-rsa BBBB", "# mine\r\nssh-ed25519 AAAA", "ssh-ed25519 AAAA\rx"] {
        assert_eq!(codes(|r| r.ssh_public_key = several.into()), ["/sshPublicKey several-lines"], "{several:?}");
    }
    assert_eq!(codes(|r| r.ssh_public_key = "ssh-ed25519 AA\tAA".into()), ["/sshPublicKey forbidden-character"]);
    for private in
        ["-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none"]
    {
        assert_eq!(codes(|r| r.ssh_public_key = private.into()), ["/sshPublicKey private-key"], "{private:?}");
    }
}

#[test]
fn a_fault_of_the_first_region_is_named_where_it_was_written() {
    let slot = || RegionSlot { provider: "cloud".into(), control_plane_size: "m".into(), ..RegionSlot::default() };
    let with = |region: String| {
        let mut request = Request { regions: vec![RegionSlot { cloud_region: region, ..slot() }], ..good() };
        request.mirror_first_region();
        validate(&request).into_iter().map(|f| format!("{} {}", f.pointer, f.code)).collect::<Vec<_>>()
    };
    assert_eq!(with("r".repeat(129)), ["/regions/0/cloudRegion too-long"]);
    assert_eq!(with("r\u{7}".into()), ["/regions/0/cloudRegion forbidden-character"]);
    assert_eq!(codes(|r| r.region = "r".repeat(129)), ["/region too-long"]);
}
