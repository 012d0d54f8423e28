//! The only reader of the environment. It binds nothing and opens nothing, so it can be tested from a map.

mod auth;
mod browsers;
mod egress;
mod limits;
mod sealing;
mod spans;
mod times;
mod vars;

use times::{parse_duration, parse_time};
pub use vars::{VARIABLES, Variable};

use crate::dns::managed::ManagedDomains;
use crate::dns::pdm;
use crate::engine::Confine;
use crate::http::{AllowedOrigin, BrowserSettings, TrustedProxies};
use crate::outbound::{AllowedClouds, ProxyConfig};
use catalyst_store::{Seal, StateKey};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the process is told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the API.
    pub listen: SocketAddr,
    /// Who may call.
    pub auth: crate::auth::Settings,
    /// Whether it was left to the default.
    pub auth_is_unset: bool,
    /// Proxies whose word on their client counts.
    pub trusted_proxies: TrustedProxies,
    /// Connections of one address; half of the places where nothing is said.
    pub address_connections: Option<usize>,
    /// What each subject may ask for.
    pub limits: crate::limits::Settings,
    /// Origin whose pages may call.
    pub cors_origin: AllowedOrigin,
    /// What requests of browsers are held to.
    pub browsers: BrowserSettings,
    /// Folder of plugins.
    pub plugins_dir: PathBuf,
    /// File of limits of plugins.
    pub plugin_limits: Option<PathBuf>,
    /// File of public keys; with it only signed plugins serve.
    pub plugin_keys: Option<PathBuf>,
    /// Provider of requests that name none.
    pub default_provider: Option<String>,
    /// Folder of compiled plugins.
    pub cache_dir: Option<PathBuf>,
    /// Whether that folder was asked for, so that a start without it would break a promise.
    pub cache_asked_for: bool,
    /// Folder of records and logs.
    pub deployments_dir: PathBuf,
    /// File in which is written who did what.
    pub audit_log: PathBuf,
    /// Address that serves the metrics to everybody.
    pub metrics_listen: Option<SocketAddr>,
    /// Folder of kubeconfigs.
    pub kubeconfigs_dir: PathBuf,
    /// Folder of OpenTofu's states and of bundles.
    pub state_dir: PathBuf,
    /// Key that is sealed with.
    pub state_key: Option<StateKey>,
    /// What is sealed.
    pub seal: Seal,
    /// How long to wait for another process to let go of the folder.
    pub lock_wait: Duration,
    /// OpenTofu.
    pub tofu: TofuConfig,
    /// Budget of a destroy.
    pub destroy_timeout: Duration,
    /// How long a deployment waits for its node.
    pub kubeconfig_timeout: Duration,
    /// How long a new cluster is watched.
    pub phase1_timeout: Duration,
    /// Quiet time that ends a watch.
    pub phase1_settle: Duration,
    /// Number of releases, where no inventory tells.
    pub phase1_expected: Option<usize>,
    /// How long a failed run's secrets are remembered; zero for not at all.
    pub secrets_ttl: Duration,
    /// What a render may know of the host.
    pub public_url: String,
    /// Repository that Flux follows.
    pub gitops_repo_url: String,
    /// Its branch.
    pub gitops_branch: String,
    /// Pull token of the registry; a secret.
    pub ghcr_pull_token: catalyst_domain::SecretValue,
    /// Base URL of the pool-domain manager.
    pub pool_domain_manager_url: crate::outbound::Url,
    /// Domains whose names are given out.
    pub managed_domains: ManagedDomains,
    /// PEM file that replaces the system's trust store for calls of the host.
    pub trust_store: Option<PathBuf>,
    /// Proxy variables, as programs commonly read them.
    pub proxy: ProxyConfig,
    /// Where requests and plugins may lead beside public addresses.
    pub allowed_clouds: AllowedClouds,
    /// Where spans go; nowhere unless somebody asked.
    pub spans: Option<crate::telemetry::Settings>,
    /// Filter of the trace.
    pub log_filter: String,
    /// Remarks on the environment that are worth a warning.
    pub warnings: Vec<String>,
}

/// What a run of OpenTofu is told.
#[derive(Debug, Clone)]
pub struct TofuConfig {
    /// Binary, looked up on PATH.
    pub bin: PathBuf,
    /// Folder of work folders.
    pub workdir: PathBuf,
    /// The child's whole environment beside what the run adds.
    pub env: Vec<(OsString, OsString)>,
    /// Folder of providers for sites without network.
    pub provider_mirror: Option<PathBuf>,
    /// Runs at once.
    pub max_runs: usize,
    /// Budget of Phase 0.
    pub apply_timeout: Duration,
    /// Whether it is confined.
    pub confine: Confine,
}

/// A variable with a value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct ConfigError {
    /// Its name.
    pub name: &'static str,
    /// The rule.
    pub why: String,
}

/// Where nodes call back unless told otherwise, as the contract has it.
pub const DEFAULT_PUBLIC_URL: &str = "https://console.openova.io/sovereign";

/// What the stand-alone hook `catalyst dns` reads, beside the managed domains.
const DNS_HOOK: [&str; 7] = [
    "DYNADOT_API_KEY",
    "DYNADOT_API_SECRET",
    "DOMAIN",
    "SUBDOMAIN",
    "LB_IP",
    "DYNADOT_MANAGED_DOMAINS",
    "DYNADOT_DOMAIN",
];

/// The inputs of `catalyst dns` as the environment has them. They hold secrets, so they are no part of [`Config`].
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn dns_hook() -> BTreeMap<String, String> {
    DNS_HOOK.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// Names handed to OpenTofu as they are, where they are set.
const CHILD_ENV: [&str; 13] = [
    "PATH",
    "TMPDIR",
    "TF_CLI_CONFIG_FILE",
    "TF_PLUGIN_CACHE_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LANG",
];

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] for the first variable with an invalid value.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        let vars = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::from_map(&vars.collect())
    }

    /// Reads a map; an empty value counts as unset.
    ///
    /// # Errors
    /// [`ConfigError`] for the first variable with an invalid value.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let env = Env(map);
        let deployments_dir = env.path("CATALYST_DEPLOYMENTS_DIR", "/var/lib/catalyst/deployments");
        let beside =
            |name: &str| deployments_dir.parent().map_or_else(|| PathBuf::from(name), |parent| parent.join(name));
        let listen = env.listen()?;
        Ok(Self {
            listen,
            auth: env.auth(listen)?,
            auth_is_unset: env.is_auth_unset(),
            audit_log: env.get("CATALYST_AUDIT_LOG").map_or_else(|| beside("audit.jsonl"), PathBuf::from),
            metrics_listen: env.metrics_listen(listen)?,
            trusted_proxies: env.trusted_proxies()?,
            address_connections: env.address_connections()?,
            limits: env.limits()?,
            cors_origin: env.origin()?,
            browsers: env.browsers()?,
            plugins_dir: env.path("CATALYST_PLUGINS_DIR", "/plugins"),
            plugin_limits: env.get("CATALYST_PLUGIN_LIMITS").map(PathBuf::from),
            plugin_keys: env.get("CATALYST_PLUGIN_KEYS").map(PathBuf::from),
            default_provider: env.get("CATALYST_DEFAULT_PROVIDER").map(str::to_owned),
            cache_asked_for: env.get("CATALYST_CACHE_DIR").is_some(),
            cache_dir: env.get("CATALYST_CACHE_DIR").map(PathBuf::from).or_else(|| env.user_cache()),
            state_dir: env.get("CATALYST_STATE_DIR").map_or_else(|| beside("state"), PathBuf::from),
            deployments_dir,
            kubeconfigs_dir: env.path("CATALYST_KUBECONFIGS_DIR", "/var/lib/catalyst/kubeconfigs"),
            state_key: env.state_key()?,
            seal: env.seal()?,
            lock_wait: env.duration("CATALYST_LOCK_WAIT", "10s")?,
            tofu: TofuConfig {
                bin: env.path("CATALYST_TOFU_BIN", "tofu"),
                workdir: env.path("CATALYST_TOFU_WORKDIR", "/var/lib/catalyst/tofu"),
                env: env.child_env()?,
                provider_mirror: env.get("CATALYST_PROVIDER_MIRROR").map(PathBuf::from),
                max_runs: env.count("CATALYST_MAX_RUNS")?.unwrap_or(4),
                apply_timeout: env.apply_timeout()?,
                confine: env.confine()?,
            },
            destroy_timeout: env.destroy_timeout()?,
            kubeconfig_timeout: env.duration("CATALYST_KUBECONFIG_TIMEOUT", "45m")?,
            phase1_timeout: env.lenient_duration("CATALYST_PHASE1_WATCH_TIMEOUT", Duration::from_secs(3600)),
            phase1_settle: env.duration("CATALYST_PHASE1_SETTLE", "30s")?,
            phase1_expected: env.count("CATALYST_PHASE1_EXPECTED")?,
            secrets_ttl: env.secrets_ttl()?,
            public_url: env.public_url()?,
            gitops_repo_url: env.url("CATALYST_GITOPS_REPO_URL", "https://github.com/openova-io/openova")?,
            gitops_branch: env.get("CATALYST_GITOPS_BRANCH").unwrap_or("main").to_owned(),
            ghcr_pull_token: catalyst_domain::SecretValue::new(env.get("CATALYST_GHCR_PULL_TOKEN").unwrap_or_default()),
            pool_domain_manager_url: env.pool_domain_manager()?,
            managed_domains: ManagedDomains::from_config(env.get("DYNADOT_MANAGED_DOMAINS"), env.get("DYNADOT_DOMAIN")),
            trust_store: env.get("SSL_CERT_FILE").map(PathBuf::from),
            proxy: ProxyConfig {
                https_proxy: env.either("HTTPS_PROXY", "https_proxy"),
                no_proxy: env.either("NO_PROXY", "no_proxy"),
            },
            allowed_clouds: env.allowed_clouds()?,
            spans: env.spans()?,
            log_filter: env.get("RUST_LOG").unwrap_or("info").to_owned(),
            warnings: env.warnings(),
        })
    }
}

struct Env<'a>(&'a BTreeMap<String, String>);

impl<'a> Env<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn either(&self, upper: &str, lower: &str) -> String {
        self.get(upper).or_else(|| self.get(lower)).unwrap_or_default().to_owned()
    }

    fn path(&self, name: &str, default: &str) -> PathBuf {
        PathBuf::from(self.get(name).unwrap_or(default))
    }

    fn listen(&self) -> Result<SocketAddr, ConfigError> {
        if let Some(text) = self.get("CATALYST_LISTEN") {
            let why = "must be an address and a port such as 127.0.0.1:8080";
            let address = text.parse().map_err(|_| invalid("CATALYST_LISTEN", why))?;
            return self.said_to_be_open(address);
        }
        match self.get("PORT") {
            None => Ok(SocketAddr::from(([127, 0, 0, 1], 8080))),
            Some(text) => {
                let port: u16 = text.parse().map_err(|_| invalid("PORT", "must be a port from 0 to 65535"))?;
                self.said_to_be_open(SocketAddr::from(([0, 0, 0, 0], port)))
            }
        }
    }

    // The API gives out kubeconfigs to whoever asks, so an open address needs a word.
    fn said_to_be_open(&self, address: SocketAddr) -> Result<SocketAddr, ConfigError> {
        if address.ip().is_loopback() || self.get("CATALYST_AUTH").is_some() {
            return Ok(address);
        }
        let why = format!(
            "must be token, kubernetes or oidc, so that {address} is not open to everybody; or none, if that is meant; or \
             use loopback"
        );
        Err(ConfigError { name: "CATALYST_AUTH", why })
    }

    fn origin(&self) -> Result<AllowedOrigin, ConfigError> {
        let why = "must be * or one origin such as https://console.example.org";
        AllowedOrigin::parse(self.get("CORS_ORIGIN").unwrap_or("*")).ok_or_else(|| invalid("CORS_ORIGIN", why))
    }

    fn count(&self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(invalid(name, "must be a whole number above zero")),
        }
    }

    fn url(&self, name: &'static str, default: &str) -> Result<String, ConfigError> {
        let text = self.get(name).unwrap_or(default).trim_end_matches('/');
        let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let scheme = text.starts_with("https://") || text.starts_with("http://");
        if plain && scheme { Ok(text.to_owned()) } else { Err(invalid(name, "must be an http or https URL")) }
    }

    fn public_url(&self) -> Result<String, ConfigError> {
        self.url("CATALYST_API_PUBLIC_URL", "https://console.openova.io/sovereign")
    }

    fn child_env(&self) -> Result<Vec<(OsString, OsString)>, ConfigError> {
        let extra = self.get("CATALYST_TOFU_PASS_ENV").unwrap_or_default();
        let extra: Vec<&str> = extra.split([',', ' ']).filter(|name| !name.is_empty()).collect();
        if extra.iter().any(|name| name.starts_with("CATALYST_") || name.starts_with("DYNADOT_")) {
            return Err(invalid("CATALYST_TOFU_PASS_ENV", "must not name the host's own variables"));
        }
        let names = CHILD_ENV.iter().copied().chain(extra);
        Ok(names.filter_map(|name| Some((name.into(), self.get(name)?.into()))).collect())
    }

    fn confine(&self) -> Result<Confine, ConfigError> {
        match self.get("CATALYST_TOFU_CONFINE").unwrap_or("auto") {
            "auto" => Ok(Confine::Auto),
            "require" => Ok(Confine::Require),
            "off" => Ok(Confine::Off),
            _ => Err(invalid("CATALYST_TOFU_CONFINE", "must be auto, require or off")),
        }
    }

    fn user_cache(&self) -> Option<PathBuf> {
        let base = self.get("XDG_CACHE_HOME").map(PathBuf::from);
        base.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(".cache"))).map(|base| base.join("catalyst"))
    }

    fn pool_domain_manager(&self) -> Result<crate::outbound::Url, ConfigError> {
        let name = "POOL_DOMAIN_MANAGER_URL";
        let default = "http://pool-domain-manager.openova-system.svc.cluster.local:8080";
        pdm::base_url(self.get(name).unwrap_or(default)).map_err(|_| invalid(name, "must be an http or https URL"))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.unused_auth();
        warnings.extend(self.unused_cors());
        if self.get("CATALYST_TOFU_MODULE_PATH").is_some() {
            warnings.push("CATALYST_TOFU_MODULE_PATH is ignored: the module comes with the plugin".to_owned());
        }
        for name in vars::unknown(self.0) {
            warnings.push(format!("{name} is not a variable of catalyst; `catalyst serve --help` lists them"));
        }
        if self.0.get("CATALYST_PHASE1_WATCH_TIMEOUT").is_some_and(|v| !v.is_empty() && parse_duration(v).is_none()) {
            warnings.push("CATALYST_PHASE1_WATCH_TIMEOUT is not a duration; its default of 60m is used".to_owned());
        }
        warnings
    }
}

fn invalid(name: &'static str, why: &str) -> ConfigError {
    ConfigError { name, why: why.to_owned() }
}

#[cfg(test)]
mod tests;
