//! Values that make no sense never come to a cluster.

use super::*;

/// What is set, and what Helm must say of it.
const REFUSED: [(&str, &str); 26] = [
    (r#"replicas=3"#, "replicas"),
    (r#"env.CATALYST_APPLY_TIMEOUT="soon""#, "CATALYST_APPLY_TIMEOUT"),
    (r#"env.CATALYST_TOFU_CONFINE="on""#, "CATALYST_TOFU_CONFINE"),
    (r#"env.CATALYST_AUTH="basic""#, "CATALYST_AUTH"),
    (r#"env.CATALYST_TRUSTED_PROXIES="the ingress""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_TRUSTED_PROXIES="0.0.0.0/0""#, "CATALYST_TRUSTED_PROXIES"),
    (r#"env.CATALYST_MAX_RUNS=0"#, "CATALYST_MAX_RUNS"),
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
}

#[test]
fn good_values_beside_them_are_taken() {
    for set in [
        r#"env.CATALYST_APPLY_TIMEOUT="1h30m""#,
        r#"env.CATALYST_MAX_RUNS=2"#,
        r#"env.CATALYST_LISTEN="[::]:8081""#,
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
    let output = template(&values("default"), &[r#"env.CATALYST_LISTEN="0.0.0.0:9443""#, "networkPolicy.enabled=true"]);
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
