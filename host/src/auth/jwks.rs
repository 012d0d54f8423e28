//! The public keys of an OpenID provider (OpenID Connect Discovery 1.0, RFC 7517): fetched when they are first needed,
//! again when a token names another key or they are old, and never more often than every few seconds, whoever asks.
//!
//! A fetch is a task of its own: who asked for it may hang up, and it still ends. Keys that are old go on proving tokens
//! while it goes on or fails, for a bounded time; only who names a key that is not there waits for it.

use super::{Fault, Standing};
use crate::outbound::{Call, HeaderMap, Method, NamedBy, Outbound, Url};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

/// Age at which keys are fetched again, so that one that was withdrawn does not work for long.
const OLD: Duration = Duration::from_secs(3600);
/// Age up to which keys are still used where new ones cannot be fetched.
const TOO_OLD: Duration = Duration::from_secs(24 * 3600);
/// Shortest time between two tries.
const BETWEEN: Duration = Duration::from_secs(10);
/// Budget of one call; there are two.
const BUDGET: Duration = Duration::from_secs(5);
/// Largest answer in bytes: providers with many keys and certificate chains have some 20 KiB.
const LARGEST: usize = 256 * 1024;
/// Keys that are kept of a set.
const MOST: usize = 64;

/// How old keys may get.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// From when on they are fetched again.
    pub old: Duration,
    /// From when on they prove nothing.
    pub too_old: Duration,
    /// Shortest time between two tries.
    pub between: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self { old: OLD, too_old: TOO_OLD, between: BETWEEN }
    }
}

/// The keys. Cheap to share.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    outbound: Outbound,
    issuer: String,
    ages: Ages,
    set: RwLock<Option<Set>>,
    /// When they were last tried to fetch, held by the task that does.
    tried: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
struct Set {
    keys: Arc<Vec<Jwk>>,
    fetched: Instant,
}

impl Keys {
    /// Keys of this issuer. Nothing is fetched yet.
    pub fn new(outbound: Outbound, issuer: String, ages: Ages) -> Self {
        Self(Arc::new(Inner { outbound, issuer, ages, set: RwLock::default(), tried: Arc::default() }))
    }

    /// The key of a token's head.
    ///
    /// # Errors
    /// [`Fault::Wrong`] when the provider has no such key, [`Fault::Unavailable`] when nobody could tell.
    pub async fn find(&self, kid: Option<&str>, alg: Algorithm, standing: Standing) -> Result<DecodingKey, Fault> {
        let before = self.0.usable();
        if let Some(key) = before.as_ref().and_then(|set| set.find(kid, alg)) {
            self.keep_fresh();
            return decoding(&key);
        }
        // Who tries many tokens waits for no key that is not there yet.
        if before.is_some() && standing == Standing::Suspect {
            return Err(Fault::Wrong("its key is not known"));
        }
        let fetched = self.fetch_once(before.map(|set| set.fetched)).await;
        let set = self.0.usable();
        match (set.as_ref().and_then(|set| set.find(kid, alg)), set, fetched) {
            (Some(key), _, _) => decoding(&key),
            (None, Some(_), _) => Err(Fault::Wrong("its key is not known")),
            (None, None, Err(why)) => Err(Fault::Unavailable(why)),
            (None, None, Ok(())) => {
                Err(Fault::Unavailable("the keys of the OpenID provider could not be fetched a moment ago".to_owned()))
            }
        }
    }

    /// Fetches the keys, and sees whether one could prove a token of these algorithms.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] where none could.
    pub async fn prove(&self, algorithms: &[Algorithm]) -> Result<(), Fault> {
        let keys = self.0.fetch().await.map_err(Fault::Unavailable)?;
        if keys.iter().any(|key| algorithms.iter().any(|alg| fits(key, *alg))) {
            return Ok(());
        }
        let none = "the OpenID provider has no key for the algorithms that CATALYST_OIDC_ALGORITHMS allows";
        Err(Fault::Unavailable(none.to_owned()))
    }

    /// Begins to fetch keys that are old, and waits for nothing.
    pub fn keep_fresh(&self) {
        let Some(old) = self.0.set().filter(|set| set.fetched.elapsed() >= self.0.ages.old) else { return };
        // Held: somebody fetches just now.
        if let Ok(tried) = self.0.tried.clone().try_lock_owned() {
            drop(self.begin(tried, Some(old.fetched)));
        }
    }

    /// Fetches the keys unless somebody else just did. `seen` is when those that will not do were fetched.
    async fn fetch_once(&self, seen: Option<Instant>) -> Result<(), String> {
        let tried = self.0.tried.clone().lock_owned().await;
        match self.begin(tried, seen) {
            Some(fetching) => fetching.await.unwrap_or_else(|_| Err("the fetch of the keys broke".to_owned())),
            None => Ok(()),
        }
    }

    /// The fetch as a task, where there is a reason for one.
    fn begin(
        &self,
        mut tried: OwnedMutexGuard<Option<Instant>>,
        seen: Option<Instant>,
    ) -> Option<JoinHandle<Result<(), String>>> {
        let newer = self.0.set().is_some_and(|set| Some(set.fetched) != seen);
        if newer || tried.is_some_and(|at| at.elapsed() < self.0.ages.between) {
            return None;
        }
        *tried = Some(Instant::now());
        let inner = self.0.clone();
        Some(tokio::spawn(async move {
            let _nobody_else_meanwhile = tried;
            inner.renew().await
        }))
    }
}

impl Inner {
    fn set(&self) -> Option<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, as long as they prove anything.
    fn usable(&self) -> Option<Set> {
        self.set().filter(|set| set.fetched.elapsed() < self.ages.too_old)
    }

    async fn renew(&self) -> Result<(), String> {
        let keys =
            self.fetch().await.inspect_err(|why| tracing::warn!(error = why, "no keys of the OpenID provider"))?;
        tracing::info!(keys = keys.len(), "keys of the OpenID provider were fetched");
        let set = Set { keys: Arc::new(keys), fetched: Instant::now() };
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(set);
        Ok(())
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, String> {
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Discovery = self.get(&discovery, "the OpenID provider's configuration").await?;
        // Its name is what tokens are held to, so it must be its own (Discovery 4.3).
        if found.issuer != self.issuer {
            return Err("the OpenID provider calls itself by another name than CATALYST_OIDC_ISSUER".to_owned());
        }
        let set: RawSet = self.get(&found.jwks_uri, "the OpenID provider's keys").await?;
        // One key that cannot be read does not spoil the others.
        let keys = set.keys.into_iter().take(MOST).filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.filter(is_public).collect())
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, url: &str, what: &str) -> Result<T, String> {
        let url: Url = url.parse().map_err(|_| format!("{what}: their address is no URL"))?;
        if !is_private_on_the_way(&url) {
            return Err(format!("{what}: their address must be https"));
        }
        let call = Call {
            named_by: NamedBy::Operator,
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout: BUDGET,
            body_limit: LARGEST,
        };
        let answer = self.outbound.send(call).await.map_err(|error| format!("{what}: {error}"))?;
        if answer.status != 200 || answer.truncated {
            return Err(format!("{what}: it answered {} with {} bytes", answer.status, answer.body.len()));
        }
        serde_json::from_slice(&answer.body).map_err(|_| format!("{what}: it answered something else"))
    }
}

/// Whether nobody on the way can change what comes from there.
pub fn is_private_on_the_way(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

impl Set {
    /// The key of this name; without a name, the only one that fits.
    fn find(&self, kid: Option<&str>, alg: Algorithm) -> Option<Jwk> {
        let mut fitting = self.keys.iter().filter(|key| fits(key, alg));
        match kid {
            Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
            None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
        }
    }
}

fn decoding(key: &Jwk) -> Result<DecodingKey, Fault> {
    DecodingKey::from_jwk(key).map_err(|_| Fault::Wrong("its key cannot be used"))
}

fn is_public(key: &Jwk) -> bool {
    let for_signatures = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    for_signatures && !matches!(key.algorithm, AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_))
}

/// Whether a key is of the kind, and where it says so of the algorithm, that a token's head names.
fn fits(key: &Jwk, alg: Algorithm) -> bool {
    let kind = match (&key.algorithm, alg.family()) {
        (AlgorithmParameters::RSA(_), AlgorithmFamily::Rsa) => true,
        (AlgorithmParameters::EllipticCurve(of), AlgorithmFamily::Ec) => match of.curve {
            EllipticCurve::P256 => alg == Algorithm::ES256,
            EllipticCurve::P384 => alg == Algorithm::ES384,
            _ => false,
        },
        (AlgorithmParameters::OctetKeyPair(of), AlgorithmFamily::Ed) => of.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let said = |of: KeyAlgorithm| serde_json::to_value(of).ok() == serde_json::to_value(alg).ok();
    kind && key.common.key_algorithm.is_none_or(said)
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}
