//! The one list of environment variables: the help text prints it, and a test holds the docs to it.

use std::collections::BTreeMap;

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Default; blank for none.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Names of our own kind that mean nothing: most likely a slip of the keyboard.
pub fn unknown(map: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let known = |name: &str| VARIABLES.iter().any(|variable| variable.name == name);
    map.keys().map(String::as_str).filter(move |name| name.starts_with("CATALYST_") && !known(name))
}

const fn var(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning }
}

/// All variables that the host reads.
pub const VARIABLES: &[Variable] = &[
    var("CATALYST_LISTEN", "127.0.0.1:8080", "address of the API; wins over PORT"),
    var("PORT", "", "port of the API on every address"),
    var("CATALYST_AUTH", "none on loopback", "how callers are known: none, token, kubernetes, oidc"),
    var("CATALYST_AUTH_TOKENS", "", "token: file of names, scopes and digests; `catalyst token new` makes a line"),
    var(
        "CATALYST_AUTH_SCOPES",
        "",
        "kubernetes, oidc: who may do what, such as user:ana=admin; group:dev=read+create; *=read",
    ),
    var("CATALYST_AUTH_KUBERNETES_API", "https://kubernetes.default.svc", "kubernetes: API that reviews tokens"),
    var(
        "CATALYST_AUTH_KUBERNETES_ACCOUNT",
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "kubernetes: folder with the credential by which the host asks the API, such as /etc/catalyst/reviewer. Two files, as a Pod \
         has them: token, the bearer token of a service account that may create tokenreviews (read anew for each review), and \
         ca.crt, the certificates (PEM) that are trusted for the API; without ca.crt the usual trust store counts",
    ),
    var("CATALYST_AUTH_KUBERNETES_AUDIENCE", "the API's own", "kubernetes: audience that tokens must be made for"),
    var("CATALYST_OIDC_ISSUER", "", "oidc: URL of the provider, as `iss` has it"),
    var("CATALYST_OIDC_AUDIENCE", "", "oidc: what `aud` must name"),
    var(
        "CATALYST_OIDC_CLIENTS",
        "the audience alone",
        "oidc: further clients that `azp` of a token may name, and then `client_id` as well; between commas or spaces",
    ),
    var("CATALYST_OIDC_ALGORITHMS", "RS256,ES256", "oidc: signatures that count"),
    var("CATALYST_OIDC_GROUPS_CLAIM", "groups", "oidc: claim with the groups"),
    var(
        "CATALYST_TRUSTED_PROXIES",
        "",
        "networks of proxies whose X-Forwarded-For, Forwarded and X-Forwarded-Host are believed, such as 10.0.0.0/8; between commas",
    ),
    var(
        "CATALYST_ALLOWED_HOSTS",
        "",
        "names that the Host header of a request may have, such as console.example.org, .apps.example.org or 192.0.2.7; between commas. Unset: on loopback without authentication localhost and addresses, elsewhere any",
    ),
    var(
        "CATALYST_ADDRESS_CONNECTIONS",
        "half of all places, 2048",
        "connections of one address (IPv6: one /64), or requests in flight of one client of a trusted proxy",
    ),
    var(
        "CATALYST_CREATE_RATE",
        "3000/10m",
        "creates of one subject, as count/time; all of them may come at once. Retries, destroys and changes of nameservers have the same limit, counted apart",
    ),
    var(
        "CATALYST_QUESTION_RATE",
        "6000/10m",
        "previews, checks of credentials, names and registrars, keys and read tokens of one subject in a time",
    ),
    var("CATALYST_MAX_LIVE", "2000", "deployments of one subject that are not at their end"),
    var("CATALYST_MAX_WAITING", "2000", "deployments of one subject that wait for a free run"),
    var("CATALYST_AUDIT_LOG", "`audit.jsonl` beside the deployments", "file in which is written who did what"),
    var(
        "CATALYST_METRICS_LISTEN",
        "",
        "address that serves /metrics, /healthz and /readyz without authentication, beside the API's own",
    ),
    var("CATALYST_API_PUBLIC_URL", "https://console.openova.io/sovereign", "base URL that nodes call back"),
    var("CATALYST_PLUGINS_DIR", "/plugins", "folder of provider plugins (.wasm); followed while the host serves"),
    var("CATALYST_PLUGIN_LIMITS", "", "JSON file of plugins' limits, read at the start"),
    var("CATALYST_PLUGIN_KEYS", "", "file of minisign public keys; with it only signed plugins serve"),
    var("CATALYST_DEFAULT_PROVIDER", "", "provider of requests that name none"),
    var("CATALYST_CACHE_DIR", "user cache", "folder of compiled plugins"),
    var("CATALYST_DEPLOYMENTS_DIR", "/var/lib/catalyst/deployments", "folder of records and logs"),
    var("CATALYST_KUBECONFIGS_DIR", "/var/lib/catalyst/kubeconfigs", "folder of kubeconfigs"),
    var("CATALYST_STATE_DIR", "`state` beside the deployments", "folder of OpenTofu states and bundles"),
    var(
        "CATALYST_STATE_KEY",
        "",
        "key for encrypting states and the secrets of interrupted runs: 32 random bytes, as 64 hex digits or base64",
    ),
    var(
        "CATALYST_SEAL",
        "states",
        "what is encrypted where there is a key: states; all: kubeconfigs and bundles as well, also those that are kept already",
    ),
    var("CATALYST_LOCK_WAIT", "10s", "how long to wait for another process to let go of the folder"),
    var("CATALYST_TOFU_BIN", "tofu", "OpenTofu binary, looked up on PATH"),
    var("CATALYST_TOFU_WORKDIR", "/var/lib/catalyst/tofu", "work folders by deployment id"),
    var("CATALYST_TOFU_MODULE_PATH", "", "ignored: the module comes with the plugin"),
    var(
        "CATALYST_TOFU_PASS_ENV",
        "",
        "further variable names handed to OpenTofu, comma-separated; a run may reach the hosts of URLs in them",
    ),
    var("CATALYST_PROVIDER_MIRROR", "", "folder of OpenTofu providers for sites without network"),
    var(
        "CATALYST_TOFU_CONFINE",
        "auto",
        "auto: OpenTofu runs behind every layer that holds here, and reaches granted hosts by a proxy; require: no start unless \
         the required layers hold (docs/confinement.md); off",
    ),
    var("CATALYST_MAX_RUNS", "4", "OpenTofu runs at once"),
    var(
        "CATALYST_APPLY_TIMEOUT",
        "30m",
        "time of one run, from when it has its place and its module, staging included; then it is interrupted, and killed \
         after 30 s more",
    ),
    var(
        "CATALYST_DESTROY_TIMEOUT",
        "",
        "the same for a destroy, with the work in its cluster before its run, which has a quarter of it and 10 minutes at most; \
         unset: twice CATALYST_APPLY_TIMEOUT",
    ),
    var("CATALYST_KUBECONFIG_TIMEOUT", "45m", "wait for the node's kubeconfig"),
    var("CATALYST_PHASE1_WATCH_TIMEOUT", "60m", "budget of Phase 1"),
    var("CATALYST_PHASE1_SETTLE", "30s", "quiet time that ends a watch"),
    var("CATALYST_PHASE1_EXPECTED", "", "number of releases, where no inventory tells"),
    var("CATALYST_SECRETS_TTL", "24h", "how long a failed run's secrets are remembered; 0: not at all"),
    var("CATALYST_GHCR_PULL_TOKEN", "", "pull token of the registry; required in pool mode"),
    var("CATALYST_GITOPS_REPO_URL", "https://github.com/openova-io/openova", "repository that Flux follows"),
    var("CATALYST_GITOPS_BRANCH", "main", "its branch"),
    var(
        "CORS_ORIGIN",
        "*",
        "origin whose pages may call: * or one such as https://console.example.org; without authentication * is none",
    ),
    var(
        "POOL_DOMAIN_MANAGER_URL",
        "http://pool-domain-manager.openova-system.svc.cluster.local:8080",
        "pool-domain manager",
    ),
    var("DYNADOT_MANAGED_DOMAINS", "openova.io, omani.works", "managed pool domains, between commas or spaces"),
    var("DYNADOT_DOMAIN", "", "the one managed pool domain, where the list is empty"),
    var("DYNADOT_API_KEY", "", "catalyst dns: key of the registrar's API"),
    var("DYNADOT_API_SECRET", "", "catalyst dns: its secret"),
    var("DOMAIN", "", "catalyst dns: managed domain to write into"),
    var("SUBDOMAIN", "", "catalyst dns: label of the Sovereign"),
    var("LB_IP", "", "catalyst dns: address the records point at"),
    var(
        "CATALYST_ALLOWED_CLOUDS",
        "public addresses",
        "private clouds that requests, credential probes and runs may reach: hosts, suffixes such as .example.org, networks",
    ),
    var("HTTPS_PROXY", "", "proxy for everything that goes out, runs of OpenTofu among it"),
    var("NO_PROXY", "", "hosts reached without the proxy"),
    var("SSL_CERT_FILE", "", "trust store of the host's calls and of OpenTofu"),
    var("RUST_LOG", "info", "filter of the trace"),
    var(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "collector that gets spans by OTLP over HTTP, such as http://otel-collector:4318; without one no span is made",
    ),
    var(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "",
        "whole URL of the same; wins, as each TRACES form of the next ones does",
    ),
    var(
        "OTEL_TRACES_EXPORTER",
        "otlp with an endpoint",
        "otlp: to the collector, at http://localhost:4318 where none is named; none",
    ),
    var("OTEL_SDK_DISABLED", "false", "true: no spans, whatever else is said"),
    var("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "the only one that is spoken"),
    var("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "the only one that is spoken"),
    var("OTEL_EXPORTER_OTLP_HEADERS", "", "headers for the collector, such as api-key=abc,x-tenant=1, percent-encoded"),
    var("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "", "the same for traces alone"),
    var("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "milliseconds for one batch of spans"),
    var("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10000", "the same for traces alone"),
    var("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "the only one"),
    var("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", "the only one"),
    var("OTEL_SERVICE_NAME", "catalyst", "name of the host in spans"),
    var("OTEL_RESOURCE_ATTRIBUTES", "", "what else spans say of the host, such as deployment.environment.name=prod"),
    var(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "traces that are kept: always_on, always_off, traceidratio, or one of them after parentbased_",
    ),
    var("OTEL_TRACES_SAMPLER_ARG", "1", "traceidratio: their share, from 0 to 1"),
];
