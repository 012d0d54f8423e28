//! Versions of the contract side by side: a component that was written for an older one serves on, beside newer ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use catalyst_domain::Request;
use catalyst_domain::provider::{
    Asked, Diagnostic, DiagnosticKind, LeftoverQuery, Node, NodeRole, ProbeResponse, SecretRole, SecretSource,
    SettingSource, Verdict,
};
use catalyst_domain::request::RegionSlot;
use catalyst_sandbox::{Provider, Sandbox};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::fixtures::{context, folder, limits, refusal, sandbox};

/// What was released stays as it was, to the byte: the contract, and a guest that was written for it then.
const RELEASED: [(&str, &str); 2] = [
    ("../../wit/provisioner-1.0/provisioner.wit", "5978ec9ef4aa5d551c6e0e27a2103f4cfee8a3cf1c093cfc5e6764fa81ae7fe5"),
    ("tests/versions/examples/v1_0.rs", "483192906fc46497b4982f62f17158382ee74b15fe29407f910b0adf6ce9a605"),
];

fn component(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "catalyst-version-guests", "--examples"])
            .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the guests of released versions do not build");
        target.join("wasm32-wasip2/plugin/examples")
    });
    std::fs::read(built.join(format!("{name}.wasm"))).expect("a guest of that name")
}

/// Both guests from one folder.
async fn both() -> (Arc<Sandbox>, Arc<Provider>, Arc<Provider>) {
    let sandbox = sandbox(limits());
    let dir = folder(&[("older.wasm", &component("v1_0")), ("newer.wasm", &component("v1_1"))]);
    let report = sandbox.load_folder(dir.path()).await;
    assert_eq!(report.failures.len(), 0, "{:?}", report.failures);
    let provider = |id: &str| sandbox.provider(id).expect("it serves");
    let (older, newer) = (provider("newer"), provider("latest"));
    (sandbox, older, newer)
}

fn asks_for(region: &str) -> Request {
    let slot = RegionSlot { cloud_region: region.into(), ..RegionSlot::default() };
    Request {
        region: region.into(),
        worker_count: 3,
        regions: vec![slot],
        sovereign_domain_mode: "pool".into(),
        extra: Map::from_iter([("project".to_owned(), json!("ü"))]),
        ..Request::default()
    }
}

#[test]
fn what_was_released_never_changes() {
    for (file, digest) in RELEASED {
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
        let found = hex::encode(Sha256::digest(&bytes));
        assert_eq!(found, digest, "{file} is released: put the change into a new version beside it");
    }
}

#[tokio::test]
async fn each_component_is_bound_by_the_version_that_it_exports() {
    let (_sandbox, older, newer) = both().await;
    assert_eq!((older.interface_version(), newer.interface_version()), ("1.0.0", "1.1.0"));
    for (provider, id) in [(&older, "newer"), (&newer, "latest")] {
        let version = provider.interface_version();
        assert!(
            provider.imports().contains(&format!("catalyst:provisioner/log@{version}")),
            "{:?}",
            provider.imports()
        );
        let descriptor = provider.descriptor();
        let contract = version.strip_suffix(".0").expect("three numbers");
        assert_eq!(descriptor.display_name, format!("The cloud of contract {contract}"));
        assert_eq!(descriptor.secrets[0].source, SecretSource::Request(format!("{id}Token")));
        assert_eq!(descriptor.secrets[1].source, SecretSource::Host("ghcr-pull-token".into()));
        assert_eq!(descriptor.secrets[2].role, SecretRole::KubeconfigBearer);
        assert_eq!((descriptor.secrets[0].min_length, descriptor.secrets[0].max_length), (8, 64));
        assert_eq!(descriptor.tofu_providers[0].source, format!("acme/{id}"));
        assert_eq!(descriptor.bearer_resource, Some(format!("{id}_server.first[0]")));
        assert_eq!(descriptor.catalogue.machine_types[0].monthly_cents, Some(499));
        assert_eq!(descriptor.catalogue.machine_types[1].successor.as_deref(), Some("small"));
        assert_eq!(descriptor.catalogue.regions[0].machine_types, ["small", "gone"]);
        assert_eq!(descriptor.user_data_limit, 16_384);
    }
}

#[tokio::test]
async fn every_other_export_works_in_both() {
    let (_sandbox, older, newer) = both().await;
    for (provider, id) in [(&older, "newer"), (&newer, "latest")] {
        let findings = provider.validate(&asks_for("r1")).await.expect("an answer");
        assert_eq!(findings[0].message, r#"pool r1 {"project":"ü"}"#);
        let findings = provider.validate(&asks_for("nowhere")).await.expect("an answer");
        assert_eq!((findings[1].pointer.as_str(), findings[1].is_error()), ("/region", true));

        let bundle = provider.render(&asks_for("r1"), &context()).await.expect("an answer").expect("a bundle");
        assert!(String::from_utf8_lossy(&bundle.files[0].content).contains(&format!("acme/{id}")));
        assert_eq!(Value::Object(bundle.variables), json!({"region": "r1", "url": "https://host.example.org"}));
        assert_eq!(bundle.secret_variables[0].variable, "cloud_token");
        assert_eq!((bundle.user_data[0].bytes, bundle.warnings), (900, vec!["token".to_owned()]));
        let refused = provider.render(&asks_for("nowhere"), &context()).await.expect("an answer");
        assert_eq!(refused.expect_err("findings").len(), 2);

        let endpoints = provider.read_outputs("198.51.100.7").await.expect("an answer").expect("endpoints");
        assert_eq!(endpoints.load_balancer_ip, "198.51.100.7");
        assert_eq!(endpoints.kubeconfig_hosts[1], format!("api.{id}.example"));
        assert_eq!(provider.read_outputs("").await.expect("an answer"), Err("there are no outputs".into()));

        let estimate = provider.estimate(&asks_for("r1")).await.expect("an answer").expect("an estimate");
        assert_eq!((estimate.lines[0].quantity, estimate.unknown), (3, vec!["traffic".to_owned()]));

        for (status, verdict) in
            [(200, Verdict::Accepted("me".into())), (401, Verdict::Rejected("it was refused".into()))]
        {
            let response = ProbeResponse { status, body: b"me".to_vec() };
            assert_eq!(provider.judge_credentials(&[response]).await.expect("a verdict"), verdict);
        }
        let nobody = provider.judge_credentials(&[]).await.expect("a verdict");
        assert_eq!(nobody, Verdict::Unreachable("nobody answered".into()));
    }
}

#[tokio::test]
async fn what_was_asked_for_reaches_both() {
    let (_sandbox, older, newer) = both().await;
    let diagnostic =
        Diagnostic { summary: "no stock".into(), detail: "none left".into(), address: Some("x_server.a".into()) };
    let asked = Asked {
        region: "r1".into(),
        control_plane_size: "small".into(),
        worker_size: String::new(),
        worker_count: 3,
        ha_enabled: true,
    };
    for provider in [older, newer] {
        let told = provider.diagnose(&diagnostic, &asked).await.expect("advice");
        assert_eq!(
            (told.what_happened.as_str(), told.what_to_do.as_str()),
            ("no stock: none left", "r1 small  3 true")
        );
        assert_eq!((told.kind, told.retryable), (DiagnosticKind::Capacity, true));
        assert_eq!(told.alternatives[0].machine_type.as_deref(), Some("x_server.a"));
    }
}

#[tokio::test]
async fn settings_choose_among_the_declared_hosts_which_are_suffixes_too_from_1_1_on() {
    let (_sandbox, older, newer) = both().await;
    let settings = Map::from_iter([("project".to_owned(), json!("eu-7"))]);
    let asks = async |provider: &Provider, settings: &Map<String, Value>| {
        provider.credential_probe(settings).await.expect("an answer").expect("probes").remove(0)
    };
    assert_eq!(asks(&older, &Map::new()).await.url, "https://api.newer.example/v1/me");
    assert_eq!(asks(&newer, &Map::new()).await.url, "https://api.latest.example/v1/me");
    assert_eq!(asks(&newer, &settings).await.url, "https://c7.eu.latest.example/v1/me");
    let chosen = asks(&older, &settings).await;
    assert_eq!(chosen.url, "https://eu.newer.example/v1/me");
    assert_eq!(chosen.headers, [("X-Token".to_owned(), "{{secret:token}}".to_owned())]);
    assert_eq!(chosen.body.as_deref(), Some(br#"{"project":"eu-7"}"#.as_slice()));
}

#[tokio::test]
async fn from_1_1_on_a_component_says_which_arguments_its_module_sets() {
    let (_sandbox, older, newer) = both().await;
    assert_eq!(older.descriptor().tofu_providers[0].settings, None, "1.0 has no word for it");
    let settings = newer.descriptor().tofu_providers[0].settings.clone().expect("settings");
    let said: Vec<(&str, &SettingSource, bool)> =
        settings.iter().map(|setting| (setting.argument.as_str(), &setting.source, setting.address)).collect();
    let (token, project) = (SettingSource::Secret("token".into()), SettingSource::Request("project".into()));
    assert_eq!(
        said,
        [("token", &token, false), ("region", &SettingSource::Fixed, false), ("endpoints.auth", &project, true)]
    );
}

#[tokio::test]
async fn what_the_host_left_out_is_told_from_1_1_on_and_before_it_remarks_do_not_count() {
    let (_sandbox, older, newer) = both().await;
    let left_out = ["/workerCount".to_owned(), "/project".to_owned()];
    let codes = async |provider: &Provider, left_out: &[String]| {
        let findings = provider.validate_partial(&asks_for("nowhere"), left_out).await.expect("an answer");
        findings.into_iter().map(|finding| finding.code + " " + &finding.message).collect::<Vec<_>>()
    };
    let told = codes(&newer, &left_out).await;
    assert_eq!((told.len(), told[2].as_str()), (3, "left-out /workerCount /project"));
    assert_eq!(codes(&newer, &[]).await.len(), 2, "another question than the one with something left out");
    assert_eq!(codes(&older, &left_out).await, ["unknown-region there is only r1"]);
    assert_eq!(codes(&older, &[]).await.len(), 2);
}

#[tokio::test]
async fn from_1_1_on_a_component_names_its_nodes_and_takes_the_hosts_word_for_the_cluster() {
    let (_sandbox, older, newer) = both().await;
    let older = older.render(&asks_for("r1"), &context()).await.expect("an answer").expect("a bundle");
    assert_eq!((older.nodes, older.cluster_exists_variable), (Vec::new(), None), "1.0 has no word for them");
    let newer = newer.render(&asks_for("r1"), &context()).await.expect("an answer").expect("a bundle");
    assert_eq!(newer.cluster_exists_variable.as_deref(), Some("cluster_exists"));
    let node = |name: &str, role, address: &str| Node { name: name.into(), role, address: address.into() };
    let first = node("first", NodeRole::ControlPlane, "latest_server.first[0]");
    assert_eq!(newer.nodes, [first, node("worker", NodeRole::Worker, "latest_server.worker[\"a\"]")]);
}

#[tokio::test]
async fn t6_a_component_that_does_not_search_its_cloud_is_a_provisioner_all_the_same() {
    let (_sandbox, older, newer) = both().await;
    let query = LeftoverQuery {
        deployment_id: "00112233aabbccdd".into(),
        sovereign_fqdn: "a.example".into(),
        region: "r1".into(),
        settings: Map::new(),
        made: Vec::new(),
        known: Vec::new(),
        services: Vec::new(),
    };
    for provider in [older, newer] {
        assert!(!provider.searches_leftovers(), "{}", provider.interface_version());
        let error = provider.leftover_probe(&query).await.expect_err("no export");
        assert!(error.to_string().contains("leftover-probe could not be called"), "{error}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_is_told_which_ones_are() {
    for (guest, from, to) in [("v1_0", "@1.0.0", "@0.1.0"), ("v1_0", "@1.0.0", "@2.0.0"), ("v1_1", "@1.1.0", "@1.2.0")]
    {
        let text = refusal(&renamed(component(guest), from, to)).await;
        let expected =
            format!("implements catalyst:provisioner {}; this host serves catalyst:provisioner 1.0 and 1.1", &to[1..]);
        assert!(text.contains(&expected), "{text}");
    }
}

/// Another version in each name of the contract's interfaces.
fn renamed(mut component: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let package = b"catalyst:provisioner/";
    for start in 0..component.len() - package.len() {
        if component[start..].starts_with(package) {
            let end = (start + 60).min(component.len());
            let at = component[start..end].windows(from.len()).position(|window| window == from.as_bytes());
            if let Some(at) = at {
                component[start + at..start + at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
    }
    component
}
