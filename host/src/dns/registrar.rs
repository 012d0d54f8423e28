//! Passes calls to a registrar through the pool-domain manager (contract 1.13, 6.3). The body holds the customer's registrar
//! token: it is forwarded byte for byte, never kept, never logged, and no error repeats any of it.

#[cfg(test)]
mod tests;

use crate::outbound::{Call, HeaderMap, HeaderValue, Method, NamedBy, Outbound, SendError, Url};
use catalyst_domain::json::{self, JsonError};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An answer is one small object; a larger one is not passed on cut short.
const MAX_ANSWER: usize = 64 * 1024;

/// A registrar that the manager may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Registrar {
    /// Cloudflare.
    Cloudflare,
    /// Namecheap.
    Namecheap,
    /// GoDaddy.
    Godaddy,
    /// OVH.
    Ovh,
    /// Dynadot.
    Dynadot,
}

impl Registrar {
    /// All of them, for an answer that names what is supported.
    pub const ALL: [Self; 5] = [Self::Cloudflare, Self::Namecheap, Self::Godaddy, Self::Ovh, Self::Dynadot];

    /// Its name in a path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Namecheap => "namecheap",
            Self::Godaddy => "godaddy",
            Self::Ovh => "ovh",
            Self::Dynadot => "dynadot",
        }
    }
}

impl fmt::Display for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The registrar is not one of the five: 404 `unsupported-registrar`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the registrar must be one of cloudflare, namecheap, godaddy, ovh, dynadot")]
pub struct UnsupportedRegistrar;

impl FromStr for Registrar {
    type Err = UnsupportedRegistrar;

    /// In any case, with white space around it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_lowercase();
        Self::ALL.into_iter().find(|r| r.as_str() == name).ok_or(UnsupportedRegistrar)
    }
}

/// What is asked of a registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Whether the token reaches the domain. Changes nothing.
    Validate,
    /// Point the domain at nameservers.
    SetNameservers,
}

impl Action {
    fn path(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::SetNameservers => "set-ns",
        }
    }

    /// The contract's budgets: writing at a registrar is slow.
    fn timeout(self) -> Duration {
        match self {
            Self::Validate => Duration::from_secs(15),
            Self::SetNameservers => Duration::from_secs(30),
        }
    }
}

/// What is wrong with the body of a validate. The texts repeat nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// 400 `invalid-body`.
    #[error("the body must be a JSON object with the strings domain and token")]
    InvalidBody,
    /// 400 `invalid-body`: the manager might read another one of the values.
    #[error("{0}")]
    Duplicate(JsonError),
    /// 422 `missing-domain`.
    #[error("domain is required")]
    MissingDomain,
    /// 422 `missing-token`.
    #[error("token is required")]
    MissingToken,
}

impl BodyFault {
    /// The contract's word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidBody | Self::Duplicate(_) => "invalid-body",
            Self::MissingDomain => "missing-domain",
            Self::MissingToken => "missing-token",
        }
    }
}

/// Refuses a body that gives a key more than once. What is no JSON is the manager's to judge.
///
/// # Errors
/// [`BodyFault::Duplicate`].
pub fn refuse_duplicates(body: &[u8]) -> Result<(), BodyFault> {
    match json::first_value(body) {
        Err(error @ JsonError::Duplicate(_)) => Err(BodyFault::Duplicate(error)),
        _ => Ok(()),
    }
}

/// Checks the body of a validate and gives its domain, trimmed, which may be logged.
///
/// # Errors
/// [`BodyFault`], in the contract's order.
pub fn domain_to_validate(body: &[u8]) -> Result<String, BodyFault> {
    let fields = match json::first_value(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => serde_json::Map::new(),
        Err(error @ JsonError::Duplicate(_)) => return Err(BodyFault::Duplicate(error)),
        _ => return Err(BodyFault::InvalidBody),
    };
    let text = |key: &str| match fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, value)| value) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(Value::Null) | None => Ok(""),
        Some(_) => Err(BodyFault::InvalidBody),
    };
    let (domain, token) = (text("domain")?, text("token")?);
    if domain.trim().is_empty() {
        return Err(BodyFault::MissingDomain);
    }
    // Not trimmed: what a registrar takes for a token is not ours to say.
    if token.is_empty() {
        return Err(BodyFault::MissingToken);
    }
    Ok(domain.trim().to_owned())
}

/// What the manager answered, to be passed on as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct PassedOn {
    /// Status.
    pub status: u16,
    /// Body; JSON by the manager's contract.
    pub body: Vec<u8>,
}

impl fmt::Debug for PassedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A registrar may echo what it was sent.
        write!(f, "PassedOn {{ status: {}, body: {} bytes }}", self.status, self.body.len())
    }
}

/// Why nothing can be passed on: 502 `pdm-unreachable`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// No answer.
    #[error("the pool-domain manager did not answer: {0}")]
    Unreachable(SendError),
    /// An answer over 64 KiB.
    #[error("the pool-domain manager's answer is over 64 KiB")]
    TooLarge,
}

/// Forwards `body` as it is to the manager at `base` (see [`super::pdm::base_url`]). The caller bounds its size.
///
/// # Errors
/// [`ForwardError`] when there is no whole answer. Every status is an answer.
pub async fn forward(
    http: &Outbound,
    base: &Url,
    registrar: Registrar,
    action: Action,
    body: Vec<u8>,
) -> Result<PassedOn, ForwardError> {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(["api", "v1", "registrar", registrar.as_str(), action.path()]);
    }
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let call = Call {
        named_by: NamedBy::Operator,
        method: Method::POST,
        url,
        headers,
        body: Some(body),
        timeout: action.timeout(),
        body_limit: MAX_ANSWER,
    };
    let answer = http.send(call).await.map_err(ForwardError::Unreachable)?;
    if answer.truncated {
        return Err(ForwardError::TooLarge);
    }
    Ok(PassedOn { status: answer.status, body: answer.body })
}
