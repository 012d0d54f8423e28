//! The rules that a plugin's answers have to keep before the host believes them.
//!
//! A plugin may be wrong or hostile. What it says of itself decides which keys are secrets, and what it renders becomes
//! files and code, so both are checked here, once, at the border. Texts never quote an answer.

mod arguments;
mod bundle;
mod descriptor;
mod probes;
mod schema;

pub(crate) use bundle::{bundle, files};
pub(crate) use descriptor::descriptor;
#[cfg(test)]
pub(crate) use descriptor::tests::{sample, secret};
pub(crate) use probes::{probes, search_probes};
pub(crate) use schema::{SchemaCost, TEXT_PER_VALUE, schema, values_in};

use catalyst_domain::Finding;
use catalyst_domain::provider::{Advice, Endpoints, Estimate, LeftoverSearch, Verdict};

use crate::words::is_plain;

/// Items of one list in an answer.
const ITEMS: usize = 1000;

/// Findings of one request: more can't be read.
const FINDINGS: usize = 200;

/// Bytes of one text for a person.
const TEXT: usize = 8 * 1024;

/// Bytes of a name, an address, a host.
const NAME: usize = 256;

/// Hosts that a kubeconfig may name.
const HOSTS: usize = 8;

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
    at_most("kubeconfig hosts", endpoints.kubeconfig_hosts.len(), HOSTS)?;
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
