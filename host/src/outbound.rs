//! The one way out over HTTP for everything but the new cluster's API. It exists so that proxy, trust store, time and size
//! limits are decided once. It must not know who is called or what an answer means, and it reads no environment.

mod probe;

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod tests;

pub use probe::{ProbeError, probe};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};

use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A host that takes longer to open a connection is down for our purposes; the budget of a call still holds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls are rare, and an idle connection may be cut by what lies between without a sign.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Length of what an error says of its causes, in bytes.
const MAX_CAUSE: usize = 512;

/// Proxy variables, as programs commonly read them; blank means none.
#[derive(Clone, Default)]
pub struct ProxyConfig {
    /// URL for https.
    pub https_proxy: String,
    /// Hosts that are reached without it.
    pub no_proxy: String,
}

// A proxy's URL may hold a password.
impl std::fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyConfig").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

/// What the operator decides about outgoing calls. No `Debug`: a proxy's URL may hold a password.
#[derive(Clone, Default)]
pub struct Settings {
    /// `HTTPS_PROXY`: proxy for `https` targets. A plain `http` target is called directly.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`: hosts, domain suffixes, addresses and networks that are called directly.
    pub no_proxy: Option<String>,
    /// `SSL_CERT_FILE`: PEM file that replaces the system's trust store.
    pub trust_store: Option<PathBuf>,
    /// Addresses that stand in for those of a host name, for rehearsals and tests. A port other than 0 also replaces the
    /// scheme's own. Names and certificates are checked as ever.
    pub addresses: Vec<(String, SocketAddr)>,
}

/// Why there is no client. Said at start, never during a call.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The proxy is no URL. The value is not repeated.
    #[error("HTTPS_PROXY is not a URL")]
    Proxy,
    /// The file can't be read or holds no certificate.
    #[error("no certificate could be read from {path}: {cause}")]
    TrustStore {
        /// The file, or a word for the system's store.
        path: String,
        /// Why.
        cause: String,
    },
    /// The TLS library refused its settings.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

/// Why a call brought no answer. Never holds the URL's path or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The budget ran out; whether the other side acted is unknown.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The other side could not be reached or broke off.
    #[error("{0}")]
    Unreachable(String),
}

/// One request with its limits.
pub struct Call {
    /// Method.
    pub method: Method,
    /// Target.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Vec<u8>>,
    /// Budget from the first packet to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of the answer's body that are kept.
    pub body_limit: usize,
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body up to the call's limit.
    pub body: Vec<u8>,
    /// Whether the body was longer than that.
    pub truncated: bool,
    /// The other side's clock: its `Date`, where it says one.
    pub date: Option<String>,
}

/// The shared client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
}

impl Outbound {
    /// Builds the client; reads the trust store once.
    ///
    /// # Errors
    /// A proxy that is no URL, a trust store without certificates.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        // `no_proxy` first: without it the library would read the environment by itself.
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls(settings.trust_store.as_deref())?)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("catalyst/", env!("CARGO_PKG_VERSION")));
        if let Some(url) = settings.https_proxy.as_deref().map(str::trim).filter(|u| !u.is_empty()) {
            let exceptions = settings.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            let proxy = reqwest::Proxy::https(url).map_err(|_| SetupError::Proxy)?;
            builder = builder.proxy(proxy.no_proxy(exceptions));
        }
        for (host, address) in &settings.addresses {
            builder = builder.resolve(host, *address);
        }
        let client = builder.build().map_err(|e| SetupError::Tls(chain(&e)))?;
        Ok(Self { client })
    }

    /// Sends one request. Redirects are not followed, nothing is tried again.
    ///
    /// # Errors
    /// [`SendError`] when no whole answer came in time. A status of 400 and above is an answer.
    pub async fn send(&self, call: Call) -> Result<Answer, SendError> {
        let Call { method, url, headers, body, timeout, body_limit } = call;
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        match tokio::time::timeout(timeout, exchange(request, body_limit)).await {
            Ok(result) => result.map_err(|error| SendError::Unreachable(chain(&error.without_url()))),
            Err(_) => Err(SendError::Timeout(timeout)),
        }
    }
}

async fn exchange(request: reqwest::RequestBuilder, limit: usize) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| Some(date.to_str().ok()?.to_owned()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok(Answer { status, body, truncated: true, date });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body, truncated: false, date })
}

fn tls(trust_store: Option<&Path>) -> Result<rustls::ClientConfig, SetupError> {
    let mut roots = rustls::RootCertStore::empty();
    let (accepted, _) = roots.add_parsable_certificates(certificates(trust_store)?);
    if accepted == 0 {
        return Err(no_certificate(trust_store, "none of its certificates can be used"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SetupError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(trust_store: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found = match trust_store {
        Some(_) => rustls_native_certs::load_certs_from_paths(trust_store, None),
        None => rustls_native_certs::load_native_certs(),
    };
    if found.certs.is_empty() {
        let cause = found.errors.first().map_or_else(|| "it holds none".to_owned(), ToString::to_string);
        return Err(no_certificate(trust_store, &cause));
    }
    Ok(found.certs)
}

fn no_certificate(trust_store: Option<&Path>, cause: &str) -> SetupError {
    let path = trust_store.map_or_else(|| "the system's trust store".to_owned(), |p| p.display().to_string());
    SetupError::TrustStore { path, cause: cause.to_owned() }
}

/// An error and its causes as one line; reqwest's own text alone says only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    excerpt(text.as_bytes(), MAX_CAUSE)
}

/// At most `limit` bytes of foreign text in a form that fits one log line: control characters become spaces.
pub fn excerpt(bytes: &[u8], limit: usize) -> String {
    // A few bytes more than the limit, so that a character on the border is seen whole before it is left out.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit + 4)]);
    let mut line = String::with_capacity(limit);
    for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + character.len_utf8() > limit {
            break;
        }
        line.push(character);
    }
    line.trim().to_owned()
}
