//! The bearer of an `Authorization` header (RFC 6750, with the leniencies of the earlier service).

use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use catalyst_domain::SecretValue;

/// What was given as bearer; unprintable.
pub struct Bearer(pub SecretValue);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(parse).map(|token| Self(SecretValue::new(token))).ok_or(ApiError::MissingBearer)
    }
}

/// The scheme in any case, one space, and a token that is not blank.
pub fn parse(header: &str) -> Option<&str> {
    let header = header.trim();
    let (scheme, token) = header.split_at_checked(7)?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    #[test]
    fn headers_are_read_as_the_contract_says() {
        for (header, token) in [
            ("Bearer x", Some("x")),
            ("BEARER x", Some("x")),
            ("bearer  x ", Some("x")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
            ("abcdef", None),
            ("", None),
            ("Bearer\u{e9}x", None),
        ] {
            assert_eq!(super::parse(header), token, "{header:?}");
        }
    }
}
