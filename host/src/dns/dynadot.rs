//! Writes the six records of a Sovereign at Dynadot, for the stand-alone hook `catalyst dns` (contract 6.4). Key and secret
//! travel in the query, so no URL and no text that holds them may reach an error [H-18]. It must not know the environment
//! or the command line: its inputs come as a map, its results go back as lines.

#[cfg(test)]
mod tests;

use super::lookup::Label;
use super::managed::ManagedDomains;
use crate::outbound::{Answer, Call, HeaderMap, Method, NamedBy, Outbound, Url, excerpt};
use catalyst_domain::SecretValue;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

const API: &str = "https://api.dynadot.com/api3.json";
/// Five minutes: a moved load balancer is found soon, and resolvers are not asked all the time.
const TTL_SECONDS: &str = "300";
/// The contract's timeout of one call.
const CALL_BUDGET: Duration = Duration::from_secs(30);
/// The contract's budget of all six.
const BUDGET: Duration = Duration::from_secs(2 * 60);
/// An answer is one small object.
const MAX_ANSWER: usize = 64 * 1024;
/// How much of a foreign text an error repeats.
const MAX_SAID: usize = 256;
/// Labels of the six records below the subdomain; the order is that of writing.
const HOSTS: [&str; 6] = ["*", "console", "gitea", "harbor", "admin", "api"];

/// Why the records are not all written. No text holds key or secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// A variable is missing. Nothing was sent.
    #[error("{0} is required")]
    Missing(&'static str),
    /// A variable has a wrong form. Nothing was sent.
    #[error("{name} {rule}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// The rule it breaks.
        rule: String,
    },
    /// The domain is not ours. Nothing was sent.
    #[error("DOMAIN {0:?} is not in the managed-domain allowlist")]
    Unmanaged(String),
    /// A call failed; those before it are done.
    #[error("{record}: {cause}; {written} of {} records were written", HOSTS.len())]
    Record {
        /// The name it was for.
        record: String,
        /// What was said.
        cause: String,
        /// How many were written before it.
        written: usize,
    },
    /// The two minutes are over.
    #[error("not done within {0:?}; {1} of {n} records were written", n = HOSTS.len())]
    Budget(Duration, usize),
}

/// What the hook works with.
#[derive(Debug, Clone)]
pub struct Inputs {
    key: SecretValue,
    secret: SecretValue,
    domain: String,
    subdomain: String,
    address: Ipv4Addr,
    endpoint: String,
    budget: Duration,
}

impl Inputs {
    /// Reads `DYNADOT_API_KEY`, `DYNADOT_API_SECRET`, `DOMAIN`, `SUBDOMAIN`, `LB_IP`, and the managed domains from
    /// `DYNADOT_MANAGED_DOMAINS` and `DYNADOT_DOMAIN`. A blank value is a missing one.
    ///
    /// # Errors
    /// The first variable that is missing or wrong, or a domain that is not managed.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<Self, DnsError> {
        let optional = |name: &str| map.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let required = |name: &'static str| optional(name).ok_or(DnsError::Missing(name));
        let key = SecretValue::new(required("DYNADOT_API_KEY")?);
        let secret = SecretValue::new(required("DYNADOT_API_SECRET")?);
        let domain = required("DOMAIN")?.to_lowercase();
        let subdomain = required("SUBDOMAIN")?.to_lowercase();
        let address = required("LB_IP")?;
        let invalid = |name, rule: &str| DnsError::Invalid { name, rule: rule.to_owned() };
        if subdomain.split('.').any(|label| Label::parse(label).is_err()) {
            return Err(invalid("SUBDOMAIN", "must be a DNS label, such as acme"));
        }
        let address = address.parse().map_err(|_| invalid("LB_IP", "must be an IPv4 address"))?;
        let managed = ManagedDomains::from_config(optional("DYNADOT_MANAGED_DOMAINS"), optional("DYNADOT_DOMAIN"));
        if !managed.contains(&domain) {
            return Err(DnsError::Unmanaged(domain));
        }
        Ok(Self { key, secret, domain, subdomain, address, endpoint: API.to_owned(), budget: BUDGET })
    }

    /// The same inputs for another endpoint with the same API, for rehearsals and tests.
    #[must_use]
    pub fn with_endpoint(self, endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), ..self }
    }
}

/// Writes the six A records one after the other and gives a line for each. The first failure ends it. Records that exist are
/// kept: every call appends.
///
/// # Errors
/// [`DnsError::Record`] or [`DnsError::Budget`], both saying how many were written.
pub async fn run(inputs: Inputs, http: &Outbound) -> Result<Vec<String>, DnsError> {
    let mut lines = Vec::with_capacity(HOSTS.len());
    match tokio::time::timeout(inputs.budget, write_all(&inputs, http, &mut lines)).await {
        Ok(outcome) => outcome.map(|()| lines),
        Err(_) => Err(DnsError::Budget(inputs.budget, lines.len())),
    }
}

async fn write_all(inputs: &Inputs, http: &Outbound, lines: &mut Vec<String>) -> Result<(), DnsError> {
    for host in HOSTS {
        let subdomain = format!("{host}.{}", inputs.subdomain);
        let record = format!("{subdomain}.{}", inputs.domain);
        if let Err(cause) = append(inputs, http, &subdomain).await {
            return Err(DnsError::Record { record, cause, written: lines.len() });
        }
        lines.push(format!("{record} A {}", inputs.address));
    }
    Ok(())
}

async fn append(inputs: &Inputs, http: &Outbound, subdomain: &str) -> Result<(), String> {
    let url = record_url(inputs, subdomain)?;
    let call = Call {
        named_by: NamedBy::Operator,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: None,
        timeout: CALL_BUDGET,
        body_limit: MAX_ANSWER,
    };
    let answer = http.send(call).await.map_err(|e| e.to_string())?;
    verdict(&answer, inputs)
}

/// The call that appends one A record; `""` and `@` stand for the domain itself.
fn record_url(inputs: &Inputs, subdomain: &str) -> Result<Url, String> {
    let mut url = Url::parse(&inputs.endpoint).map_err(|_| "the endpoint is not a URL".to_owned())?;
    let address = inputs.address.to_string();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("key", inputs.key.expose())
        .append_pair("secret", inputs.secret.expose())
        .append_pair("command", "set_dns2")
        .append_pair("domain", &inputs.domain)
        // Without it the call replaces the whole zone.
        .append_pair("add_dns_to_current_setting", "yes");
    if matches!(subdomain, "" | "@") {
        query
            .append_pair("main_record_type0", "a")
            .append_pair("main_record0", &address)
            .append_pair("main_recordx0", TTL_SECONDS);
    } else {
        query
            .append_pair("subdomain0", subdomain)
            .append_pair("sub_record_type0", "a")
            .append_pair("sub_record0", &address)
            .append_pair("sub_recordx0", TTL_SECONDS);
    }
    drop(query);
    Ok(url)
}

/// Success is status 200 with a header that says success or code 0.
fn verdict(answer: &Answer, inputs: &Inputs) -> Result<(), String> {
    // Scrubbed before it is cut: half a secret is still one.
    let said = |text: &str| excerpt(scrub(text, inputs).as_bytes(), MAX_SAID);
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        return Err(format!("Dynadot answered status {}: {}", answer.status, said(&text)));
    }
    let body: Value =
        serde_json::from_str(&text).map_err(|_| format!("Dynadot's answer is not JSON: {}", said(&text)))?;
    let header = &body["SetDns2Response"]["ResponseHeader"];
    let field = |key: &str| match &header[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let (status, code) = (field("Status"), field("ResponseCode"));
    if status.eq_ignore_ascii_case("success") || code == "0" {
        return Ok(());
    }
    if header.is_null() {
        return Err(format!("Dynadot's answer has no header: {}", said(&text)));
    }
    let error = said(&field("Error"));
    Err(format!("Dynadot refused: code {:?}, status {:?}, error {error:?}", said(&code), said(&status)))
}

/// Takes key and secret out of a text, plain or as a query holds them: an answer may echo the request.
fn scrub(text: &str, inputs: &Inputs) -> String {
    [&inputs.key, &inputs.secret].into_iter().fold(text.to_owned(), |text, value| {
        let plain = value.expose();
        let encoded: String = url_form(plain);
        text.replace(plain, "<redacted>").replace(&encoded, "<redacted>")
    })
}

fn url_form(value: &str) -> String {
    let Ok(mut url) = Url::parse("http://x") else { return value.to_owned() };
    url.query_pairs_mut().append_key_only(value);
    url.query().unwrap_or(value).to_owned()
}
