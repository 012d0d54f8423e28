//! Tokens that an OpenID provider signed (RFC 7519, RFC 8725): issuer, audience, time and an algorithm of a list that holds
//! public-key signatures only. What the operator allowed decides, never what a token's head wishes.

use super::jwks::{Ages, Keys};
use super::known::{Known, Recall};
use super::refuse::nonsense;
use super::token::digest;
use super::{Authenticator, Caller, Fault, Mode, OidcSettings, Standing, signatures};
use crate::outbound::Outbound;
use async_trait::async_trait;
use catalyst_domain::SecretValue;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a checked token is taken without another check; its own end comes first.
const HOLDS: Duration = Duration::from_secs(60);
/// How much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// Checks signed tokens.
pub struct Oidc {
    settings: OidcSettings,
    keys: Keys,
    known: Known,
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
        Self { settings, keys, known: Known::default() }
    }

    async fn check(&self, token: &SecretValue, standing: Standing) -> Result<(Caller, Duration), Fault> {
        let head = decode_header(token.expose()).map_err(|_| Fault::Wrong("it is no signed JWT"))?;
        if !self.settings.algorithms.contains(&head.alg) {
            return Err(Fault::Wrong("its algorithm is not allowed"));
        }
        // What it asks to be understood is not (RFC 7515, 4.1.11).
        if head.crit.is_some() || head.enc.is_some() {
            return Err(Fault::Wrong("it needs what is not understood"));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg, standing).await?;
        let claims = decode::<Claims>(token.expose(), &key, &self.rules(head.alg));
        let claims = claims.map_err(|error| Fault::Wrong(reason(error.kind())))?.claims;
        if claims.sub.trim().is_empty() {
            return Err(Fault::Wrong("it names nobody"));
        }
        let scopes = self.settings.scopes.scopes_of(&claims.sub, &groups(&claims.more, &self.settings.groups_claim));
        Ok((Caller::new(&claims.sub, Mode::Oidc, scopes), left(claims.exp)))
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
            Recall::Stale => Standing::Good,
            Recall::Nothing => standing,
        };
        let (caller, left) = self.check(token, standing).await?;
        self.known.put(digest, caller.clone(), Instant::now(), left.min(HOLDS));
        Ok(caller)
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    // A number of seconds that may have a fraction.
    exp: f64,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// How long a token with this end is still good.
fn left(exp: f64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::try_from_secs_f64(exp).unwrap_or(HOLDS.saturating_add(now)).saturating_sub(now)
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
