//! Signed tokens, right ones and each kind of wrong one, by a double of an OpenID provider.

use super::*;
use crate::auth::{ScopeMap, Scopes};
use crate::test_server::{Reply, TestServer, outbound, say};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

#[path = "oidc_suspects_tests.rs"]
mod suspects;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair with its public half as a provider shows it.
struct Signer {
    kid: &'static str,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { kid, key }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": b64(&point[1..33]), "y": b64(&point[33..])})
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(head.to_string()), b64(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}), claims)
    }
}

struct Scene {
    provider: TestServer,
    oidc: Oidc,
}

impl Scene {
    async fn ask(&self, token: &str) -> Result<Caller, Fault> {
        self.oidc.identify(&SecretValue::new(token), Standing::Good).await
    }

    async fn reason(&self, token: &str) -> &'static str {
        match self.ask(token).await {
            Err(Fault::Wrong(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn claims(&self, more: Value) -> Value {
        let mut claims =
            json!({"iss": self.provider.url(), "aud": "catalyst", "sub": "ana", "exp": now() + 600, "groups": ["dev"]});
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name).is_some(),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()).is_some(),
            };
        }
        claims
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// A provider that shows these sets of keys one after the other, each time with its configuration before it.
async fn scene(sets: &[Vec<Value>]) -> Scene {
    scripted(sets.iter().map(|keys| say(200, json!({"keys": keys}).to_string())).collect()).await
}

const AGES: Ages = Ages { between: Duration::from_millis(200), old: Duration::MAX, too_old: Duration::MAX };

async fn scripted(sets: Vec<Reply>) -> Scene {
    aged(sets, AGES).await
}

async fn aged(sets: Vec<Reply>, ages: Ages) -> Scene {
    // The address stands in what the provider says of itself, so it is known before the script.
    let provider = TestServer::start([]).await;
    let url = provider.url();
    let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
    for set in sets {
        provider.then([say(200, configuration.clone()), set]);
    }
    let settings = OidcSettings {
        issuer: url.clone(),
        audience: "catalyst".to_owned(),
        clients: Vec::new(),
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256],
        groups_claim: "groups".to_owned(),
        scopes: ScopeMap::parse("group:dev=create+read; user:root=admin").unwrap(),
    };
    signatures::install();
    let keys = Keys::new(outbound(), url, ages);
    Scene { provider, oidc: Oidc::with(settings, keys) }
}

#[tokio::test]
async fn a_signed_token_names_its_caller_by_its_groups_and_keys_are_fetched_once() {
    let signer = Signer::new("k1");
    let scene = scene(&[vec![signer.jwk()]]).await;
    for aud in [json!("catalyst"), json!(["other", "catalyst"])] {
        let caller = scene.ask(&signer.token(&scene.claims(json!({"aud": aud})))).await.unwrap();
        assert_eq!((caller.subject.as_str(), caller.mode), ("ana", Mode::Oidc));
        assert_eq!(caller.scopes, Scopes::parse("read,create").unwrap());
    }
    let words = scene.claims(json!({"sub": "root", "groups": "a dev", "exp": (now() + 60) as f64 + 0.5}));
    assert_eq!(scene.ask(&signer.token(&words)).await.unwrap().scopes, Scopes::parse("read,create,admin").unwrap());
    let nobody = scene.claims(json!({"groups": {"dev": true}}));
    assert_eq!(scene.ask(&signer.token(&nobody)).await.unwrap().scopes, Scopes::NONE);
    assert_eq!(scene.provider.lines(), ["GET /.well-known/openid-configuration", "GET /keys"]);
}

#[tokio::test]
async fn each_claim_that_is_not_right_is_refused() {
    let signer = Signer::new("k1");
    let scene = scene(&[vec![signer.jwk()]]).await;
    for (more, reason) in [
        (json!({"iss": "https://other.example"}), "it is of another issuer"),
        (json!({"aud": "other"}), "it is meant for another audience"),
        (json!({"aud": ["other"]}), "it is meant for another audience"),
        (json!({"exp": now() - 60}), "it has expired"),
        (json!({"nbf": now() + 600}), "it is not valid yet"),
        (json!({"iss": null}), "a claim is missing"),
        (json!({"aud": null}), "a claim is missing"),
        (json!({"sub": " "}), "it names nobody"),
        (json!({"exp": null}), "a claim is missing"),
        (json!({"sub": null}), "a claim is missing"),
        (json!({"iss": ["https://other.example", scene.provider.url()]}), "it is of another issuer"),
        (json!({"azp": "other"}), "it was issued to another client"),
        (json!({"azp": "other", "aud": ["catalyst", "other"]}), "it was issued to another client"),
        (json!({"events": {}}), "it tells of an event and is nobody's token"),
        (json!({"iat": now() + 600}), "it is not valid yet"),
    ] {
        assert_eq!(scene.reason(&signer.token(&scene.claims(more.clone()))).await, reason, "{more}");
    }
}

#[tokio::test]
async fn what_an_issuer_signs_for_other_uses_is_no_callers_token() {
    let signer = Signer::new("k1");
    let scene = scene(&[vec![signer.jwk()]]).await;
    let claims = scene.claims(json!({}));
    for typ in ["logout+jwt", "application/logout+jwt", "DPoP+JWT", "secevent+jwt"] {
        let token = signer.sign(&json!({"alg": "ES256", "kid": "k1", "typ": typ}), &claims);
        assert_eq!(scene.reason(&token).await, "its type is not that of a caller's token", "{typ}");
    }
    for head in [json!({"alg": "ES256", "kid": "k1"}), json!({"alg": "ES256", "kid": "k1", "typ": "at+JWT"})] {
        assert!(scene.ask(&signer.sign(&head, &claims)).await.is_ok(), "{head}");
    }
    let twice = |head: &str, claims: &str| {
        let message = format!("{}.{}", b64(head), b64(claims));
        let signature = signer.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    };
    let (head, claims) = (r#"{"alg":"ES256","kid":"k1"}"#, claims.to_string());
    assert!(scene.ask(&twice(head, &claims)).await.is_ok());
    let two_groups = claims.replacen('{', r#"{"groups":["root"],"#, 1);
    assert_eq!(scene.reason(&twice(head, &two_groups)).await, "it says something twice");
    let two_types = r#"{"alg":"ES256","kid":"k1","typ":"logout+jwt","typ":"JWT"}"#;
    assert_eq!(scene.reason(&twice(two_types, &claims)).await, "it says something twice");
}

#[tokio::test]
async fn neither_none_nor_a_symmetric_signature_nor_another_key_gets_in() {
    let (signer, stranger) = (Signer::new("k1"), Signer::new("k1"));
    let symmetric = json!({"kty": "oct", "k": b64("secret"), "kid": "k2", "alg": "HS256"});
    let scene = scene(&[vec![signer.jwk(), symmetric]]).await;
    let claims = scene.claims(json!({}));
    let good = signer.token(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let hs = |key: &[u8], head: &Value| {
        let message = format!("{}.{}", b64(head.to_string()), parts[1]);
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), message.as_bytes());
        format!("{message}.{}", b64(tag))
    };
    let unsigned = |alg: &str| format!("{}.{}.", b64(json!({"alg": alg, "kid": "k1"}).to_string()), parts[1]);
    assert_eq!(scene.reason(&unsigned("none")).await, "it is no signed JWT");
    assert_eq!(scene.reason(&unsigned("None")).await, "it is no signed JWT");
    assert_eq!(scene.reason(&unsigned("ES256")).await, "its signature is wrong");
    // The public key as a shared secret, in the two forms in which an attacker has it.
    let public = signer.key.public_key().as_ref();
    for key in [public.to_vec(), signer.jwk().to_string().into_bytes(), b"secret".to_vec()] {
        for kid in ["k1", "k2"] {
            let token = hs(&key, &json!({"alg": "HS256", "kid": kid}));
            assert_eq!(scene.reason(&token).await, "its algorithm is not allowed");
        }
    }
    assert_eq!(scene.reason(&stranger.token(&claims)).await, "its signature is wrong");
    // A head of one algorithm over a key of another kind.
    for alg in ["EdDSA", "RS256"] {
        let token = signer.sign(&json!({"alg": alg, "kid": "k1"}), &claims);
        assert_eq!(scene.reason(&token).await, "its key is not known", "{alg}");
    }
    // A key that the token brings along counts for nothing.
    let own = stranger.sign(&json!({"alg": "ES256", "kid": "k9", "jwk": stranger.jwk(), "jku": "http://x"}), &claims);
    assert_eq!(scene.reason(&own).await, "its key is not known");
    let crit = signer.sign(&json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false}), &claims);
    assert_eq!(scene.reason(&crit).await, "it needs what is not understood");
    let other = signer.token(&scene.claims(json!({"sub": "root"})));
    let swapped = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    assert_eq!(scene.reason(&swapped).await, "its signature is wrong");
    for nonsense in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &good[1..]] {
        assert_eq!(scene.reason(nonsense).await, "it is no signed JWT", "{nonsense}");
    }
    assert!(scene.ask(&good).await.is_ok());
}

#[tokio::test]
async fn a_new_key_is_fetched_and_unknown_ones_make_no_flood() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let scene = scene(&[vec![old.jwk()], vec![new.jwk()]]).await;
    assert!(scene.ask(&old.token(&scene.claims(json!({})))).await.is_ok());
    for n in 0..50 {
        let token = new.token(&scene.claims(json!({"n": n})));
        assert_eq!(scene.reason(&token).await, "its key is not known");
    }
    assert_eq!(scene.provider.seen().len(), 2, "nothing is fetched again so soon");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let token = new.token(&scene.claims(json!({})));
    let suspect = scene.oidc.identify(&SecretValue::new(token.clone()), Standing::Suspect).await;
    assert_eq!(suspect, Err(Fault::Wrong("its key is not known")), "a suspect makes nobody fetch");
    assert!(scene.ask(&token).await.is_ok());
    assert_eq!(scene.reason(&old.token(&scene.claims(json!({"n": 1})))).await, "its key is not known", "withdrawn");
    assert_eq!(scene.provider.seen().len(), 4);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_no_verdict_and_is_asked_again_later() {
    let signer = Signer::new("k1");
    let keys = say(200, json!({"keys": [{"kty": "?"}, 7, signer.jwk()]}).to_string());
    let scene = scripted(vec![say(500, ""), keys]).await;
    let token = signer.token(&scene.claims(json!({})));
    for _ in 0..5 {
        assert!(matches!(scene.ask(&token).await, Err(Fault::Unavailable(_))));
    }
    assert_eq!(scene.provider.seen().len(), 2, "one try");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(scene.ask(&token).await.is_ok(), "keys that cannot be read spoil no other");
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_no_fetch_that_others_wait_for() {
    let signer = Signer::new("k1");
    let keys = json!({"keys": [signer.jwk()]}).to_string();
    let ages = Ages { between: Duration::from_secs(3600), ..AGES };
    let scene = Arc::new(aged(vec![Reply::Late(Duration::from_millis(400), 200, keys)], ages).await);
    let token = signer.token(&scene.claims(json!({})));
    let (first, given) = (scene.clone(), token.clone());
    let caller = tokio::spawn(async move { first.ask(&given).await });
    scene.provider.wait_for(2).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(scene.ask(&token).await.is_ok(), "the fetch went on without who asked for it");
    assert_eq!(scene.provider.seen().len(), 2, "it was one fetch");
}

#[tokio::test]
async fn old_keys_prove_tokens_while_new_ones_are_fetched_or_cannot_be_and_too_old_ones_do_not() {
    let signer = Signer::new("k1");
    let keys = say(200, json!({"keys": [signer.jwk()]}).to_string());
    let ages = Ages { old: Duration::ZERO, too_old: Duration::from_millis(900), between: Duration::from_millis(50) };
    let scene = aged(vec![keys, say(500, ""), Reply::Hang], ages).await;
    let token = |n: usize| signer.token(&scene.claims(json!({"n": n})));
    let begun = Instant::now();
    let mut asked = 0;
    // Through a fetch that fails and well into one that hangs.
    while begun.elapsed() < Duration::from_millis(700) {
        let at = Instant::now();
        assert!(scene.ask(&token(asked)).await.is_ok(), "{asked}");
        assert!(at.elapsed() < Duration::from_millis(200), "nobody waits: {:?}", at.elapsed());
        asked += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.provider.seen().len(), 6, "three fetches, the last of which hangs");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let last = token(asked);
    let late = tokio::time::timeout(Duration::from_millis(300), scene.ask(&last)).await;
    assert!(!matches!(late, Ok(Ok(_))), "what is too old proves nothing: {late:?}");
}

#[tokio::test]
async fn old_keys_are_fetched_again_without_a_caller_and_none_before_the_first_one() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let sets = [&old, &new].map(|signer| say(200, json!({"keys": [signer.jwk()]}).to_string()));
    let scene = aged(sets.to_vec(), Ages { old: Duration::from_millis(300), ..AGES }).await;
    scene.oidc.keys.keep_fresh();
    assert_eq!(scene.provider.seen().len(), 0);
    assert!(scene.ask(&old.token(&scene.claims(json!({})))).await.is_ok());
    tokio::time::sleep(Duration::from_millis(400)).await;
    scene.oidc.keys.keep_fresh();
    scene.provider.wait_for(4).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.reason(&old.token(&scene.claims(json!({"n": 1})))).await, "its key is not known", "withdrawn");
    assert!(scene.ask(&new.token(&scene.claims(json!({})))).await.is_ok());
}

#[tokio::test]
async fn a_provider_of_another_name_or_with_keys_in_the_open_is_not_believed() {
    for (issuer, keys, rule) in [
        ("https://other.example", "https://other.example/keys", "another name"),
        ("", "http://keys.example/keys", "must be https"),
    ] {
        let scene = scripted(Vec::new()).await;
        let issuer = if issuer.is_empty() { scene.provider.url() } else { issuer.to_owned() };
        scene.provider.then([say(200, json!({"issuer": issuer, "jwks_uri": keys}).to_string())]);
        let token = Signer::new("k1").token(&scene.claims(json!({})));
        let Err(Fault::Unavailable(why)) = scene.ask(&token).await else { panic!("{rule}") };
        assert!(why.contains(rule), "{why}");
    }
}

#[tokio::test]
async fn ed25519_keys_are_known_and_a_token_without_a_key_name_takes_the_only_one() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "e1", "alg": "EdDSA", "x": b64(key.public_key().as_ref())});
    let scene = scene(&[vec![jwk, Signer::new("k1").jwk()]]).await;
    let message = format!("{}.{}", b64(json!({"alg": "EdDSA"}).to_string()), b64(scene.claims(json!({})).to_string()));
    assert!(scene.ask(&format!("{message}.{}", b64(key.sign(message.as_bytes())))).await.is_ok());
}

/// Made by OpenSSL with a key that was thrown away.
#[test]
fn an_rsa_signature_is_checked_by_its_own_algorithm_alone() {
    const MESSAGE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbmEifQ";
    const PKCS1: &str = "qTThSs_-R2c28bQxSGhVBXowFUPk4AvihVeRk5MQYP8jOemAuMoKbBKNEtvTWM36WU6PtcGpAy5VJ7USvh2IThLRvzJXKIWy5vjz\
        FA5e5rYvs4T-33LXuMGSs3oev9mq0v3rg8dz62Q-v7SrsaQz2ltsiptR_CY5zJTRJ9quMQwaTzNSpQ0ydKa57lWMDPIwiASGUzoY\
        qkvLbb4MNhsSdVq0N1TSvt8aA184c7Z13yQdqmFcIfFqwmQWkKMT3ybn-jvLXHWy6OwFhNMmCKvUiYueT02DkQze8HvREYtyPJyr\
        08HxdPIa2CE1L-6gFD5OABUw0KLBYy_kKnanjGbiSQ";
    const PSS: &str = "WiMsMY1nAI0ytfVIqpGvq2Iuqdi3pztJyAW8XXEPPkWh1NhLz7idrCC1gD3lU4TDPoVS45tajX8uQVQTX1EkwAOVugHGs3tNCWGk\
        D_az25YSOU65J9H9cgdAgH1Bbk9jVdDLEQagj0VI2zTcV2TC2Z9d2hnj17gQyMKw7wza9vufXooP4lfyfipaxp8tdLHt20CZSG6m\
        6j6ewcYnBNB9db3woZ5HulWyPAfMSWLeR7csuR1VAkBj-31KI9QFf2bYdz970sVKiRWKbFWAJqaLMqXw74DFazK5e3ZKLFitVc8p\
        qDt7fVjEuBzbK_xi24vCwsChi7U_JTcPDCB012QZzw";
    const MODULUS: &str = "yhr7L74G7_GcrjfSDBHNbgfpBiYqg3dvSD3ypYKbXWE6xrP3nKgilxfNrJZxJLqOt_u4mQecyF-b2nxHKL8SxYAzmAKdSpJ0kZPd\
        uz90pR_xwNuYrZyzuKDqmLNiKzPxxRLumqdBC2h6mI42W13MhnzUiG8sKAhv081ioqXvYJHD8c5247a0-zdAWmjoYDRPJ4ZnxsRm\
        jrnga9KGHE4DRe63wNfoIJpHnLZlqY2UHoRQEyQg3rU4hnL_yvoHq8Uux20Dm-5nP4yK9EurDZXW8Ci-qmPMeVkM-ISs9CtATYgT\
        VkeZyYCh6Md9uzClQYu3B5YoFb3-x2zywrs9hTvVWw";
    signatures::install();
    let key = jsonwebtoken::DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap();
    let check = |message: &str, signature: &str, alg| {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, alg).unwrap_or(false)
    };
    assert!(check(MESSAGE, PKCS1, Algorithm::RS256) && check(MESSAGE, PSS, Algorithm::PS256));
    assert!(!check(&MESSAGE.to_lowercase(), PKCS1, Algorithm::RS256));
    for other in [Algorithm::RS384, Algorithm::PS256, Algorithm::HS256, Algorithm::ES256] {
        assert!(!check(MESSAGE, PKCS1, other), "{other:?}");
    }
}

#[test]
fn only_signatures_of_public_keys_may_be_allowed() {
    for word in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        assert!(algorithm(word).is_some(), "{word}");
    }
    for word in ["none", "HS256", "HS384", "HS512", "ES512", "rs256", ""] {
        assert_eq!(algorithm(word), None, "{word:?}");
    }
}

#[tokio::test]
async fn a_provider_proves_somebody_only_with_a_key_for_an_algorithm_that_is_allowed() {
    let own = Signer::new("a").jwk();
    let mut other = own.clone();
    other["alg"] = "ES384".into();
    let scene = scene(&[vec![own], vec![other], vec![]]).await;
    scene.oidc.prove().await.unwrap();
    for _ in 0..2 {
        let none = scene.oidc.prove().await;
        assert!(matches!(&none, Err(Fault::Unavailable(why)) if why.contains("CATALYST_OIDC_ALGORITHMS")), "{none:?}");
    }
}
