//! Which pages of other origins may call (Fetch standard, CORS protocol). Written here because the contract wants
//! more than ready-made layers do: a preflight is answered on any path, grants only what was asked for, and a plain
//! `OPTIONS` is a method like any other. Only the contract's methods are granted; DELETE never is.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;

/// Methods that pages of the allowed origin may use.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "OPTIONS"];
/// Headers they may send. The last two are beyond the contract: with a token a stream is read by fetch, which has to say itself
/// where it left off, and a create that is sent again must be told from another one.
const HEADERS: [&str; 6] = ["Accept", "Content-Type", "Authorization", "Origin", "Last-Event-ID", "Idempotency-Key"];
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: &str = "300";

/// The single allowed origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// No page of another origin.
    None,
    /// Every page.
    Any,
    /// Pages of this origin, in lower case.
    One(String),
}

impl AllowedOrigin {
    /// Reads `*` or an origin such as `https://console.example.org`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let text = text.trim_end_matches('/').to_ascii_lowercase();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
        (plain && !host.is_empty()).then_some(Self::One(text))
    }

    /// What is left of it where nobody is asked for a token: every page is then no page, for no origin was named.
    pub fn unless_any(self) -> Self {
        if self == Self::Any { Self::None } else { self }
    }

    /// What `Access-Control-Allow-Origin` says to this origin.
    fn grant(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::One(allowed) => origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()).then(|| origin.clone()),
        }
    }
}

/// What an answer says to the page that asked.
pub struct Granted(Option<HeaderValue>);

impl Granted {
    /// What this request's answer will say.
    ///
    /// # Errors
    /// The answer itself, where the request is a preflight.
    pub fn of(allowed: &AllowedOrigin, request: &Request) -> Result<Self, Box<Response>> {
        let (method, headers) = (request.method(), request.headers());
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|method| !method.is_empty());
        if *method == Method::OPTIONS && asked.is_some() {
            return Err(Box::new(preflight(allowed, headers)));
        }
        Ok(Self(METHODS.contains(&method.as_str()).then(|| allowed.grant(headers)).flatten()))
    }

    /// The answer, marked.
    pub fn mark(self, mut response: Response) -> Response {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.0 {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response
    }
}

/// 200 without a body; what is not allowed gets no further header.
fn preflight(allowed: &AllowedOrigin, asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    for name in [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_REQUEST_HEADERS] {
        headers.append(header::VARY, HeaderValue::from_name(name));
    }
    let (Some(origin), Some(method), Some(names)) = (allowed.grant(asked), method(asked), names(asked)) else {
        return response;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
    if let Some(names) = Some(names.join(", ")).filter(|names| !names.is_empty())
        && let Ok(names) = HeaderValue::from_str(&names)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

fn method(asked: &HeaderMap) -> Option<&'static str> {
    let method = text(asked, &header::ACCESS_CONTROL_REQUEST_METHOD)?;
    METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(method.trim()))
}

/// The headers asked for, in our own spelling; `None` when one is not allowed.
fn names(asked: &HeaderMap) -> Option<Vec<&'static str>> {
    let Some(value) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) else { return Some(Vec::new()) };
    let names = value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| HEADERS.into_iter().find(|known| known.eq_ignore_ascii_case(name))).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::AllowedOrigin as A;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        assert_eq!(A::parse("*"), Some(A::Any));
        let one = Some(A::One("https://a.example:8443".to_owned()));
        assert_eq!(A::parse("https://A.example:8443/"), one);
        for bad in ["", "a.example", "https://", "https://a/b", "https://a b", "null", "ftp://a", "https://*.a"] {
            assert_eq!(A::parse(bad), None, "{bad}");
        }
    }
}
