//! One list of settings: what the host reads, what the chart can set, and what the documents say.

use super::*;
use catalyst::config::VARIABLES;
use std::collections::BTreeSet;

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
        "CATALYST_TRUSTED_PROXIES" => "10.0.0.0/8, fd00::/8",
        "CATALYST_TOFU_CONFINE" => "off",
        "CATALYST_MAX_RUNS" | "CATALYST_PHASE1_EXPECTED" => "7",
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

#[test]
fn the_default_values_are_taken_by_the_host() {
    for set in ["default", "reference"] {
        let objects = objects(set);
        let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
        let told: std::collections::BTreeMap<String, String> = env
            .iter()
            .filter_map(|entry| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.to_owned())))
            .collect();
        let config = catalyst::config::Config::from_map(&told).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:8080", "{set}");
        let warnings: Vec<_> = config.warnings.iter().filter(|warning| !warning.contains("MODULE_PATH")).collect();
        assert!(warnings.is_empty(), "{set}: {warnings:?}");
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
