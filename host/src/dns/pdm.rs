//! The pool-domain manager's API (contract 6.1, 6.2), one method per call, one typed outcome per status. It exists so that
//! nobody else reads its statuses. It must not know retries, deployments or what our own API answers.

mod background;
mod error;
mod reserve;

#[cfg(test)]
mod reserve_tests;
#[cfg(test)]
mod tests;

pub use error::{PdmError, PdmFault};

use crate::outbound::{Answer, Call, HeaderMap, HeaderValue, Method, NamedBy, Outbound, Url};
use background::UnderWay;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A person waits at the wizard's input field (contract 1.4).
const CHECK_BUDGET: Duration = Duration::from_secs(5);
/// A person waits for the create (contract 1.6).
const RESERVE_BUDGET: Duration = Duration::from_secs(10);
/// The contract's timeout of its client; nobody waits.
const BUDGET: Duration = Duration::from_secs(15);
/// An answer is one small object.
const MAX_ANSWER: usize = 64 * 1024;
/// A listing of a pool: about 300 bytes for each name, so several thousand names.
const MAX_LISTING: usize = 2 * 1024 * 1024;

/// A name in a pool, lower-case and trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolName {
    /// Domain below which it lies, such as `example.org`.
    pub domain: String,
    /// Its one label.
    pub label: String,
}

impl PoolName {
    /// The name `label` below `domain`. Its form is not judged here; see [`super::lookup::Label`].
    pub fn new(domain: &str, label: &str) -> Self {
        Self { domain: domain.trim().to_lowercase(), label: label.trim().to_lowercase() }
    }

    /// The whole DNS name, without a final dot.
    pub fn fqdn(&self) -> String {
        format!("{}.{}", self.label, self.domain)
    }
}

/// Whether a name is free. The keys are those of the wire and may be passed on as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Availability {
    /// Whether it can be reserved.
    pub available: bool,
    /// A word for machines, such as `reserved-state`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The whole name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fqdn: String,
}

/// A reserved name. It lapses by itself, ten minutes after the call by default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Opaque; needed for the commit.
    pub reservation_token: String,
    /// RFC 3339; empty when the manager did not say.
    #[serde(default)]
    pub expires_at: String,
}

/// What a commit publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    /// Token of the reservation.
    pub reservation_token: String,
    /// The whole name.
    pub sovereign_fqdn: String,
    /// Address its records point at.
    pub load_balancer_ip: String,
}

/// How a commit was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// 200: the records are published.
    Published,
    /// 202: the name is ours for good, but writing its records failed.
    DnsPending {
        /// What the manager said, at most 256 bytes.
        said: String,
    },
}

/// How a release was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// 200: name and records are gone.
    Done,
    /// 404: there was nothing.
    Absent,
    /// 202: the name is free, but removing its records failed.
    DnsLeft {
        /// What the manager said, at most 256 bytes.
        said: String,
    },
}

/// State of a name that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllocationState {
    /// Held until it lapses.
    Reserved,
    /// Committed.
    Active,
    /// A word we do not know.
    #[serde(other)]
    Unknown,
}

/// A name that is taken, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Its label.
    pub subdomain: String,
    /// Its state.
    pub state: AllocationState,
    /// Who reserved it, in the words of the reserve call: the only lasting proof of whose it is.
    #[serde(default)]
    pub created_by: String,
    /// Token, while reserved.
    #[serde(default)]
    pub reservation_token: String,
}

#[derive(Deserialize)]
struct Listing {
    allocations: Vec<Allocation>,
}

/// The base URL can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("POOL_DOMAIN_MANAGER_URL is not an http or https URL")]
pub struct InvalidBase;

/// Parses the manager's base URL; a final slash does not matter.
///
/// # Errors
/// Anything but an absolute http or https URL.
pub fn base_url(text: &str) -> Result<Url, InvalidBase> {
    let mut url = Url::parse(text.trim()).map_err(|_| InvalidBase)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(InvalidBase);
    }
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
    }
    Ok(url)
}

/// The client. Cheap to clone; tries nothing twice.
#[derive(Clone, Debug)]
pub struct PdmClient {
    http: Outbound,
    base: Url,
    under_way: Arc<UnderWay>,
}

impl PdmClient {
    /// A client of the manager at `base`, as [`base_url`] gives it.
    pub fn new(http: Outbound, base: Url) -> Self {
        Self { http, base, under_way: Arc::default() }
    }

    /// Asks whether a name is free, within 5 s.
    ///
    /// # Errors
    /// [`PdmError`] for anything but a 200 with a verdict: an error's body is no verdict.
    pub async fn check(&self, name: &PoolName) -> Result<Availability, PdmError> {
        let mut url = self.url(name, "check");
        url.query_pairs_mut().append_pair("sub", &name.label);
        let answer = self.send("check", Method::GET, url, None, Limits(CHECK_BUDGET, MAX_ANSWER)).await?;
        match answer.status {
            200 => decode("check", &answer),
            _ => Err(PdmError::of_status("check", &answer)),
        }
    }

    /// Reserves a name, within 10 s. If the caller may go away, use [`PdmClient::reserve_detached`].
    ///
    /// # Errors
    /// [`PdmFault::Conflict`] when it is taken; others as they are.
    pub async fn reserve(&self, name: &PoolName, created_by: &str) -> Result<Reservation, PdmError> {
        let body = serde_json::json!({ "subdomain": name.label, "createdBy": created_by });
        let url = self.url(name, "reserve");
        let answer = self.send("reserve", Method::POST, url, Some(&body), Limits(RESERVE_BUDGET, MAX_ANSWER)).await?;
        match answer.status {
            201 => decode::<Reservation>("reserve", &answer)
                .and_then(|r| if r.reservation_token.is_empty() { Err(no_token(&answer)) } else { Ok(r) }),
            _ => Err(PdmError::of_status("reserve", &answer)),
        }
    }

    /// Makes a reservation lasting and publishes its records, within 15 s.
    ///
    /// # Errors
    /// [`PdmFault::Expired`], [`PdmFault::NotFound`], [`PdmFault::TokenMismatch`], [`PdmFault::AlreadyActive`],
    /// [`PdmFault::Refused`], and those that pass by themselves.
    pub async fn commit(&self, name: &PoolName, commit: &CommitRequest) -> Result<Committed, PdmError> {
        let body = serde_json::json!({
            "subdomain": name.label,
            "reservationToken": commit.reservation_token,
            "sovereignFQDN": commit.sovereign_fqdn,
            "loadBalancerIP": commit.load_balancer_ip,
        });
        let url = self.url(name, "commit");
        let answer = self.send("commit", Method::POST, url, Some(&body), Limits(BUDGET, MAX_ANSWER)).await?;
        match answer.status {
            200 => Ok(Committed::Published),
            202 => Ok(Committed::DnsPending { said: error::said(&answer) }),
            _ => Err(PdmError::of_status("commit", &answer)),
        }
    }

    /// Frees a name, whoever holds it: the call carries no proof. Use [`super::release::release`] for a deployment's own.
    ///
    /// # Errors
    /// [`PdmError`] for anything but 200, 202 and 404.
    pub async fn release(&self, name: &PoolName) -> Result<Released, PdmError> {
        let body = serde_json::json!({ "subdomain": name.label });
        let url = self.url(name, "release");
        let answer = self.send("release", Method::DELETE, url, Some(&body), Limits(BUDGET, MAX_ANSWER)).await?;
        match answer.status {
            200 => Ok(Released::Done),
            202 => Ok(Released::DnsLeft { said: error::said(&answer) }),
            404 => Ok(Released::Absent),
            _ => Err(PdmError::of_status("release", &answer)),
        }
    }

    /// Who holds a name; none when it is free.
    ///
    /// # Errors
    /// [`PdmError`]; a listing over 2 MiB is [`PdmFault::Unintelligible`].
    pub async fn holder(&self, name: &PoolName) -> Result<Option<Allocation>, PdmError> {
        let url = self.url(name, "list");
        let answer = self.send("list", Method::GET, url, None, Limits(BUDGET, MAX_LISTING)).await?;
        match answer.status {
            200 => {
                let listing: Listing = decode("list", &answer)?;
                Ok(listing.allocations.into_iter().find(|a| a.subdomain == name.label))
            }
            _ => Err(PdmError::of_status("list", &answer)),
        }
    }

    fn url(&self, name: &PoolName, call: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["api", "v1", "pool", name.domain.as_str(), call]);
        }
        url
    }

    async fn send(
        &self,
        call: &'static str,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
        Limits(timeout, body_limit): Limits,
    ) -> Result<Answer, PdmError> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let body = body.map(|b| b.to_string().into_bytes());
        let sent =
            self.http.send(Call { named_by: NamedBy::Operator, method, url, headers, body, timeout, body_limit }).await;
        sent.map_err(|e| PdmError::unreachable(call, &e))
    }
}

/// Time and bytes of one call.
struct Limits(Duration, usize);

fn decode<T: DeserializeOwned>(call: &'static str, answer: &Answer) -> Result<T, PdmError> {
    serde_json::from_slice(&answer.body).map_err(|_| PdmError::unintelligible(call, answer))
}

fn no_token(answer: &Answer) -> PdmError {
    PdmError::unintelligible("reserve", answer)
}
