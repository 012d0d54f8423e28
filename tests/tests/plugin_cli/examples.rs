//! One small provider in three languages: the same answers to the same requests, byte for byte.

use super::{languages, plugin, text};
use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic, RenderContext};
use catalyst_domain::request::RegionSlot;
use catalyst_sandbox::{Limits, Provider, Sandbox, Settings};
use catalyst_tests::host::target_dir;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops";

/// The twin in Rust, with nothing but the contract.
fn rust() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--profile", "plugin", "--target", "wasm32-wasip2"])
        .args(["-p", "catalyst-plugin-example", "--target-dir"])
        .arg(target_dir())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the example does not build");
    target_dir().join("wasm32-wasip2/plugin/catalyst_plugin_example.wasm")
}

/// A component alone in a sandbox, since all three have the same id.
async fn alone(component: &Path) -> (Arc<Sandbox>, Arc<Provider>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(component, folder.path().join("one.wasm")).unwrap();
    // A debug build on a busy machine takes its time; what is compiled is kept.
    let limits = Limits { call_timeout: Duration::from_secs(30), ..Limits::default() };
    let cache_dir = Some(target_dir().canonicalize().unwrap().join("test-cache"));
    let sandbox = Sandbox::new(Settings { cache_dir, limits: limits.into(), ..Settings::default() }).unwrap();
    let report = sandbox.load_folder(folder.path()).await;
    assert!(report.failures.is_empty(), "{}: {:?}", component.display(), report.failures);
    let provider = sandbox.provider("mycloud").unwrap();
    (sandbox, provider)
}

fn base() -> Request {
    let slot = RegionSlot {
        provider: "mycloud".to_owned(),
        cloud_region: "place-1".to_owned(),
        control_plane_size: "small".to_owned(),
        worker_size: "large".to_owned(),
        worker_count: 2,
    };
    Request {
        org_name: "Example".to_owned(),
        org_email: "ops@mycloud.example".to_owned(),
        sovereign_fqdn: "one.mycloud.example".to_owned(),
        sovereign_domain_mode: "byo".to_owned(),
        region: slot.cloud_region.clone(),
        control_plane_size: slot.control_plane_size.clone(),
        worker_size: slot.worker_size.clone(),
        worker_count: slot.worker_count,
        regions: vec![slot],
        ssh_public_key: KEY.to_owned(),
        ..Request::default()
    }
}

fn but(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = base();
    change(&mut request);
    request
}

/// Good ones, bad ones, and every text that one language could read in another way. None begins with a byte order mark:
/// the JavaScript toolchain drops it before a plugin sees the text.
fn requests() -> Vec<Request> {
    [sizes(), ports(), words(), keys(), domains()].concat()
}

fn sizes() -> Vec<Request> {
    let mut made = vec![base(), but(|r| r.ha_enabled = true), but(|r| r.regions.clear()), Request::default()];
    made.push(but(|r| r.regions.push(r.regions[0].clone())));
    for count in [-1, 0, 1, 50, 51, i64::MAX, i64::MIN] {
        made.push(but(|r| r.regions[0].worker_count = count));
    }
    for name in ["", " place-2\t", "nowhere", "place-1\u{a0}", "place-1\u{feff}", "\u{1c}large", "LARGE", "$&"] {
        made.push(but(|r| r.regions[0].cloud_region = name.to_owned()));
        made.push(but(|r| r.regions[0].control_plane_size = name.to_owned()));
        made.push(but(|r| {
            r.regions.clear();
            name.clone_into(&mut r.worker_size);
        }));
    }
    made
}

fn ports() -> Vec<Request> {
    let odd = [
        json!(null),
        json!(1),
        json!(65_535),
        json!(0),
        json!(65_536),
        json!(-1),
        json!("6443"),
        json!(6443.0),
        json!(6443.5),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!(false),
        json!([6443]),
        json!({}),
    ];
    odd.map(|port| but(|r| r.extra = Map::from_iter([("apiPort".to_owned(), port)]))).to_vec()
}

fn words() -> Vec<Request> {
    let mut made = Vec::new();
    let long = "ü".repeat(2049);
    for words in [
        "",
        "${file(\"/etc/shadow\")}",
        "%{ if true }",
        "a\"b\\c/d",
        "\u{7f}",
        "é e\u{301} 日本 👩\u{200d}👧",
        "<é",
        "<\u{301}",
        "<>é",
        "<<b>",
        "a\nb",
        "\t",
        "\u{85}",
        "\u{2028}",
        "\u{e000}",
        "\u{10ffff}",
        "\u{fdd0}",
        "\u{202e}",
        "\u{fffe}",
        "\u{fffd}",
        &long,
    ] {
        made.push(but(|r| r.org_name = words.to_owned()));
        made.push(but(|r| r.org_email = words.to_owned()));
        made.push(but(|r| r.ssh_public_key = format!("{KEY} {words}")));
    }
    made
}

fn keys() -> Vec<Request> {
    let mut made = Vec::new();
    for key in [
        "",
        " ",
        &format!(" {KEY}\r\n"),
        &KEY.replace(' ', "  "),
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 AAAA===",
        "ssh-rsa A== x",
        "ssh-rsa ==",
        "ssh-dss AAAA",
        "ecdsa-sha2-nistp384 A+/a= a  b",
        "ssh-ed25519 AAAA\u{a0}x",
        "ssh-ed25519\tAAAA",
    ] {
        made.push(but(|r| r.ssh_public_key = key.to_owned()));
    }
    made
}

fn domains() -> Vec<Request> {
    let mut made = Vec::new();
    let name = |parts: &[usize]| parts.iter().map(|length| "a".repeat(*length)).collect::<Vec<_>>().join(".");
    for fqdn in [
        "a",
        "a.b",
        "A.b",
        "-a.b",
        "a-.b",
        "a..b",
        "a.b.",
        "1.2",
        "a_b.c",
        "a.b\n",
        "ä.b",
        &name(&[63, 1]),
        &name(&[64, 1]),
        &name(&[63, 63, 63, 61]),
        &name(&[63, 63, 63, 62]),
    ] {
        made.push(but(|r| r.sovereign_fqdn = fqdn.to_owned()));
    }
    made
}

fn contexts() -> [RenderContext; 2] {
    let full = RenderContext {
        public_url: "https://catalyst.example/\"ü\"".to_owned(),
        gitops_repo_url: "https://git.example/clusters".to_owned(),
        gitops_branch: " main ".to_owned(),
        present_secrets: ["k3s-token", "cloud-token", "kubeconfig-bearer", "ghcr-pull-token"].map(str::to_owned).into(),
    };
    let bare =
        RenderContext { gitops_branch: String::new(), present_secrets: vec!["k3s-token".to_owned()], ..full.clone() };
    [full, bare]
}

fn bytes(answer: impl Serialize) -> String {
    serde_json::to_string(&answer).unwrap()
}

/// Everything that a provider answers, with what was asked.
async fn answers(provider: &Provider) -> Vec<(String, String)> {
    let mut said = vec![("describe".to_owned(), described(provider))];
    for (at, request) in requests().into_iter().enumerate() {
        let asked = format!("{at}: {}", bytes(&request));
        said.push((format!("validate {asked}"), bytes(provider.validate(&request).await.unwrap())));
        for context in contexts() {
            let rendered = provider.render(&request, &context).await.unwrap();
            let text = rendered.map_or_else(|findings| format!("refused: {}", bytes(findings)), bytes);
            said.push((format!("render {asked} {}", bytes(&context)), text));
        }
        said.push((format!("estimate {asked}"), format!("{:?}", provider.estimate(&request).await.unwrap())));
    }
    let address = |ip: &str| json!({"control_plane_ip": {"value": ip}, "load_balancer_ip": {"value": "198.51.100.7"}, "console_url": {"value": " https://x "}});
    for outputs in [
        "",
        "[]",
        "null",
        "{}",
        "{\"control_plane_ip\": 3}",
        &address("192.0.2.1").to_string(),
        &address("2001:db8::1").to_string(),
        &address(" ").to_string(),
        &address("192.0.2.256").to_string(),
        &address("198.51.100.7").to_string(),
    ] {
        said.push((format!("read-outputs {outputs}"), format!("{:?}", provider.read_outputs(outputs).await)));
    }
    for summary in ["", "small is out of stock", &"👩".repeat(1200)] {
        let diagnostic = Diagnostic { summary: summary.to_owned(), detail: "d".to_owned(), address: None };
        let advice = provider.diagnose(&diagnostic, &Asked::default()).await.unwrap();
        said.push((format!("diagnose {summary}"), format!("{advice:?}")));
    }
    said.push(("credential-probe".to_owned(), format!("{:?}", provider.credential_probe(&Map::new()).await.unwrap())));
    said.push(("judge-credentials".to_owned(), format!("{:?}", provider.judge_credentials(&[]).await.unwrap())));
    said
}

/// The schema is JSON, so its text may differ; what it says may not.
fn described(provider: &Provider) -> String {
    let mut said = serde_json::to_value(provider.descriptor()).unwrap();
    said["settings_schema"] = serde_json::from_str::<Value>(&provider.descriptor().settings_schema).unwrap();
    said.to_string()
}

#[test]
fn three_languages_give_the_same_answers_byte_for_byte() {
    let rust = rust();
    plugin(&["check", &text(&rust)]).ended(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let said = |component: &Path| {
        runtime.block_on(async {
            let (_sandbox, provider) = alone(component).await;
            answers(&provider).await
        })
    };
    let expected = said(&rust);
    let rendered = expected.iter().filter(|(asked, said)| asked.starts_with("render") && !said.starts_with("refused"));
    let rendered = rendered.count();
    assert!(rendered > 50 && expected.len() > 400, "{rendered} bundles of {} answers say little", expected.len());
    for language in ["python", "js"] {
        for ((asked, rust), (_, other)) in expected.iter().zip(said(&languages::component(language))) {
            assert_eq!(*rust, other, "{language}: {asked}");
        }
    }
    println!("{} answers alike, {rendered} of them bundles", expected.len());
}
