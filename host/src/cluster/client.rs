//! From a kubeconfig to a client, by construction without files, programs or environment.
//!
//! kube's own loader is not used: it would be a second reader of the text, reads `HTTPS_PROXY` by itself and follows file
//! references. Only the fields that are copied here have an effect, so a key that kube learns tomorrow has none (H-4).

use super::WatchSettings;
use crate::outbound::is_metadata_or_link_local;
use base64::Engine as _;
use catalyst_domain::SecretValue;
use catalyst_domain::kubeconfig::Kubeconfig;
use http::Uri;
use http_body_util::Limited;
use kube::client::ClientBuilder;
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tower::util::MapResponseLayer;

/// Largest answer in bytes, streams included. A list of a kit is below 1 MiB; a follower of logs takes up a new stream
/// where the old one ended.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Chooses the proxy for an address: `None` goes straight. An `https` proxy is checked against the cluster's own
/// certificate authority, so one with a public certificate needs an `http` address.
pub type ProxyChoice = Arc<dyn Fn(&Uri) -> Option<Uri> + Send + Sync>;

/// Why a kubeconfig cannot be used. Never holds a value out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kubeconfig cannot be used: {0}")]
pub struct KubeconfigFault(&'static str);

/// How requests get to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// What fails on the way, fails between this host and the cluster.
    Direct,
    /// A proxy is connected to. That it cannot be reached, or answers by itself, says nothing about the cluster.
    Proxy,
}

/// The route that the client of [`connect`] takes.
///
/// # Errors
/// [`KubeconfigFault`].
pub(super) fn route(kubeconfig: &Kubeconfig, settings: &WatchSettings) -> Result<Route, KubeconfigFault> {
    Ok(match client_config(kubeconfig, settings)?.proxy_url {
        Some(_) => Route::Proxy,
        None => Route::Direct,
    })
}

/// A client for the cluster. Nothing is sent yet.
pub(super) fn connect(kubeconfig: &Kubeconfig, settings: &WatchSettings) -> Result<kube::Client, KubeconfigFault> {
    let config = client_config(kubeconfig, settings)?;
    // A build with two TLS providers has no default one, and rustls panics. An error here means that one is set.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let builder = ClientBuilder::try_from(config)
        .map_err(|_| KubeconfigFault("its certificates, its key or the proxy's address cannot be used"))?;
    let limit = MapResponseLayer::new(|answer: http::Response<_>| answer.map(|body| Limited::new(body, MAX_ANSWER)));
    Ok(builder.with_layer(&limit).build())
}

/// What a client of the cluster is made of.
///
/// # Errors
/// [`KubeconfigFault`].
pub fn client_config(kubeconfig: &Kubeconfig, settings: &WatchSettings) -> Result<kube::Config, KubeconfigFault> {
    let server = kubeconfig.server.url().parse::<Uri>().map_err(|_| KubeconfigFault("its server is not a URL"))?;
    // No server of a cluster is there, and what is there gives away credentials of the machine that this host runs on.
    if kubeconfig.server.host().parse().is_ok_and(is_metadata_or_link_local) {
        return Err(KubeconfigFault("its server is an address of the link itself or of a metadata service"));
    }
    let mut config = kube::Config::new(match settings.address {
        Some(address) => at(server, address).ok_or(KubeconfigFault("its server is not a URL"))?,
        None => server,
    });
    config.proxy_url = settings.proxy.as_ref().and_then(|choose| choose(&config.cluster_url));
    config.root_cert = kubeconfig.authority_data.as_deref().map(authorities).transpose()?;
    config.tls_server_name.clone_from(&kubeconfig.tls_server_name);
    if settings.address.is_some() && config.tls_server_name.is_none() {
        config.tls_server_name = Some(kubeconfig.server.host().to_owned());
    }
    config.connect_timeout = Some(settings.connect_timeout);
    // Our own backoff says what happens and when; retries inside the client would hide it.
    config.default_retry = false;
    let user = &kubeconfig.credentials;
    let secret = |value: &Option<SecretValue>| value.as_ref().map(|value| value.expose().to_owned().into());
    config.auth_info = AuthInfo {
        token: secret(&user.token),
        username: user.username.clone(),
        password: secret(&user.password),
        client_certificate_data: user.client_certificate_data.clone(),
        client_key_data: secret(&user.client_key_data),
        ..AuthInfo::default()
    };
    Ok(config)
}

/// The same URL at an address.
fn at(server: Uri, address: IpAddr) -> Option<Uri> {
    let port = server.port_u16().unwrap_or(443);
    let mut parts = server.into_parts();
    parts.authority = SocketAddr::new(address, port).to_string().parse().ok();
    Uri::from_parts(parts).ok()
}

fn authorities(data: &str) -> Result<Vec<Vec<u8>>, KubeconfigFault> {
    const FAULT: KubeconfigFault = KubeconfigFault("its certificate authority cannot be read");
    let pem = base64::engine::general_purpose::STANDARD.decode(data.trim()).map_err(|_| FAULT)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|_| FAULT)?;
    if certificates.is_empty() {
        return Err(FAULT);
    }
    Ok(certificates.into_iter().map(|c| c.to_vec()).collect())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
