//! The end of all that a run started, where it has no process namespace.

use super::scripted::Script;
use super::*;

/// Processes that are in a control group of this name.
fn members(group: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let groups = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup")).ok());
    groups.filter(|text| text.lines().any(|line| line.ends_with(group))).count()
}

#[tokio::test]
async fn without_a_process_namespace_all_that_a_run_started_ends_by_its_control_group() {
    // Each in a session of its own, and their parents end: none is where the others are.
    let text = "grep ^0:: /proc/self/cgroup; grep ^0:: /proc/$PPID/cgroup\n\
                for i in $(seq 50); do setsid sh -c 'setsid sleep 300 & setsid sleep 300 &'; done\n\
                cd /\necho started\nkill -9 $PPID\nexec sleep 300";
    let script = Script::new("apply", text);
    let bench = Bench::new(&script.path(), |_| {}).await;
    let (result, seen) = bench.apply("").await;
    let error = result.unwrap_err();
    assert!(error.reason.contains("the init process of the run is gone"), "{error:?}");
    let lines = lines(&seen);
    let groups: Vec<&str> = lines.iter().filter_map(|(_, text)| text.strip_prefix("0::")).collect();
    let [of_command, of_init] = groups[..] else { panic!("{lines:?}") };
    let (above, own) = of_command.rsplit_once("/catalyst-run-").expect("a group of its own");
    assert_eq!(if above.is_empty() { "/" } else { above }, of_init, "the init is outside");
    assert!(lines.iter().any(|(_, text)| *text == "started"), "{lines:?}");
    assert_eq!(members(&format!("/catalyst-run-{own}")), 0);
    bench.assert_tidy();
}
