//! Query strings as valid values: what is unknown, given twice or wrong is named, never passed over.

use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use catalyst_domain::Finding;
use std::collections::BTreeMap;

/// The parameters of a query string, each given once.
pub struct Query(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut all = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if all.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(wrong(&name, "given-twice", "it must be given once"));
            }
        }
        Ok(Self(all))
    }
}

impl Query {
    /// Takes one parameter out; a blank one counts as absent.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Refuses what is left.
    pub fn end(self) -> Result<(), ApiError> {
        match self.0.keys().next() {
            Some(name) => Err(wrong(name, "unknown-parameter", "this route has no such parameter")),
            None => Ok(()),
        }
    }
}

/// A 400 that names a parameter and the rule that it breaks.
pub fn wrong(name: &str, code: &str, rule: &str) -> ApiError {
    ApiError::Findings(vec![Finding::error(format!("?{name}"), code, format!("{name}: {rule}"))])
}
