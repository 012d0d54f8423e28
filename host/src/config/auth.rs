//! Who may call, and what is written down of it.

use super::{ConfigError, Env, invalid};
use crate::auth::{
    CookieSettings, GRACE, OidcSettings, ReviewSettings, ScopeMap, Settings, Way, algorithm, is_private_on_the_way,
};
use crate::http::TrustedProxies;
use crate::outbound::Url;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Env<'_> {
    pub(super) fn auth(&self, listen: SocketAddr) -> Result<Settings, ConfigError> {
        Ok(Settings { way: self.way()?, cookie: self.cookie(listen)? })
    }

    fn way(&self) -> Result<Way, ConfigError> {
        match self.get("CATALYST_AUTH").unwrap_or("none") {
            "none" => Ok(Way::None),
            "token" => {
                let file = self
                    .needed("CATALYST_AUTH_TOKENS", "must name the file of tokens; `catalyst token new` makes one")?;
                Ok(Way::Token { file: PathBuf::from(file), grace: GRACE })
            }
            "kubernetes" => Ok(Way::Kubernetes(ReviewSettings {
                api: self.kubernetes_api()?,
                account: self.path("CATALYST_AUTH_KUBERNETES_ACCOUNT", ACCOUNT),
                audience: self.get("CATALYST_AUTH_KUBERNETES_AUDIENCE").map(str::to_owned),
                scopes: self.scopes()?,
            })),
            "oidc" => Ok(Way::Oidc(OidcSettings {
                issuer: self.issuer()?,
                audience: self.needed("CATALYST_OIDC_AUDIENCE", "must be what `aud` of a token names")?.to_owned(),
                clients: self.clients(),
                algorithms: self.algorithms()?,
                groups_claim: self.get("CATALYST_OIDC_GROUPS_CLAIM").unwrap_or("groups").to_owned(),
                scopes: self.scopes()?,
            })),
            _ => Err(invalid("CATALYST_AUTH", "must be none, token, kubernetes or oidc")),
        }
    }

    fn needed(&self, name: &'static str, why: &str) -> Result<&str, ConfigError> {
        self.get(name).ok_or_else(|| invalid(name, why))
    }

    fn scopes(&self) -> Result<ScopeMap, ConfigError> {
        let name = "CATALYST_AUTH_SCOPES";
        let map = ScopeMap::parse(self.get(name).unwrap_or_default()).map_err(|why| ConfigError { name, why })?;
        if map.is_empty() {
            return Err(invalid(name, "must say who may do what, such as group:platform=admin; *=read"));
        }
        Ok(map)
    }

    fn kubernetes_api(&self) -> Result<Url, ConfigError> {
        let name = "CATALYST_AUTH_KUBERNETES_API";
        let url = self.url(name, "https://kubernetes.default.svc")?;
        url.parse().ok().filter(is_private_on_the_way).ok_or_else(|| invalid(name, "must be an https URL"))
    }

    fn issuer(&self) -> Result<String, ConfigError> {
        let name = "CATALYST_OIDC_ISSUER";
        let text = self.needed(name, "must be the issuer's URL, as `iss` of a token has it")?;
        let plain = text.parse::<Url>().ok().filter(|url| url.query().is_none() && url.fragment().is_none());
        plain
            .filter(is_private_on_the_way)
            .map(|_| text.to_owned())
            .ok_or_else(|| invalid(name, "must be an https URL"))
    }

    fn clients(&self) -> Vec<String> {
        let words = self.get("CATALYST_OIDC_CLIENTS").unwrap_or_default().split([',', ' ']);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn algorithms(&self) -> Result<Vec<jsonwebtoken::Algorithm>, ConfigError> {
        let name = "CATALYST_OIDC_ALGORITHMS";
        let words = self.get(name).unwrap_or("RS256,ES256").split([',', ' ']).filter(|word| !word.is_empty());
        let all: Option<Vec<_>> = words.map(algorithm).collect();
        let why = "must be some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA";
        all.filter(|all| !all.is_empty()).ok_or_else(|| invalid(name, why))
    }

    /// A browser sees the paths of the public URL, except where it is on this machine and nobody said another one.
    fn cookie(&self, listen: SocketAddr) -> Result<CookieSettings, ConfigError> {
        if listen.ip().is_loopback() && self.get("CATALYST_API_PUBLIC_URL").is_none() {
            return Ok(CookieSettings::default());
        }
        let url: Url = self.public_url()?.parse().map_err(|_| invalid("CATALYST_API_PUBLIC_URL", "must be a URL"))?;
        Ok(CookieSettings { prefix: url.path().trim_end_matches('/').to_owned(), secure: url.scheme() == "https" })
    }

    /// Where the API listens, nobody else can.
    pub(super) fn metrics_listen(&self, api: SocketAddr) -> Result<Option<SocketAddr>, ConfigError> {
        let name = "CATALYST_METRICS_LISTEN";
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = |_| invalid(name, "must be an address and a port such as 0.0.0.0:9090");
        let own: SocketAddr = text.parse().map_err(wrong)?;
        let meets = own.ip() == api.ip() || own.ip().is_unspecified() || api.ip().is_unspecified();
        // The system gives each its own where none is named.
        if meets && own.port() == api.port() && own.port() != 0 {
            return Err(invalid(name, "must be another address than that of the API"));
        }
        Ok(Some(own))
    }

    pub(super) fn trusted_proxies(&self) -> Result<TrustedProxies, ConfigError> {
        let name = "CATALYST_TRUSTED_PROXIES";
        TrustedProxies::parse(self.get(name).unwrap_or_default()).map_err(|why| ConfigError { name, why })
    }

    pub(super) fn unused_auth(&self) -> Vec<String> {
        let way = self.get("CATALYST_AUTH").unwrap_or("none");
        let ours = |name: &str| match way {
            "token" => name == "CATALYST_AUTH_TOKENS",
            "kubernetes" => name.starts_with("CATALYST_AUTH_KUBERNETES_") || name == "CATALYST_AUTH_SCOPES",
            "oidc" => name.starts_with("CATALYST_OIDC_") || name == "CATALYST_AUTH_SCOPES",
            _ => false,
        };
        let of_auth = |name: &&str| name.starts_with("CATALYST_AUTH_") || name.starts_with("CATALYST_OIDC_");
        let set = self.0.keys().map(String::as_str).filter(|name| self.get(name).is_some());
        let unused = set.filter(of_auth).filter(|name| super::VARIABLES.iter().any(|v| v.name == *name) && !ours(name));
        unused.map(|name| format!("{name} means nothing while CATALYST_AUTH is {way}")).collect()
    }
}
