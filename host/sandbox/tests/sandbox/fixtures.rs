//! The guests, built once, and sandboxes to put them in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catalyst_domain::Request;
use catalyst_domain::provider::RenderContext;
use catalyst_sandbox::{CallError, CallFailure, Function, Limits, LoadReport, Provider, Sandbox, Settings};

/// Builds the guests with cargo and gives the folder of their components.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "catalyst-hostile-guests", "--examples"])
            .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the hostile guests do not build");
        target.join("wasm32-wasip2/plugin/examples")
    })
}

/// The bytes of a guest.
pub fn guest(name: &str) -> Vec<u8> {
    std::fs::read(built().join(format!("{name}.wasm"))).expect("a guest of that name")
}

/// A folder of component files.
pub fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    }
    dir
}

/// Limits as they are in service, but with time for a debug build on a busy machine.
pub fn limits() -> Limits {
    Limits { call_timeout: Duration::from_secs(10), ..Limits::default() }
}

/// Limits under which a loop ends soon.
pub fn brisk() -> Limits {
    Limits { call_timeout: Duration::from_millis(800), ..Limits::default() }
}

/// A sandbox without a cache.
pub fn sandbox(limits: Limits) -> Arc<Sandbox> {
    Sandbox::new(Settings { limits: limits.into(), ..Settings::default() }).expect("a sandbox")
}

/// The same plugin with other bytes: a custom section at its end changes nothing but the digest.
pub fn rebuilt(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0, 3, 1, b'x', 0]].concat()
}

/// A guest in which one text was replaced by another of the same length, wherever it stands.
pub fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, seen)| *seen == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{from} does not stand in the guest");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// Loads one file and gives what the sandbox said of it.
async fn load_one(bytes: &[u8], limits: Limits) -> LoadReport {
    sandbox(limits).load_folder(folder(&[("one.wasm", bytes)]).path()).await
}

/// The refusal of one file.
pub async fn refusal(bytes: &[u8]) -> String {
    let mut report = load_one(bytes, brisk()).await;
    assert!(report.serving.is_empty(), "it serves");
    report.failures.pop().expect("a failure").error
}

/// The guest that misbehaves on demand.
pub async fn by_request() -> Arc<Provider> {
    by_request_within(limits()).await
}

/// The same within other limits.
pub async fn by_request_within(limits: Limits) -> Arc<Provider> {
    let mut report = load_one(&guest("by_request"), limits).await;
    assert_eq!(report.failures.len(), 0, "{:?}", report.failures);
    report.serving.pop().expect("the guest serves")
}

/// A request that asks the guest to behave in some way.
pub fn asks(behaviour: &str) -> Request {
    Request { org_name: behaviour.into(), sovereign_fqdn: "xyzzy.example.org".into(), ..Request::default() }
}

/// What the host knows.
pub fn context() -> RenderContext {
    RenderContext {
        public_url: "https://host.example.org".into(),
        gitops_repo_url: "https://git.example.org/r".into(),
        gitops_branch: "main".into(),
        present_secrets: vec!["token".into()],
    }
}

/// Why `validate` gave no answer.
pub async fn validate_failure(provider: &Provider, behaviour: &str) -> CallFailure {
    expect_clear(provider.validate(&asks(behaviour)).await, Function::Validate)
}

/// An error that names plugin and function and holds nothing of the input.
pub fn expect_clear<T: std::fmt::Debug>(result: Result<T, CallError>, function: Function) -> CallFailure {
    let error = result.expect_err("the call fails");
    let text = error.to_string();
    assert!(text.starts_with(&format!("plugin hostile: {function} ")), "{text}");
    assert!(!text.contains("xyzzy"), "{text}");
    assert!(text.len() < 300, "{text}");
    error.reason
}
