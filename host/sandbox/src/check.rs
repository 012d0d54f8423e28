//! The rules that a plugin's answers have to keep before the host believes them.
//!
//! A plugin may be wrong or hostile. What it says of itself decides which keys are secrets, and what it renders becomes
//! files and code, so both are checked here, once, at the border. Texts never quote an answer.

mod arguments;
mod bundle;
mod descriptor;
mod schema;

pub(crate) use bundle::{bundle, files};
pub(crate) use descriptor::descriptor;
#[cfg(test)]
pub(crate) use descriptor::tests::{sample, secret};
pub(crate) use schema::{SchemaCost, TEXT_PER_VALUE, schema, values_in};

use catalyst_domain::Finding;
use catalyst_domain::host_name::covers;
use catalyst_domain::provider::{
    Advice, CloudService, Descriptor, Endpoints, Estimate, LeftoverSearch, Probe, SESSION_TOKEN, Verdict,
};

use crate::words::is_plain;

/// Items of one list in an answer.
const ITEMS: usize = 1000;

/// Findings of one request: more can't be read.
const FINDINGS: usize = 200;

/// Bytes of one text for a person.
const TEXT: usize = 8 * 1024;

/// Bytes of a name, an address, a host.
const NAME: usize = 256;

/// Probes of one credential check.
const PROBES: usize = 8;
/// Probes of one search for leftovers: lists of a project, page by page.
const SEARCH_PROBES: usize = 16;

/// A rule that an answer breaks.
pub(crate) type Checked = Result<(), String>;

pub(crate) fn findings(findings: &[Finding]) -> Checked {
    at_most("findings", findings.len(), FINDINGS)?;
    for finding in findings {
        short("a finding's pointer", &finding.pointer, NAME)?;
        if !(finding.pointer.is_empty() || finding.pointer.starts_with('/')) {
            return Err("a finding's pointer is not a JSON pointer".into());
        }
        short("a finding's code", &finding.code, NAME)?;
        short("a finding's message", &finding.message, TEXT)?;
    }
    Ok(())
}

/// Findings in place of a bundle have to refuse the request.
pub(crate) fn refusal(list: &[Finding]) -> Checked {
    findings(list)?;
    if list.iter().any(Finding::is_error) { Ok(()) } else { Err("no bundle, and no error among the findings".into()) }
}

pub(crate) fn endpoints(endpoints: &Endpoints) -> Checked {
    for (what, address) in
        [("the control plane's", &endpoints.control_plane_ip), ("the load balancer's", &endpoints.load_balancer_ip)]
    {
        if address.parse::<std::net::IpAddr>().is_err() {
            return Err(format!("{what} address is not an IP address"));
        }
    }
    at_most("kubeconfig hosts", endpoints.kubeconfig_hosts.len(), PROBES)?;
    for host in &endpoints.kubeconfig_hosts {
        if host.is_empty() || host.len() > NAME || host.contains(|c: char| c.is_whitespace() || "/@:?#".contains(c)) {
            return Err("a kubeconfig host is not a host name or an IPv4 address".into());
        }
    }
    plain("the console's URL", &endpoints.console_url, TEXT)
}

pub(crate) fn advice(advice: &Advice) -> Checked {
    short("what happened", &advice.what_happened, TEXT)?;
    short("what to do", &advice.what_to_do, TEXT)?;
    at_most("alternatives", advice.alternatives.len(), FINDINGS)?;
    for alternative in &advice.alternatives {
        short("an alternative's reason", &alternative.reason, TEXT)?;
        short("an alternative's region", alternative.region.as_deref().unwrap_or_default(), NAME)?;
        short("an alternative's machine type", alternative.machine_type.as_deref().unwrap_or_default(), NAME)?;
    }
    Ok(())
}

pub(crate) fn estimate(estimate: &Estimate) -> Checked {
    short("the currency", &estimate.currency, NAME)?;
    short("the date of the prices", &estimate.as_of, NAME)?;
    at_most("cost lines", estimate.lines.len(), FINDINGS)?;
    at_most("unknown costs", estimate.unknown.len(), FINDINGS)?;
    for text in estimate.lines.iter().map(|line| &line.label).chain(&estimate.unknown) {
        short("a cost line", text, TEXT)?;
    }
    Ok(())
}

/// The sender checks the URL again. Both go by the name alone: to which address it leads is the resolver's and the
/// proxy's business, so a descriptor may name no host that is an address or is known only around this host
/// (`descriptor::api_hosts`), and who holds the secret is proven by the certificate of the name.
pub(crate) fn probes(probes: &[Probe], descriptor: &Descriptor) -> Checked {
    at_most("probes", probes.len(), PROBES)?;
    let methods = ["GET", "HEAD", "POST"];
    if !probes.iter().all(|probe| methods.contains(&probe.method.as_str())) {
        return Err("a probe's method is none of GET, HEAD and POST".into());
    }
    probes.iter().try_for_each(|one| target(one, descriptor, &[]))
}

/// Probes of a search: it changes nothing, so it may only read. It may go to the services with which there is a session.
pub(crate) fn search_probes(probes: &[Probe], descriptor: &Descriptor, services: &[CloudService]) -> Checked {
    at_most("probes", probes.len(), SEARCH_PROBES)?;
    if !probes.iter().all(|probe| ["GET", "HEAD"].contains(&probe.method.as_str())) {
        return Err("a search may only read, and a probe's method is none of GET and HEAD".into());
    }
    probes.iter().try_for_each(|one| target(one, descriptor, services))
}

/// Where a probe goes, and with what.
fn target(probe: &Probe, descriptor: &Descriptor, services: &[CloudService]) -> Checked {
    short("a probe's URL", &probe.url, TEXT)?;
    let Some(host) = host_of(&probe.url) else {
        return Err("a probe's URL is not https at one of the declared API hosts".into());
    };
    // The cloud's own word, so it is compared as it stands, with its port.
    let is_service = services.iter().any(|service| host_of(&service.url) == Some(host));
    let is_declared = descriptor.api_hosts.iter().any(|allowed| covers(allowed, host));
    if !is_service && !is_declared {
        return Err("a probe's URL is not https at one of the declared API hosts".into());
    }
    if probe.url.contains("{{secret:") {
        return Err("a probe's URL holds a secret's placeholder".into());
    }
    at_most("headers of a probe", probe.headers.len(), FINDINGS)?;
    // A service of the catalogue is the cloud's own word: it is given what the cloud gave out, and nothing else.
    let in_body = |name: &str| is_declared && descriptor.secrets.iter().any(|secret| secret.name == name);
    let in_header = |name: &str| in_body(name) || (is_service && name == SESSION_TOKEN);
    probe.headers.iter().try_for_each(|(name, value)| header(name, value, in_header))?;
    let body = String::from_utf8_lossy(probe.body.as_deref().unwrap_or_default());
    placeholders(&body, in_body)
}

/// Host and port of an https URL, as they stand in it.
fn host_of(url: &str) -> Option<&str> {
    url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next())
}

fn header(name: &str, value: &str, may_have: impl Fn(&str) -> bool) -> Checked {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME || !name.chars().all(plain) {
        return Err("the name of a probe's header is not letters, digits and hyphens".into());
    }
    if value.len() > TEXT || value.chars().any(char::is_control) {
        return Err("a probe's header has a control character or is too long".into());
    }
    placeholders(value, may_have)
}

/// Every secret that a text asks for is one that it may have, by its name.
fn placeholders(text: &str, may_have: impl Fn(&str) -> bool) -> Checked {
    let mut asked = text.split("{{secret:").skip(1).filter_map(|rest| rest.split_once("}}"));
    if asked.all(|(name, _)| may_have(name)) {
        Ok(())
    } else {
        Err("a probe asks for a secret that the plugin did not declare, or that does not go to its host".into())
    }
}

pub(crate) fn verdict(verdict: &Verdict) -> Checked {
    let (Verdict::Accepted(text) | Verdict::Rejected(text) | Verdict::Unreachable(text)) = verdict;
    short("the verdict", text, TEXT)
}

pub(crate) fn leftovers(search: &LeftoverSearch) -> Checked {
    at_most("leftovers", search.found.len(), ITEMS)?;
    at_most("words on what was not searched", search.not_searched.len(), FINDINGS)?;
    for found in &search.found {
        short("a leftover's kind", &found.kind, NAME)?;
        short("a leftover's name", &found.name, NAME)?;
        short("a leftover's id", &found.id, NAME)?;
        short("a leftover's reason", &found.reason, TEXT)?;
    }
    search.not_searched.iter().try_for_each(|words| short("what was not searched", words, TEXT))
}

/// An answer in words where a value would be: an error that people read.
pub(crate) fn reason(text: &str) -> Checked {
    short("the reason", text, TEXT)
}

fn short(what: &str, text: &str, limit: usize) -> Checked {
    if text.len() > limit { Err(format!("{what} is longer than {limit} bytes")) } else { Ok(()) }
}

/// A short text of one line that is what it seems.
fn plain(what: &str, text: &str, limit: usize) -> Checked {
    short(what, text, limit)?;
    if text.chars().all(|c| is_plain(c) && !c.is_control()) {
        Ok(())
    } else {
        Err(format!("{what} has a control character"))
    }
}

fn at_most(what: &str, count: usize, limit: usize) -> Checked {
    if count > limit { Err(format!("{count} {what}, at most {limit} are allowed")) } else { Ok(()) }
}

/// Whether OpenTofu takes it as the name of a variable.
fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= NAME
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(url: &str) -> Probe {
        Probe { method: "GET".into(), url: url.into(), headers: Vec::new(), body: None }
    }

    #[test]
    fn a_probe_goes_only_where_the_plugin_said_it_would() {
        let mut descriptor = descriptor::tests::sample();
        descriptor.api_hosts = vec!["api.cloud.example".into()];
        assert_eq!(probes(&[probe("https://api.cloud.example/v1?x=1")], &descriptor), Ok(()));
        for url in [
            "http://api.cloud.example/",
            "https://api.cloud.example.evil.example/",
            "https://api.cloud.example@evil.example/",
            "https://api.cloud.example:8443/",
            "https://evil.example/https://api.cloud.example/",
            "https://api.cloud.example/{{secret:token}}",
        ] {
            assert!(probes(&[probe(url)], &descriptor).is_err(), "{url}");
        }
    }

    #[test]
    fn a_probe_carries_declared_secrets_in_plain_headers() {
        let mut descriptor = descriptor::tests::sample();
        descriptor.api_hosts = vec!["api.cloud.example".into()];
        let with = |name: &str, value: &str, body: Option<&str>| Probe {
            headers: vec![(name.into(), value.into())],
            body: body.map(|text| text.as_bytes().to_vec()),
            ..probe("https://api.cloud.example/")
        };
        assert_eq!(probes(&[with("X-Auth-Token", "{{secret:token}}", Some("{{secret:bearer}}"))], &descriptor), Ok(()));
        for (name, value, body) in [
            ("A", "{{secret:other}}", None),
            ("A", "{{secret:token}}{{secret:}}", None),
            ("A", "b", Some("{{secret:other}}")),
            ("{{secret:token}}", "b", None),
            ("A: b", "c", None),
            ("", "c", None),
            ("A", "b\r\nC: d", None),
        ] {
            assert!(probes(&[with(name, value, body)], &descriptor).is_err(), "{name} {value} {body:?}");
        }
    }

    #[test]
    fn a_search_may_only_read_and_asks_for_more_than_the_proof_of_a_credential() {
        let mut descriptor = sample();
        descriptor.api_hosts = vec!["api.cloud.example".into()];
        let with = |method: &str| Probe { method: method.into(), ..probe("https://api.cloud.example/v1") };
        for (method, proves, searches) in [
            ("GET", true, true),
            ("HEAD", true, true),
            ("POST", true, false),
            ("DELETE", false, false),
            ("PUT", false, false),
            ("PATCH", false, false),
            ("get", false, false),
        ] {
            assert_eq!(probes(&[with(method)], &descriptor).is_ok(), proves, "{method}");
            let found = search_probes(&[with("GET"), with(method)], &descriptor, &[]);
            assert_eq!(found.is_ok(), searches, "{method}");
            assert!(searches || found.unwrap_err().contains("may only read"), "{method}");
        }
        assert!(search_probes(&vec![with("GET"); SEARCH_PROBES], &descriptor, &[]).is_ok());
        assert!(search_probes(&vec![with("GET"); SEARCH_PROBES + 1], &descriptor, &[]).is_err());
        assert!(probes(&vec![with("GET"); PROBES + 1], &descriptor).is_err());
        assert!(search_probes(&[probe("https://evil.example/")], &descriptor, &[]).is_err());
    }

    #[test]
    fn t6_the_token_of_a_session_goes_to_services_of_the_cloud_alone_and_with_no_other_probe() {
        let mut descriptor = descriptor::tests::sample();
        descriptor.api_hosts = vec!["api.cloud.example".into()];
        let url = "https://compute.cloud.example:8774/v2.1".to_owned();
        let services = [CloudService { kind: "compute".into(), region: "r1".into(), url }];
        let header = |value: &str| vec![("X-Auth-Token".to_owned(), value.to_owned())];
        let with = |url: &str, value: &str| Probe { headers: header(value), ..probe(url) };
        let token = "{{secret:session.token}}";
        let service = with("https://compute.cloud.example:8774/v2.1/servers", token);
        assert_eq!(search_probes(std::slice::from_ref(&service), &descriptor, &services), Ok(()));
        assert_eq!(search_probes(&[with("https://api.cloud.example/", "x")], &descriptor, &services), Ok(()));
        let in_body = Probe { body: Some(token.into()), ..service.clone() };
        for refused in [
            with("https://api.cloud.example/", token),
            with("https://compute.cloud.example/v2.1", token),
            with("https://compute.cloud.example:8774.evil.example/", token),
            with("http://compute.cloud.example:8774/", token),
            with("https://compute.cloud.example:8774/?t={{secret:session.token}}", "x"),
            in_body,
        ] {
            assert!(search_probes(std::slice::from_ref(&refused), &descriptor, &services).is_err(), "{refused:?}");
        }
        assert!(search_probes(std::slice::from_ref(&service), &descriptor, &[]).is_err(), "there is no session");
        assert!(probes(&[service], &descriptor).is_err(), "it proves no credential");
    }

    #[test]
    fn a_declared_secret_goes_to_no_service_that_only_the_catalogue_names() {
        let mut descriptor = sample();
        descriptor.api_hosts = vec!["api.cloud.example".into()];
        let service = |url: &str| CloudService { kind: "compute".into(), region: "r1".into(), url: url.into() };
        let services = [service("https://api.cloud.example/v2"), service("https://evil.example/v2")];
        let checked = |url: &str, value: &str, body: Option<&str>| {
            let headers = vec![("X-Auth-Token".to_owned(), value.to_owned())];
            let one = Probe { headers, body: body.map(|text| text.as_bytes().to_vec()), ..probe(url) };
            search_probes(&[one], &descriptor, &services)
        };
        let (declared, token) = ("{{secret:token}}", "{{secret:session.token}}");
        assert_eq!(checked("https://evil.example/v2", token, None), Ok(()));
        for (value, body) in
            [(declared, None), ("x", Some(declared)), ("{{secret:session.token}}{{secret:token}}", None)]
        {
            assert!(checked("https://evil.example/v2", value, body).is_err(), "{value} {body:?}");
        }
        // A host that is both is trusted with both.
        assert_eq!(checked("https://api.cloud.example/v2", declared, Some(declared)), Ok(()));
        assert_eq!(checked("https://api.cloud.example/v2", token, None), Ok(()));
    }

    #[test]
    fn t6_what_a_search_found_is_bounded() {
        use catalyst_domain::RemainingResource;
        let found = |name: &str| RemainingResource {
            kind: "volume".into(),
            name: name.into(),
            id: "42".into(),
            reason: "it has the label".into(),
            named_by: None,
        };
        let search = |found: Vec<RemainingResource>, not_searched: Vec<String>| LeftoverSearch { found, not_searched };
        assert_eq!(leftovers(&search(vec![found("a")], vec!["networks".into()])), Ok(()));
        assert!(leftovers(&search(vec![found(&"a".repeat(NAME + 1))], Vec::new())).is_err());
        assert!(leftovers(&search(vec![found("a"); ITEMS + 1], Vec::new())).is_err());
        assert!(leftovers(&search(Vec::new(), vec!["x".repeat(TEXT + 1)])).is_err());
    }

    #[test]
    fn no_bundle_needs_a_reason() {
        assert!(refusal(&[]).is_err());
        assert!(refusal(&[Finding::warning("", "w", "only a warning")]).is_err());
        assert!(refusal(&[Finding::error("/region", "unknown-region", "no such region")]).is_ok());
    }

    #[test]
    fn endpoints_are_addresses_and_hosts() {
        let good = Endpoints {
            control_plane_ip: "192.0.2.1".into(),
            load_balancer_ip: "2001:db8::1".into(),
            kubeconfig_hosts: vec!["192.0.2.1".into(), "api.example.org".into()],
            console_url: "https://console.example.org".into(),
        };
        assert_eq!(endpoints(&good), Ok(()));
        assert!(endpoints(&Endpoints { load_balancer_ip: String::new(), ..good.clone() }).is_err());
        assert!(endpoints(&Endpoints { console_url: "https://a\u{1b}[2J".into(), ..good.clone() }).is_err());
        for host in ["", "a/b", "user@host", "host:6443", "a b"] {
            assert!(endpoints(&Endpoints { kubeconfig_hosts: vec![host.into()], ..good.clone() }).is_err(), "{host}");
        }
    }
}
