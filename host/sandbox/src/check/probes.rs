//! The rules for what a plugin asks its cloud: where a probe may go, and with which secrets.

use super::{Checked, FINDINGS, NAME, TEXT, at_most, short};
use catalyst_domain::host_name::covers;
use catalyst_domain::provider::{CloudService, Descriptor, Probe, SESSION_TOKEN};

/// Probes of one credential check.
const PROBES: usize = 8;
/// Probes of one search for leftovers: lists of a project, page by page.
const SEARCH_PROBES: usize = 16;

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
    let is_service = services.iter().any(|service| is_below(&service.url, &probe.url));
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

/// Whether a URL is one of a service. Both are compared as they stand, with their ports; what is behind a version in the service's URL is
/// the service's as well. Several services may have one host.
fn is_below(service: &str, url: &str) -> bool {
    let service = service.trim_end_matches('/');
    let is_version = |segment: &str| {
        segment.strip_prefix('v').is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) && rest.chars().all(|c| c.is_ascii_digit() || c == '.')
        })
    };
    let root = service.rsplit_once('/').filter(|(_, last)| is_version(last)).map_or(service, |(root, _)| root);
    let goes_up = ["..", "%2e", "%2E", "\\"].iter().any(|up| url.contains(up));
    let rest = url.strip_prefix(root).filter(|_| root.starts_with("https://") && !goes_up);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::sample;

    fn probe(url: &str) -> Probe {
        Probe { method: "GET".into(), url: url.into(), headers: Vec::new(), body: None }
    }

    #[test]
    fn a_probe_goes_only_where_the_plugin_said_it_would() {
        let mut descriptor = sample();
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
        let mut descriptor = sample();
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
        let mut descriptor = sample();
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
            with("https://compute.cloud.example:8774@evil.example/", token),
            with("http://compute.cloud.example:8774/", token),
            with("https://compute.cloud.example:8774/?t={{secret:session.token}}", "x"),
            in_body,
        ] {
            assert!(search_probes(std::slice::from_ref(&refused), &descriptor, &services).is_err(), "{refused:?}");
        }
        assert!(search_probes(std::slice::from_ref(&service), &descriptor, &[]).is_err(), "there is no session");
        // Many clouds have all services on one host.
        let volume = |url: &str| CloudService { kind: "volumev3".into(), region: "r1".into(), url: url.into() };
        let shared = [volume("https://cloud.example/volume/v3/p1"), volume("https://cloud.example/lb/v2")];
        for (url, is_of_service) in [
            ("https://cloud.example/volume/v3/p1/volumes?limit=9", true),
            ("https://cloud.example/lb/v2.0/lbaas/loadbalancers", true),
            ("https://cloud.example/volume/v3/p2/volumes", false),
            ("https://cloud.example/key-manager/v1/secrets", false),
            ("https://cloud.example/lb/../key-manager/v1/secrets", false),
            ("https://cloud.example/lb/%2e%2e/key-manager", false),
            ("https://cloud.example/lbaas", false),
        ] {
            assert_eq!(search_probes(&[with(url, token)], &descriptor, &shared).is_ok(), is_of_service, "{url}");
        }
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
}
