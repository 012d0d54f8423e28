//! The operator's own proxy, as the way out of the runs' proxies.

use super::policy::connect_to;
use super::relay::Stream;
use super::target::Target;
use crate::outbound::{ProxyConfig, SetupError, Unreachable, UnreachableCause, tls_config};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::lookup_host;
use tokio_rustls::TlsConnector;

/// Head of a proxy's answer.
const HEAD_LIMIT: usize = 16 * 1024;

/// A proxy and the hosts that are reached without it.
pub(super) struct Upstream {
    rules: Matcher,
    /// For a proxy that is behind TLS itself.
    tls: Option<TlsConnector>,
}

impl Upstream {
    /// Reads the operator's settings; `None` where there is no proxy.
    ///
    /// # Errors
    /// The proxy is no URL of `http` or `https`; its certificate could not be judged.
    pub(super) fn new(config: &ProxyConfig, trust_store: Option<&Path>) -> Result<Option<Self>, SetupError> {
        let text = config.https_proxy.trim();
        if text.is_empty() {
            return Ok(None);
        }
        // The same rules by which the host's own calls and those to new clusters go.
        let rules = Matcher::builder().https(text.to_owned()).no(config.no_proxy.clone()).build();
        let any: Uri = "https://catalyst.invalid".parse().map_err(|_| SetupError::Proxy)?;
        let every = Matcher::builder().https(text.to_owned()).build().intercept(&any);
        let tls = match every.as_ref().and_then(|proxy| proxy.uri().scheme_str()) {
            Some("http") => None,
            Some("https") => Some(TlsConnector::from(Arc::new(tls_config(trust_store)?))),
            _ => return Err(SetupError::Proxy),
        };
        Ok(Some(Self { rules, tls }))
    }

    /// The proxy for a target; `None` where it is reached directly.
    pub(super) fn of(&self, target: &Target) -> Option<Intercept> {
        let uri: Uri = format!("https://{}", target.authority()).parse().ok()?;
        self.rules.intercept(&uri)
    }

    /// A connection to the target through the proxy.
    ///
    /// # Errors
    /// What went wrong, without the proxy's credentials.
    pub(super) async fn open(&self, proxy: &Intercept, target: &Target) -> Result<Box<dyn Stream>, Unreachable> {
        let failed =
            |cause, why: &dyn std::fmt::Display| Unreachable::new(cause, format!("the proxy of this host: {why}"));
        let fault = |why: &dyn std::fmt::Display| failed(UnreachableCause::Proxy, why);
        let stream = self.dial(proxy.uri()).await.map_err(|why| fault(&why))?;
        let connection = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await;
        let (mut requests, connection) = connection.map_err(|why| fault(&why))?;
        // Ends with the connection, which is given to the caller.
        tokio::spawn(connection.with_upgrades());
        let request = connect_request(target, proxy.basic_auth()).map_err(|why| fault(&why))?;
        let answer = requests.send_request(request).await.map_err(|why| fault(&why))?;
        if !answer.status().is_success() {
            let refused = UnreachableCause::ProxyRefused(Some(answer.status().as_u16()));
            return Err(failed(refused, &format!("it answered {}", answer.status())));
        }
        let opened = hyper::upgrade::on(answer).await.map_err(|why| fault(&why))?;
        Ok(Box::new(TokioIo::new(opened)))
    }

    async fn dial(&self, uri: &Uri) -> Result<Box<dyn Stream>, String> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = if self.tls.is_some() { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let mut last = format!("{host} has no address");
        for address in lookup_host((host.as_str(), port)).await.map_err(|why| format!("{host}: {why}"))? {
            match connect_to(address).await {
                Ok(stream) => {
                    let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
                    let name = server_name(&host).ok_or_else(|| format!("{host} is no name for a certificate"))?;
                    let stream = tls.connect(name, stream).await.map_err(|why| format!("{host}: {why}"))?;
                    return Ok(Box::new(stream));
                }
                Err(unreachable) => last = unreachable.why,
            }
        }
        Err(last)
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::from(address)),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

fn connect_request(target: &Target, credentials: Option<&HeaderValue>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let authority = target.authority();
    let mut request = Request::connect(authority.as_str()).header(header::HOST, authority.as_str());
    if let Some(credentials) = credentials {
        let mut credentials = credentials.clone();
        credentials.set_sensitive(true);
        request = request.header(header::PROXY_AUTHORIZATION, credentials);
    }
    request.body(Empty::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(https_proxy: &str, no_proxy: &str) -> ProxyConfig {
        ProxyConfig { https_proxy: https_proxy.to_owned(), no_proxy: no_proxy.to_owned() }
    }

    #[test]
    fn no_proxy_says_what_is_reached_directly() {
        let upstream = Upstream::new(&config("http://a:b@proxy.example:3128", ".svc, cloud.example,10.0.0.0/8"), None);
        let upstream = upstream.unwrap().unwrap();
        let goes_by = |text: &str| upstream.of(&Target::read(&text.parse().unwrap()).unwrap()).is_some();
        assert!(goes_by("api.other.example:443") && goes_by("11.0.0.1:5000") && goes_by("[2001:db8::1]:443"));
        assert!(!goes_by("api.cloud.example:443") && !goes_by("a.b.svc:443") && !goes_by("10.2.3.4:5000"));
    }

    #[test]
    fn only_a_proxy_for_connect_is_taken() {
        assert!(Upstream::new(&config("  ", "*"), None).unwrap().is_none());
        assert!(Upstream::new(&config("proxy.example:3128", "*"), None).unwrap().is_some());
        for text in ["socks5://proxy.example:1080", "ftp://proxy.example", "http://", "a b"] {
            assert!(matches!(Upstream::new(&config(text, ""), None), Err(SetupError::Proxy)), "{text}");
        }
    }
}
