//! A scripted `tofu` for the ends that the real one rarely has.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use tokio::time::Instant;

/// A `tofu` that is a shell script: `apply` is the given text, all else succeeds.
pub(super) struct Script(TempDir);

impl Script {
    pub(super) fn new(step: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let body = format!(
            "#!/bin/bash\nif [ \"$1\" = {step} ]; then\n{text}\nfi\ncase \"$1\" in\nversion) echo \
             '{{\"terraform_version\":\"1.12.6\"}}';;\noutput) echo '{{}}';;\nesac\n"
        );
        // Written and closed by another process: a descriptor that a parallel test's child inherits for writing would make
        // the kernel refuse to run the file.
        let file = folder.path().join("tofu");
        let mut copy = std::process::Command::new("/bin/dd")
            .arg(format!("of={}", file.display()))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut copy.stdin.take().unwrap(), body.as_bytes()).unwrap();
        assert!(copy.wait().unwrap().success());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("tofu")
    }
}

async fn failing(text: &str, change: impl FnOnce(&mut Settings)) -> (RunError, Vec<Progress>, Duration) {
    let script = Script::new("apply", text);
    let bench = Bench::new(&script.path(), change).await;
    let began = Instant::now();
    let (result, seen) = bench.apply("").await;
    bench.assert_tidy();
    (result.unwrap_err(), seen, began.elapsed())
}

fn brief(settings: &mut Settings) {
    settings.apply_timeout = Duration::from_millis(1500);
    settings.stop_grace = Duration::from_secs(2);
}

#[tokio::test]
async fn the_environment_of_the_child_is_the_explicit_one() {
    let script = Script::new("apply", "tr '\\0' '\\n' < /proc/$$/environ; readlink /proc/self/fd/0");
    let bench = Bench::new(&script.path(), |s| {
        s.pass_env.push(("CLOUD_ENDPOINT".into(), "http://cloud".into()));
        for name in
            ["TF_CLI_ARGS_apply", "TF_LOG", "TF_VAR_name", "TF_DATA_DIR", "TF_WORKSPACE", "TF_REATTACH_PROVIDERS"]
        {
            s.pass_env.push((name.into(), "/of/a/person".into()));
        }
        s.plugin_cache_dir = Some(s.workdir.with_file_name("cache"));
        s.provider_mirror = Some("/mirror".into());
    })
    .await;
    let (result, seen) = bench.apply("").await;
    result.unwrap();
    let mut names: Vec<&str> = lines(&seen).iter().filter_map(|(_, text)| Some(text.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CHECKPOINT_DISABLE",
            "CLOUD_ENDPOINT",
            "HOME",
            "PATH",
            "TF_CLI_CONFIG_FILE",
            "TF_DATA_DIR",
            "TF_HTTP_ADDRESS",
            "TF_HTTP_LOCK_ADDRESS",
            "TF_HTTP_LOCK_METHOD",
            "TF_HTTP_PASSWORD",
            "TF_HTTP_UNLOCK_ADDRESS",
            "TF_HTTP_UNLOCK_METHOD",
            "TF_HTTP_USERNAME",
            "TF_INPUT",
            "TF_IN_AUTOMATION",
            "TMPDIR",
        ]
    );
    assert!(has_line(&seen, "/dev/null"), "{seen:?}");
}

#[tokio::test]
async fn f1_lines_right_before_the_end_and_half_a_line_are_kept() {
    let text = "for i in $(seq 200); do echo line $i; done; printf '{\"@level\":\"info\",\"@mess'; exit 3";
    let (error, seen, _) = failing(text, |_| {}).await;
    assert_eq!(lines(&seen).len(), 201);
    assert!(has_line(&seen, "line 200") && has_line(&seen, "{\"@level\":\"info\",\"@mess"));
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Failed));
    assert_eq!(error.to_string(), "tofu apply: {\"@level\":\"info\",\"@mess");
}

#[tokio::test]
async fn f1_lines_of_a_process_that_outlives_tofu_are_kept_until_the_drain_ends() {
    let (error, seen, took) = failing("(sleep 1; echo late; exec sleep 60) &\nexit 1", |_| {}).await;
    assert!(has_line(&seen, "late") && has_line(&seen, "but not what it started; killing that"), "{seen:?}");
    assert_eq!(error.reason, "late");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn f2_a_line_of_100_mb_is_cut_and_the_stream_goes_on() {
    let script = Script::new("apply", "head -c 104857600 /dev/zero | tr '\\0' x; echo; echo after");
    let bench = Bench::new(&script.path(), |_| {}).await;
    let (result, seen) = bench.apply("").await;
    result.unwrap();
    assert_eq!(lines(&seen).iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [hearing::LINE_SHOWN, 5]);
}

#[tokio::test]
async fn f11_without_a_diagnostic_the_last_error_block_is_the_reason() {
    let text = "echo 'Warning: odd' >&2; printf '\\nError: first\\n\\nno\\n' >&2; \
                printf '\\nError: Backend \\033[31mbroken\\n\\nIt said sentinel-7f3a\"<&>91\\nand stopped.\\n' >&2; exit 1";
    let (error, seen, _) = failing(text, |_| {}).await;
    assert_eq!(error.reason, "Error: Backend [31mbroken It said *** and stopped.");
    assert!(lines(&seen).contains(&(Level::Warn, "Warning: odd")));
    assert!(lines(&seen).contains(&(Level::Error, "Error: Backend [31mbroken")));
}

#[tokio::test]
async fn f3_a_spent_budget_interrupts_once_and_lets_tofu_end() {
    let text = "trap 'echo writing state; sleep 0.3; echo state written; exit 1' INT\nwhile :; do sleep 0.05; done";
    let (error, seen, _) = failing(text, brief).await;
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Timeout));
    assert!(error.reason.starts_with("not done within 2 s"), "{error}");
    assert!(has_line(&seen, "state written"), "{seen:?}");
    assert!(!has_line(&seen, "again"), "{seen:?}");
}

#[tokio::test]
async fn f3_only_the_second_interrupt_cancels_hard() {
    let text = "n=0\ntrap 'n=$((n+1)); echo interrupt $n; [ $n = 2 ] && exit 1' INT\nwhile :; do sleep 0.05; done";
    let (error, seen, _) = failing(text, brief).await;
    assert_eq!(error.kind, RunErrorKind::Timeout);
    assert!(has_line(&seen, "interrupt 1") && has_line(&seen, "interrupt 2"), "{seen:?}");
    assert!(!has_line(&seen, "killing"), "{seen:?}");
}

#[tokio::test]
async fn f3_a_tofu_that_ignores_interrupts_is_killed_with_its_group() {
    let text = "trap '' INT\nsleep 300 &\necho group $!\nwait\nsleep 300";
    let (error, seen, took) = failing(text, brief).await;
    assert_eq!(error.kind, RunErrorKind::Timeout);
    assert!(has_line(&seen, "killing"), "{seen:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
    let lines = lines(&seen);
    let member = lines.iter().find_map(|(_, text)| text.strip_prefix("group ")).unwrap();
    assert_eq!(orphan::started_at(member.parse().unwrap()), None, "a member of the group lives on");
}

#[tokio::test]
async fn a_killed_tofu_says_so() {
    let (error, _, _) = failing("kill -9 $$", |_| {}).await;
    assert_eq!(error.to_string(), "tofu apply: killed by signal 9");
}

/// Lets a script send a signal to the supervisor of its run; its parent is the run's init.
const SUPERVISOR: &str = "read -r _ _ _ supervisor _ </proc/$PPID/stat";

#[tokio::test]
async fn a_run_whose_processes_are_ended_says_which_one_it_was() {
    for (text, reason) in [
        ("kill -9 $PPID", "the init process of the run is gone"),
        ("kill -9 $supervisor", "the supervisor of the run was killed by signal 9"),
        ("echo working; kill -9 $$", "killed by signal 9; before that: working"),
    ] {
        let (error, _, _) = failing(&format!("{SUPERVISOR}\n{text}\nexec sleep 300"), |_| {}).await;
        // The end may be seen before it is known that the command had started.
        let said = error.reason.strip_prefix("it cannot be run: ").unwrap_or(&error.reason);
        assert_eq!((error.kind, said), (RunErrorKind::Failed, reason));
    }
}

#[tokio::test]
async fn a_signal_to_the_supervisor_stops_the_run_in_order_and_is_its_reason() {
    let text = format!("{SUPERVISOR}\ntrap 'exit 1' INT\nkill -TERM $supervisor\nwhile :; do sleep 0.05; done");
    let (error, seen, _) = failing(&text, |_| {}).await;
    let reason = "stopped because its supervisor received SIGTERM, SIGINT or SIGHUP";
    assert_eq!((error.kind, error.reason.as_str()), (RunErrorKind::Stopped, reason));
    assert!(has_line(&seen, "interrupting OpenTofu: its supervisor received SIGTERM, SIGINT or SIGHUP"), "{seen:?}");
}

#[tokio::test]
async fn f10_a_killed_tofu_says_what_it_made_and_no_state_knows() {
    let made = |address: &str, action: &str| {
        format!(
            r#"echo '{{"@level":"info","@message":"m","type":"apply_complete","hook":{{"resource":{{"addr":"{address}"}},"action":"{action}","id_key":"id","id_value":"4711"}}}}'"#
        )
    };
    let said = [
        made("cloud_server.kept", "create"),
        made("cloud_server.lost[0]", "create"),
        made("cloud_server.gone", "delete"),
        made("terraform_data.value", "create"),
    ];
    let script = Script::new("apply", &format!("{}\nkill -9 $$", said.join("\n")));
    let bench = Bench::new(&script.path(), |_| {}).await;
    let kept = r#"{"resources":[{"mode":"managed","type":"cloud_server","name":"kept","instances":[{}]}]}"#;
    bench.store.with(|s| s.states.insert(bench.id.clone(), kept.into()));
    let error = bench.apply("").await.0.unwrap_err().to_string();
    let expect = "tofu apply: killed by signal 9; made, but not in the kept state: cloud_server.lost[0] (4711); ";
    assert!(error.starts_with(expect), "{error}");
    bench.assert_tidy();
}

#[tokio::test]
async fn what_nobody_said_of_the_run_before_is_said_by_the_next() {
    let script = Script::new("plan", "true");
    let bench = Bench::new(&script.path(), |_| {}).await;
    let left = bench.work().with_file_name(".made").join(bench.id.as_str());
    std::fs::create_dir(left.parent().unwrap()).unwrap();
    let line = r#"{"@message":"m","type":"apply_complete","hook":{"resource":{"addr":"cloud_server.lost"},"action":"create","id_value":"4711"}}"#;
    std::fs::write(&left, line).unwrap();
    let (result, seen) = bench.apply("").await;
    result.unwrap();
    let told = lines(&seen).iter().filter(|(_, text)| text.contains("kept state: cloud_server.lost (4711)")).count();
    assert_eq!((told, left.exists()), (1, false), "{seen:?}");
}

#[tokio::test]
async fn a_stop_is_no_timeout_and_no_further_step_begins() {
    // Waits without a child of its own, which the signal would end too.
    let text = "trap 'exit 0' INT\nexec 3<> <(:)\necho planning\nwhile :; do read -rt 60 -u 3; done";
    let script = Script::new("plan", text);
    let bench = Bench::new(&script.path(), |_| {}).await;
    let planning = |p: &Progress| matches!(p, Progress::Line { message, .. } if message == "planning");
    let (result, seen) = bench.apply_until("", CancellationToken::new(), planning).await;
    let error = result.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Apply, RunErrorKind::Stopped), "{error:?} {seen:?}");
    assert!(!seen.contains(&Progress::ApplyBegan));
    bench.assert_tidy();
}

#[tokio::test]
async fn a_silent_step_is_said_to_go_on() {
    let began = r#"{"@level":"info","@message":"c","type":"apply_start","hook":{"resource":{"addr":"cloud.server"}}}"#;
    let script = Script::new("apply", &format!("echo '{began}'; sleep 1.3"));
    let mut bench = Bench::new(&script.path(), |_| {}).await;
    Arc::get_mut(&mut bench.engine).unwrap().heartbeat = Duration::from_millis(500);
    let (result, seen) = bench.apply("").await;
    result.unwrap();
    let beats = lines(&seen).iter().filter(|(_, text)| text.starts_with("still applying cloud.server (")).count();
    assert_eq!(beats, 2, "{seen:?}");
}

#[tokio::test]
async fn f14_bad_outputs_are_an_error_of_the_output_step() {
    for (text, reason) in [
        ("echo '{\"a\":'; exit 0", "the outputs are not valid JSON"),
        ("exit 0", "the outputs are not valid JSON"),
        ("head -c 17000000 /dev/zero; exit 0", "the outputs are too long or were cut off"),
        ("echo 'Error: no state' >&2; exit 1", "Error: no state"),
    ] {
        let script = Script::new("output", text);
        let bench = Bench::new(&script.path(), |_| {}).await;
        let error = bench.apply("").await.0.unwrap_err();
        assert_eq!((error.step, error.kind, error.reason.as_str()), (RunStep::Output, RunErrorKind::Failed, reason));
    }
}

#[tokio::test]
async fn d6_a_listener_that_sleeps_does_not_hold_tofu_up_and_loses_no_marker() {
    let script = Script::new("apply", "for i in $(seq 5000); do echo line $i; done; touch done");
    let bench = Bench::new(&script.path(), |_| {}).await;
    let (sender, mut receiver) = mpsc::channel(4);
    let going = bench.engine.apply_alone(bench.run(""), sender, CancellationToken::new());
    let listening = async {
        let mut seen = Vec::new();
        while let Some(progress) = receiver.recv().await {
            let began = progress == Progress::ApplyBegan;
            seen.push(progress);
            while began && !bench.work().join("done").exists() {
                // Takes only the process's marker, without which nothing goes on.
                if let Ok(progress) = receiver.try_recv() {
                    let sleeps = matches!(progress, Progress::Child(_));
                    seen.push(progress);
                    while sleeps && !bench.work().join("done").exists() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        seen
    };
    let (result, seen) = tokio::join!(going, listening);
    result.unwrap();
    assert_eq!(phases(&seen), ["tofu-init", "tofu-plan", "tofu-apply", "tofu-output"]);
    let dropped: u64 = seen.iter().map(|p| if let Progress::Dropped(n) = p { *n } else { 0 }).sum();
    assert!(dropped > 4000, "{dropped}");
    assert_eq!(dropped + lines(&seen).len() as u64, 5000);
}

#[tokio::test]
async fn f13_runs_wait_visibly_for_their_turn_and_one_deployment_runs_once() {
    let script = Script::new("plan", "while [ ! -e go ]; do sleep 0.05; done");
    let bench = Bench::new(&script.path(), |s| s.max_runs = 1).await;
    let first = tokio::spawn({
        let (engine, run) = (bench.engine.clone(), bench.run(""));
        async move { engine.apply_alone(run, mpsc::channel(64).0, CancellationToken::new()).await }
    });
    while !bench.work().join(stage::PLAN_FILE).exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let again =
        bench.engine.apply_alone(bench.run(""), mpsc::channel(64).0, CancellationToken::new()).await.unwrap_err();
    assert_eq!(again.reason, "another run of this deployment goes on");

    let (sender, mut told) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let waiting = tokio::spawn({
        let (engine, stop) = (bench.engine.clone(), stop.clone());
        let other = DeploymentId::from_bytes([8; 8]);
        async move { engine.enter(&other, &turn(), &stop, async |running| sender.send(running).await.unwrap()).await.err() }
    });
    assert_eq!(told.recv().await, Some(1));
    assert_eq!((bench.engine.load().waiting, bench.engine.going("a test")), (1, (1, 0)));
    stop.cancel();
    assert_eq!(waiting.await.unwrap().unwrap().kind, RunErrorKind::Stopped);
    std::fs::write(bench.work().join("go"), "").unwrap();
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn h2_f10_a_dropped_run_ends_tofu_and_takes_its_secrets_off_the_disk() {
    let script = Script::new("plan", "touch running; exec sleep 300");
    let bench = Bench::new(&script.path(), |_| {}).await;
    let (sender, mut receiver) = mpsc::channel(64);
    let going = tokio::spawn({
        let (engine, run) = (bench.engine.clone(), bench.run(""));
        async move { engine.apply_alone(run, sender, CancellationToken::new()).await }
    });
    while !bench.work().join("running").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut child = None;
    while let Ok(progress) = receiver.try_recv() {
        if let Progress::Child(started) = progress {
            child = Some(started);
        }
    }
    assert!(bench.work().join(stage::PLAN_FILE).exists());
    going.abort();
    assert!(going.await.unwrap_err().is_cancelled());
    let child = child.unwrap();
    for _ in 0..100 {
        if orphan::started_at(child.pid).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(orphan::started_at(child.pid), None);
    bench.assert_tidy();
}

#[tokio::test]
async fn a_binary_that_is_absent_or_too_old_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let open = |tofu: PathBuf| Engine::new(settings(&tofu, folder.path(), |_| {}), Arc::new(StateStore::default()));
    let why = |result: Result<Arc<Engine>, EngineError>| result.err().unwrap().to_string();
    let absent = why(open(folder.path().join("none")).await);
    assert!(absent.contains("cannot be run as") && absent.contains("there is no such file"), "{absent}");
    let old = Script::new("version", "echo '{\"terraform_version\":\"1.5.7\"}'; exit 0");
    assert_eq!(why(open(old.path()).await), "OpenTofu 1.5.7 is too old: 1.6 or later is needed");
    let odd = Script::new("version", "echo hello; exit 0");
    assert!(why(open(odd.path()).await).ends_with("`version -json` gave no JSON"));
}

#[tokio::test]
async fn tofu_and_what_it_starts_stand_behind_the_host() {
    // Of the process, and of one that it started.
    let script = Script::new(
        "plan",
        "cut -d' ' -f19 /proc/$$/stat > .terraform.lock.hcl; sh -c 'cut -d\" \" -f19 /proc/$$/stat' >> .terraform.lock.hcl",
    );
    let bench = Bench::new(&script.path(), |_| {}).await;
    bench.apply("").await.0.unwrap();
    assert_eq!(std::fs::read_to_string(bench.work().join(".terraform.lock.hcl")).unwrap(), "10\n10\n");
    let own = rustix::process::getpriority_process(None).unwrap();
    assert!(own < 10, "the host keeps its own: {own}");
}
