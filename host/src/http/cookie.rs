//! The cookie by which a browser carries a deployment's read token (RFC 6265bis). It goes to that deployment's routes only,
//! no script can see it, and no other site can make a browser send it.

use crate::auth::CookieSettings;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use catalyst_domain::read_token::LASTS;
use catalyst_domain::{DeploymentId, SecretValue};

/// Its name.
pub const NAME: &str = "catalyst-read";
/// How long a browser keeps it, in seconds: as long as it opens anything.
const MAX_AGE: i64 = LASTS.as_secs();
/// Cookies of the name that are looked at: paths keep them apart, so there is one.
const MOST: usize = 4;

/// The header that sets it.
pub fn set(settings: &CookieSettings, id: &DeploymentId, token: &SecretValue) -> Option<HeaderValue> {
    let (prefix, secure) = (&settings.prefix, if settings.secure { "; Secure" } else { "" });
    let text = format!(
        "{NAME}={}; Path={prefix}/api/v1/deployments/{id}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Strict{secure}",
        token.expose()
    );
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The tokens that a request carries.
pub fn given(headers: &HeaderMap) -> impl Iterator<Item = SecretValue> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let named = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == NAME);
    named.take(MOST).map(|(_, value)| SecretValue::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_for_one_deployment_and_read_from_among_others() {
        let (id, token) = (DeploymentId::from_bytes([1; 8]), SecretValue::new("catalyst-read_x"));
        let plain = set(&CookieSettings::default(), &id, &token).unwrap();
        let expect = "catalyst-read=catalyst-read_x; Path=/api/v1/deployments/0101010101010101; Max-Age=604800; HttpOnly; \
                      SameSite=Strict";
        assert_eq!(plain.to_str().unwrap(), expect);
        let settings = CookieSettings { prefix: "/sovereign".to_owned(), secure: true };
        let text = set(&settings, &id, &token).unwrap().to_str().unwrap().to_owned();
        assert!(text.contains("Path=/sovereign/api/v1/") && text.ends_with("; Secure"), "{text}");

        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(text).unwrap())]);
            given(&headers).map(|token| token.expose().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(read("a=b; catalyst-read=x=y; c"), ["x=y"]);
        assert_eq!(read("catalyst-read2=x; xcatalyst-read=y"), [""; 0]);
        assert_eq!(read(&"catalyst-read=x;".repeat(9)).len(), MOST);
    }
}
