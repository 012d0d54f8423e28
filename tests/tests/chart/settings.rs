//! One list of settings: what the host reads, what the chart can set, and what the documents say.

use super::*;
use catalyst::audit::Audit;
use catalyst::config::{Config, VARIABLES};
use catalyst_store::{FileStore, HeldFolder, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the schema lets through below one key of the values.
fn settable(key: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(&read("chart/values.schema.json")).unwrap();
    let part = &schema["properties"][key];
    assert_eq!(part["additionalProperties"], false, "{key} lets anything through");
    part["properties"].as_object().unwrap().keys().cloned().collect()
}

fn ways(name: &str) -> Vec<&'static str> {
    ["env", "secretEnv", "files"].into_iter().filter(|key| settable(key).contains(name)).collect()
}

#[test]
fn everything_that_the_host_reads_can_be_set_in_the_chart() {
    let missing: Vec<_> = VARIABLES.iter().map(|variable| variable.name).filter(|name| ways(name).is_empty()).collect();
    assert!(missing.is_empty(), "add a line for each of {missing:?} below `env` of chart/values.schema.json");
}

#[test]
fn the_chart_sets_nothing_that_no_host_reads() {
    let known: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    for key in ["env", "secretEnv", "files"] {
        let strange: Vec<_> = settable(key).into_iter().filter(|name| !known.contains(name.as_str())).collect();
        assert!(strange.is_empty(), "{key}: {strange:?}");
    }
    for set in SETS {
        let objects = objects(set);
        let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
        let names: Vec<&str> = env.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "{set}: a variable is set twice: {names:?}");
        let strange: Vec<_> =
            names.iter().filter(|name| !known.contains(*name) && !["HOME", "CLOUD_ENDPOINT"].contains(name)).collect();
        assert!(strange.is_empty(), "{set}: {strange:?}");
    }
}

#[test]
fn every_setting_arrives_in_the_container() {
    let sample = |name: &str| match name {
        "PORT" => "9999",
        "CATALYST_LISTEN" => "0.0.0.0:9999",
        "CATALYST_METRICS_LISTEN" => "0.0.0.0:9090",
        "CATALYST_AUTH" => "none",
        "CATALYST_AUTH_SCOPES" => "group:platform=admin; *=read",
        "CATALYST_OIDC_ALGORITHMS" => "ES256",
        "CATALYST_TRUSTED_PROXIES" => "10.0.0.0/8, fd00::/8",
        "CATALYST_ALLOWED_CLOUDS" => "keystone.example.org *.corp.example, 10.0.0.0/8 fd00::/8",
        "CATALYST_ALLOWED_HOSTS" => "console.example.org, .apps.example.org",
        "CATALYST_TOFU_CONFINE" => "off",
        "CATALYST_SEAL" => "states",
        "CATALYST_AUDIT_LOG" => "/var/lib/catalyst/audit/log",
        "CATALYST_DEPLOYMENTS_DIR" | "CATALYST_KUBECONFIGS_DIR" | "CATALYST_STATE_DIR" => "/var/lib/catalyst/x",
        "CATALYST_TOFU_WORKDIR" | "CATALYST_CACHE_DIR" => "/tmp/x",
        "CATALYST_MAX_RUNS" | "CATALYST_PHASE1_EXPECTED" => "7",
        "CATALYST_ADDRESS_CONNECTIONS" | "CATALYST_MAX_LIVE" | "CATALYST_MAX_WAITING" => "500",
        "CATALYST_CREATE_RATE" | "CATALYST_QUESTION_RATE" => "500/5m",
        "OTEL_TRACES_EXPORTER" => "otlp",
        "OTEL_TRACES_SAMPLER" => "always_on",
        "OTEL_TRACES_SAMPLER_ARG" => "0.5",
        "OTEL_RESOURCE_ATTRIBUTES" => "a=b",
        name if name.starts_with("OTEL_") && name.ends_with("_PROTOCOL") => "http/protobuf",
        name if name.starts_with("OTEL_") && name.ends_with("_COMPRESSION") => "none",
        name if name.starts_with("OTEL_") && name.ends_with("_TIMEOUT") => "2500",
        name if name.starts_with("OTEL_") && name.ends_with("_ENDPOINT") => "http://otel:4318",
        name if name.contains("TIMEOUT")
            || name.ends_with("_TTL")
            || name.ends_with("_WAIT")
            || name.ends_with("_SETTLE") =>
        {
            "90s"
        }
        name if name.ends_with("_URL")
            || name.ends_with("_API")
            || name.ends_with("_ISSUER")
            || name.ends_with("PROXY")
            || name == "CORS_ORIGIN" =>
        {
            "https://x.example"
        }
        _ => "/x",
    };
    let names = settable("env");
    let all: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), sample(name).into())).collect();
    let output = template(&values("default"), &[&format!("env={}", Value::Object(all))]);
    assert!(output.status.success(), "{}", words(&output));
    let objects = parsed(&String::from_utf8(output.stdout).unwrap());
    let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
    for name in names {
        let arrived =
            env.iter().find(|entry| entry["name"] == *name).unwrap_or_else(|| panic!("{name} did not arrive"));
        assert_eq!(arrived["value"], sample(&name), "{name}");
    }
}

/// What the host of a value set is told, its Secrets being there, below a folder that stands for the Pod's volumes.
fn told(set: &str, volumes: &Path) -> BTreeMap<String, String> {
    let objects = objects(set);
    let below = volumes.display().to_string();
    let value = |entry: &Value| match entry["value"].as_str() {
        Some(text) if WRITABLE.iter().any(|volume| text.starts_with(volume)) => format!("{below}{text}"),
        Some(text) => text.to_owned(),
        // Well-formed for each: a key of 32 bytes.
        None => "5e".repeat(32),
    };
    let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
    env.iter().map(|entry| (entry["name"].as_str().unwrap().to_owned(), value(entry))).collect()
}

/// Where the Pod can write: its root cannot be.
const WRITABLE: [&str; 4] = ["/var/lib/catalyst", "/var/cache/catalyst", "/tmp", "/home/nonroot"];

#[tokio::test]
async fn the_host_takes_every_value_set_and_opens_what_it_names_on_empty_volumes() {
    for set in SETS {
        let volumes = tempfile::tempdir().unwrap();
        for volume in WRITABLE {
            std::fs::create_dir_all(format!("{}{volume}", volumes.path().display())).unwrap();
        }
        let config = Config::from_map(&told(set, volumes.path())).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:8080", "{set}");
        let warnings: Vec<_> = config.warnings.iter().filter(|warning| !warning.contains("MODULE_PATH")).collect();
        assert!(warnings.is_empty(), "{set}: {warnings:?}");
        let kept = [&config.deployments_dir, &config.kubeconfigs_dir, &config.state_dir, &config.audit_log];
        let written = kept.into_iter().chain([&config.tofu.workdir]).chain(&config.cache_dir);
        for path in written {
            assert!(path.starts_with(volumes.path()), "{set}: {} is on no volume", path.display());
        }
        let store = FileStore::open(Settings {
            deployments_dir: config.deployments_dir.clone(),
            kubeconfigs_dir: config.kubeconfigs_dir.clone(),
            state_dir: config.state_dir.clone(),
            lock_wait: Duration::ZERO,
            log_cap_bytes: 1 << 20,
            state_key: config.state_key.clone(),
            seal: config.seal,
        });
        assert!(store.is_ok(), "{set}: {:?}", store.err());
        let held = HeldFolder::take(&config.tofu.workdir, Duration::ZERO);
        assert!(held.is_ok(), "{set}: {:?}", held.err());
        let audit = Audit::open(config.audit_log.clone(), CancellationToken::new());
        assert!(audit.is_ok(), "{set}: {}: {:?}", config.audit_log.display(), audit.err());
    }
}

#[test]
fn the_charts_version_is_the_hosts() {
    let chart = &parsed(&read("chart/Chart.yaml"))[0];
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// The row that docs/settings.md must have for a variable.
fn row(variable: &catalyst::config::Variable) -> String {
    let default = if variable.default.is_empty() { "–" } else { variable.default };
    let ways = ways(variable.name).join(", ");
    format!("| {} | {} | {} | {} |", variable.name, default, variable.meaning.replace('|', "\\|"), ways)
}

#[test]
fn the_document_of_settings_is_the_hosts_own_list() {
    let text = read("docs/settings.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| name")).collect();
    let wanted: Vec<String> = VARIABLES.iter().map(row).collect();
    let missing: Vec<_> = wanted.iter().filter(|row| !rows.contains(&row.as_str())).collect();
    let strange: Vec<_> = rows.iter().filter(|row| !wanted.iter().any(|wanted| wanted == *row)).collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "docs/settings.md lacks\n{}\nand has beside it\n{}",
        missing.iter().map(|row| row.as_str()).collect::<Vec<_>>().join("\n"),
        strange.iter().map(|row| **row).collect::<Vec<_>>().join("\n"),
    );
}
