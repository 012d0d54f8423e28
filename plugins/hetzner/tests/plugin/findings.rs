//! What a request is told before anything is created.

use crate::common::{context, ha, solo};
use catalyst_plugin_hetzner::Hetzner;
use catalyst_plugin_sdk::testing::bounds::ssh_keys;
use catalyst_plugin_sdk::{
    Asked, DeploymentRequest, Diagnostic, DomainMode, Findings, LeftOut, Outputs, ProbeResponse, Provisioner,
    RenderContext, SecretSource, Settings, Severity, Verdict,
};
use std::collections::BTreeSet;

fn has(findings: &Findings, pointer: &str, code: &str, severity: Severity) -> bool {
    findings.iter().any(|f| f.pointer == pointer && f.code == code && f.severity == severity)
}

#[track_caller]
fn check(change: impl FnOnce(&mut DeploymentRequest), pointer: &str, code: &str, severity: Severity) {
    let mut request = solo();
    change(&mut request);
    let findings = Hetzner::validate(&request);
    assert!(has(&findings, pointer, code, severity), "{pointer} {code} in {findings:?}");
    let rendered = Hetzner::render(&request, &context());
    assert_eq!(rendered.is_err(), findings.has_errors());
}

#[test]
fn a_good_request_has_no_findings() {
    assert_eq!(Hetzner::validate(&solo()), Findings::new());
    assert!(!Hetzner::validate(&ha()).has_errors());
}

#[test]
fn each_rule_has_its_finding_at_its_key() {
    use Severity::{Error, Warning};
    let slot = |key: &str| format!("/regions/0/{key}");
    check(|r| r.regions[0].cloud_region = "mars1".into(), &slot("cloudRegion"), "unknown-region", Error);
    check(|r| r.regions[0].control_plane_size = "t3.large".into(), &slot("controlPlaneSize"), "machine-type", Error);
    check(|r| r.regions[0].control_plane_size = "cx4242".into(), &slot("controlPlaneSize"), "machine-type", Error);
    check(|r| r.regions[0].worker_size = "CX43".into(), &slot("workerSize"), "machine-type", Error);
    check(|r| r.regions[0].worker_count = 51, &slot("workerCount"), "too-many-workers", Error);
    check(|r| r.regions[0].worker_count = -1, &slot("workerCount"), "negative", Error);
    check(|r| r.regions[0].provider = "nowhere".into(), &slot("provider"), "unknown-provider", Error);
    check(|r| r.ssh_public_key = "ssh-ed25519 AAAA".into(), "/sshPublicKey", "ssh-public-key", Error);
    check(|r| r.org_name = "a\u{1b}[2J".into(), "/orgName", "forbidden-character", Error);
    check(|r| r.org_name = "a\u{e000}".into(), "/orgName", "forbidden-character", Error);
    check(|r| r.org_name = "x".repeat(201), "/orgName", "too-long", Error);
    check(|r| r.org_email = "nobody".into(), "/orgEmail", "email", Error);
    check(|r| r.sovereign_fqdn = "a.1b".into(), "/sovereignFQDN", "dns-name", Error);
    check(|r| r.extra = "{}".into(), "/hetznerProjectID", "required", Error);
    check(|r| r.extra = r#"{"hetznerProjectID":"  "}"#.into(), "/hetznerProjectID", "required", Error);
    check(|r| r.extra = r#"{"hetznerProjectID":7}"#.into(), "/hetznerProjectID", "wrong-type", Error);
    let with = |setting: &str| format!(r#"{{"hetznerProjectID":"1",{setting}}}"#);
    check(|r| r.extra = with(r#""sshAllowedCidrs":["x"]"#), "/sshAllowedCidrs/0", "cidr", Error);
    check(|r| r.extra = with(r#""sshAllowedCidrs":["10.0.0.1/8"]"#), "/sshAllowedCidrs/0", "cidr-inside", Warning);
    check(|r| r.extra = with(r#""k3sVersion":"1.2""#), "/k3sVersion", "version", Error);
    check(|r| r.extra = with(r#""gitopsPath":"../x""#), "/gitopsPath", "path", Error);
    check(|r| r.extra = with(r#""enableFail2ban":"yes""#), "/enableFail2ban", "wrong-type", Error);
    check(
        |r| r.regions[0].control_plane_size = "cx42".into(),
        &slot("controlPlaneSize"),
        "machine-type-retired",
        Warning,
    );
    check(
        |r| r.regions[0].control_plane_size = "cx999".into(),
        &slot("controlPlaneSize"),
        "machine-type-retired",
        Warning,
    );
    check(|r| r.regions[0].control_plane_size = "cx23".into(), &slot("controlPlaneSize"), "memory", Warning);
    check(|r| r.regions[0].control_plane_size = "cax31".into(), &slot("controlPlaneSize"), "arm", Warning);
    check(|r| r.regions[0].cloud_region = "ash".into(), &slot("controlPlaneSize"), "machine-type-not-there", Warning);
    let long = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    check(|r| r.sovereign_fqdn = long, "/sovereignFQDN", "label-shortened", Warning);
}

#[test]
fn a_retired_type_names_its_successor_and_a_pointer_follows_the_form_of_the_request() {
    let request = DeploymentRequest {
        regions: Vec::new(),
        region: "fsn1".to_owned(),
        control_plane_size: "cx42".to_owned(),
        ..solo()
    };
    let findings = Hetzner::validate(&request);
    let retired = findings.iter().find(|f| f.code == "machine-type-retired").unwrap();
    assert_eq!(retired.pointer, "/controlPlaneSize");
    assert!(retired.message.contains("Take cx43"), "{}", retired.message);
    let unknown = DeploymentRequest { region: "mars1".to_owned(), ..request };
    assert!(has(&Hetzner::validate(&unknown), "/region", "unknown-region", Severity::Error));
}

/// Advice that names what is retired itself, or is not sold where the request goes, would be none.
#[test]
fn every_retired_type_has_a_current_successor_of_at_least_its_size() {
    let catalogue = Hetzner::describe().catalogue;
    let find = |name: &str| catalogue.machine_types.iter().find(|machine| machine.name == name).unwrap();
    let retired: Vec<_> = catalogue.machine_types.iter().filter(|machine| machine.retired).collect();
    assert!(retired.len() >= 9);
    for machine in retired {
        let next = find(machine.successor.as_deref().unwrap());
        assert!(
            !next.retired && next.memory_gib >= machine.memory_gib && next.arch == machine.arch,
            "{}",
            machine.name
        );
        let mut request = solo();
        request.regions[0].control_plane_size.clone_from(&machine.name);
        let findings = Hetzner::validate(&request);
        let told = findings.iter().find(|finding| finding.code == "machine-type-retired").unwrap();
        assert!(told.severity == Severity::Warning && told.message.contains(&next.name), "{}", told.message);
    }
}

/// Server types that a text names, but for the one that was asked for.
fn types_in(text: &str, asked: &str) -> BTreeSet<String> {
    let known: BTreeSet<String> = Hetzner::describe().catalogue.machine_types.into_iter().map(|m| m.name).collect();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| *word != asked);
    words.filter(|word| known.contains(*word)).map(str::to_owned).collect()
}

/// `cx22` in `ash` was told to take cx23, beside "Europe only".
#[test]
fn t15_what_is_advised_can_be_ordered_where_it_was_asked_for() {
    let catalogue = Hetzner::describe().catalogue;
    let further = ["cx99", "cx44", "cpx30", "ccx99", "cax99", "t3.large", ""].map(str::to_owned);
    let types: Vec<String> = catalogue.machine_types.iter().map(|m| m.name.clone()).chain(further).collect();
    let mut advised = 0;
    for region in &catalogue.regions {
        for name in &types {
            let mut request = solo();
            request.regions[0].cloud_region.clone_from(&region.id);
            request.regions[0].control_plane_size.clone_from(name);
            let mut with_workers = request.clone();
            (with_workers.regions[0].worker_size, with_workers.regions[0].worker_count) = (name.clone(), 2);
            // A blank one is the module's default.
            let asked = if name.is_empty() { "cx42" } else { name };
            for request in [request, with_workers] {
                for finding in Hetzner::validate(&request)
                    .iter()
                    .filter(|f| f.pointer != "/regions/0/workerSize" || !name.is_empty())
                {
                    for other in types_in(&finding.message, asked) {
                        advised += 1;
                        assert!(region.machine_types.contains(&other), "{name} in {}: {}", region.id, finding.message);
                    }
                }
            }
            let no_stock = Diagnostic {
                summary: "error during placement (resource_unavailable, 1d1d17e504e28a4c)".to_owned(),
                detail: String::new(),
                address: None,
            };
            let asked = Asked { region: region.id.clone(), control_plane_size: name.clone(), ..Asked::default() };
            for other in Hetzner::diagnose(&no_stock, &asked).alternatives {
                let place = other.region.as_ref().unwrap_or(&region.id);
                let there = catalogue.regions.iter().find(|region| region.id == *place).unwrap();
                let fits = other.machine_type.as_ref().is_none_or(|machine| there.machine_types.contains(machine));
                assert!(fits, "{name} in {}: {}", region.id, other.reason);
            }
        }
    }
    assert!(advised > 50, "{advised}");
}

#[test]
fn t15_a_type_that_is_retired_or_not_there_names_one_of_its_size_that_is() {
    let told = |name: &str, region: &str, code: &str| {
        let mut request = solo();
        (request.regions[0].control_plane_size, request.regions[0].cloud_region) = (name.to_owned(), region.to_owned());
        let findings = Hetzner::validate(&request);
        let of_code: Vec<String> = findings.iter().filter(|f| f.code == code).map(|f| f.message.clone()).collect();
        assert!(of_code.len() <= 1, "{of_code:?}");
        of_code.first().map(|words| types_in(words, name).into_iter().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    for (name, region, code, other) in [
        ("cx22", "ash", "machine-type-retired", "cpx22"),
        ("cx22", "nbg1", "machine-type-retired", "cx23"),
        ("cx42", "sin", "machine-type-retired", "cpx42"),
        ("cpx41", "hil", "machine-type-retired", "cpx42"),
        ("cx44", "hel1", "machine-type-retired", "cx43"),
        ("cx44", "ash", "machine-type-retired", "cpx42"),
        ("cx999", "fsn1", "machine-type-retired", ""),
        ("cx43", "ash", "machine-type-not-there", "cpx42"),
        ("cax41", "hil", "machine-type-not-there", "cpx62"),
        ("cpx22", "ash", "machine-type-not-there", ""),
        ("cx22", "mars1", "machine-type-retired", ""),
        ("cx23", "fsn1", "memory", "cx43"),
        ("cax11", "fsn1", "memory", "cax31"),
        ("cpx22", "sin", "memory", "cpx42"),
        ("cpx22", "mars1", "memory", ""),
    ] {
        assert_eq!(told(name, region, code), other, "{name} in {region}: {code}");
    }
}

#[test]
fn t8_versions_that_do_not_go_together_are_told() {
    use Severity::{Error, Warning};
    let with = |setting: &str| format!(r#"{{"hetznerProjectID":"1",{setting}}}"#);
    check(|r| r.extra = with(r#""fluxVersion":"v2.2.3""#), "/fluxVersion", "flux-too-old", Error);
    check(|r| r.extra = with(r#""fluxVersion":"2.2.3""#), "/fluxVersion", "version", Error);
    check(|r| r.extra = with(r#""fluxVersion":"v2.7.2""#), "/fluxVersion", "kubernetes-too-old", Warning);
    check(|r| r.extra = with(r#""k3sVersion":"v1.27.1+k3s1""#), "/k3sVersion", "kubernetes-too-old", Warning);
}

/// Both forms of FIDO keys are among those that plugin and module are held to alike.
#[test]
fn t13_keys_of_fido_security_keys_are_taken() {
    let fido: Vec<String> = ssh_keys()
        .iter()
        .filter_map(|key| key.as_str())
        .filter(|key| key.starts_with("sk-"))
        .map(str::to_owned)
        .collect();
    let taken =
        |key: &String| !Hetzner::validate(&DeploymentRequest { ssh_public_key: key.clone(), ..solo() }).has_errors();
    let types: BTreeSet<&str> = fido.iter().filter(|key| taken(key)).filter_map(|key| key.split(' ').next()).collect();
    assert_eq!(types, ["sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com"].into());
    assert!(!fido.iter().all(taken), "a key that was cut is refused");
}

/// How many there are cannot be read from what the host left out, and neither can which release.
#[test]
fn nothing_is_said_that_rests_on_what_the_host_left_out() {
    let mut request = solo();
    request.regions[0].control_plane_size = "cx23".to_owned();
    request.extra = r#"{"hetznerProjectID":"1","fluxVersion":"v2.7.2"}"#.to_owned();
    let codes = |left_out: &[&str]| -> BTreeSet<String> {
        let left_out = LeftOut::new(left_out.iter().map(|pointer| (*pointer).to_owned()).collect());
        Hetzner::validate_partial(&request, &left_out).iter().map(|finding| finding.code.clone()).collect()
    };
    let all: BTreeSet<String> = ["memory", "kubernetes-too-old"].map(str::to_owned).into();
    assert_eq!(codes(&[]), all);
    for (pointer, gone) in [
        ("/regions/0/workerCount", "memory"),
        ("/haEnabled", "memory"),
        ("/regions/0/controlPlaneSize", "memory"),
        ("/k3sVersion", "kubernetes-too-old"),
    ] {
        assert_eq!(codes(&[pointer]), all.iter().filter(|code| *code != gone).cloned().collect(), "{pointer}");
    }
}

#[test]
fn everything_is_said_at_once() {
    let mut request = solo();
    request.regions[0].cloud_region = "mars1".to_owned();
    request.regions[0].control_plane_size = "huge".to_owned();
    request.ssh_public_key = "nonsense".to_owned();
    request.extra = "{}".to_owned();
    let errors = Hetzner::validate(&request).iter().filter(|f| f.severity == Severity::Error).count();
    assert_eq!(errors, 4);
}

#[test]
fn blank_fields_give_no_nonsense() {
    let blank = DeploymentRequest {
        org_name: String::new(),
        org_email: String::new(),
        sovereign_fqdn: String::new(),
        domain_mode: DomainMode::Pool,
        pool_domain: String::new(),
        subdomain: String::new(),
        regions: Vec::new(),
        ssh_public_key: String::new(),
        extra: String::new(),
        ..solo()
    };
    let findings = Hetzner::validate(&blank);
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("project ID"));
}

#[test]
fn user_data_fits_whatever_the_request_may_hold() {
    let mut request = ha();
    request.org_name = "<".repeat(200);
    request.org_email = format!("{}@example.test", "&".repeat(241));
    request.sovereign_fqdn = format!("{0}.{0}.{0}.{1}.test", "a".repeat(50), "b".repeat(40));
    request.extra = r#"{"hetznerProjectID":"1"}"#.to_owned();
    let findings = Hetzner::validate(&request);
    assert!(!findings.has_errors(), "{findings:?}");
}

#[test]
fn a_host_without_https_is_told_before_anything_is_created() {
    let render = |url: &str| Hetzner::render(&solo(), &RenderContext { public_url: url.to_owned(), ..context() });
    assert!(has(&render("http://console.example.test").unwrap_err(), "", "public-url", Severity::Error));
    assert!(render("http://127.0.0.1:8080").is_ok());
}

#[test]
fn the_token_is_declared_as_the_contract_says() {
    let token = Hetzner::describe().secrets.into_iter().find(|s| s.name == "hetzner-token").unwrap();
    assert_eq!(token.source, SecretSource::Request("hetznerToken".to_owned()));
    assert_eq!((token.min_length, token.max_length, token.required), (64, 64, true));
    assert!(token.label.contains("hetzner token"));
    assert_eq!(token.refused_prefixes, ["demo-mode"]);
    let probe = &Hetzner::credential_probe(&Settings::parse("{}")).unwrap()[0];
    assert_eq!(probe.url, "https://api.hetzner.cloud/v1/servers?per_page=1");
    assert_eq!(probe.headers[0].value, "Bearer {{secret:hetzner-token}}");
    serde_json::from_str::<serde_json::Value>(&Hetzner::describe().settings_schema).unwrap();
}

#[test]
fn a_verdict_says_only_what_was_proven() {
    let judge = |status| Hetzner::judge_credentials(&[ProbeResponse { status, body: Vec::new() }]);
    let Verdict::Accepted(words) = judge(200) else { panic!("200 is accepted") };
    assert!(words.contains("for reading"));
    assert!(matches!(judge(401), Verdict::Rejected(_)) && matches!(judge(403), Verdict::Rejected(_)));
    assert!(matches!(judge(429), Verdict::Unreachable(_)) && matches!(judge(500), Verdict::Unreachable(_)));
    assert!(matches!(Hetzner::judge_credentials(&[]), Verdict::Unreachable(_)));
}

#[test]
fn costs_are_given_as_far_as_they_are_known() {
    let estimate = Hetzner::estimate(&solo()).unwrap();
    assert_eq!((estimate.lines[0].quantity, estimate.lines[0].monthly_cents), (1, 1849));
    let three = Hetzner::estimate(&ha()).unwrap();
    let lines: Vec<_> =
        three.lines.iter().map(|line| (line.label.as_str(), line.quantity, line.monthly_cents)).collect();
    assert_eq!(lines, [("control plane cx43", 3, 1849), ("worker cpx32", 2, 4199)]);
    assert_eq!((three.as_of, three.currency), (Hetzner::describe().catalogue.as_of, "USD".to_owned()));
    let retired = Hetzner::estimate(&{
        let mut request = solo();
        request.regions[0].control_plane_size = "cx42".to_owned();
        request
    });
    assert!(retired.unwrap().unknown.iter().any(|line| line.contains("cx42")), "no price is made up");
    for region in Hetzner::describe().catalogue.regions {
        let mut elsewhere = ha();
        elsewhere.regions[0].control_plane_size = "cpx42".to_owned();
        elsewhere.regions[0].cloud_region.clone_from(&region.id);
        let estimate = Hetzner::estimate(&elsewhere).unwrap();
        let known = if region.id == "fsn1" { 2 } else { 0 };
        assert_eq!((estimate.lines.len(), estimate.unknown.len()), (known, 3 - known), "{}", region.id);
    }
    assert!(Hetzner::estimate(&DeploymentRequest { extra: "{}".to_owned(), ..solo() }).is_err());
}

#[test]
fn f14_outputs_become_endpoints_and_a_missing_one_is_an_error() {
    let outputs = |ip: &str| -> Outputs {
        format!(
            r#"{{"control_plane_ip":{{"value":"203.0.113.7"}},"load_balancer_ip":{{"value":"{ip}"}},
                "sovereign_fqdn":{{"value":"acme.example.test"}},"console_url":{{"value":"https://console.acme.example.test"}}}}"#
        )
        .parse()
        .unwrap()
    };
    let endpoints = Hetzner::read_outputs(&outputs("203.0.113.9")).unwrap();
    assert_eq!(endpoints.kubeconfig_hosts, ["203.0.113.9", "203.0.113.7", "acme.example.test"]);
    assert!(Hetzner::read_outputs(&outputs("")).unwrap_err().contains("load_balancer_ip"));
    assert!(Hetzner::read_outputs(&"{}".parse().unwrap()).unwrap_err().contains("control_plane_ip"));
}
