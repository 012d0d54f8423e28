//! Which proxy leads to the new cluster. kube's client would read HTTPS_PROXY by itself and ignore NO_PROXY, so it is told.

use crate::cluster::ProxyChoice;
use crate::outbound::ProxyConfig;
use hyper_util::client::proxy::matcher::Matcher;
use std::sync::Arc;

/// The choice for an address; `None` where no proxy is set.
pub fn choice(config: &ProxyConfig) -> Option<ProxyChoice> {
    if config.https_proxy.is_empty() {
        return None;
    }
    let matcher = Matcher::builder().https(config.https_proxy.clone()).no(config.no_proxy.clone()).build();
    Some(Arc::new(move |uri| matcher.intercept(uri).map(|proxy| proxy.uri().clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_honoured() {
        let config =
            ProxyConfig { https_proxy: "http://proxy.example:3128".into(), no_proxy: "192.0.2.0/24,.inside".into() };
        let choice = choice(&config).unwrap();
        let through = |uri: &str| choice(&uri.parse().unwrap()).is_some();
        assert!(through("https://198.51.100.7:6443"));
        assert!(!through("https://192.0.2.7:6443"));
        assert!(!through("https://a.inside:6443"));
        assert!(super::choice(&ProxyConfig::default()).is_none());
    }
}
