//! From the bytes of a kubeconfig to a client, by construction without files, programs or environment.
//!
//! kube's own loader is not used: it reads `HTTPS_PROXY` by itself and would follow file references. Only the fields
//! that are copied here have an effect, so a key that kube learns tomorrow has none (H-4).

use super::WatchSettings;
use crate::outbound::is_metadata_or_link_local;
use base64::Engine as _;
use catalyst_domain::kubeconfig::{BodyFault, inspect};
use http::Uri;
use http_body_util::Limited;
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::IpAddr;
use std::sync::Arc;
use tower::util::MapResponseLayer;

/// Largest answer in bytes, streams included. A list of a kit is below 1 MiB; a follower of logs takes up a new stream
/// where the old one ended.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Chooses the proxy for an address: `None` goes straight. An `https` proxy is checked against the cluster's own
/// certificate authority, so one with a public certificate needs an `http` address.
pub type ProxyChoice = Arc<dyn Fn(&Uri) -> Option<Uri> + Send + Sync>;

/// Why a kubeconfig cannot be used. Never holds a value out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigFault {
    /// It breaks a rule for every kubeconfig.
    #[error("the kubeconfig is not acceptable")]
    Rule(#[source] BodyFault),
    /// A part that is needed is missing or unreadable.
    #[error("the kubeconfig cannot be used: {0}")]
    Part(&'static str),
}

/// A client for the cluster. Nothing is sent yet.
pub(super) fn connect(kubeconfig: &[u8], settings: &WatchSettings) -> Result<kube::Client, KubeconfigFault> {
    inspect(kubeconfig).map_err(KubeconfigFault::Rule)?;
    let text = std::str::from_utf8(kubeconfig).map_err(|_| KubeconfigFault::Part("it is not UTF-8 text"))?;
    let parsed = Kubeconfig::from_yaml(text).map_err(|_| KubeconfigFault::Part("it cannot be read"))?;
    let (cluster, user) = current(parsed)?;
    let config = config(cluster, user, settings)?;
    // A build with two TLS providers has no default one, and rustls panics. An error here means that one is set.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let builder = ClientBuilder::try_from(config)
        .map_err(|_| KubeconfigFault::Part("its certificates, its key or the proxy's address cannot be used"))?;
    let limit = MapResponseLayer::new(|answer: http::Response<_>| answer.map(|body| Limited::new(body, MAX_ANSWER)));
    Ok(builder.with_layer(&limit).build())
}

/// The cluster and user of the current context; with a single context, that one.
fn current(kubeconfig: Kubeconfig) -> Result<(Cluster, AuthInfo), KubeconfigFault> {
    let Kubeconfig { clusters, auth_infos, contexts, current_context, .. } = kubeconfig;
    let mut contexts = contexts.into_iter();
    let context = match current_context.filter(|name| !name.is_empty()) {
        Some(name) => contexts.find(|c| c.name == name),
        None => contexts.next().filter(|_| contexts.len() == 0),
    };
    let context = context.and_then(|c| c.context).ok_or(KubeconfigFault::Part("it has no current context"))?;
    let cluster = clusters
        .into_iter()
        .find(|c| c.name == context.cluster)
        .and_then(|c| c.cluster)
        .ok_or(KubeconfigFault::Part("its context names no cluster in it"))?;
    let user = auth_infos
        .into_iter()
        .find(|u| Some(&u.name) == context.user.as_ref())
        .and_then(|u| u.auth_info)
        .ok_or(KubeconfigFault::Part("its context names no user in it"))?;
    Ok((cluster, user))
}

fn config(cluster: Cluster, user: AuthInfo, settings: &WatchSettings) -> Result<kube::Config, KubeconfigFault> {
    let server = cluster.server.as_deref().and_then(|server| server.parse::<Uri>().ok());
    let server = server.ok_or(KubeconfigFault::Part("its server is not a URL"))?;
    // No server of a cluster is there, and what is there gives away credentials of the machine that this host runs on.
    if server.host().and_then(address).is_some_and(is_metadata_or_link_local) {
        return Err(KubeconfigFault::Part("its server is an address of the link itself or of a metadata service"));
    }
    let mut config = kube::Config::new(server);
    config.proxy_url = settings.proxy.as_ref().and_then(|choose| choose(&config.cluster_url));
    config.root_cert = cluster.certificate_authority_data.as_deref().map(authorities).transpose()?;
    config.tls_server_name = cluster.tls_server_name;
    config.connect_timeout = Some(settings.connect_timeout);
    // Our own backoff says what happens and when; retries inside the client would hide it.
    config.default_retry = false;
    config.auth_info = AuthInfo {
        token: user.token,
        username: user.username,
        password: user.password,
        client_certificate_data: user.client_certificate_data,
        client_key_data: user.client_key_data,
        ..AuthInfo::default()
    };
    Ok(config)
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn authorities(data: &str) -> Result<Vec<Vec<u8>>, KubeconfigFault> {
    const FAULT: KubeconfigFault = KubeconfigFault::Part("its certificate authority cannot be read");
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
