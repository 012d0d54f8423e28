//! The one way out over HTTP for everything but the new cluster's API. It exists so that proxy, trust store, time and size
//! limits are decided once. It must not know who is called or what an answer means, and it reads no environment.

mod destination;
mod destinations;
mod named;
mod probe;
mod resolver;
mod unreachable;

#[cfg(test)]
mod destination_tests;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod strangers_tests;
#[cfg(test)]
mod tests;

pub use destination::{AllowedClouds, Host, NotAllowed, is_metadata_or_link_local};
pub use destinations::{Destinations, NameFault, has_address, judge_offline};
pub use probe::{LEFTOVER_SEARCH, ProbeError, probe, probe_within};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
pub use unreachable::{Unreachable, UnreachableCause};

use resolver::{JudgedResolver, Lookup, Overridden, SystemLookup};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use unreachable::chain;

/// A host that takes longer to open a connection is down for our purposes; the budget of a call still holds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls are rare, and an idle connection may be cut by what lies between without a sign.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Proxy variables, as programs commonly read them; blank means none.
#[derive(Clone, Default, Serialize, Deserialize)]
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
    /// `CATALYST_ALLOWED_CLOUDS`: where strangers may lead beside public addresses.
    pub allowed_clouds: AllowedClouds,
}

/// Whose word the target of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedBy {
    /// A setting of the host, or what the service behind one names: it may be anywhere.
    Operator,
    /// A plugin or a request: public addresses, and what the operator allowed.
    Stranger,
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
    Unreachable(Unreachable),
    /// A stranger's target is not one that is allowed. Nothing was sent.
    #[error("{0}")]
    NotAllowed(NotAllowed),
}

/// One request with its limits.
pub struct Call {
    /// Whose word the target is.
    pub named_by: NamedBy,
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
    operators: reqwest::Client,
    strangers: reqwest::Client,
    tls: Arc<rustls::ClientConfig>,
    destinations: Destinations,
    /// The proxy's own host: a stranger that names it would be taken for it.
    proxy: Option<Host>,
}

impl Outbound {
    /// Builds the client; reads the trust store once.
    ///
    /// # Errors
    /// A proxy that is no URL, a trust store without certificates.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Self::with_lookup(settings, Arc::new(SystemLookup::default()))
    }

    fn with_lookup(settings: &Settings, lookup: Arc<dyn Lookup>) -> Result<Self, SetupError> {
        let allowed = Arc::new(settings.allowed_clouds.clone());
        let lookup: Arc<dyn Lookup> = Arc::new(Overridden::new(&settings.addresses, lookup));
        let tls = Arc::new(tls_config(settings.trust_store.as_deref())?);
        let proxy = proxy_host(settings);
        let mut operators = client(settings, &tls)?;
        for (host, address) in &settings.addresses {
            operators = operators.resolve(host, *address);
        }
        let judged = JudgedResolver { allowed: allowed.clone(), lookup: lookup.clone(), proxy: proxy.clone() };
        let strangers = client(settings, &tls)?.dns_resolver(judged);
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|e| SetupError::Tls(chain(&e)));
        let (operators, strangers) = (build(operators)?, build(strangers)?);
        let destinations = Destinations { allowed, lookup, fixed: Arc::default() };
        Ok(Self { operators, strangers, tls, destinations, proxy })
    }

    /// The same, but for calls to these hosts: they go to these addresses, whatever a resolver or a proxy says. That is the operator's
    /// word, so nothing is judged then but the certificate, by the host's name. A port of the URL does not count.
    pub fn with_fixed(&self, addresses: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self { destinations: self.destinations.with_fixed(addresses), ..self.clone() }
    }

    /// Where requests may lead.
    pub fn destinations(&self) -> &Destinations {
        &self.destinations
    }

    /// Sends one request. Redirects are not followed, nothing is tried again.
    ///
    /// # Errors
    /// [`SendError`] when no whole answer came in time. A status of 400 and above is an answer.
    pub async fn send(&self, call: Call) -> Result<Answer, SendError> {
        Ok(self.send_for_header(call, None).await?.0)
    }

    /// The same, with the value of a header of the answer, where it has that, marked as one that is not shown.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_for_header(
        &self,
        call: Call,
        wanted: Option<&HeaderName>,
    ) -> Result<(Answer, Option<HeaderValue>), SendError> {
        let Call { named_by, method, mut url, mut headers, body, timeout, body_limit } = call;
        let client = match (self.destinations.fixed_address(&url), named_by) {
            (Some(address), _) => &self.client_of(address, &mut url, &mut headers)?,
            (None, NamedBy::Operator) => &self.operators,
            (None, NamedBy::Stranger) => {
                self.judge(&url).map_err(SendError::NotAllowed)?;
                &self.strangers
            }
        };
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        match tokio::time::timeout(timeout, exchange(request, body_limit, wanted)).await {
            Ok(result) => result.map_err(|error| match not_allowed(&error) {
                Some(refused) => SendError::NotAllowed(refused),
                None => SendError::Unreachable(Unreachable::of_call(error)),
            }),
            Err(_) => Err(SendError::Timeout(timeout)),
        }
    }

    /// A client that connects to this address alone, and the call as it leads there.
    fn client_of(
        &self,
        address: SocketAddr,
        url: &mut Url,
        headers: &mut HeaderMap,
    ) -> Result<reqwest::Client, SendError> {
        let unreachable = |why: String| SendError::Unreachable(Unreachable::new(UnreachableCause::Connection, why));
        let host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            // Connected to as it stands in the URL, so the other side learns from a header what was meant.
            let meant =
                HeaderValue::from_str(&format!("{host}:{port}")).map_err(|error| unreachable(error.to_string()))?;
            headers.insert(reqwest::header::HOST, meant);
            url.set_port(Some(address.port())).map_err(|()| unreachable("the URL takes no port".to_owned()))?;
        }
        let client = direct_client(&self.tls).resolve(&host, address).build();
        client.map_err(|error| unreachable(chain(&error)))
    }

    /// Judges what the resolver does not see: addresses, which are not resolved, and names that a proxy resolves.
    fn judge(&self, url: &Url) -> Result<(), NotAllowed> {
        let Some(host) = Host::of(url) else { return Ok(()) };
        let is_resolved_here = self.proxy.is_none();
        match self.destinations.allowed.judge(&host)? {
            // Where a proxy is set, it or NO_PROXY decides who resolves the name.
            destination::Standing::ByNetworks(_) if !is_resolved_here => {
                self.destinations.allowed.judge_unresolved(&host)
            }
            destination::Standing::ByAddresses if self.proxy.as_ref() == Some(&host) => {
                Err(NotAllowed { host: url.host_str().unwrap_or_default().to_owned(), rule: "is the proxy".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// The refusal among the causes of an error.
fn not_allowed(error: &reqwest::Error) -> Option<NotAllowed> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<NotAllowed>() {
            return Some(refused.clone());
        }
        next = cause.source();
    }
    None
}

/// What all clients have in common.
fn direct_client(tls: &rustls::ClientConfig) -> reqwest::ClientBuilder {
    // `no_proxy` first: without it the library would read the environment by itself.
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls.clone())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("catalyst/", env!("CARGO_PKG_VERSION")))
}

/// The same by the operator's proxy, where there is one.
fn client(settings: &Settings, tls: &rustls::ClientConfig) -> Result<reqwest::ClientBuilder, SetupError> {
    let builder = direct_client(tls);
    let Some(url) = proxy_url(settings) else { return Ok(builder) };
    let exceptions = settings.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
    let proxy = reqwest::Proxy::https(url).map_err(|_| SetupError::Proxy)?;
    Ok(builder.proxy(proxy.no_proxy(exceptions)))
}

fn proxy_url(settings: &Settings) -> Option<&str> {
    settings.https_proxy.as_deref().map(str::trim).filter(|url| !url.is_empty())
}

fn proxy_host(settings: &Settings) -> Option<Host> {
    let text = proxy_url(settings)?;
    // A proxy is often written without its scheme.
    let url = Url::parse(text).ok().filter(Url::has_host).or_else(|| Url::parse(&format!("http://{text}")).ok())?;
    Host::of(&url)
}

async fn exchange(
    request: reqwest::RequestBuilder,
    limit: usize,
    wanted: Option<&HeaderName>,
) -> Result<(Answer, Option<HeaderValue>), reqwest::Error> {
    let mut response = request.send().await?;
    let mut header = wanted.and_then(|name| response.headers().get(name).cloned());
    header.iter_mut().for_each(|value| value.set_sensitive(true));
    let status = response.status().as_u16();
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| Some(date.to_str().ok()?.to_owned()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((Answer { status, body, truncated: true, date }, header));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((Answer { status, body, truncated: false, date }, header))
}

/// How the other side proves who it is: by the system's trust store, or by a PEM file in its place.
///
/// # Errors
/// The store holds no certificate.
pub(crate) fn tls_config(trust_store: Option<&Path>) -> Result<rustls::ClientConfig, SetupError> {
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
