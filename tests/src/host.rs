//! The real binary as a child process with folders of its own, to be killed and started again.
#![expect(clippy::disallowed_methods, reason = "tests have no config.rs")]

use crate::api::Api;
use crate::ingress::Ingress;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A host that can be stopped and started on the same folders.
pub struct Host {
    folder: tempfile::TempDir,
    address: String,
    env: BTreeMap<String, String>,
    ulimit: &'static str,
    first_of_a_namespace: bool,
    child: Option<Child>,
    /// Client of this host.
    pub api: Api,
    /// Where people come, if it is not the host's own address.
    way_in: Option<String>,
}

thread_local! {
    static BEHIND_AN_INGRESS: Cell<bool> = const { Cell::new(false) };
}

/// Does something whose hosts all stand behind an ingress that authenticates ([`Ingress`]).
pub fn behind_an_ingress(work: impl FnOnce()) {
    BEHIND_AN_INGRESS.set(true);
    work();
    BEHIND_AN_INGRESS.set(false);
}

/// The workspace's folder for build products.
pub fn target_dir() -> PathBuf {
    // A relative one counts from where Cargo was started: as everywhere in this project, the workspace's root.
    let given = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(given)
}

/// A built product, or a clear word on how to get it.
pub fn built(path: &str) -> PathBuf {
    let path = target_dir().join(path);
    assert!(path.exists(), "{} is missing: `make test` builds it before the tests run", path.display());
    path
}

/// Builds the guests that misbehave, and gives the folder of their components.
pub fn hostile_guests() -> PathBuf {
    let target = target_dir().join("tmp/guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "catalyst-hostile-guests", "--examples"])
        .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
        .arg(std::path::absolute(&target).unwrap())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .unwrap();
    assert!(status.success(), "the hostile guests do not build");
    target.join("wasm32-wasip2/plugin/examples")
}

/// A free port of the loopback interface.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port that is free on every address. It lies below those that the system gives to connections, any of which would be in the
/// way.
fn port_on_every_address() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 10_000) as u16 + NEXT.fetch_add(1, Ordering::Relaxed);
    let free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    (first..32_000).step_by(100).find(free).unwrap_or_else(|| panic!("no port from {first} on is free"))
}

impl Host {
    /// A host that is not started yet. `env` adds to, or replaces, what every test host is told.
    pub fn prepare(env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut all: BTreeMap<String, String> = [
            ("CATALYST_LISTEN", address.clone()),
            ("CATALYST_API_PUBLIC_URL", format!("http://{address}")),
            ("CATALYST_PLUGINS_DIR", built("plugins").display().to_string()),
            ("CATALYST_DEPLOYMENTS_DIR", path("deployments")),
            ("CATALYST_KUBECONFIGS_DIR", path("kubeconfigs")),
            ("CATALYST_STATE_DIR", path("state")),
            ("CATALYST_TOFU_WORKDIR", path("tofu")),
            // Shared by all tests, so that plugins are compiled once.
            ("CATALYST_CACHE_DIR", target_dir().join("test-cache").display().to_string()),
            ("CATALYST_TOFU_BIN", crate::tools::path("tofu").unwrap().display().to_string()),
            ("CATALYST_PHASE1_SETTLE", "2s".to_owned()),
            ("PATH", std::env::var("PATH").unwrap()),
            ("RUST_LOG", "debug".to_owned()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
        all.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        if env.iter().any(|(name, _)| *name == "CATALYST_TOFU_BIN") {
            // A script in front of OpenTofu writes where a run of its own may not.
            all.entry("CATALYST_TOFU_CONFINE".to_owned()).or_insert_with(|| "off".to_owned());
        }
        let address = all["CATALYST_LISTEN"].clone();
        let api = Api::new(&address);
        let mut host =
            Self { folder, address, env: all, ulimit: "", first_of_a_namespace: false, child: None, api, way_in: None };
        if BEHIND_AN_INGRESS.get() {
            host.go_behind(Box::leak(Box::new(Ingress::start())));
        }
        host
    }

    /// Puts it behind an ingress, which lasts as long as the process.
    fn go_behind(&mut self, ingress: &'static Ingress) {
        self.env.extend(ingress.env().into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.address = self.env["CATALYST_LISTEN"].clone();
        self.api = Api::new(&ingress.address());
        self.way_in = Some(ingress.address());
    }

    /// A host that is ready.
    pub fn start(env: &[(&str, &str)]) -> Self {
        let mut host = Self::prepare(env);
        host.up();
        host
    }

    /// Starts the process and waits until it is ready; returns how long that took.
    pub fn up(&mut self) -> Duration {
        let trace = std::fs::File::options().create(true).append(true).open(self.trace_file()).unwrap();
        self.up_tracing_to(trace.into())
    }

    /// Starts the process with a trace that nobody reads any more, as when a log collector died.
    pub fn up_with_broken_trace(&mut self) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.up_tracing_to(writer.into());
    }

    /// Starts a process that must refuse to serve, and returns what it traced.
    pub fn refused(&mut self) -> String {
        let trace = std::fs::File::options().create(true).append(true).open(self.trace_file()).unwrap();
        self.spawn(trace.into());
        let ended =
            wait_for("the refusal", Duration::from_secs(60), || self.child.as_mut().unwrap().try_wait().unwrap());
        self.child = None;
        assert!(!ended.success(), "the host ended as if all were well:\n{}", self.trace());
        self.trace()
    }

    fn spawn(&mut self, trace: Stdio) {
        let mut command = self.command();
        command.env_clear().envs(&self.env).current_dir(self.folder.path());
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(trace).spawn().unwrap());
    }

    fn up_tracing_to(&mut self, trace: Stdio) -> Duration {
        let begun = Instant::now();
        self.spawn(trace);
        while std::net::TcpStream::connect(&self.address).is_err() || self.api.get("/readyz").status != 200 {
            let exited = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                exited.is_none() && begun.elapsed() < Duration::from_secs(60),
                "the host is not ready:\n{}",
                self.trace()
            );
            // Short, because a benchmark takes the start's time from here.
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }

    /// The next start listens on every address, as in a Pod; tests go on calling it by loopback.
    pub fn listen_everywhere(&mut self) {
        let port = port_on_every_address();
        self.address = format!("127.0.0.1:{port}");
        self.api = Api::new(&self.address);
        self.env.insert("CATALYST_LISTEN".to_owned(), String::new());
        self.env.insert("PORT".to_owned(), port.to_string());
    }

    /// The next start is given this variable as well, or in place of what it had; an empty value counts as none.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// The next start has these limits, as the shell's `ulimit` sets them.
    pub fn limit(&mut self, ulimit: &'static str) {
        self.ulimit = ulimit;
    }

    /// The next start is the first process of a process namespace, as in a container.
    pub fn first_of_a_namespace(&mut self) {
        self.first_of_a_namespace = true;
    }

    fn command(&self) -> Command {
        let binary = built("release/catalyst");
        if self.first_of_a_namespace {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
            command.arg(binary).arg("serve");
            return command;
        }
        if self.ulimit.is_empty() {
            let mut command = Command::new(binary);
            command.arg("serve");
            return command;
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{} && exec \"$0\" serve", self.ulimit)]).arg(binary);
        command
    }

    /// `kill -9`, as a crash would.
    pub fn crash(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until somebody else has killed the process.
    pub fn wait_killed(&mut self) {
        assert!(self.killed_within(Duration::from_secs(30)), "the host lives on:\n{}", self.trace());
    }

    /// Whether somebody else kills the process in this time.
    pub fn killed_within(&mut self, time: Duration) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let mut child = self.child.take().unwrap();
        let until = Instant::now() + time;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                self.child = Some(child);
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(status.signal(), Some(9), "{status}\n{}", self.trace());
        true
    }

    /// SIGTERM, as an orderly shutdown; asserts that the process ends well.
    pub fn down(&mut self) {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = child.wait().unwrap();
        assert!(status.success(), "the host ended with {status}:\n{}", self.trace());
    }

    /// Starts the process and does not wait for it.
    pub fn begin(&mut self) {
        let trace = std::fs::File::options().create(true).append(true).open(self.trace_file()).unwrap();
        self.spawn(trace.into());
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// How the process ended, once it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        let ended = self.child.as_mut().unwrap().try_wait().unwrap();
        self.child.take_if(|_| ended.is_some());
        ended
    }

    /// `host:port` where people come.
    pub fn address(&self) -> &str {
        self.way_in.as_deref().unwrap_or(&self.address)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The folder of everything this host keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves a record where the next start finds it.
    ///
    /// # Panics
    /// It has no id, or the disk refuses.
    pub fn plant(&self, record: &Value) {
        let folder = self.folder().join("deployments");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.json", record["id"].as_str().unwrap())), record.to_string()).unwrap();
    }

    /// Everything it traced.
    pub fn trace(&self) -> String {
        std::fs::read_to_string(self.trace_file()).unwrap_or_default()
    }

    fn trace_file(&self) -> PathBuf {
        self.folder.path().join("trace.log")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Polls until `look` gives a value.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}
