//! Runs of the real OpenTofu on built-in resources.

use super::*;

const VARIABLES: &str = r#"
variable "name" { type = string }
variable "deployment_id" { type = string }
variable "token" {
  type      = string
  sensitive = true
}
"#;

const MODULE: &str = r#"
resource "terraform_data" "server" {
  input = "${var.name}-${var.deployment_id}"
}
output "server" { value = terraform_data.server.output }
output "exposed" { value = nonsensitive(var.token) }
output "user_data" {
  value     = var.token
  sensitive = true
}
"#;

pub(super) fn module(body: &str) -> String {
    format!("{VARIABLES}{body}")
}

/// The binary that the tests were given, else the one on PATH, else the one that `make` keeps.
#[expect(clippy::disallowed_methods, reason = "tests find their tools by themselves")]
pub(super) fn tofu() -> PathBuf {
    if let Ok(given) = std::env::var("CATALYST_TOFU_BIN") {
        return given.into();
    }
    let cached = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/catalyst-tools/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(cached).map(|folder| folder.join("tofu")).find(|tofu| tofu.exists());
    found.expect("OpenTofu: set CATALYST_TOFU_BIN, put `tofu` on PATH, or let `make` build it")
}

#[tokio::test]
async fn applies_again_without_change_and_destroys() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    assert!(bench.engine.version().starts_with("1."));
    let (result, seen) = bench.apply(&module(MODULE)).await;
    let public: serde_json::Value = serde_json::from_str(&result.unwrap().public_json).unwrap();
    assert_eq!(public["server"]["value"], "acme-0707070707070707");
    assert_eq!(public["exposed"]["value"], "***");
    assert!(public.get("user_data").is_none(), "{public}");
    assert_eq!(phases(&seen), ["tofu-init", "tofu-plan", "tofu-apply", "tofu-output"]);
    assert_eq!(seen.iter().filter(|p| matches!(p, Progress::Child(child) if child.start_ticks > 0)).count(), 4);
    let applied = seen.iter().position(|p| *p == Progress::Phase("tofu-apply")).unwrap();
    assert_eq!(seen[applied + 1], Progress::ApplyBegan);
    assert!(has_line(&seen, "terraform_data.server: Creating..."), "{seen:?}");
    assert!(has_line(&seen, "Apply complete! Resources: 1 added"), "{seen:?}");
    bench.assert_tidy();
    let state = bench.store.with(|s| String::from_utf8(s.states[&bench.id].clone()).unwrap());
    assert!(state.contains("acme-0707070707070707"));

    let bench = bench.restarted(&tofu()).await;
    let (result, seen) = bench.apply(&module(MODULE)).await;
    result.unwrap();
    assert!(has_line(&seen, "Apply complete! Resources: 0 added, 0 changed, 0 destroyed."), "{seen:?}");

    let (sender, mut receiver) = mpsc::channel(1024);
    bench.engine.destroy_alone(bench.run(&module(MODULE)), sender, CancellationToken::new()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(progress) = receiver.recv().await {
        seen.push(progress);
    }
    assert_eq!(phases(&seen), ["tofu-init", "tofu-destroy"]);
    assert!(has_line(&seen, "1 destroyed"), "{seen:?}");
    assert!(!bench.work().exists());
    let state: serde_json::Value = bench.store.with(|s| serde_json::from_slice(&s.states[&bench.id]).unwrap());
    assert_eq!(state["resources"], serde_json::json!([]));
    assert!(bench.store.with(|s| s.locks.is_empty()));
}

#[tokio::test]
async fn a_failing_plan_names_step_address_and_reason_without_its_secret() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let body = r#"
resource "terraform_data" "server" {
  lifecycle {
    precondition {
      condition     = length(var.name) > 100
      error_message = "no stock for ${nonsensitive(var.token)} ${base64encode("user:${nonsensitive(var.token)}")} in ${jsonencode(nonsensitive(var.token))}"
    }
  }
}
"#;
    let (result, seen) = bench.apply(&module(body)).await;
    let error = result.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Plan, RunErrorKind::Failed));
    assert_eq!(error.diagnostics.len(), 1);
    assert_eq!(error.diagnostics[0].summary, "Resource precondition failed");
    assert!(error.diagnostics[0].detail.contains("no stock for ***"), "{error:?}");
    assert!(error.to_string().starts_with("tofu plan: Resource precondition failed: no stock for ***"), "{error}");
    assert!(lines(&seen).iter().any(|(level, text)| *level == Level::Error && text.contains("no stock")), "{seen:?}");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("user:{SENTINEL}"));
    assert!(!format!("{error:?}{seen:?}").contains(&encoded[8..encoded.len() - 4]));
    assert_eq!(phases(&seen), ["tofu-init", "tofu-plan"]);
    bench.assert_tidy();
}

#[tokio::test]
async fn a_failing_apply_keeps_what_was_made() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let body = r#"
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  input = terraform_data.first.id
  lifecycle {
    postcondition {
      condition     = self.output == "never"
      error_message = "the second cannot be made"
    }
  }
}
"#;
    let (result, _) = bench.apply(&module(body)).await;
    let error = result.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Failed), "{error:?}");
    assert!(error.reason.contains("the second cannot be made"), "{error}");
    let state = bench.store.with(|s| String::from_utf8(s.states[&bench.id].clone()).unwrap());
    assert!(state.contains("\"first\""), "{state}");
    assert!(bench.store.with(|s| s.locks.is_empty()));
    bench.assert_tidy();
}

#[tokio::test]
async fn f9_a_mirror_is_the_only_place_that_providers_come_from() {
    let bench = Bench::new(&tofu(), |s| {
        s.plugin_cache_dir = Some(s.workdir.with_file_name("cache"));
        s.provider_mirror = Some(s.workdir.with_file_name("mirror"));
    })
    .await;
    std::fs::create_dir(bench.folder.path().join("mirror")).unwrap();
    bench.apply(&module(MODULE)).await.0.unwrap();
    let body = "terraform {\n  required_providers {\n    x = { source = \"example.com/acme/x\" }\n  }\n}\n";
    let error = bench.apply(&module(body)).await.0.unwrap_err();
    assert_eq!(error.step, RunStep::Init);
    assert!(error.reason.contains("example.com/acme/x") && error.reason.contains("mirror"), "{error}");
    bench.assert_tidy();
}

#[tokio::test]
async fn a_module_that_cannot_be_read_fails_at_init() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let (result, _) = bench.apply("resource \"terraform_data\" {").await;
    let error = result.unwrap_err();
    assert_eq!(error.step, RunStep::Init);
    assert!(!error.diagnostics.is_empty(), "{error:?}");
    bench.assert_tidy();
}

#[tokio::test]
async fn f3_a_stopped_apply_writes_its_state_and_a_retry_goes_on() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let body = |seconds: u32| {
        module(&format!(
            "resource \"terraform_data\" \"first\" {{}}\n\
             resource \"terraform_data\" \"slow\" {{\n  input = terraform_data.first.id\n  \
             provisioner \"local-exec\" {{ command = \"sleep {seconds}\" }}\n}}\n\
             resource \"terraform_data\" \"last\" {{ input = terraform_data.slow.id }}\n"
        ))
    };
    let slow_began = |p: &Progress| matches!(p, Progress::Line { message, .. } if message.contains("terraform_data.slow: Creating..."));
    let (result, seen) = bench.apply_until(&body(2), CancellationToken::new(), slow_began).await;
    let error = result.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Stopped), "{error:?} {seen:?}");
    let state = bench.store.with(|s| String::from_utf8(s.states[&bench.id].clone()).unwrap());
    assert!(state.contains("\"first\"") && !state.contains("\"last\""), "{state}");
    assert!(bench.store.with(|s| s.locks.is_empty()));
    bench.assert_tidy();
    let (result, _) = bench.apply(&body(0)).await;
    result.unwrap();
}

#[tokio::test]
async fn f10_after_a_killed_tofu_a_retry_keeps_what_is_kept_and_makes_the_rest_once() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let module = |rest: &str| {
        let first = "resource \"terraform_data\" \"first\" {}\n";
        module(&(first.to_owned() + rest))
    };
    bench.apply(&module("")).await.0.unwrap();
    let ids = |bench: &Bench| {
        let state: serde_json::Value = bench.store.with(|s| serde_json::from_slice(&s.states[&bench.id]).unwrap());
        let resources = state["resources"].as_array().unwrap().iter();
        let each = resources.map(|r| {
            assert_eq!(r["instances"].as_array().unwrap().len(), 1, "{r}");
            (r["name"].as_str().unwrap().to_owned(), r["instances"][0]["attributes"]["id"].clone())
        });
        each.collect::<Vec<_>>()
    };
    let before = ids(&bench);
    let rest = |seconds: u32| {
        module(&format!(
            "resource \"terraform_data\" \"second\" {{ input = terraform_data.first.id }}\n\
             resource \"terraform_data\" \"third\" {{\n  input = terraform_data.second.id\n  \
             provisioner \"local-exec\" {{ command = \"sleep {seconds}\" }}\n}}\n"
        ))
    };
    let (sender, mut receiver) = mpsc::channel(1024);
    let kill = async {
        let mut child = None;
        while let Some(progress) = receiver.recv().await {
            match progress {
                Progress::Child(started) => child = Some(started),
                Progress::Line { message, .. } if message.contains("third: Creating...") => {
                    let pid = rustix::process::Pid::from_raw(child.unwrap().pid.cast_signed()).unwrap();
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                }
                _ => {}
            }
        }
    };
    let run = bench.engine.apply_alone(bench.run(&rest(3)), sender, CancellationToken::new());
    let error = tokio::join!(run, kill).0.unwrap_err();
    assert_eq!(error.to_string(), "tofu apply: the supervisor of the run was killed by signal 9");
    assert!(bench.store.with(|s| s.locks.is_empty()), "the dead one's lock stays");
    assert_eq!(ids(&bench), before);
    bench.assert_tidy();

    let (result, seen) = bench.apply(&rest(0)).await;
    result.unwrap();
    assert!(has_line(&seen, "Resources: 2 added, 0 changed, 0 destroyed"), "{seen:?}");
    let after = ids(&bench);
    assert_eq!((after.len(), after.contains(&before[0])), (3, true), "{after:?}");
    let (result, seen) = bench.apply(&rest(0)).await;
    result.unwrap();
    assert!(has_line(&seen, "Resources: 0 added, 0 changed, 0 destroyed"), "made twice: {seen:?}");
    assert_eq!(ids(&bench), after);
}

#[tokio::test]
async fn a_store_that_fails_is_named_and_the_state_is_taken_in_later() {
    let mut bench = Bench::new(&tofu(), |_| {}).await;
    Arc::get_mut(&mut bench.engine).unwrap().state_wait = Duration::ZERO;
    let store = bench.store.clone();
    let breaks = move |p: &Progress| {
        if matches!(p, Progress::Line { message, .. } if message.contains("server: Creating...")) {
            store.with(|s| s.broken = true);
        }
        false
    };
    let body =
        module(&MODULE.replace("input =", "provisioner \"local-exec\" {\n    command = \"sleep 1\"\n  }\n  input ="));
    let (result, seen) = bench.apply_until(&body, CancellationToken::new(), breaks).await;
    let error = result.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Storage), "{error:?} {seen:?}");
    assert!(error.reason.contains("no space left on device"), "{error}");
    assert!(bench.work().join("errored.tfstate").exists());
    bench.store.with(|s| s.broken = false);

    let (result, seen) = bench.apply(&body).await;
    result.unwrap();
    assert!(has_line(&seen, "Resources: 0 added, 0 changed, 0 destroyed"), "made twice: {seen:?}");
    bench.assert_tidy();
}

/// A host that dies while OpenTofu applies: its pipes close and its backend is gone, but nobody ends OpenTofu.
fn host_that_dies(module: String) -> (Bench, Child) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let died = runtime.block_on(async {
        let bench = Bench::new(&tofu(), |_| {}).await;
        let (sender, mut receiver) = mpsc::channel(1024);
        let mut going = Box::pin(bench.engine.apply_alone(bench.run(&module), sender, CancellationToken::new()));
        let mut child = None;
        loop {
            tokio::select! {
                result = &mut going => panic!("ended early: {result:?}"),
                progress = receiver.recv() => match progress {
                    Some(Progress::Child(started)) => child = Some(started),
                    Some(Progress::Line { message, .. }) if message.contains("first: Creating...") => break,
                    _ => {}
                },
            }
        }
        std::mem::forget(going);
        (bench, child.unwrap())
    });
    runtime.shutdown_timeout(Duration::ZERO);
    died
}

#[tokio::test]
async fn an_orphan_outlives_the_pipes_and_its_state_is_taken_in() {
    let body = module(
        r#"
resource "terraform_data" "first" {
  provisioner "local-exec" { command = "for i in 1 2 3 4 5 6 7 8; do echo line; sleep 0.5; done" }
}
resource "terraform_data" "last" { input = terraform_data.first.id }
"#,
    );
    let (bench, child) = std::thread::spawn(|| host_that_dies(body)).join().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(orphan::started_at(child.pid), Some(child.start_ticks), "the orphan died with its host");

    let bench = bench.restarted(&tofu()).await;
    let filled = bench.run("").bundle.secret_variables;
    let secrets = bench.engine.leftover_secrets(&bench.id, &filled).unwrap();
    assert_eq!(secrets.unwrap().get("cloud-token").unwrap().expose(), SENTINEL);
    assert!(bench.store.with(|s| s.locks.contains_key(&bench.id)));
    let reaped = bench.engine.reap_orphan(&bench.id, &child, Duration::from_secs(60)).await.unwrap();
    assert_eq!(reaped, Reaped::Ended);
    assert!(bench.engine.settle(&bench.id).await.unwrap().is_empty());
    assert!(bench.store.with(|s| s.locks.is_empty()));
    let state = bench.store.with(|s| String::from_utf8(s.states[&bench.id].clone()).unwrap());
    assert!(state.contains("\"first\""), "{state}");
    bench.engine.remove_leftovers(&bench.id).unwrap();
    bench.assert_tidy();
    let gone = bench.engine.reap_orphan(&bench.id, &child, Duration::ZERO).await.unwrap();
    assert_eq!(gone, Reaped::Gone);
}
