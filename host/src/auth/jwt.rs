//! What the head and the claims of a signed token must say beside what its signature proves. An issuer signs more than tokens
//! of callers with the same keys (logout tokens, security events, proofs), and tokens for other clients; none of them opens
//! anything here (RFC 8725, 3.11 and 3.12). No network, no keys.

use super::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalyst_domain::SecretValue;
use catalyst_domain::json::{JsonError, whole};
use serde_json::{Map, Value};
use std::time::Duration;

/// What `typ` may be: a JWT, and an access token of RFC 9068. A media type may leave out its `application/` (RFC 7515, 4.1.9).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// The clients that a token may be made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) clients: &'a [String],
}

/// Refuses a head that makes the token something else than that of a caller. Nothing in it is proven yet.
///
/// # Errors
/// [`Fault::Wrong`].
pub(super) fn check_head(token: &SecretValue) -> Result<(), Fault> {
    let head = part(token, 0).map_err(|why| Fault::Wrong(why.unwrap_or("it is no signed JWT")))?;
    // What it asks to be understood is not (RFC 7515, 4.1.11), whatever it is.
    if head.contains_key("crit") || head.contains_key("enc") {
        return Err(Fault::Wrong("it needs what is not understood"));
    }
    if head.get("typ").is_some_and(|typ| !is_one_of(typ, &TYPES)) {
        return Err(Fault::Wrong("its type is not that of a caller's token"));
    }
    // The claims would be another token (RFC 7519, 5.2).
    if head.get("cty").is_some_and(|cty| !cty.is_string() || is_one_of(cty, &["jwt"])) {
        return Err(Fault::Wrong("it holds another token"));
    }
    Ok(())
}

fn is_one_of(given: &Value, known: &[&str]) -> bool {
    let text = given.as_str().unwrap_or_default().to_ascii_lowercase();
    known.contains(&text.strip_prefix("application/").unwrap_or(&text))
}

/// The claims of a token whose signature, audience and times were proven, as far as they are those of a caller. `now` is the
/// time since 1970, `leeway` how much clocks may differ.
///
/// # Errors
/// [`Fault::Wrong`].
pub(super) fn claims(
    token: &SecretValue,
    expected: Expected<'_>,
    now: Duration,
    leeway: Duration,
) -> Result<Map<String, Value>, Fault> {
    let claims = part(token, 1).map_err(|why| Fault::Wrong(why.unwrap_or("it cannot be checked")))?;
    check(&claims, expected, now, leeway).map_err(Fault::Wrong)?;
    Ok(claims)
}

fn check(
    claims: &Map<String, Value>,
    expected: Expected<'_>,
    now: Duration,
    leeway: Duration,
) -> Result<(), &'static str> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err("it is of another issuer");
    }
    // A security event (RFC 8417), of which a logout token is one.
    if claims.contains_key("events") {
        return Err("it tells of an event and is nobody's token");
    }
    let is_expected =
        |client: &str| client == expected.audience || expected.clients.iter().any(|expected| expected == client);
    // Whom it was issued to (OpenID Connect Core 1.0, 2 and 3.1.3.7). Our audience among others does not make it ours.
    if claims.get("azp").is_some_and(|azp| !azp.as_str().is_some_and(is_expected)) {
        return Err("it was issued to another client");
    }
    // An access token of RFC 9068 is for its audience whichever client asked for it, unless the operator names clients.
    let named = claims.get("client_id").filter(|_| !expected.clients.is_empty());
    if named.is_some_and(|client| !client.as_str().is_some_and(is_expected)) {
        return Err("it was issued to another client");
    }
    let latest = (now + leeway).as_secs_f64();
    for time in ["iat", "nbf"] {
        match claims.get(time).map(Value::as_f64) {
            None => {}
            Some(Some(time)) if time <= latest => {}
            Some(Some(_)) => return Err("it is not valid yet"),
            Some(None) => return Err("it cannot be checked"),
        }
    }
    Ok(())
}

/// One of the two parts that are JSON objects. `None` as the error: it is none.
fn part(token: &SecretValue, index: usize) -> Result<Map<String, Value>, Option<&'static str>> {
    let text = token.expose().split('.').nth(index).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| None)?;
    match whole(&bytes) {
        Ok(Value::Object(part)) => Ok(part),
        Err(JsonError::Duplicate(_)) => Err(Some("it says something twice")),
        _ => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const LEEWAY: Duration = Duration::from_secs(30);

    fn token(head: &str, claims: &str) -> SecretValue {
        SecretValue::new(format!("{}.{}.x", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims)))
    }

    fn head(more: &str) -> Result<(), Fault> {
        check_head(&token(&format!(r#"{{"alg":"ES256"{more}}}"#), "{}"))
    }

    fn judged(more: Value, clients: &[&str]) -> Result<(), &'static str> {
        let mut claims = json!({"iss": "https://id.example", "aud": "catalyst", "sub": "ana"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let clients: Vec<String> = clients.iter().map(ToString::to_string).collect();
        let expected = Expected { issuer: "https://id.example", audience: "catalyst", clients: &clients };
        check(claims.as_object().unwrap(), expected, NOW, LEEWAY)
    }

    #[test]
    fn only_types_of_callers_tokens_pass_in_any_case() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            assert_eq!(head(&format!(r#","typ":"{typ}""#)), Ok(()), "{typ}");
        }
        assert_eq!(head(""), Ok(()));
        for typ in [
            r#""logout+jwt""#,
            r#""Logout+JWT""#,
            r#""application/logout+jwt""#,
            r#""dpop+jwt""#,
            r#""secevent+jwt""#,
            r#""JOSE""#,
            r#""JWT ""#,
            r#""""#,
            r#""at""#,
            "null",
            "7",
            r#"["JWT"]"#,
            r#"{"a":"JWT"}"#,
        ] {
            assert_eq!(
                head(&format!(r#","typ":{typ}"#)),
                Err(Fault::Wrong("its type is not that of a caller's token")),
                "{typ}"
            );
        }
        for cty in [r#""JWT""#, r#""application/jwt""#, "1"] {
            assert_eq!(head(&format!(r#","cty":{cty}"#)), Err(Fault::Wrong("it holds another token")), "{cty}");
        }
        for critical in [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":null"#, r#""enc":"A128GCM""#] {
            assert_eq!(
                head(&format!(",{critical}")),
                Err(Fault::Wrong("it needs what is not understood")),
                "{critical}"
            );
        }
    }

    #[test]
    fn what_is_said_twice_is_refused_in_both_parts() {
        for twice in [r#","typ":"JWT","typ":"JWT""#, r#","alg":"ES256""#, r#","jwk":{"kty":"EC","kty":"EC"}"#] {
            assert_eq!(head(twice), Err(Fault::Wrong("it says something twice")), "{twice}");
        }
        let expected = Expected { issuer: "i", audience: "a", clients: &[] };
        for twice in [r#"{"iss":"i","sub":"a","sub":"b"}"#, r#"{"iss":"i","x":[{"a":1,"\u0061":2}]}"#] {
            let judged = claims(&token("{}", twice), expected, NOW, LEEWAY);
            assert_eq!(judged, Err(Fault::Wrong("it says something twice")), "{twice}");
        }
        assert!(claims(&token("{}", r#"{"iss":"i","groups":["a"],"Groups":1}"#), expected, NOW, LEEWAY).is_ok());
        assert_eq!(claims(&token("{}", "[]"), expected, NOW, LEEWAY), Err(Fault::Wrong("it cannot be checked")));
    }

    #[test]
    fn a_token_of_another_client_opens_nothing() {
        let foreign = Err("it was issued to another client");
        for azp in [json!("other"), json!(""), json!("Catalyst"), json!(["catalyst"]), json!(null), json!(7)] {
            assert_eq!(judged(json!({"azp": azp}), &[]), foreign, "{azp}");
            assert_eq!(judged(json!({"azp": azp, "aud": ["catalyst", "other"]}), &["wizard"]), foreign, "{azp}");
        }
        assert_eq!(judged(json!({"azp": "catalyst"}), &[]), Ok(()));
        assert_eq!(judged(json!({"azp": "wizard"}), &["cli", "wizard"]), Ok(()));
        assert_eq!(judged(json!({"client_id": "any"}), &[]), Ok(()), "its audience is what counts");
        assert_eq!(judged(json!({"client_id": "any"}), &["wizard"]), foreign);
        assert_eq!(judged(json!({"client_id": "wizard", "azp": "catalyst"}), &["wizard"]), Ok(()));
    }

    #[test]
    fn events_other_issuers_and_times_to_come_are_refused() {
        let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        for events in [logout, json!({}), json!(null)] {
            assert_eq!(judged(json!({"events": events}), &[]), Err("it tells of an event and is nobody's token"));
        }
        for iss in [json!(["https://evil.example", "https://id.example"]), json!("https://id.example/"), json!(null)] {
            assert_eq!(judged(json!({"iss": iss}), &[]), Err("it is of another issuer"), "{iss}");
        }
        let now = NOW.as_secs();
        for time in ["iat", "nbf"] {
            for (at, expect) in [
                (json!(now + 30), Ok(())),
                (json!(now as f64 + 29.5), Ok(())),
                (json!(now + 31), Err("it is not valid yet")),
                (json!(1e300), Err("it is not valid yet")),
                (json!((now + 10).to_string()), Err("it cannot be checked")),
                (json!(null), Err("it cannot be checked")),
            ] {
                assert_eq!(judged(json!({time: at}), &[]), expect, "{time} {at}");
            }
        }
    }
}
