//! Values that make no sense never come to a cluster.

use super::*;
use catalyst::config::{Config, ConfigError};
use catalyst::engine::RUN_PORTS;
use catalyst::http::{AllowedOrigin, WebOrigin};

/// What is set, and what Helm must say of it.
const REFUSED: [(&str, &str); 77] = [
    (r#"replicas=3"#, "replicas"),
    (r#"env.CATALYST_APPLY_TIMEOUT="soon""#, "CATALYST_APPLY_TIMEOUT"),
    (r#"env.CATALYST_TOFU_CONFINE="on""#, "CATALYST_TOFU_CONFINE"),
    (r#"env.CATALYST_AUTH="basic""#, "CATALYST_AUTH"),
    (r#"env.CATALYST_TRUSTED_PROXIES="the ingress""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_TRUSTED_PROXIES="0.0.0.0/0""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_MAX_RUNS=0"#, "CATALYST_MAX_RUNS"),
    (r#"env.CATALYST_CREATE_RATE=500"#, "CATALYST_CREATE_RATE"),
    (r#"env.CATALYST_MAX_LIVE=0"#, "CATALYST_MAX_LIVE"),
    (r#"env.CATALYST_PUBLIC_URL="https://x.example""#, "CATALYST_PUBLIC_URL"),
    (r#"env.CATALYST_API_PUBLIC_URL="console.example.org""#, "CATALYST_API_PUBLIC_URL"),
    (r#"env.CATALYST_GHCR_PULL_TOKEN="a-secret-in-the-values""#, "CATALYST_GHCR_PULL_TOKEN"),
    (r#"env.CATALYST_LISTEN="127.0.0.1:8080""#, "CATALYST_LISTEN"),
    (r#"env.PORT=80"#, "PORT"),
    (r#"secretEnv.CATALYST_STATE_KEY={"name":"x"}"#, "CATALYST_STATE_KEY"),
    (r#"secretEnv.CATALYST_STATE_KEY={"value":"5e5e"}"#, "CATALYST_STATE_KEY"),
    (r#"image.digest="sha256:12""#, "digest"),
    (r#"persistence.size="big""#, "size"),
    (r#"terminationGracePeriodSeconds=30"#, "terminationGracePeriodSeconds"),
    (r#"plugins.source="http""#, "source"),
    (r#"files.CATALYST_AUTH_TOKENS=null"#, "files.CATALYST_AUTH_TOKENS: must name the Secret"),
    (r#"files.CATALYST_AUTH_TOKENS.configMap="x""#, "it can come from one place only"),
    (r#"env.CATALYST_AUTH="oidc""#, "env.CATALYST_OIDC_ISSUER"),
    (r#"env.CATALYST_AUTH="kubernetes""#, "env.CATALYST_AUTH_SCOPES: must say who may do what"),
    (r#"serviceMonitor.enabled=true"#, "env.CATALYST_METRICS_LISTEN: must be an address"),
    (r#"extraEnv=[{"name":"CATALYST_MAX_RUNS","value":"9"}]"#, "is the host's own"),
    (r#"plugins.source="image""#, "plugins.image.reference: must name an image"),
    (r#"ingress.enabled=true"#, "ingress.host: must be"),
    (r#"env.PORT="""#, "env.PORT: must be set"),
    (r#"networkPolicy.egressPorts=[443,29150]"#, "networkPolicy.egressPorts: must not hold ports of 29100"),
    (r#"env.PORT=null"#, "env.PORT: must be set"),
    (r#"env.PORT="70000""#, "PORT"),
    (r#"env.PORT=70000"#, "PORT"),
    (r#"env.PORT="1023""#, "PORT"),
    (r#"env.CATALYST_METRICS_LISTEN="[::]:8080""#, "env.CATALYST_METRICS_LISTEN: must have another port"),
    (r#"env.CATALYST_METRICS_LISTEN=":9090""#, "CATALYST_METRICS_LISTEN"),
    (r#"env.CATALYST_LISTEN="catalyst:8080""#, "CATALYST_LISTEN"),
    (r#"env.CATALYST_LISTEN="0.0.0.0:70000""#, "CATALYST_LISTEN"),
    (r#"env.CATALYST_LISTEN="0.0.0.256:8080""#, "CATALYST_LISTEN"),
    (r#"env.CATALYST_LISTEN="[1]:8080""#, "CATALYST_LISTEN"),
    (r#"env.CATALYST_APPLY_TIMEOUT="0s""#, "CATALYST_APPLY_TIMEOUT"),
    (r#"env.CATALYST_LOCK_WAIT="0h0.0m""#, "CATALYST_LOCK_WAIT"),
    (r#"env.CATALYST_SECRETS_TTL="-1s""#, "CATALYST_SECRETS_TTL"),
    (r#"env.CATALYST_SEAL="everything""#, "CATALYST_SEAL"),
    (r#"env.CATALYST_SEAL="all""#, "CATALYST_SEAL: all needs"),
    (r#"env.CATALYST_TRUSTED_PROXIES="10.0.0.0/99""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_TRUSTED_PROXIES="10.0.0/8""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_TRUSTED_PROXIES="fd00::/129""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_ALLOWED_HOSTS="*""#, "CATALYST_ALLOWED_HOSTS"),
    (r#"env.CATALYST_ALLOWED_HOSTS=",""#, "CATALYST_ALLOWED_HOSTS"),
    (r#"env.CATALYST_ALLOWED_HOSTS="https://console.example.org""#, "CATALYST_ALLOWED_HOSTS"),
    (r#"env.CATALYST_ALLOWED_HOSTS="console.example.org.""#, "CATALYST_ALLOWED_HOSTS"),
    (r#"env.CATALYST_OIDC_ISSUER="http://login.example.org""#, "CATALYST_OIDC_ISSUER"),
    (r#"env.CATALYST_OIDC_ISSUER="https://login.example.org?x=1""#, "CATALYST_OIDC_ISSUER"),
    (r#"env.CATALYST_OIDC_ALGORITHMS="HS256""#, "CATALYST_OIDC_ALGORITHMS"),
    (r#"env.CATALYST_AUTH_KUBERNETES_API="http://api.example.org""#, "CATALYST_AUTH_KUBERNETES_API"),
    (r#"env.CATALYST_AUTH_SCOPES="group:platform=write""#, "CATALYST_AUTH_SCOPES"),
    (r#"env.CATALYST_AUTH_SCOPES="platform=read""#, "CATALYST_AUTH_SCOPES"),
    (r#"env.CATALYST_AUTH_SCOPES="*=read; group:platform""#, "CATALYST_AUTH_SCOPES"),
    (r#"env.CATALYST_AUDIT_LOG="audit.log""#, "CATALYST_AUDIT_LOG"),
    (r#"env.CATALYST_AUDIT_LOG="/var/log/audit.log""#, "CATALYST_AUDIT_LOG"),
    (r#"env.CATALYST_STATE_DIR="/state""#, "CATALYST_STATE_DIR"),
    (r#"env.CATALYST_DEPLOYMENTS_DIR="/var/lib/catalyst/../x""#, "CATALYST_DEPLOYMENTS_DIR"),
    (r#"env.CATALYST_KUBECONFIGS_DIR="/tmp/kubeconfigs""#, "CATALYST_KUBECONFIGS_DIR"),
    (r#"env.CATALYST_TOFU_WORKDIR="/scratch""#, "CATALYST_TOFU_WORKDIR"),
    (r#"env.CATALYST_CACHE_DIR="cache""#, "CATALYST_CACHE_DIR"),
    (r#"env.OTEL_EXPORTER_OTLP_PROTOCOL="grpc""#, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    (r#"env.OTEL_EXPORTER_OTLP_ENDPOINT="otel:4318""#, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    (r#"env.OTEL_TRACES_SAMPLER_ARG="1.5""#, "OTEL_TRACES_SAMPLER_ARG"),
    (r#"extraEnv=[{"name":"PORT","value":"9"}]"#, "extraEnv: PORT is the host's own"),
    (r#"fullnameOverride="-x_""#, "fullnameOverride"),
    (r#"nameOverride="X""#, "nameOverride"),
    (r#"preStopSeconds=20"#, "terminationGracePeriodSeconds: must be 91 at least"),
    (r#"terminationGracePeriodSeconds=75"#, "terminationGracePeriodSeconds: must be 76 at least"),
    (r#"networkPolicy.egressPorts=[]"#, "egressPorts"),
    (r#"networkPolicy.egressTo=[]"#, "egressTo"),
    (r#"secretEnv.CATALYST_STATE_KEY={"name":"Wrong_","key":"x"}"#, "CATALYST_STATE_KEY"),
];

#[test]
fn bad_values_are_refused_by_their_name() {
    for (set, named) in REFUSED {
        let output = template(&values("default"), &[set]);
        let said = words(&output);
        assert!(!output.status.success(), "{set} was taken");
        assert!(said.contains(named), "{set}: {said}");
    }
    let both = [r#"secretEnv.HTTPS_PROXY={"name":"proxy","key":"url"}"#, r#"env.HTTPS_PROXY="http://proxy.example""#];
    assert!(words(&template(&values("default"), &both)).contains("env.HTTPS_PROXY: is set under secretEnv or files"));
    let account = words(&template(&values("gateway"), &["serviceAccount.create=false"]));
    assert!(account.contains("serviceAccount.name: must name an account"), "{account}");
}

#[test]
fn the_ports_of_runs_and_no_others_are_kept_out_of_the_network_policy() {
    let (first, last) = (*RUN_PORTS.start(), *RUN_PORTS.end());
    for (port, taken) in [(first - 1, true), (first, false), (last, false), (last + 1, true)] {
        let output = template(&values("default"), &[&format!("networkPolicy.egressPorts=[443,{port}]")]);
        assert_eq!(output.status.success(), taken, "{port}: {}", words(&output));
    }
    let output = words(&template(&values("default"), &[&format!("networkPolicy.egressPorts=[{first}]")]));
    assert!(output.contains(&format!("ports of {first} to {last},")), "{output}");
}

#[test]
fn no_setting_of_the_host_comes_in_by_the_back_door() {
    for variable in catalyst::config::VARIABLES {
        let extra = format!(r#"extraEnv=[{{"name":"{}","value":"1"}}]"#, variable.name);
        let said = words(&template(&values("default"), &[&extra]));
        assert!(said.contains("is the host's own"), "{}: {said}", variable.name);
    }
}

#[test]
fn good_values_beside_them_are_taken() {
    for set in [
        r#"env.CATALYST_APPLY_TIMEOUT="1h30m""#,
        r#"env.CATALYST_MAX_RUNS=2"#,
        r#"env.CATALYST_LISTEN="[::]:8081""#,
        r#"env.CATALYST_LISTEN="192.0.2.255:65535""#,
        r#"env.CATALYST_LISTEN="[fd00::10.0.0.1]:1024""#,
        r#"env.PORT="65535""#,
        r#"env.CATALYST_LOCK_WAIT="0.5s""#,
        r#"env.CATALYST_LOCK_WAIT="100ms""#,
        r#"env.CATALYST_LOCK_WAIT="""#,
        r#"env.CATALYST_SECRETS_TTL="0""#,
        r#"env.CATALYST_TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7,fd00::/8 ::1""#,
        r#"env.CATALYST_ALLOWED_HOSTS="console.example.org:8443, *.a.example .b.example,192.0.2.7 [2001:db8::7]:80 ::1""#,
        r#"env.CATALYST_OIDC_ISSUER="http://localhost:8443/realm""#,
        r#"env.CATALYST_AUTH_SCOPES="user:system:serviceaccount:a:b=create; group:CN=ops,DC=x = read+kubeconfig;*=read;""#,
        r#"env.CATALYST_AUDIT_LOG="/var/lib/catalyst/audit/log..jsonl""#,
        r#"env.CATALYST_TOFU_WORKDIR="/tmp""#,
        r#"env.OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf""#,
        r#"env.OTEL_TRACES_SAMPLER_ARG=0.25"#,
        r#"env.OTEL_EXPORTER_OTLP_TIMEOUT=2500"#,
        r#"fullnameOverride="catalyst-api""#,
        r#"serviceAccount={"create":false,"name":"catalyst"}"#,
        r#"env.CATALYST_AUTH="none""#,
        r#"secretEnv.CATALYST_STATE_KEY={"name":"x","key":"y"}"#,
        r#"env.OTEL_EXPORTER_OTLP_ENDPOINT="http://otel:4318""#,
        r#"secretEnv.OTEL_EXPORTER_OTLP_HEADERS={"name":"otel","key":"headers"}"#,
        r#"extraEnv=[{"name":"OTEL_BSP_SCHEDULE_DELAY","value":"1000"}]"#,
        r#"providerMirror.source="built-in""#,
        r#"plugins={"source":"claim","claim":{"name":"plugins"}}"#,
        r#"global={"anything":"a parent chart says"}"#,
    ] {
        let output = template(&values("default"), &[set]);
        assert!(output.status.success(), "{set}: {}", words(&output));
        let config = host_of(&output);
        assert!(config.is_ok(), "{set}: the host refuses it: {:?}", config.err());
    }
}

/// What the host of a rendered chart makes of its environment.
fn host_of(output: &Output) -> Result<Config, ConfigError> {
    let objects = parsed(&String::from_utf8(output.stdout.clone()).unwrap());
    let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
    Config::from_map(&env.iter().filter_map(|entry| text(entry, "name").zip(text(entry, "value"))).collect())
}

#[test]
fn pages_at_the_address_of_the_way_in_may_call_where_nobody_is_asked_for_a_token() {
    for (set, origin) in [("ingress", "https://catalyst.example.org"), ("gateway", "https://console.example.org")] {
        let output = template(&values(set), &[r#"env.CATALYST_AUTH="none""#]);
        assert!(output.status.success(), "{set}: {}", words(&output));
        let config = host_of(&output).unwrap();
        assert_eq!(config.browsers.public_origin, WebOrigin::parse(origin), "{set}");
        assert!(config.browsers.allowed_hosts.is_empty(), "{set}: the Service's own name leads there, too");
    }
}

#[test]
fn no_origin_may_call_that_the_operator_does_not_name() {
    let page = "https://wizard.example.org";
    for auth in ["token", "none"] {
        let mode = format!(r#"env.CATALYST_AUTH="{auth}""#);
        let output = template(&values("default"), &[&mode]);
        let objects = parsed(&String::from_utf8(output.stdout.clone()).unwrap());
        let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
        // The host's own default, which is no origin where nobody is asked for a token.
        assert!(env.iter().all(|entry| entry["name"] != "CORS_ORIGIN"), "{auth}: {env:?}");
        assert_eq!(host_of(&output).unwrap().cors_origin, AllowedOrigin::Any, "{auth}");
        // No address of somebody else stands in any other setting either.
        let is_foreign = |entry: &&Value| entry["value"].as_str().is_some_and(|value| value.contains("://"));
        assert_eq!(env.iter().filter(is_foreign).count(), 0, "{auth}: {env:?}");
        let named = template(&values("default"), &[&mode, &format!(r#"env.CORS_ORIGIN="{page}""#)]);
        assert_eq!(host_of(&named).unwrap().cors_origin, AllowedOrigin::One(page.to_owned()), "{auth}");
    }
}

#[test]
fn nothing_waits_for_tokens_that_nobody_asks_for() {
    let output = template(&values("default"), &[r#"env.CATALYST_AUTH="none""#]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("catalyst-auth-tokens"));
    let output = template(&values("default"), &[]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("secretName: catalyst-auth-tokens"));
}

#[test]
fn the_port_that_is_listened_on_is_the_one_that_is_reached() {
    let output = template(&values("default"), &[r#"env.CATALYST_LISTEN="0.0.0.0:9443""#]);
    let objects = parsed(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(pod(&objects)["containers"][0]["ports"][0]["containerPort"], 9443);
    assert_eq!(only(&objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"], 9443);
}

#[test]
fn the_values_of_the_runbook_are_taken() {
    let text = read("docs/operations.md");
    let block = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let output = template(&file.display().to_string(), &[]);
    assert!(output.status.success(), "{}", words(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("secretKeyRef: {name: catalyst-state-key"));
}

#[test]
fn the_steps_of_the_runbook_work_in_their_order_and_leave_nothing_out() {
    let text = read("docs/operations.md");
    let (before, _) = text.split_once("kubectl -n catalyst create secret").unwrap();
    assert!(before.contains("kubectl create namespace catalyst"), "a Secret is made before its namespace is");
    let part = |head: &str| text.split(&format!("\n## {head}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    // In each of these OpenTofu may run.
    for status in ["provisioning", "tofu-applying", "destroying"] {
        assert!(part("Upgrade").contains(&format!("`{status}`")), "{status}");
    }
    for kept in ["`deployments`", "`kubeconfigs`", "`state`", "`audit.jsonl`"] {
        assert!(part("Backup and restore").contains(kept), "{kept}");
    }
}
