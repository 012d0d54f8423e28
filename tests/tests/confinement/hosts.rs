//! A host that is killed, or stopped, in each step of a run: OpenTofu does not outlive its time, nothing outlives OpenTofu, and what was
//! bought is in the state or in the log.

use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::world::tofu_into;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STEPS: [&str; 4] = ["init", "plan", "apply", "destroy"];
const LIMIT: Duration = Duration::from_secs(60);

/// The real OpenTofu, but for one step, which hangs until it is interrupted, with a child that left its session.
struct Hanging {
    folder: TempDir,
    seconds: String,
}

impl Hanging {
    /// `on_interrupt` is what the script does when it is interrupted; then it ends.
    fn new(on_interrupt: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let seconds = format!("{}", 200_000 + rand::random::<u16>() as u32);
        let real = tofu_into(folder.path());
        let script = format!(
            "#!/bin/bash\nif [ ! -e '{here}/hang' ] || [ \"$(cat '{here}/hang')\" != \"$1\" ]; then exec '{}' \"$@\"; fi\n\
             setsid sleep {seconds} </dev/null >/dev/null 2>&1 &\n\
             trap 'echo \"INT $1\" >>{here}/diary; {on_interrupt}' INT\n\
             echo \"began $1\" >>'{here}/diary'\n\
             while :; do sleep 0.1; done\n",
            real.display()
        );
        std::fs::write(folder.path().join("tofu"), script).unwrap();
        std::fs::set_permissions(folder.path().join("tofu"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, seconds }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hang_at(&self, step: &str) {
        std::fs::write(self.file("hang"), step).unwrap();
    }

    fn go_on(&self) {
        std::fs::remove_file(self.file("hang")).unwrap();
    }

    fn diary(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file("diary")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Command lines of processes that this OpenTofu is, or started.
    fn processes(&self) -> Vec<String> {
        let program = self.file("tofu").display().to_string();
        let is_ours = |words: &str| words.contains(&program) || words.ends_with(&format!(" {}", self.seconds));
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned());
        lines.filter(|line| is_ours(line)).collect()
    }

    fn gone_within(&self, limit: Duration) -> Duration {
        let begun = Instant::now();
        wait_for(&format!("the end of {:?}", self.processes()), limit, || self.processes().is_empty().then_some(()));
        begun.elapsed()
    }

    fn host(&self, more: &[(&str, &str)]) -> Host {
        let tofu = self.file("tofu").display().to_string();
        let mut env = vec![("CATALYST_TOFU_BIN", tofu.as_str())];
        env.extend(more);
        Host::start(&env)
    }
}

fn create(host: &Host, fqdn: &str) -> String {
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

fn until(host: &Host, id: &str, status: &str) -> Value {
    wait_for(&format!("{status} of {}", state(host, id)), LIMIT, || {
        let now = state(host, id);
        (now["status"] == status).then_some(now)
    })
}

/// A deployment whose run hangs in a step.
fn hanging_in(step: &str, tofu: &Hanging, host: &Host) -> String {
    if step != "destroy" {
        tofu.hang_at(step);
    }
    let id = create(host, &format!("{step}.example"));
    if step == "destroy" {
        until(host, &id, "flux-bootstrapping");
        tofu.hang_at(step);
        let answer = host.api.delete(&format!("/api/v1/deployments/{id}"));
        assert!(answer.status < 300, "{}", answer.body);
    }
    wait_for("the step", LIMIT, || tofu.diary().contains(&format!("began {step}")).then_some(()));
    id
}

#[test]
fn a_host_that_is_killed_in_any_step_leaves_no_process_and_its_run_is_interrupted_once() {
    for step in STEPS {
        let tofu = Hanging::new("sleep 0.3; exit 1");
        let mut host = tofu.host(&[]);
        let id = hanging_in(step, &tofu, &host);
        host.crash();
        let took = tofu.gone_within(Duration::from_secs(10));
        assert_eq!(tofu.diary(), [format!("began {step}"), format!("INT {step}")], "{step}");
        println!("host killed in {step}: nothing of the run is left after {took:?}");
        tofu.go_on();
        host.up();
        let failed = until(&host, &id, "failed");
        assert!(!failed["error"].as_str().unwrap().is_empty(), "{failed}");
    }
}

#[test]
fn an_opentofu_that_ignores_its_killed_host_is_killed_with_all_that_it_started() {
    // A run has its grace, and then a second interrupt has its own.
    let tofu = Hanging::new(":");
    let mut host = tofu.host(&[]);
    hanging_in("apply", &tofu, &host);
    host.crash();
    let took = tofu.gone_within(Duration::from_secs(45));
    assert!(took > Duration::from_secs(15), "it had no time to end: {took:?}");
    assert_eq!(tofu.diary(), ["began apply", "INT apply", "INT apply"]);
}

#[test]
fn a_host_that_is_stopped_in_any_step_lengthens_no_run() {
    for step in STEPS {
        let tofu = Hanging::new("exit 1");
        // The steps before are the real ones.
        let mut host = tofu.host(&[("CATALYST_APPLY_TIMEOUT", "15s")]);
        let id = hanging_in(step, &tofu, &host);
        host.signal("STOP");
        let took = tofu.gone_within(Duration::from_secs(25));
        assert_eq!(tofu.diary(), [format!("began {step}"), format!("INT {step}")], "{step}");
        println!("host stopped in {step}: the run is over after {took:?}");
        tofu.go_on();
        host.signal("CONT");
        let failed = until(&host, &id, "failed");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("not done within 15 s"), "{error}");
        host.down();
    }
}

#[test]
fn what_a_stopped_hosts_run_wrote_is_in_the_log_when_it_goes_on() {
    let made = r#"{"@level":"info","@message":"made","type":"apply_complete","hook":{"resource":{"addr":"cloud_server.late"},"action":"create","id_key":"id","id_value":"4711"}}"#;
    let tofu =
        Hanging::new(&format!("for i in $(seq 20000); do echo plain line $i; done; echo '\\''{made}'\\''; exit 1"));
    let mut host = tofu.host(&[("CATALYST_APPLY_TIMEOUT", "15s")]);
    let id = hanging_in("apply", &tofu, &host);
    host.signal("STOP");
    tofu.gone_within(Duration::from_secs(30));
    host.signal("CONT");
    let failed = until(&host, &id, "failed");
    assert!(failed["error"].as_str().unwrap().contains("cloud_server.late (4711)"), "{failed}");
    host.down();
}

#[test]
fn what_a_killed_hosts_run_bought_and_no_state_knows_is_in_the_log_after_the_next_start() {
    let made = r#"{"@level":"info","@message":"made","type":"apply_complete","hook":{"resource":{"addr":"cloud_server.late"},"action":"create","id_key":"id","id_value":"4711"}}"#;
    let tofu = Hanging::new(&format!("echo '\\''{made}'\\''; exit 1"));
    let mut host = tofu.host(&[]);
    let id = hanging_in("apply", &tofu, &host);
    host.crash();
    tofu.gone_within(Duration::from_secs(10));
    tofu.go_on();
    host.up();
    until(&host, &id, "failed");
    let events = host.api.get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(events.contains("made, but not in the kept state: cloud_server.late (4711)"), "{events}");
    let spool = host.folder().join("tofu").join(&id).join("catalyst.undelivered.log");
    assert!(!Path::new(&spool).exists(), "it would be said again");
    host.down();
}
