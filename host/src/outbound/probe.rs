//! Sends the requests by which a provider proves a credential, or searches its cloud for what a destroy left. The plugin names the
//! requests and never sees a secret; this file fills the secrets in, sends to declared hosts only, and takes the secrets out of what
//! comes back.

use super::{Call, HeaderMap, HeaderName, HeaderValue, Method, NamedBy, Outbound, SendError, Url};
use catalyst_domain::Secrets;
use catalyst_domain::provider::{Probe, ProbeResponse};
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of one round of probes.
#[derive(Debug, Clone, Copy)]
pub struct ProbeLimits {
    /// How many there may be; more is a flood.
    pub probes: usize,
    /// What they may do.
    pub methods: &'static [Method],
    /// Time that all of them share.
    pub budget: Duration,
    /// The most of it that one of them may take.
    pub each: Duration,
    /// What becomes of the round where one is not answered.
    pub unanswered: Unanswered,
    /// What a provider is given of each answer, in bytes (`wit/`).
    pub answer_bytes: usize,
}

/// What becomes of a round of probes where one is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It ends: all answers are needed.
    EndsRound,
    /// The probe has [`NO_ANSWER`], and the others are sent.
    IsTold,
}

/// Status of a probe to which no answer came, with a blank body (`wit/`).
pub const NO_ANSWER: u16 = 0;

/// Of the proof of a credential: the wizard waits for it.
/// Some clouds give a token for a POST.
const CREDENTIAL: ProbeLimits = ProbeLimits {
    probes: 8,
    methods: &[Method::GET, Method::HEAD, Method::POST],
    budget: Duration::from_secs(10),
    each: Duration::from_secs(10),
    unanswered: Unanswered::EndsRound,
    answer_bytes: 64 * 1024,
};

/// Of a search for what a destroy left: lists of a project, for which nobody waits at a screen.
/// It changes nothing, so whatever its plugin asks for, only reads are sent. A service that is silent takes a third of the time, so that
/// others are asked as well.
pub const LEFTOVER_SEARCH: ProbeLimits = ProbeLimits {
    probes: 16,
    methods: &[Method::GET, Method::HEAD],
    budget: Duration::from_secs(60),
    each: Duration::from_secs(20),
    unanswered: Unanswered::IsTold,
    answer_bytes: 256 * 1024,
};

/// Probes in a round that one service leaves without an answer before it is asked no more: each may take the time of a connection.
const SILENCES: usize = 2;

/// A token request is far smaller.
const MAX_BODY: usize = 64 * 1024;

/// Headers that decide where a request goes or how it is framed: the host's business.
const HOST_HEADERS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "proxy-authorization"];

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
const MASK: &[u8] = b"<redacted>";

/// Why a credential could not be probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The provider asked for something it may not; nothing was sent. A fault of the plugin.
    #[error("the provider's probe {index} is refused: {rule}")]
    Refused {
        /// Which one, from 0.
        index: usize,
        /// The rule it breaks.
        rule: String,
    },
    /// A value that a probe needs is absent, or can't stand in a header. Nothing was sent.
    #[error("the secret {name} {problem}")]
    Secret {
        /// The provider's name for it.
        name: String,
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// The cloud could not be asked.
    #[error("{host} could not be asked: {error}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why.
        error: SendError,
    },
}

/// As [`probe_within`], for the proof of a credential.
///
/// # Errors
/// As there.
pub async fn probe(
    outbound: &Outbound,
    probes: &[Probe],
    hosts: &[String],
    secrets: &Secrets,
) -> Result<Vec<ProbeResponse>, ProbeError> {
    probe_within(outbound, probes, hosts, secrets, CREDENTIAL).await
}

/// Sends `probes` in order and gives their answers in the same order. All of them are checked before the first is sent.
/// `hosts` are the descriptor's `api-hosts`: exact names, port 443 unless `name:port` is declared.
///
/// # Errors
/// [`ProbeError`]. The first probe without an answer ends the round where the limits say so; else it is an error only where none has one.
pub async fn probe_within(
    outbound: &Outbound,
    probes: &[Probe],
    hosts: &[String],
    secrets: &Secrets,
    limits: ProbeLimits,
) -> Result<Vec<ProbeResponse>, ProbeError> {
    let ProbeLimits { probes: most, budget, each, answer_bytes, unanswered, .. } = limits;
    if probes.len() > most {
        return Err(ProbeError::Refused { index: most, rule: format!("at most {most} may be sent") });
    }
    let deadline = Instant::now() + budget;
    let longest = secrets.values().map(|s| s.expose().len()).max().unwrap_or(0);
    let calls = probes
        .iter()
        .enumerate()
        .map(|(index, p)| prepare(index, p, hosts, secrets, limits.methods, answer_bytes + longest));
    let (mut answers, mut first_fault) = (Vec::with_capacity(probes.len()), None);
    let mut silent: Vec<(String, Option<u16>)> = Vec::new();
    let no_answer = || ProbeResponse { status: NO_ANSWER, body: Vec::new() };
    for mut call in calls.collect::<Result<Vec<_>, _>>()? {
        call.timeout = deadline.saturating_duration_since(Instant::now()).min(each);
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let service = (host.clone(), call.url.port_or_known_default());
        if silent.iter().filter(|one| **one == service).count() >= SILENCES {
            answers.push(no_answer());
            continue;
        }
        let answer = match outbound.send(call).await {
            Ok(answer) => {
                let mut body = masked(answer.body, secrets);
                body.truncate(answer_bytes);
                ProbeResponse { status: answer.status, body }
            }
            Err(error) if unanswered == Unanswered::EndsRound => return Err(ProbeError::Unreachable { host, error }),
            Err(error) => {
                tracing::warn!(host, %error, "a probe of a search had no answer");
                first_fault.get_or_insert(ProbeError::Unreachable { host, error });
                silent.push(service);
                no_answer()
            }
        };
        answers.push(answer);
    }
    match first_fault {
        // Why it is so is more than that no list was answered.
        Some(fault) if answers.iter().all(|answer| answer.status == NO_ANSWER) => Err(fault),
        _ => Ok(answers),
    }
}

fn prepare(
    index: usize,
    probe: &Probe,
    hosts: &[String],
    secrets: &Secrets,
    methods: &[Method],
    body_limit: usize,
) -> Result<Call, ProbeError> {
    let refused = |rule: &str| ProbeError::Refused { index, rule: rule.to_owned() };
    let url = target(&probe.url, hosts).map_err(|rule| refused(&rule))?;
    let Some(method) = methods.iter().find(|method| method.as_str() == probe.method) else {
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        return Err(refused(&format!("its method must be one of {}", names.join(", "))));
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &probe.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("a header's name is malformed"))?;
        if HOST_HEADERS.contains(&key.as_str()) {
            return Err(refused(&format!("the header {key} is the host's")));
        }
        let (filled, used) = fill(value.as_bytes(), secrets)?;
        let mut value = HeaderValue::from_bytes(&filled).map_err(|_| match used {
            Some(name) => ProbeError::Secret { name, problem: "has characters that can't stand in a header" },
            None => refused(&format!("the value of the header {key} is malformed")),
        })?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    let body = probe.body.as_deref().map(|b| fill(b, secrets)).transpose()?.map(|(b, _)| b);
    if body.as_ref().is_some_and(|b| b.len() > MAX_BODY) {
        return Err(refused("its body is over 64 KiB"));
    }
    // Each call gets what is left of the budget when it is sent.
    let timeout = Duration::ZERO;
    Ok(Call { named_by: NamedBy::Stranger, method: method.clone(), url, headers, body, timeout, body_limit })
}

/// The URL, if it may be called.
fn target(text: &str, hosts: &[String]) -> Result<Url, String> {
    if text.contains(OPEN) {
        return Err("a secret may not stand in the URL".to_owned());
    }
    let url = Url::parse(text).map_err(|e| format!("its URL is malformed: {e}"))?;
    if url.scheme() != "https" {
        return Err("its URL must be https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL may not carry credentials".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let declared = hosts.iter().any(|entry| {
        let entry = entry.to_ascii_lowercase();
        entry == format!("{host}:{port}") || (port == 443 && entry == host)
    });
    if declared { Ok(url) } else { Err(format!("{host}:{port} is not one of the declared hosts")) }
}

/// Replaces every placeholder in one pass, so that a value that looks like a placeholder stays as it is. Also gives the name
/// of a secret that was used.
fn fill(text: &[u8], secrets: &Secrets) -> Result<(Vec<u8>, Option<String>), ProbeError> {
    let mut out = Vec::with_capacity(text.len());
    let mut used = None;
    let mut rest = text;
    while let Some(start) = find(rest, OPEN.as_bytes()) {
        let after = &rest[start + OPEN.len()..];
        let Some(end) = find(after, CLOSE.as_bytes()) else { break };
        let name = String::from_utf8_lossy(&after[..end]).into_owned();
        let Some(value) = secrets.get(&name) else {
            return Err(ProbeError::Secret { name, problem: "has no value" });
        };
        out.extend_from_slice(&rest[..start]);
        out.extend_from_slice(value.expose().as_bytes());
        rest = &after[end + CLOSE.len()..];
        used = Some(name);
    }
    out.extend_from_slice(rest);
    Ok((out, used))
}

/// An answer may echo the credential, and a plugin must never see one. Longest first: one secret may begin another.
fn masked(mut body: Vec<u8>, secrets: &Secrets) -> Vec<u8> {
    let mut values: Vec<&[u8]> = secrets.values().map(|s| s.expose().as_bytes()).collect();
    values.sort_by_key(|v| std::cmp::Reverse(v.len()));
    for value in values {
        let mut out = Vec::with_capacity(body.len());
        let mut rest = body.as_slice();
        while let Some(at) = find(rest, value) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(MASK);
            rest = &rest[at + value.len()..];
        }
        out.extend_from_slice(rest);
        body = out;
    }
    body
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
