//! Tokens that an OpenID provider signed (RFC 7519, RFC 8725): issuer, audience, time and an algorithm of a list that holds
//! public-key signatures only. What the operator allowed decides, never what a token's head wishes.
//!
//! Whoever has seen one token can forge others that only a check of the signature tells from right ones. So those from peers
//! with many wrong tokens wait for it in a line of their own, where all of them together take little of one core.

use super::jwks::{Ages, Keys};
use super::jwt;
use super::known::{Known, Recall};
use super::line::Line;
use super::refuse::nonsense;
use super::token::digest;
use super::{Authenticator, Caller, Fault, Mode, OidcSettings, Standing, signatures};
use crate::outbound::Outbound;
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a checked token is taken without another check; its own end comes first.
const HOLDS: Duration = Duration::from_secs(60);
/// How much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// Signatures at once for suspect peers, and how many times as long as it took each place rests after one: together they take a
/// quarter of a core at most, whatever a check costs (RS256 0.02 ms, ES256 0.1 ms, ES384 1 ms).
const SUSPECT_AT_ONCE: usize = 2;
const REST: u32 = 7;
/// Shortest rest: a timer's step.
const LEAST_REST: Duration = Duration::from_millis(1);
/// Suspect tokens that may wait for that, for a quarter of a second or, with ES384, one; the next ones are told to come again.
/// A connection has one request at a time, so whoever wants to fill it needs so many of the host's connections.
const SUSPECT_WAITING: usize = 256;

/// Checks signed tokens.
pub struct Oidc {
    settings: OidcSettings,
    keys: Keys,
    known: Known,
    suspects: Line,
}

/// An algorithm that may be allowed; symmetric ones and `none` may not.
pub fn algorithm(word: &str) -> Option<Algorithm> {
    use Algorithm as A;
    let asymmetric = [A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512, A::ES256, A::ES384, A::EdDSA];
    asymmetric.into_iter().find(|known| format!("{known:?}") == word)
}

impl Oidc {
    /// A checker. Keys are fetched when the first token comes.
    pub fn new(settings: OidcSettings, outbound: Outbound) -> Self {
        signatures::install();
        let keys = Keys::new(outbound, settings.issuer.clone(), Ages::default());
        Self::with(settings, keys)
    }

    fn with(settings: OidcSettings, keys: Keys) -> Self {
        Self { settings, keys, known: Known::default(), suspects: Line::new(SUSPECT_AT_ONCE, SUSPECT_WAITING) }
    }

    async fn check(&self, token: &SecretValue, standing: Standing) -> Result<(Caller, Duration), Fault> {
        jwt::check_head(token)?;
        let head = decode_header(token.expose()).map_err(|_| Fault::Wrong("it is no signed JWT"))?;
        if !self.settings.algorithms.contains(&head.alg) {
            return Err(Fault::Wrong("its algorithm is not allowed"));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg, standing).await?;
        let place = match standing {
            Standing::Good => None,
            Standing::Suspect => Some(self.suspects.place().await.ok_or(Fault::Busy)?),
        };
        let begun = Instant::now();
        let proven = decode::<IgnoredAny>(token.expose(), &key, &self.rules(head.alg));
        if let Some(place) = place {
            place.rest(LEAST_REST.max(begun.elapsed() * REST));
        }
        proven.map_err(|error| Fault::Wrong(reason(error.kind())))?;
        let OidcSettings { issuer, audience, clients, groups_claim, scopes, .. } = &self.settings;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = jwt::claims(token, jwt::Expected { issuer, audience, clients }, now, LEEWAY)?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.trim().is_empty() {
            return Err(Fault::Wrong("it names nobody"));
        }
        let groups = groups(&claims, groups_claim);
        let scopes = scopes.scopes_of(subject, &groups);
        // A number of seconds that may have a fraction.
        let end = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        let left = Duration::try_from_secs_f64(end).unwrap_or(HOLDS.saturating_add(now)).saturating_sub(now);
        Ok((Caller::new(subject, Mode::Oidc, scopes).in_groups(&groups), left))
    }

    fn rules(&self, alg: Algorithm) -> Validation {
        let mut rules = Validation::new(alg);
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = LEEWAY.as_secs();
        rules
    }
}

#[async_trait]
impl Authenticator for Oidc {
    fn mode(&self) -> Mode {
        Mode::Oidc
    }

    async fn look(self: Arc<Self>) {
        self.keys.keep_fresh();
    }

    async fn prove(&self) -> Result<(), Fault> {
        self.keys.prove(&self.settings.algorithms).await
    }

    async fn identify(&self, token: &SecretValue, standing: Standing) -> Result<Caller, Fault> {
        nonsense(token)?;
        let digest = digest(token);
        let standing = match self.known.recall(&digest, Instant::now()) {
            Recall::Fresh(caller) => return Ok(caller),
            // It was right, so it does not stand behind what comes from the same address.
            Recall::Stale => Standing::Good,
            Recall::Nothing => standing,
        };
        let checked = self.check(token, standing).await;
        match &checked {
            Ok((caller, left)) => self.known.put(digest, caller.clone(), Instant::now(), (*left).min(HOLDS)),
            // From now on it is as wrong as any other.
            Err(Fault::Wrong(_)) => self.known.forget(&digest),
            Err(_) => {}
        }
        checked.map(|(caller, _)| caller)
    }
}

/// The groups of a claim: a list of words, or words between spaces as `scope` has them.
fn groups(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    match claims.get(claim) {
        Some(Value::Array(list)) => list.iter().filter_map(|group| Some(group.as_str()?.to_owned())).collect(),
        Some(Value::String(words)) => words.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is meant for another audience",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "it cannot be checked",
    }
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;
