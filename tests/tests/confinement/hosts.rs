//! A host that is killed, or stopped, in each step of a run: OpenTofu does not outlive its time, nothing outlives OpenTofu, and what was
//! bought is in the state or in the log.

use catalyst_tests::api::Api;
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::world::tofu_into;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STEPS: [&str; 4] = ["init", "plan", "apply", "destroy"];
const LIMIT: Duration = Duration::from_secs(60);
/// A line of OpenTofu on something that it made.
const MADE: &str = r#"{"@level":"info","@message":"made","type":"apply_complete","hook":{"resource":{"addr":"cloud_server.late"},"action":"create","id_key":"id","id_value":"4711"}}"#;

/// The real OpenTofu, but for one step, which hangs until it is interrupted, with a child that left its session. Its folder is the
/// mirror of providers, so that a confined run may read it; what it notes lies in its work folder.
pub struct Hanging {
    folder: TempDir,
    seconds: String,
    confine: &'static str,
}

impl Hanging {
    /// `on_interrupt` is what the script does when it is interrupted; then it ends.
    pub fn new(confine: &'static str, on_interrupt: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let seconds = format!("{}", 200_000 + rand::random::<u16>() as u32);
        let real = tofu_into(folder.path());
        let script = format!(
            "#!/bin/bash\nif [ ! -e '{here}/hang' ] || [ \"$(cat '{here}/hang')\" != \"$1\" ]; then exec '{}' \"$@\"; fi\n\
             setsid sleep {seconds} </dev/null >/dev/null 2>&1 &\n\
             trap 'echo \"INT $1\" >>diary; {on_interrupt}' INT\n\
             echo \"began $1\" >>diary\n\
             while :; do sleep 0.1; done\n",
            real.display()
        );
        std::fs::write(folder.path().join("tofu"), script).unwrap();
        std::fs::set_permissions(folder.path().join("tofu"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, seconds, confine }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn hang_at(&self, step: &str) {
        std::fs::write(self.file("hang"), step).unwrap();
    }

    pub fn go_on(&self) {
        std::fs::remove_file(self.file("hang")).unwrap();
    }

    /// What the runs of a deployment noted since its last run began.
    pub fn diary(&self, host: &Host, id: &str) -> Vec<String> {
        let (noted, kept) = (host.folder().join("tofu").join(id).join("diary"), self.file(&format!("diary-{id}")));
        // The work folder is emptied at the end of a run; what has another name is there still.
        if let Ok(now) = noted.metadata()
            && kept.metadata().ok().map(|known| known.ino()) != Some(now.ino())
        {
            let _ = std::fs::remove_file(&kept);
            let _ = std::fs::hard_link(&noted, &kept);
        }
        let text = std::fs::read_to_string(kept).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Command lines of processes that this OpenTofu is, or started.
    pub fn processes(&self) -> Vec<String> {
        let program = self.file("tofu").display().to_string();
        let is_ours = |words: &str| words.contains(&program) || words.ends_with(&format!(" {}", self.seconds));
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned());
        lines.filter(|line| is_ours(line)).collect()
    }

    pub fn gone_within(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        wait_for(&format!("the end of {:?}", self.processes()), limit, || self.processes().is_empty().then_some(()));
        begun.elapsed()
    }

    pub fn host(&self, more: &[(&str, &str)]) -> Host {
        let mut host = self.prepared(more);
        host.up();
        host
    }

    pub fn prepared(&self, more: &[(&str, &str)]) -> Host {
        let tofu = self.file("tofu").display().to_string();
        let mirror = self.folder.path().display().to_string();
        let mut env = vec![
            ("CATALYST_TOFU_BIN", tofu.as_str()),
            ("CATALYST_TOFU_CONFINE", self.confine),
            ("CATALYST_PROVIDER_MIRROR", mirror.as_str()),
        ];
        env.extend(more);
        Host::prepare(&env)
    }
}

pub fn create(host: &Host, fqdn: &str) -> String {
    let body = json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    });
    let answer = host.api.post("/api/v1/deployments", &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn state(host: &Host, id: &str) -> Value {
    host.api.get(&format!("/api/v1/deployments/{id}")).json()
}

pub fn until(host: &Host, id: &str, status: &str) -> Value {
    wait_for(&format!("{status} of {}", state(host, id)), LIMIT, || {
        let now = state(host, id);
        (now["status"] == status).then_some(now)
    })
}

/// A deployment whose run hangs in a step.
pub fn hanging_in(step: &str, tofu: &Hanging, host: &Host) -> String {
    if step != "destroy" {
        tofu.hang_at(step);
    }
    let id = create(host, &format!("{step}.example"));
    if step == "destroy" {
        until(host, &id, "flux-bootstrapping");
        tofu.hang_at(step);
        let answer = host.api.delete(&format!("/api/v1/deployments/{id}"), "");
        assert!(answer.status < 300, "{}", answer.body);
    }
    wait_for("the step", LIMIT, || {
        assert_ne!(state(host, &id)["status"], "failed", "{}", state(host, &id));
        tofu.diary(host, &id).contains(&format!("began {step}")).then_some(())
    });
    id
}

#[test]
fn a_host_that_is_killed_in_any_step_leaves_no_process_and_its_run_is_interrupted_once() {
    // With all layers; and with none, where the supervisor looks for what the run started.
    for (step, confine) in STEPS.map(|step| (step, "auto")).into_iter().chain([("apply", "off")]) {
        let tofu = Hanging::new(confine, "sleep 0.3; exit 1");
        let mut host = tofu.host(&[]);
        let id = hanging_in(step, &tofu, &host);
        host.crash();
        let took = tofu.gone_within(Duration::from_secs(10));
        assert_eq!(tofu.diary(&host, &id), [format!("began {step}"), format!("INT {step}")], "{step}");
        println!("host killed in {step}, confinement {confine}: nothing of the run is left after {took:?}");
        tofu.go_on();
        host.up();
        let failed = until(&host, &id, "failed");
        assert!(!failed["error"].as_str().unwrap().is_empty(), "{failed}");
    }
}

#[test]
fn an_opentofu_that_ignores_its_killed_host_is_killed_with_all_that_it_started() {
    // A run has its grace, and then a second interrupt has its own.
    let tofu = Hanging::new("auto", ":");
    let mut host = tofu.host(&[]);
    let id = hanging_in("apply", &tofu, &host);
    host.crash();
    let took = tofu.gone_within(Duration::from_secs(45));
    assert!(took > Duration::from_secs(15), "it had no time to end: {took:?}");
    assert_eq!(tofu.diary(&host, &id), ["began apply", "INT apply", "INT apply"]);
}

/// Lets a stopped host go on. It closes what was idle for too long by then, so nobody may be about to use that.
fn go_on(host: &mut Host) {
    host.signal("CONT");
    host.api = Api::new(host.address());
}

#[test]
fn a_host_that_is_stopped_in_any_step_lengthens_no_run() {
    for step in STEPS {
        let tofu = Hanging::new("auto", "exit 1");
        // The steps before are the real ones.
        let mut host = tofu.host(&[("CATALYST_APPLY_TIMEOUT", "8s"), ("CATALYST_DESTROY_TIMEOUT", "8s")]);
        let id = hanging_in(step, &tofu, &host);
        host.signal("STOP");
        let took = tofu.gone_within(Duration::from_secs(25));
        assert_eq!(tofu.diary(&host, &id), [format!("began {step}"), format!("INT {step}")], "{step}");
        println!("host stopped in {step}: the run is over after {took:?}");
        tofu.go_on();
        go_on(&mut host);
        let failed = until(&host, &id, "failed");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("not done within 8 s"), "{error}");
        host.down();
    }
}

#[test]
fn what_a_stopped_hosts_run_wrote_is_in_the_log_when_it_goes_on() {
    let tofu = Hanging::new(
        "auto",
        &format!("for i in $(seq 20000); do echo plain line $i; done; echo '\\''{MADE}'\\''; exit 1"),
    );
    let mut host = tofu.host(&[("CATALYST_APPLY_TIMEOUT", "8s")]);
    let id = hanging_in("apply", &tofu, &host);
    host.signal("STOP");
    tofu.gone_within(Duration::from_secs(30));
    go_on(&mut host);
    let failed = until(&host, &id, "failed");
    assert!(failed["error"].as_str().unwrap().contains("cloud_server.late (4711)"), "{failed}");
    host.down();
}

#[test]
fn what_a_killed_hosts_run_bought_and_no_state_knows_is_in_the_log_after_the_next_start() {
    let tofu = Hanging::new("auto", &format!("echo '\\''{MADE}'\\''; exit 1"));
    let mut host = tofu.host(&[]);
    let id = hanging_in("apply", &tofu, &host);
    host.crash();
    tofu.gone_within(Duration::from_secs(10));
    tofu.go_on();
    host.up();
    until(&host, &id, "failed");
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(events.contains("made, but not in the kept state: cloud_server.late (4711)"), "{events}");
    assert!(!spool(&host, &id).exists(), "it would be said again");
    host.down();
}

/// Where a supervisor leaves what its run made.
pub fn spool(host: &Host, id: &str) -> PathBuf {
    host.folder().join("tofu/.made").join(id)
}

#[test]
fn what_is_in_the_kept_state_is_left_nowhere_and_told_nowhere() {
    let tofu = Hanging::new("auto", "exit 1");
    let mut host = tofu.host(&[]);
    let id = create(&host, "kept.example");
    until(&host, &id, "flux-bootstrapping");
    wait_for("the end of the run", LIMIT, || tofu.processes().is_empty().then_some(()));
    assert!(!spool(&host, &id).exists());
    // The host dies when all of it is made and handed over, before it asks for the outputs.
    let id = hanging_in("output", &tofu, &host);
    host.crash();
    tofu.gone_within(Duration::from_secs(10));
    assert!(spool(&host, &id).exists(), "nobody said that it is kept");
    tofu.go_on();
    host.up();
    until(&host, &id, "failed");
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(!events.contains("not in the kept state"), "{events}");
    assert!(!spool(&host, &id).exists());
    host.down();
}

/// The supervisor of the run in this folder, or its init.
fn process_of_run(folder: &Path, role: &[&str]) -> i32 {
    let program = [&["supervise"], role].concat();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).skip(1).collect();
        words == program.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()
    };
    let above =
        |pid: i32| crate::first_process::state_and_parent(pid.cast_unsigned()).map(|(_, parent)| parent.cast_signed());
    let here = |pid: i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    pids.find(|pid| is_it(*pid) && (here(*pid) || above(*pid).is_some_and(here))).unwrap()
}

#[test]
fn nothing_of_a_run_outlives_its_supervisor_or_its_init() {
    for (confine, role) in [("auto", [].as_slice()), ("auto", &["--init"]), ("off", &[]), ("off", &["--init"])] {
        let tofu = Hanging::new(confine, ":");
        let mut host = tofu.host(&[]);
        let id = hanging_in("apply", &tofu, &host);
        let folder = host.folder().join("tofu").join(&id).canonicalize().unwrap();
        let pid = nix::unistd::Pid::from_raw(process_of_run(&folder, role));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let took = tofu.gone_within(Duration::from_secs(15));
        println!("killed {role:?}, confinement {confine}: nothing of the run is left after {took:?}");
        let failed = until(&host, &id, "failed");
        let why = match role {
            [] => "the supervisor of the run was killed by signal 9",
            _ => "the init process of the run is gone",
        };
        assert!(failed["error"].as_str().unwrap().contains(why), "{failed}");
        host.down();
    }
}

#[test]
fn a_supervisor_that_is_asked_to_end_ends_its_run_in_order_and_tells_its_host() {
    // As a service manager does with all processes of a service, and a terminal that is closed with those of a session.
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let tofu = Hanging::new("off", "exit 1");
        let mut host = tofu.host(&[]);
        let id = hanging_in("apply", &tofu, &host);
        let folder = host.folder().join("tofu").join(&id).canonicalize().unwrap();
        for role in [[].as_slice(), &["--init"]] {
            signal_process(&folder, role, signal);
        }
        let failed = until(&host, &id, "failed");
        assert_eq!(tofu.diary(&host, &id), ["began apply", "INT apply"], "{signal}: {failed}");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("stopped because its supervisor received SIGTERM, SIGINT or SIGHUP"), "{error}");
        host.down();
    }
}

fn signal_process(folder: &Path, role: &[&str], signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(process_of_run(folder, role));
    nix::sys::signal::kill(pid, signal).unwrap();
}

#[test]
fn what_goes_wrong_in_a_supervisor_is_in_the_trace_of_its_host() {
    let tofu = Hanging::new("off", &format!("echo '\\''{MADE}'\\''; exit 1"));
    let mut host = tofu.host(&[]);
    let id = hanging_in("apply", &tofu, &host);
    let folder = host.folder().join("tofu").join(&id).canonicalize().unwrap();
    // Its list of what the run made has no place any more.
    let lists = host.folder().join("tofu/.made");
    std::fs::remove_dir_all(&lists).unwrap();
    std::fs::write(&lists, "").unwrap();
    signal_process(&folder, &[], Signal::SIGTERM);
    until(&host, &id, "failed");
    let reported = || host.trace().contains("a process of a run reports an error").then_some(());
    wait_for("the error of the supervisor", LIMIT, reported);
    host.down();
}
