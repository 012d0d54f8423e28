//! From a map to settings, and what is refused.

use super::*;
use crate::http::WebOrigin;

fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_map(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

#[test]
fn defaults_are_those_of_the_contract() {
    let c = config(&[("CATALYST_GITOPS_BRANCH", "")]).unwrap();
    assert_eq!(c.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(c.state_dir, PathBuf::from("/var/lib/catalyst/state"));
    assert_eq!(c.gitops_branch, "main");
    assert_eq!(c.phase1_timeout, Duration::from_secs(3600));
    assert_eq!(c.tofu.max_runs, 4);
    assert_eq!(c.cors_origin, AllowedOrigin::Any);
    let pdm = "http://pool-domain-manager.openova-system.svc.cluster.local:8080/";
    assert_eq!(c.pool_domain_manager_url.as_str(), pdm);
    assert_eq!(c.managed_domains.list(), ["omani.works", "openova.io"]);
}

#[test]
fn the_folder_of_the_reviewing_account_is_the_one_that_its_help_names() {
    let told = VARIABLES.iter().find(|variable| variable.name == "CATALYST_AUTH_KUBERNETES_ACCOUNT").unwrap();
    let c = config(&[("CATALYST_AUTH", "kubernetes"), ("CATALYST_AUTH_SCOPES", "*=read")]).unwrap();
    let crate::auth::Way::Kubernetes(settings) = c.auth.way else { panic!("callers are known by another way") };
    assert_eq!(settings.account, PathBuf::from(told.default));
    // What it is, what is in it, and an example.
    for words in
        ["folder with the credential", "token, the bearer token", "ca.crt, the certificates (PEM)", "such as /"]
    {
        assert!(told.meaning.contains(words), "{words}: {}", told.meaning);
    }
}

#[test]
fn h1_an_open_address_must_be_asked_for_and_listen_wins_over_port() {
    let open = config(&[("PORT", "9"), ("CATALYST_AUTH", "none")]).unwrap();
    assert_eq!(open.listen.to_string(), "0.0.0.0:9");
    for open in [("PORT", "9"), ("CATALYST_LISTEN", "192.0.2.1:9")] {
        assert_eq!(config(&[open]).unwrap_err().name, "CATALYST_AUTH", "{open:?}");
    }
    let both = config(&[("PORT", "9"), ("CATALYST_LISTEN", "127.0.0.1:1")]).unwrap();
    assert_eq!(both.listen.to_string(), "127.0.0.1:1");
}

#[test]
fn the_metrics_have_an_address_of_their_own() {
    let of = |api: &str, own: &str| {
        let set = [("CATALYST_LISTEN", api), ("CATALYST_METRICS_LISTEN", own), ("CATALYST_AUTH", "none")];
        config(&set).map(|c| c.metrics_listen.unwrap().to_string())
    };
    for (api, own) in
        [("127.0.0.1:8080", "127.0.0.1:8080"), ("0.0.0.0:8080", "127.0.0.1:8080"), ("127.0.0.1:8080", "[::]:8080")]
    {
        assert_eq!(of(api, own).unwrap_err().name, "CATALYST_METRICS_LISTEN", "{api} {own}");
    }
    for (api, own) in
        [("127.0.0.1:8080", "127.0.0.1:9090"), ("127.0.0.1:8080", "127.0.0.2:8080"), ("0.0.0.0:0", "0.0.0.0:0")]
    {
        assert_eq!(of(api, own).unwrap(), own);
    }
}

#[test]
fn what_is_said_of_pages_and_names_is_kept_and_what_counts_for_nothing_is_remarked() {
    let unset = config(&[]).unwrap();
    assert!(unset.warnings.is_empty(), "{:?}", unset.warnings);
    assert!(unset.remark_on_unset_auth().is_some_and(|text| text.contains("catalyst token new")));
    assert!(unset.browsers.allowed_hosts.is_empty());
    assert_eq!(unset.browsers.public_origin, None, "the default address is nobody's that an operator named");
    let said = config(&[
        ("CATALYST_AUTH", "none"),
        ("CORS_ORIGIN", "*"),
        ("CATALYST_API_PUBLIC_URL", "https://console.example/sovereign"),
        ("CATALYST_ALLOWED_HOSTS", "console.example"),
    ]);
    let said = said.unwrap();
    assert_eq!(said.browsers.public_origin, WebOrigin::parse("https://console.example"));
    assert!(!said.browsers.allowed_hosts.is_empty());
    assert!(matches!(said.warnings.as_slice(), [one] if one.contains("CORS_ORIGIN: *")), "{:?}", said.warnings);
    assert_eq!(said.remark_on_unset_auth(), None, "an operator's own word");
    let token = [("CATALYST_AUTH", "token"), ("CATALYST_AUTH_TOKENS", "/t"), ("CORS_ORIGIN", "*")];
    assert!(config(&token).unwrap().warnings.is_empty());
    let named = [("CATALYST_AUTH", "none"), ("CORS_ORIGIN", "https://wizard.example")];
    assert!(config(&named).unwrap().warnings.is_empty());
}

#[test]
fn go_durations_are_read_and_bad_values_name_the_variable() {
    let c = config(&[("CATALYST_APPLY_TIMEOUT", "1h30m"), ("CATALYST_PHASE1_SETTLE", "1500ms")]).unwrap();
    assert_eq!(c.tofu.apply_timeout, Duration::from_secs(5400));
    assert_eq!(c.phase1_settle, Duration::from_millis(1500));
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    assert_eq!(c.destroy_timeout, minutes(180), "twice that of a run");
    let longer = "longer than a provider tries what cannot be removed";
    assert_eq!(config(&[]).unwrap().destroy_timeout, minutes(60), "{longer}");
    assert_eq!(config(&[("CATALYST_DESTROY_TIMEOUT", "90m")]).unwrap().destroy_timeout, minutes(90));
    for (name, value) in [
        ("CATALYST_APPLY_TIMEOUT", "soon"),
        ("CATALYST_APPLY_TIMEOUT", "0s"),
        ("CATALYST_APPLY_TIMEOUT", "-1m"),
        ("CATALYST_DESTROY_TIMEOUT", "0s"),
        ("CATALYST_DESTROY_TIMEOUT", "an hour"),
        ("CATALYST_MAX_RUNS", "0"),
        ("CATALYST_ADDRESS_CONNECTIONS", "0"),
        ("CATALYST_CREATE_RATE", "3000"),
        ("CATALYST_CREATE_RATE", "0/10m"),
        ("CATALYST_QUESTION_RATE", "many/1m"),
        ("CATALYST_MAX_LIVE", "-1"),
        ("CATALYST_MAX_WAITING", "1.5"),
        ("CATALYST_LISTEN", "here"),
        ("PORT", "99999"),
        ("CORS_ORIGIN", "console.example"),
        ("CATALYST_AUTH", "basic"),
        ("CATALYST_METRICS_LISTEN", "9090"),
        ("CATALYST_STATE_KEY", "k"),
        ("CATALYST_SEAL", "everything"),
        ("CATALYST_SEAL", "all"),
        ("CATALYST_SECRETS_TTL", "-1s"),
        ("CATALYST_SECRETS_TTL", "soon"),
        ("CATALYST_TRUSTED_PROXIES", "10.0.0.0/8, 10.0.0.0/99"),
        ("CATALYST_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("CATALYST_API_PUBLIC_URL", "ftp://x"),
        ("CATALYST_ALLOWED_CLOUDS", "10.0.0.0/8, https://keystone.example"),
        ("CATALYST_ALLOWED_HOSTS", "console.example, https://a.example"),
        ("CATALYST_ALLOWED_HOSTS", "*"),
        ("CATALYST_ALLOWED_HOSTS", ","),
        ("CATALYST_TOFU_PASS_ENV", "CATALYST_GHCR_PULL_TOKEN"),
        ("CATALYST_TOFU_CONFINE", "on"),
        ("POOL_DOMAIN_MANAGER_URL", "pdm.example"),
    ] {
        assert_eq!(config(&[(name, value)]).unwrap_err().name, name, "{name}={value}");
    }
    let lenient = config(&[("CATALYST_PHASE1_WATCH_TIMEOUT", "-5m")]).unwrap();
    assert_eq!(lenient.phase1_timeout, Duration::from_secs(3600));
    assert_eq!(lenient.warnings.len(), 1);
    let mistyped = config(&[("CATALYST_PHASE1_TIMEOUT", "5m"), ("CATALYST_CACHE_DIR", "/c")]).unwrap();
    assert!(matches!(mistyped.warnings.as_slice(), [one] if one.contains("CATALYST_PHASE1_TIMEOUT")));
}

#[test]
fn f12_the_child_gets_named_variables_only() {
    let pairs =
        [("PATH", "/bin"), ("CATALYST_GHCR_PULL_TOKEN", "s3"), ("DYNADOT_API_KEY", "k"), ("CLOUD_ENDPOINT", "e")];
    let names = |extra: &[(&str, &str)]| -> Vec<OsString> {
        let all: Vec<_> = pairs.iter().chain(extra).copied().collect();
        config(&all).unwrap().tofu.env.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[]), ["PATH"]);
    assert_eq!(names(&[("CATALYST_TOFU_PASS_ENV", "CLOUD_ENDPOINT")]), ["PATH", "CLOUD_ENDPOINT"]);
}

#[test]
fn a_state_key_is_read_and_a_bad_one_is_refused_without_being_repeated() {
    let key = "5e".repeat(32);
    assert!(config(&[("CATALYST_STATE_KEY", &key)]).unwrap().state_key.is_some());
    assert!(config(&[("CATALYST_STATE_KEY", "")]).unwrap().state_key.is_none());
    let error = config(&[("CATALYST_STATE_KEY", &key[1..])]).unwrap_err().to_string();
    assert!(error.starts_with("CATALYST_STATE_KEY: must be 32 random bytes") && !error.contains("5e5e"), "{error}");
}

#[test]
fn all_is_sealed_with_a_key_only_and_secrets_may_be_remembered_for_no_time() {
    let key = ("CATALYST_STATE_KEY", "5e".repeat(32));
    let key = (key.0, key.1.as_str());
    assert_eq!(config(&[key, ("CATALYST_SEAL", "all")]).unwrap().seal, Seal::All);
    for pairs in [vec![], vec![key], vec![("CATALYST_SEAL", "states")]] {
        assert_eq!(config(&pairs).unwrap().seal, Seal::States);
    }
    let error = config(&[("CATALYST_SEAL", "all")]).unwrap_err().to_string();
    assert!(error.contains("CATALYST_SEAL") && error.contains("CATALYST_STATE_KEY"), "{error}");
    for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("", 86_400)] {
        let ttl = config(&[("CATALYST_SECRETS_TTL", text)]).unwrap().secrets_ttl;
        assert_eq!(ttl, Duration::from_secs(seconds), "{text}");
    }
}

#[test]
fn the_debug_form_shows_no_secret() {
    let key = "5e".repeat(32);
    let c = config(&[("CATALYST_GHCR_PULL_TOKEN", "s3ntinel"), ("CATALYST_STATE_KEY", &key)]).unwrap();
    let shown = format!("{c:?}");
    assert!(!shown.contains("s3ntinel") && !shown.contains("5e5e"));
}

#[test]
fn each_way_to_know_callers_names_what_it_needs() {
    let oidc =
        [("CATALYST_AUTH", "oidc"), ("CATALYST_OIDC_ISSUER", "https://id.example/r"), ("CATALYST_OIDC_AUDIENCE", "c")];
    let with = |more: &[(&'static str, &'static str)]| {
        config(&oidc.iter().chain(more).copied().collect::<Vec<_>>()).err().map(|error| error.name)
    };
    assert_eq!(with(&[("CATALYST_AUTH_SCOPES", "*=read")]), None);
    for (name, value) in [
        ("CATALYST_AUTH_SCOPES", ""),
        ("CATALYST_AUTH_SCOPES", "ana=read"),
        ("CATALYST_OIDC_ISSUER", "http://id.example"),
        ("CATALYST_OIDC_ISSUER", ""),
        ("CATALYST_OIDC_AUDIENCE", ""),
    ] {
        assert_eq!(with(&[("CATALYST_AUTH_SCOPES", "*=read"), (name, value)]), Some(name), "{value:?}");
    }
    for bad in ["none", "HS256", "RS256,HS512", "RS256 none", "rs256", ","] {
        let all = [("CATALYST_AUTH_SCOPES", "*=read"), ("CATALYST_OIDC_ALGORITHMS", bad)];
        assert_eq!(with(&all), Some("CATALYST_OIDC_ALGORITHMS"), "{bad:?}");
    }
    assert_eq!(config(&[("CATALYST_AUTH", "token")]).unwrap_err().name, "CATALYST_AUTH_TOKENS");
    assert_eq!(config(&[("CATALYST_AUTH", "kubernetes")]).unwrap_err().name, "CATALYST_AUTH_SCOPES");
    let unsafe_api =
        [("CATALYST_AUTH", "kubernetes"), ("CATALYST_AUTH_KUBERNETES_API", "http://kubernetes.default.svc")];
    assert_eq!(config(&unsafe_api).unwrap_err().name, "CATALYST_AUTH_KUBERNETES_API");
    let open = config(&[
        ("PORT", "9"),
        ("CATALYST_AUTH", "token"),
        ("CATALYST_AUTH_TOKENS", "/t"),
        ("CATALYST_OIDC_ISSUER", "x"),
    ]);
    assert!(
        matches!(open.unwrap().warnings.as_slice(), [one] if one.starts_with("CATALYST_OIDC_ISSUER means nothing"))
    );
    assert!(config(&[("PORT", "9")]).unwrap_err().why.contains("token, kubernetes or oidc"));
}

#[test]
fn the_cookie_goes_where_a_browser_sees_the_api() {
    let cookie = |pairs: &[(&str, &str)]| {
        let settings = config(pairs).unwrap().auth.cookie;
        (settings.prefix, settings.secure)
    };
    let url = |url: &'static str| ("CATALYST_API_PUBLIC_URL", url);
    assert_eq!(cookie(&[]), (String::new(), false));
    assert_eq!(cookie(&[("PORT", "1"), ("CATALYST_AUTH", "none")]), ("/sovereign".to_owned(), true));
    assert_eq!(cookie(&[url("https://a.example/x/y/")]), ("/x/y".to_owned(), true));
    assert_eq!(cookie(&[url("http://127.0.0.1:8080")]), (String::new(), false));
}

#[test]
fn what_was_done_is_written_beside_the_deployments() {
    let place = |pairs: &[(&str, &str)]| config(pairs).unwrap().audit_log;
    assert_eq!(place(&[]), PathBuf::from("/var/lib/catalyst/audit.jsonl"));
    assert_eq!(place(&[("CATALYST_DEPLOYMENTS_DIR", "/d/e")]), PathBuf::from("/d/audit.jsonl"));
    assert_eq!(place(&[("CATALYST_AUDIT_LOG", "/a")]), PathBuf::from("/a"));
}

#[test]
fn limits_are_read_and_the_usual_ones_let_a_thousand_creates_through_in_any_shape() {
    let usual = config(&[]).unwrap();
    assert_eq!((usual.address_connections, usual.limits), (None, crate::limits::Settings::default()));
    let (rate, limits) = (usual.limits.creates, usual.limits);
    assert!(rate.count.get() >= 1_000 && rate.period <= Duration::from_secs(600), "{rate}");
    assert!(limits.live >= 1_000 && limits.waiting >= 1_000);
    let set = [
        ("CATALYST_ADDRESS_CONNECTIONS", "9"),
        ("CATALYST_CREATE_RATE", "5/30s"),
        ("CATALYST_QUESTION_RATE", "6/1h"),
        ("CATALYST_MAX_LIVE", "7"),
        ("CATALYST_MAX_WAITING", "8"),
    ];
    let read = config(&set).unwrap();
    assert_eq!((read.address_connections, read.limits.live, read.limits.waiting), (Some(9), 7, 8));
    assert_eq!(read.limits.creates.to_string() + ", " + &read.limits.questions.to_string(), "5 in 30 s, 6 in 60 min");
}
