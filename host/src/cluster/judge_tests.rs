//! When a set of releases is ready, failed, or neither yet.

use super::*;
use serde_json::json;

const PATIENCE: Patience =
    Patience { settle: Duration::from_secs(30), source: Duration::from_secs(180), refusal: Duration::from_secs(1200) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn release(name: &str, status: &str, reason: &str) -> Release {
    let message = format!("{name}: {reason}");
    let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message});
    Release::read(
        name,
        "flux-system",
        Some(1),
        &json!({"status": {"observedGeneration": 1, "conditions": [condition]}}),
    )
}

fn installed(name: &str) -> Release {
    release(name, "True", "InstallSucceeded")
}

fn failed(name: &str) -> Release {
    release(name, "False", "InstallFailed")
}

fn retried(name: &str) -> Release {
    let mut release = failed(name);
    let reconciling = super::super::conditions::Condition {
        kind: "Reconciling".to_owned(),
        status: "True".to_owned(),
        ..Default::default()
    };
    release.conditions.list.push(reconciling);
    release
}

fn pending(name: &str) -> Release {
    Release::read(name, "flux-system", Some(1), &json!({}))
}

fn installing(name: &str) -> Release {
    release(name, "Unknown", "Progressing")
}

fn known(names: &[&str]) -> Inventory {
    Inventory::Known(names.iter().map(|n| (*n).to_owned()).collect())
}

fn seen(count: Option<usize>, inventory: Inventory, releases: &[Release]) -> WatchState {
    let mut state = WatchState::new(count, PATIENCE);
    state.set_inventory(inventory, at(0));
    state.list(releases, at(0));
    state
}

#[test]
fn c1_nothing_is_judged_before_the_list_is_complete() {
    let mut state = WatchState::new(None, PATIENCE);
    state.set_inventory(known(&["bp-a"]), at(0));
    state.update(&installed("bp-a"), at(0));
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None));
    state.list(&[installed("bp-a")], at(1000));
    assert_eq!(state.judge(at(1000)), Verdict::Ready);
}

#[test]
fn c1_a_known_set_is_ready_at_once_and_not_before() {
    let mut state = seen(None, known(&["bp-a", "bp-b"]), &[installed("bp-a")]);
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None), "one is missing");
    state.update(&pending("bp-b"), at(1001));
    assert_eq!(state.judge(at(2000)), Verdict::Wait(None), "one is pending");
    state.update(&installed("bp-b"), at(2001));
    assert_eq!(state.judge(at(2001)), Verdict::Ready);
}

#[test]
fn c2_the_expected_count_is_enforced() {
    let mut state = seen(Some(2), Inventory::Absent, &[installed("bp-a")]);
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None), "quiet, but one is missing");
    state.update(&installed("bp-b"), at(1001));
    assert_eq!(state.judge(at(1001)), Verdict::Ready);
}

#[test]
fn the_inventory_wins_over_the_count() {
    assert_eq!(seen(Some(5), known(&["bp-a"]), &[installed("bp-a")]).judge(at(0)), Verdict::Ready);
}

#[test]
fn c1_without_a_known_set_it_takes_a_quiet_time() {
    let mut state = seen(None, Inventory::Absent, &[installed("bp-a")]);
    assert_eq!(state.judge(at(29)), Verdict::Wait(Some(at(30))));
    state.update(&installed("bp-b"), at(29));
    assert_eq!(state.judge(at(58)), Verdict::Wait(Some(at(59))), "news begin the quiet time anew");
    assert_eq!(state.judge(at(59)), Verdict::Ready);
}

#[test]
fn c1_an_unknown_or_coming_inventory_is_not_ready() {
    for inventory in [Inventory::Unknown, Inventory::Coming] {
        let state = seen(None, inventory, &[installed("bp-a")]);
        assert_eq!(state.judge(at(100_000)), Verdict::Wait(None));
    }
}

#[test]
fn a7_nothing_seen_is_never_ready() {
    for inventory in [Inventory::Unknown, Inventory::Absent, Inventory::Coming, known(&["bp-a"])] {
        assert_eq!(seen(None, inventory, &[]).judge(at(100_000)), Verdict::Wait(None));
    }
    assert_eq!(seen(Some(0), Inventory::Absent, &[]).judge(at(100_000)), Verdict::Wait(None));
}

#[test]
fn c6_a_failure_is_final_when_nothing_moves() {
    let mut state = seen(None, Inventory::Absent, &[failed("bp-a"), installing("bp-b"), pending("bp-c")]);
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None), "another one moves");
    state.update(&installed("bp-b"), at(1000));
    assert_eq!(state.judge(at(1029)), Verdict::Wait(Some(at(1030))));
    assert_eq!(state.judge(at(1030)), Verdict::Failed("1 failed component(s): a (InstallFailed)".to_owned()));
}

#[test]
fn c6_a_retried_failure_may_recover() {
    let mut state = seen(None, known(&["bp-a"]), &[retried("bp-a")]);
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None));
    state.update(&installed("bp-a"), at(1001));
    assert_eq!(state.judge(at(1001)), Verdict::Ready);
}

#[test]
fn c6_repeated_words_of_flux_do_not_put_off_the_end() {
    let mut state = seen(None, Inventory::Absent, &[failed("bp-a"), pending("bp-b")]);
    let mut again = failed("bp-a");
    for condition in &mut again.conditions.list {
        condition.message.push_str(" (retried)");
    }
    assert_eq!(state.update(&again, at(29)), []);
    assert!(matches!(state.judge(at(30)), Verdict::Failed(_)));
}

#[test]
fn a_release_outside_the_inventory_is_shown_and_not_judged() {
    let mut state = seen(None, known(&["bp-a"]), &[failed("bp-extra"), pending("bp-a")]);
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None));
    state.update(&installed("bp-a"), at(1001));
    assert_eq!(state.judge(at(1001)), Verdict::Ready);
    assert_eq!(state.states().get("extra").map(String::as_str), Some("failed"));
}

#[test]
fn c7_a_deleted_release_is_forgotten() {
    let mut state = seen(None, Inventory::Absent, &[installed("bp-a"), pending("bp-b")]);
    assert_eq!(state.remove("bp-b", at(5)), [Change::Removed("bp-b".to_owned())]);
    assert_eq!(state.remove("bp-b", at(6)), []);
    assert_eq!(state.judge(at(35)), Verdict::Ready);
    // Deleted while the connection was down: the next list shows it.
    state.lose_sight(at(36));
    let changes = state.list(&[installed("bp-c")], at(40));
    assert_eq!(changes, [Change::Removed("bp-a".to_owned()), Change::State("bp-c".to_owned())]);
}

#[test]
fn c5_what_was_seen_before_the_connection_broke_decides_nothing() {
    let mut state = seen(None, Inventory::Absent, &[installed("bp-a")]);
    state.lose_sight(at(10));
    state.list(&[installed("bp-a")], at(12));
    assert_eq!(state.judge(at(12)), Verdict::Wait(Some(at(30))), "a blink hides nothing");
    state.lose_sight(at(20));
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None));
    state.list(&[installed("bp-a")], at(1000));
    assert_eq!(state.judge(at(1000)), Verdict::Wait(Some(at(1030))), "the quiet time begins anew");
}

#[test]
fn only_a_new_state_is_told() {
    let mut state = seen(None, Inventory::Absent, &[]);
    assert_eq!(state.update(&pending("bp-a"), at(1)), [Change::State("bp-a".to_owned())]);
    assert_eq!(state.update(&pending("bp-a"), at(2)), []);
    assert_eq!(state.update(&installing("bp-a"), at(3)), [Change::State("bp-a".to_owned())]);
    for foreign in ["podinfo", "bp-", "xbp-a"] {
        assert_eq!(state.update(&installed(foreign), at(4)), []);
    }
    assert_eq!(state.states().len(), 1);
}

#[test]
fn a7_the_shortfall_names_what_is_missing() {
    let state =
        seen(None, known(&["bp-a", "bp-b", "bp-c", "bp-d"]), &[installed("bp-a"), failed("bp-b"), pending("bp-c")]);
    assert_eq!(
        state.shortfall(),
        "1 failed component(s): b (InstallFailed); 1 of 4 expected components installed; not installed: c (pending: \
         Waiting for Flux to begin.), d (not in the cluster)"
    );
    let mut empty = WatchState::new(None, PATIENCE);
    empty.set_inventory(Inventory::Coming, at(0));
    assert!(empty.shortfall().ends_with("Flux has not applied the bootstrap kit"));
    let condition = json!({"type": "Ready", "status": "False", "reason": "ArtifactFailed", "message": "kustomization path not found"});
    let kit = FluxObject::read(
        FluxKind::Kustomization,
        "bootstrap-kit",
        None,
        &json!({"status": {"conditions": [condition]}}),
    );
    empty.list_objects(FluxKind::Kustomization, vec![kit], at(0));
    assert!(
        empty
            .shortfall()
            .ends_with("Flux says of Kustomization bootstrap-kit: kustomization path not found (ArtifactFailed)"),
        "{}",
        empty.shortfall()
    );
}

#[test]
fn t5_a_kit_that_can_never_come_ends_the_watch_once_nothing_moves() {
    let mut state = seen(None, Inventory::Coming, &[installing("bp-old")]);
    let object = |kind, name, spec, status, reason, message| {
        let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message});
        FluxObject::read(kind, name, None, &json!({"spec": spec, "status": {"conditions": [condition]}}))
    };
    let git = json!({"url": "https://git.example/kit", "ref": {"tag": "v1"}});
    let git = object(FluxKind::GitRepository, "openova", git, "True", "Succeeded", "");
    assert_eq!(state.list_objects(FluxKind::GitRepository, vec![git], at(0)), []);
    let kit = json!({"path": "./x", "sourceRef": {"kind": "GitRepository", "name": "openova"}});
    let message = "kustomization path not found: stat /tmp/kustomization-1234567/x: no such file or directory";
    let kit = object(FluxKind::Kustomization, "bootstrap-kit", kit, "False", "ArtifactFailed", message);
    let told = state.list_objects(FluxKind::Kustomization, vec![kit], at(1));
    assert!(
        matches!(told.as_slice(), [Change::Remark(remark)] if remark.message.contains("path not found")),
        "{told:?}"
    );
    assert_eq!(state.judge(at(1000)), Verdict::Wait(None), "a release moves");
    state.update(&installed("bp-old"), at(1000));
    let Verdict::Failed(why) = state.judge(at(1000)) else { panic!() };
    assert!(
        why.starts_with("Flux cannot go on by itself: Kustomization bootstrap-kit: kustomization path not found"),
        "{why}"
    );
    assert!(why.ends_with("a retry watches the cluster again."), "{why}");
    state.lose_sight(at(1001));
    assert_eq!(state.judge(at(1001)), Verdict::Wait(None));
}

#[test]
fn a_flood_of_releases_is_bounded() {
    let flood: Vec<Release> = (0..5000).map(|n| failed(&format!("bp-{n:05}"))).collect();
    let state = seen(None, Inventory::Absent, &flood);
    assert_eq!(state.states().len(), MAX_COMPONENTS);
    assert!(state.shortfall().len() < 4096, "{}", state.shortfall().len());
}
