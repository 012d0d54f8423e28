//! Host and plugins share no Rust, and both tell faults of the host's side by what OpenTofu says: the two tables are held to each other here.

use catalyst::egress::Reach;
use catalyst::fault_origin::{Context, HostPart, Origin, of_text};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::diagnosis::{LocalFault, words};
use catalyst_plugin_sdk::{Advice, Asked, Diagnostic, Provisioner as _};

/// What a step says, what the host makes of it and what the SDK does.
const CASES: &[(&str, Origin, LocalFault)] = &[
    ("write /tmp/x: no space left on device", Origin::Host(HostPart::Disk), LocalFault::Disk),
    ("close /tmp/x: disk quota exceeded", Origin::Host(HostPart::Disk), LocalFault::Disk),
    ("mkdir /x: read-only file system", Origin::Host(HostPart::Disk), LocalFault::Disk),
    ("read /x: input/output error", Origin::Host(HostPart::Disk), LocalFault::Disk),
    ("fork/exec /x: cannot allocate memory", Origin::Host(HostPart::Memory), LocalFault::Memory),
    ("fatal error: runtime: out of memory", Origin::Host(HostPart::Memory), LocalFault::Memory),
    ("the provider ended: signal: killed", Origin::Host(HostPart::Memory), LocalFault::Memory),
    (
        "x509: certificate has expired or is not yet valid: current time 2019-01-01T00:00:00Z is before 2026-01-01T00:00:00Z",
        Origin::Host(HostPart::Clock),
        LocalFault::Clock,
    ),
    (
        "x509: certificate has expired or is not yet valid: current time 2026-02-01T00:00:00Z is after 2026-01-01T00:00:00Z",
        Origin::Server,
        LocalFault::ExpiredCertificate,
    ),
    ("x509: certificate signed by unknown authority", Origin::Host(HostPart::TrustStore), LocalFault::Certificate),
    ("x509: certificate is valid for a.test, not b.test", Origin::Host(HostPart::TrustStore), LocalFault::Certificate),
    ("proxyconnect tcp: dial tcp 192.0.2.9:3128: i/o timeout", Origin::Host(HostPart::Proxy), LocalFault::Proxy),
    ("Proxy Authentication Required", Origin::Host(HostPart::Proxy), LocalFault::Proxy),
    (
        "a.test:443 could not be reached: the proxy of this host: it answered 403 Forbidden",
        Origin::Host(HostPart::Proxy),
        LocalFault::Proxy,
    ),
    ("dial tcp: lookup a.test on 192.0.2.1:53: server misbehaving", NAMES, LocalFault::Resolver),
    ("dial tcp: lookup a.test: Temporary failure in name resolution", NAMES, LocalFault::Resolver),
    ("dial tcp: lookup a.test: i/o timeout", NAMES, LocalFault::Resolver),
    ("dial tcp: lookup a.test on 192.0.2.1:53: no such host", NAMES, LocalFault::UnknownName),
    ("archive has incorrect checksum zh:1 (expected zh:2)", Origin::Host(HostPart::Registry), LocalFault::Package),
    (
        "provider a/b was not found in any of the search locations",
        Origin::Host(HostPart::Registry),
        LocalFault::Package,
    ),
    ("could not query provider registry for a/b: 503", Origin::Host(HostPart::Registry), LocalFault::Registry),
];

const NAMES: Origin = Origin::Host(HostPart::NameResolution);

#[test]
fn t16_host_and_plugins_tell_the_same_faults_from_those_of_a_cloud() {
    let context = Context { reach: Reach::Install, refused: &[], requested: &[] };
    for (text, origin, local) in CASES {
        for (summary, detail) in [(*text, "Failed to install provider"), ("Failed to install provider", *text)] {
            let diagnostic = Diagnostic { summary: summary.to_owned(), detail: detail.to_owned(), address: None };
            let found = of_text(&format!("{summary}: {detail}"), &context).map(|fault| fault.origin);
            assert_eq!(found, Some(*origin), "{summary}: {detail}");
            assert_eq!(LocalFault::of(&words(&diagnostic)), Some(*local), "{summary}: {detail}");
            let expect = local.advice().what_happened;
            for Advice { what_happened, .. } in
                [Hetzner::diagnose(&diagnostic, &Asked::default()), Openstack::diagnose(&diagnostic, &Asked::default())]
            {
                assert_eq!(what_happened, expect, "{summary}: {detail}");
            }
        }
    }
}
