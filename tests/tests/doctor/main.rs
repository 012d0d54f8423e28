//! `catalyst doctor` on the real binary: a set-up that is well, and one set-up for each way to break it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod folders;
mod outside;
mod programs;

use catalyst_tests::double::Double;
use catalyst_tests::host::{built, free_port, target_dir, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Stands in every secret that the host may be told, and in nothing that it may say.
const SENTINEL: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// Folders and an environment in which a host would start.
struct SetUp {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    _pdm: Double,
}

impl SetUp {
    /// One that is well in every way that a test can bring about.
    fn well() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = target_dir().join("test-cache");
        fs::create_dir_all(&cache).unwrap();
        let pdm = Double::http(|_| Some((200, "ok".to_owned())));
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = [
            ("CATALYST_LISTEN", format!("127.0.0.1:{}", free_port())),
            ("CORS_ORIGIN", "https://console.example.org".to_owned()),
            ("CATALYST_API_PUBLIC_URL", "https://catalyst.example.org".to_owned()),
            ("CATALYST_PLUGINS_DIR", path("plugins")),
            ("CATALYST_DEPLOYMENTS_DIR", path("data/deployments")),
            ("CATALYST_KUBECONFIGS_DIR", path("data/kubeconfigs")),
            ("CATALYST_STATE_DIR", path("data/state")),
            ("CATALYST_TOFU_WORKDIR", path("data/tofu")),
            ("CATALYST_CACHE_DIR", cache.display().to_string()),
            ("CATALYST_TOFU_BIN", catalyst_tests::tools::path("tofu").unwrap().display().to_string()),
            ("CATALYST_STATE_KEY", SENTINEL.to_owned()),
            ("CATALYST_GHCR_PULL_TOKEN", SENTINEL.to_owned()),
            ("DYNADOT_API_SECRET", SENTINEL.to_owned()),
            ("POOL_DOMAIN_MANAGER_URL", pdm.url()),
            ("PATH", "/usr/bin:/bin".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        let set_up = Self { folder, env, _pdm: pdm };
        fs::create_dir(set_up.path("plugins")).unwrap();
        set_up.plugin("rehearsal");
        set_up
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder as the host does: for its user only.
    fn private(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Adds a plugin of this repository, and pins what is there.
    fn plugin(&self, name: &str) {
        let file = format!("{name}.wasm");
        fs::copy(built(&format!("plugins/{file}")), self.path("plugins").join(&file)).unwrap();
        let mut sums = Command::new("sh");
        sums.args(["-c", "sha256sum *.wasm | sed 's/^/sha256:/'"]).current_dir(self.path("plugins"));
        let sums = sums.output().unwrap();
        fs::write(self.path("plugins/plugins.lock"), sums.stdout).unwrap();
    }

    fn set(&mut self, name: &str, value: impl ToString) {
        self.env.insert(name.to_owned(), value.to_string());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built("release/catalyst"));
        command.args(arguments).env_clear().envs(&self.env).current_dir(self.folder.path());
        command
    }

    fn examine(&self) -> Examined {
        Examined::from(self.command(&["doctor", "--json"]).output().unwrap())
    }

    /// Every file and folder, with its size.
    fn listing(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                found.push((entry.path(), entry.metadata().unwrap().len()));
                if entry.path().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

/// What the doctor said.
struct Examined {
    code: i32,
    findings: Vec<Value>,
}

impl Examined {
    fn from(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).unwrap();
        let said: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let code = output.status.code().unwrap();
        assert_eq!(said["verdict"], ["ok", "warn", "fail"][usize::try_from(code).unwrap()]);
        assert!(!text.contains(SENTINEL), "{text}");
        Self { code, findings: said["findings"].as_array().unwrap().clone() }
    }

    /// That a check found this, said what to do, and that no other check is troubled.
    fn shows(&self, check: &str, verdict: &str, words: &str) {
        let all = format!("{:#?}", self.findings);
        let of_check = |one: &&Value| one["check"] == check && one["verdict"] == verdict;
        let found = self.findings.iter().filter(of_check).find(|one| one["found"].as_str().unwrap().contains(words));
        let found = found.unwrap_or_else(|| panic!("no {verdict} of {check} says {words:?}: {all}"));
        assert!(found["advice"].as_str().is_some_and(|advice| advice.len() > 5), "{found}");
        let others = self.troubled().into_iter().filter(|other| other != check).collect::<Vec<_>>();
        assert!(others.is_empty(), "{others:?} is troubled, too: {all}");
        if verdict == "fail" {
            assert_eq!(self.code, 2);
        } else {
            assert!(self.code >= 1);
        }
    }

    /// Checks that are not well. Whom the tests run as is not theirs to choose.
    fn troubled(&self) -> Vec<String> {
        let bad = self.findings.iter().filter(|one| one["verdict"] != "ok" && one["check"] != "user");
        // A kernel without Landlock is found, too, and rightly so.
        let bad = bad.filter(|one| !one["found"].as_str().unwrap().contains("no Landlock"));
        bad.map(|one| one["check"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_set_up_that_is_well_is_called_well_and_left_as_it_was() {
    let set_up = SetUp::well();
    let before = set_up.listing();
    let examined = set_up.examine();
    assert!(examined.troubled().is_empty(), "{:#?}", examined.findings);
    assert!(examined.findings.len() >= 18, "{:#?}", examined.findings);
    assert_eq!(set_up.listing(), before);
    let text = String::from_utf8(set_up.command(&["doctor"]).output().unwrap().stdout).unwrap();
    assert_eq!(text.lines().count(), examined.findings.len(), "one line for each check:\n{text}");
    assert!(text.lines().all(|line| ["ok ", "warn ", "fail "].iter().any(|word| line.starts_with(word))), "{text}");
}

#[test]
fn beside_a_host_that_serves_all_is_well() {
    let set_up = SetUp::well();
    let mut host = set_up.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
    let address = set_up.env["CATALYST_LISTEN"].clone();
    wait_for("the host", Duration::from_secs(60), || std::net::TcpStream::connect(&address).ok());
    let examined = set_up.examine();
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(examined.troubled().is_empty(), "{:#?}", examined.findings);
    let all = format!("{:?}", examined.findings);
    assert!(all.contains("is held by process") && all.contains("and is ready"), "{all}");
}
