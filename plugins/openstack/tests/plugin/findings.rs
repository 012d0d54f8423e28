//! What a request is told before anything is created.

use crate::common::{context, ha, plain, settings, solo};
use catalyst_plugin_openstack::Openstack;
use catalyst_plugin_sdk::testing::bounds::ssh_keys;
use catalyst_plugin_sdk::{
    DeploymentRequest, DomainMode, Findings, LeftOut, Outputs, Provisioner, RenderContext, SecretSource, Settings,
    Severity, Verdict,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn has(findings: &Findings, pointer: &str, code: &str, severity: Severity) -> bool {
    findings.iter().any(|f| f.pointer == pointer && f.code == code && f.severity == severity)
}

#[track_caller]
fn check(change: impl FnOnce(&mut DeploymentRequest), pointer: &str, code: &str, severity: Severity) {
    let mut request = solo();
    change(&mut request);
    let findings = Openstack::validate(&request);
    assert!(has(&findings, pointer, code, severity), "{pointer} {code} in {findings:?}");
    assert_eq!(Openstack::render(&request, &context()).is_err(), findings.has_errors());
}

#[test]
fn a_good_request_has_no_findings() {
    assert_eq!(Openstack::validate(&solo()), Findings::new());
    assert!(!Openstack::validate(&ha()).has_errors());
    assert!(!Openstack::validate(&plain()).has_errors());
}

#[test]
fn each_rule_of_the_request_has_its_finding_at_its_key() {
    use Severity::{Error, Warning};
    let slot = |key: &str| format!("/regions/0/{key}");
    check(|r| r.regions[0].cloud_region = "a b".into(), &slot("cloudRegion"), "unknown-region", Error);
    check(|r| r.regions[0].control_plane_size = String::new(), &slot("controlPlaneSize"), "required", Error);
    check(|r| r.regions[0].control_plane_size = "é".into(), &slot("controlPlaneSize"), "machine-type", Error);
    check(|r| r.regions[0].worker_size = "x".repeat(101), &slot("workerSize"), "machine-type", Error);
    check(|r| r.regions[0].control_plane_size = "SCS-4V-16".into(), &slot("controlPlaneSize"), "no-disk", Error);
    check(|r| r.regions[0].control_plane_size = "b3-8".into(), &slot("controlPlaneSize"), "memory", Warning);
    check(|r| r.regions[0].worker_count = 51, &slot("workerCount"), "too-many-workers", Error);
    check(|r| r.regions[0].worker_count = -1, &slot("workerCount"), "negative", Error);
    check(|r| r.ssh_public_key = "ssh-ed25519 AAAA".into(), "/sshPublicKey", "ssh-public-key", Error);
    check(|r| r.org_name = "a\u{1b}[2J".into(), "/orgName", "forbidden-character", Error);
    check(|r| r.org_name = "x".repeat(201), "/orgName", "too-long", Error);
    check(|r| r.org_email = "nobody".into(), "/orgEmail", "email", Error);
    check(|r| r.sovereign_fqdn = "a.1b".into(), "/sovereignFQDN", "dns-name", Error);
}

#[test]
fn each_rule_of_the_settings_has_its_finding_at_its_key() {
    use Severity::{Error, Warning};
    let with = |more: Value, pointer: &str, code: &str, severity| {
        check(|r| r.extra = settings(more), pointer, code, severity);
    };
    check(|r| r.extra = "{}".into(), "/openstackAuthUrl", "required", Error);
    check(|r| r.extra = "{}".into(), "/openstackExternalNetwork", "required", Error);
    with(json!({"openstackAuthUrl": "http://auth.example.test/v3"}), "/openstackAuthUrl", "url", Error);
    with(json!({"openstackAuthUrl": 7}), "/openstackAuthUrl", "wrong-type", Error);
    with(json!({"openstackExternalNetwork": "x".repeat(256)}), "/openstackExternalNetwork", "name", Error);
    with(json!({"openstackImage": "x".repeat(256)}), "/openstackImage", "name", Error);
    with(json!({"openstackAvailabilityZone": "a b"}), "/openstackAvailabilityZone", "name", Error);
    with(json!({"openstackLoadBalancer": "haproxy"}), "/openstackLoadBalancer", "choice", Error);
    with(json!({"openstackLoadBalancer": "none"}), "/openstackLoadBalancer", "no-load-balancer", Warning);
    with(json!({"openstackLoadBalancerProvider": "A"}), "/openstackLoadBalancerProvider", "name", Error);
    with(json!({"openstackServerGroupPolicy": "affinity"}), "/openstackServerGroupPolicy", "choice", Error);
    with(json!({"openstackBootVolumeGiB": 5}), "/openstackBootVolumeGiB", "out-of-range", Error);
    with(json!({"openstackDnsServers": ["2001:db8::1"]}), "/openstackDnsServers", "addresses", Error);
    with(json!({"openstackFlavors": [{"cores": 2}]}), "/openstackFlavors", "wrong-type", Error);
    with(json!({"openstackFlavors": {}}), "/openstackFlavors", "wrong-type", Error);
    with(
        json!({"openstackFlavors": [{"name": "b3-32"}]}),
        "/regions/0/controlPlaneSize",
        "machine-type-not-there",
        Warning,
    );
    with(
        json!({"openstackFlavors": [{"name": "b3-16", "memoryGiB": 4}]}),
        "/regions/0/controlPlaneSize",
        "memory",
        Warning,
    );
    with(
        json!({"openstackFlavors": [{"name": "b3-16", "diskGiB": 0}]}),
        "/regions/0/controlPlaneSize",
        "no-disk",
        Error,
    );
    with(json!({"sshAllowedCidrs": ["x"]}), "/sshAllowedCidrs/0", "cidr", Error);
    with(json!({"sshAllowedCidrs": ["10.0.0.1/8"]}), "/sshAllowedCidrs/0", "cidr-inside", Warning);
    with(json!({"sshAllowedCidrs": ["2001:db8::/48"]}), "/sshAllowedCidrs/0", "ssh-ipv6", Warning);
    with(json!({"k3sVersion": "1.2"}), "/k3sVersion", "version", Error);
    with(json!({"gitopsPath": "../x"}), "/gitopsPath", "path", Error);
    with(json!({"enableFail2ban": "yes"}), "/enableFail2ban", "wrong-type", Error);
}

#[test]
fn t8_versions_that_do_not_go_together_are_told() {
    use Severity::{Error, Warning};
    let with = |more: Value, pointer: &str, code: &str, severity| {
        check(|r| r.extra = settings(more), pointer, code, severity);
    };
    with(json!({"fluxVersion": "v2.2.3"}), "/fluxVersion", "flux-too-old", Error);
    with(json!({"fluxVersion": "2.2.3"}), "/fluxVersion", "version", Error);
    with(json!({"fluxVersion": "v2.7.2"}), "/fluxVersion", "kubernetes-too-old", Warning);
    with(json!({"k3sVersion": "v1.27.1+k3s1"}), "/k3sVersion", "kubernetes-too-old", Warning);
}

/// Most clouds' Nova cannot read them, and says so in the middle of the apply.
#[test]
fn t13_a_key_of_a_fido_security_key_is_refused_with_the_reason() {
    let mut told = 0;
    for key in ssh_keys() {
        let request = DeploymentRequest { ssh_public_key: key.as_str().unwrap().to_owned(), ..solo() };
        let findings = Openstack::validate(&request);
        for finding in findings.iter().filter(|finding| finding.code == "ssh-fido-key") {
            assert!(request.ssh_public_key.starts_with("sk-") && finding.severity == Severity::Error, "{key}");
            assert!(
                finding.message.contains("FIDO") && finding.message.contains("give an ed25519"),
                "{}",
                finding.message
            );
            told += 1;
        }
        assert!(!request.ssh_public_key.starts_with("sk-") || findings.has_errors(), "{key}");
    }
    assert_eq!(told, 3);
}

/// How many there are, and what a flavour has, cannot be read from what the host left out.
#[test]
fn nothing_is_said_that_rests_on_what_the_host_left_out() {
    let mut request = plain();
    request.regions[0].control_plane_size = "SCS-2V-8".to_owned();
    request.extra = settings(json!({"openstackLoadBalancer": "none", "fluxVersion": "v2.7.2"}));
    let codes = |left_out: &[&str]| -> BTreeSet<String> {
        let left_out = LeftOut::new(left_out.iter().map(|pointer| (*pointer).to_owned()).collect());
        Openstack::validate_partial(&request, &left_out).iter().map(|finding| finding.code.clone()).collect()
    };
    let all: BTreeSet<String> =
        ["memory", "no-disk", "no-load-balancer", "kubernetes-too-old"].map(str::to_owned).into();
    assert_eq!(codes(&[]), all);
    for (pointer, gone) in [
        ("/regions/0/workerCount", vec!["memory"]),
        ("/haEnabled", vec!["memory", "no-load-balancer"]),
        ("/openstackBootVolumeGiB", vec!["no-disk"]),
        ("/openstackFlavors", vec!["memory", "no-disk"]),
        ("/k3sVersion", vec!["kubernetes-too-old"]),
    ] {
        assert_eq!(
            codes(&[pointer]),
            all.iter().filter(|code| !gone.contains(&code.as_str())).cloned().collect(),
            "{pointer}"
        );
    }
}

/// The one public address would end with its server.
#[test]
fn three_servers_without_a_load_balancer_are_refused() {
    let request = DeploymentRequest { ha_enabled: true, ..plain() };
    let findings = Openstack::validate(&request);
    assert!(has(&findings, "/openstackLoadBalancer", "ha-needs-load-balancer", Severity::Error), "{findings:?}");
}

#[test]
fn a_described_flavour_counts_before_its_name() {
    let mut request = solo();
    request.extra = settings(json!({"openstackFlavors": [{"name": "b3-8", "memoryGiB": 64}]}));
    request.regions[0].control_plane_size = "b3-8".to_owned();
    assert_eq!(Openstack::validate(&request), Findings::new());
}

#[test]
fn blank_fields_give_no_nonsense() {
    let blank = DeploymentRequest {
        org_name: String::new(),
        org_email: String::new(),
        sovereign_fqdn: String::new(),
        domain_mode: DomainMode::Pool,
        regions: Vec::new(),
        ssh_public_key: String::new(),
        extra: String::new(),
        ..solo()
    };
    let findings = Openstack::validate(&blank);
    let errors: Vec<_> = findings.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(errors, ["/openstackAuthUrl", "/openstackExternalNetwork"]);
}

#[test]
fn a_host_without_https_is_told_before_anything_is_created() {
    let render = |url: &str| Openstack::render(&solo(), &RenderContext { public_url: url.to_owned(), ..context() });
    assert!(has(&render("http://console.example.test").unwrap_err(), "", "public-url", Severity::Error));
    assert!(render("http://127.0.0.1:8080").is_ok());
}

#[test]
fn the_credential_is_two_secrets_of_the_request_and_the_probe_says_why_there_is_none() {
    let secrets = Openstack::describe().secrets;
    let source = |name: &str| secrets.iter().find(|s| s.name == name).unwrap().source.clone();
    let key = |key: &str| SecretSource::Request(key.to_owned());
    assert_eq!(source("openstack-credential-id"), key("openstackApplicationCredentialID"));
    assert_eq!(source("openstack-credential-secret"), key("openstackApplicationCredentialSecret"));
    assert!(Openstack::credential_probe(&Settings::default()).unwrap_err().contains("openstackAuthUrl"));
    assert!(matches!(Openstack::judge_credentials(&[]), Verdict::Unreachable(_)));
    serde_json::from_str::<Value>(&Openstack::describe().settings_schema).unwrap();
}

#[test]
fn costs_are_those_of_the_prices_given_and_else_not_known() {
    assert!(Openstack::estimate(&solo()).unwrap_err().contains("openstackFlavors"));
    let mut request = ha();
    let mut extra: Value = serde_json::from_str(&request.extra).unwrap();
    extra["openstackFlavors"] = json!([{"name": "SCS-4V-16", "monthlyCents": 6400}, {"name": "SCS-2V-8"}]);
    (extra["openstackCurrency"], extra["openstackPricesAsOf"]) = ("CHF".into(), "2026-11-01".into());
    request.extra = extra.to_string();
    let estimate = Openstack::estimate(&request).unwrap();
    let lines: Vec<_> = estimate.lines.iter().map(|line| (&*line.label, line.quantity, line.monthly_cents)).collect();
    assert_eq!(lines, [("control plane SCS-4V-16", 3, 6400)]);
    assert_eq!((estimate.currency.as_str(), estimate.as_of.as_str()), ("CHF", "2026-11-01"));
    assert!(estimate.unknown.iter().any(|line| line.contains("2 × worker SCS-2V-8")), "no price is made up");
    assert!(Openstack::estimate(&DeploymentRequest { extra: "{}".to_owned(), ..solo() }).is_err());
}

#[test]
fn f14_outputs_become_endpoints_and_a_missing_one_is_an_error() {
    let outputs = |ip: &str| -> Outputs {
        format!(
            r#"{{"control_plane_ip":{{"value":"203.0.113.9"}},"load_balancer_ip":{{"value":"{ip}"}},
                "sovereign_fqdn":{{"value":"acme.example.test"}},"console_url":{{"value":"https://console.acme.example.test"}}}}"#
        )
        .parse()
        .unwrap()
    };
    let endpoints = Openstack::read_outputs(&outputs("203.0.113.9")).unwrap();
    assert_eq!(endpoints.kubeconfig_hosts, ["203.0.113.9", "acme.example.test"]);
    assert!(Openstack::read_outputs(&outputs("")).unwrap_err().contains("load_balancer_ip"));
    assert!(Openstack::read_outputs(&"{}".parse().unwrap()).is_err());
}
