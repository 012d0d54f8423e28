//! The host's memory is nobody's to read: no core dump, and no other process of its user gets at it. As a user without rights,
//! because root may read everything.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::api::Api;
use catalyst_tests::host::{built, free_port, wait_for};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user of the image.
const NOBODY: u32 = 65_534;
/// For a start, a compile of the plugins and a plan.
const LIMIT: Duration = Duration::from_secs(120);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program as the user without rights, where this test may become that user.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A copy where that user finds it: the original may lie below a folder of root's.
fn copied(from: &Path, folder: &Path) -> std::path::PathBuf {
    let to = folder.join(from.file_name().unwrap());
    std::fs::copy(from, &to).unwrap();
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
    to
}

#[test]
fn a_host_without_rights_serves_and_runs_and_its_memory_is_shut() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (plugins, data) = (folder.path().join("plugins"), folder.path().join("data"));
    [&plugins, &data].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    copied(&built("plugins/rehearsal.wasm"), &plugins);
    let host = copied(&built("release/catalyst"), folder.path());
    let tofu = copied(&catalyst_tests::tools::path("tofu").unwrap(), folder.path());
    if is_root() {
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = unprivileged(&host);
    command.arg("serve").env_clear().env("CATALYST_LISTEN", &address).env("CATALYST_PLUGINS_DIR", &plugins);
    command.env("CATALYST_TOFU_BIN", &tofu).env("PATH", "/usr/bin:/bin").env("CATALYST_STATE_KEY", "5e".repeat(32));
    for (name, at) in [
        ("DEPLOYMENTS_DIR", "deployments"),
        ("KUBECONFIGS_DIR", "kubeconfigs"),
        ("TOFU_WORKDIR", "tofu"),
        ("CACHE_DIR", "cache"),
    ] {
        command.env(format!("CATALYST_{name}"), data.join(at));
    }
    let trace = folder.path().join("trace");
    let child = Running(command.stdin(Stdio::null()).stderr(std::fs::File::create(&trace).unwrap()).spawn().unwrap());
    let traced = || std::fs::read_to_string(&trace).unwrap();
    let api = Api::new(&address);
    wait_for("the start", LIMIT, || std::net::TcpStream::connect(&address).ok());
    wait_for("readiness", LIMIT, || (api.get("/readyz").status == 200).then_some(()));

    let proc = |file: &str| format!("/proc/{}/{file}", child.0.id());
    let limits = std::fs::read_to_string(proc("limits")).unwrap();
    let core: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
    // Another process of the same user opens what belongs to a process that may be dumped, and nothing of the host's.
    let opens = |pid: u32, file: &str| {
        let line = format!(": < /proc/{pid}/{file}");
        unprivileged(Path::new("/bin/sh")).args(["-c", &line]).stderr(Stdio::null()).status().unwrap().success()
    };
    let other = Running(unprivileged(Path::new("/bin/sleep")).arg("600").spawn().unwrap());
    for file in ["environ", "mem"] {
        assert!(wait_for("a process that may be read", LIMIT, || opens(other.0.id(), file).then_some(true)), "{file}");
        assert!(!opens(child.0.id(), file), "another process of the same user opens {file}");
    }

    // OpenTofu, the child that compiles plugins and the look at processes go on as ever.
    let body = r#"{"orgName":"Acme","orgEmail":"ops@acme.example","sovereignFQDN":"shut.example","rehearsalToken":"tttttttt",
        "regions":[{"provider":"rehearsal","cloudRegion":"local-1","controlPlaneSize":"medium"}],"rehearsalApiPort":16443,
        "sshPublicKey":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops"}"#;
    let made = api.post("/api/v1/deployments", body);
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/api/v1/deployments/{}", made.json()["id"].as_str().unwrap());
    wait_for("the applied module", LIMIT, || {
        let state = api.get(&path).json();
        assert_ne!(state["status"], "failed", "{state}\n{}", traced());
        (state["status"] == "flux-bootstrapping").then_some(())
    });
}
