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

/// The values that a request carries under the name, from all `Cookie` headers, in their order. A page of a sibling domain can
/// set any number of cookies of the same name, before or after the right one and with any bytes in them, so all are given;
/// the limit of a request's head bounds how many there are, and a look at one costs a digest.
pub fn given(headers: &HeaderMap) -> impl Iterator<Item = SecretValue> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(NAME.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
        // One that is no text is no token of ours.
        Some(SecretValue::new(String::from_utf8_lossy(value.trim_ascii_start())))
    })
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
    }

    #[test]
    fn junk_of_a_sibling_domain_hides_no_cookie() {
        let right = "catalyst-read=right";
        let junk = "catalyst-read=junk;".repeat(500);
        for texts in [
            vec![format!("{junk}{right}")],
            vec![format!("{right}; {junk}")],
            vec![junk.clone(), junk.clone(), right.to_owned()],
            vec![format!("a=\"; {right}; b=\"")],
            vec![format!("=; ;;catalyst-read; catalyst-read=;{right};")],
            vec![format!("x=\u{e9}; {right}; catalyst-read=\u{ff}")],
            vec![format!("Catalyst-Read=other;\t{right}")],
        ] {
            let mut headers = HeaderMap::new();
            for text in &texts {
                let bytes: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
                headers.append(COOKIE, HeaderValue::from_bytes(&bytes).unwrap());
            }
            assert!(given(&headers).any(|token| token.expose() == "right"), "{texts:?}");
        }
    }
}
