//! When a set of releases is ready, failed, or neither yet.

use super::*;
use serde_json::json;

const SETTLE: Duration = Duration::from_secs(30);

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
    let reconciling = super::super::release::Condition {
        kind: "Reconciling".to_owned(),
        status: "True".to_owned(),
        ..Default::default()
    };
    release.conditions.push(reconciling);
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

fn board(count: Option<usize>, inventory: Inventory, releases: &[Release]) -> Board {
    let mut board = Board::new(count, SETTLE);
    board.expect(inventory, None, at(0));
    board.list(releases, at(0));
    board
}

#[test]
fn c1_nothing_is_judged_before_the_list_is_complete() {
    let mut board = Board::new(None, SETTLE);
    board.expect(known(&["bp-a"]), None, at(0));
    board.update(&installed("bp-a"), at(0));
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None));
    board.list(&[installed("bp-a")], at(1000));
    assert_eq!(board.judge(at(1000)), Verdict::Ready);
}

#[test]
fn c1_a_known_set_is_ready_at_once_and_not_before() {
    let mut board = board(None, known(&["bp-a", "bp-b"]), &[installed("bp-a")]);
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None), "one is missing");
    board.update(&pending("bp-b"), at(1001));
    assert_eq!(board.judge(at(2000)), Verdict::Wait(None), "one is pending");
    board.update(&installed("bp-b"), at(2001));
    assert_eq!(board.judge(at(2001)), Verdict::Ready);
}

#[test]
fn c2_the_expected_count_is_enforced() {
    let mut board = board(Some(2), Inventory::Absent, &[installed("bp-a")]);
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None), "quiet, but one is missing");
    board.update(&installed("bp-b"), at(1001));
    assert_eq!(board.judge(at(1001)), Verdict::Ready);
}

#[test]
fn the_inventory_wins_over_the_count() {
    assert_eq!(board(Some(5), known(&["bp-a"]), &[installed("bp-a")]).judge(at(0)), Verdict::Ready);
}

#[test]
fn c1_without_a_known_set_it_takes_a_quiet_time() {
    let mut board = board(None, Inventory::Absent, &[installed("bp-a")]);
    assert_eq!(board.judge(at(29)), Verdict::Wait(Some(at(30))));
    board.update(&installed("bp-b"), at(29));
    assert_eq!(board.judge(at(58)), Verdict::Wait(Some(at(59))), "news begin the quiet time anew");
    assert_eq!(board.judge(at(59)), Verdict::Ready);
}

#[test]
fn c1_an_unknown_or_coming_inventory_is_not_ready() {
    for inventory in [Inventory::Unknown, Inventory::Coming] {
        let board = board(None, inventory, &[installed("bp-a")]);
        assert_eq!(board.judge(at(100_000)), Verdict::Wait(None));
    }
}

#[test]
fn a7_nothing_seen_is_never_ready() {
    for inventory in [Inventory::Unknown, Inventory::Absent, Inventory::Coming, known(&["bp-a"])] {
        assert_eq!(board(None, inventory, &[]).judge(at(100_000)), Verdict::Wait(None));
    }
    assert_eq!(board(Some(0), Inventory::Absent, &[]).judge(at(100_000)), Verdict::Wait(None));
}

#[test]
fn c6_a_failure_is_final_when_nothing_moves() {
    let mut board = board(None, Inventory::Absent, &[failed("bp-a"), installing("bp-b"), pending("bp-c")]);
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None), "another one moves");
    board.update(&installed("bp-b"), at(1000));
    assert_eq!(board.judge(at(1029)), Verdict::Wait(Some(at(1030))));
    assert_eq!(board.judge(at(1030)), Verdict::Failed("1 failed component(s): a (InstallFailed)".to_owned()));
}

#[test]
fn c6_a_retried_failure_may_recover() {
    let mut board = board(None, known(&["bp-a"]), &[retried("bp-a")]);
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None));
    board.update(&installed("bp-a"), at(1001));
    assert_eq!(board.judge(at(1001)), Verdict::Ready);
}

#[test]
fn c6_repeated_words_of_flux_do_not_put_off_the_end() {
    let mut board = board(None, Inventory::Absent, &[failed("bp-a"), pending("bp-b")]);
    let mut again = failed("bp-a");
    for condition in &mut again.conditions {
        condition.message.push_str(" (retried)");
    }
    assert_eq!(board.update(&again, at(29)), None);
    assert!(matches!(board.judge(at(30)), Verdict::Failed(_)));
}

#[test]
fn a_release_outside_the_inventory_is_shown_and_not_judged() {
    let mut board = board(None, known(&["bp-a"]), &[failed("bp-extra"), pending("bp-a")]);
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None));
    board.update(&installed("bp-a"), at(1001));
    assert_eq!(board.judge(at(1001)), Verdict::Ready);
    assert_eq!(board.states().get("extra").map(String::as_str), Some("failed"));
}

#[test]
fn c7_a_deleted_release_is_forgotten() {
    let mut board = board(None, Inventory::Absent, &[installed("bp-a"), pending("bp-b")]);
    assert_eq!(board.remove("bp-b", at(5)), Some(Change::Removed("bp-b".to_owned())));
    assert_eq!(board.remove("bp-b", at(6)), None);
    assert_eq!(board.judge(at(35)), Verdict::Ready);
    // Deleted while the connection was down: the next list shows it.
    board.lose_sight(at(36));
    let changes = board.list(&[installed("bp-c")], at(40));
    assert_eq!(changes, [Change::Removed("bp-a".to_owned()), Change::State("bp-c".to_owned())]);
}

#[test]
fn c5_what_was_seen_before_the_connection_broke_decides_nothing() {
    let mut board = board(None, Inventory::Absent, &[installed("bp-a")]);
    board.lose_sight(at(10));
    board.list(&[installed("bp-a")], at(12));
    assert_eq!(board.judge(at(12)), Verdict::Wait(Some(at(30))), "a blink hides nothing");
    board.lose_sight(at(20));
    assert_eq!(board.judge(at(1000)), Verdict::Wait(None));
    board.list(&[installed("bp-a")], at(1000));
    assert_eq!(board.judge(at(1000)), Verdict::Wait(Some(at(1030))), "the quiet time begins anew");
}

#[test]
fn only_a_new_state_is_told() {
    let mut board = board(None, Inventory::Absent, &[]);
    assert_eq!(board.update(&pending("bp-a"), at(1)), Some(Change::State("bp-a".to_owned())));
    assert_eq!(board.update(&pending("bp-a"), at(2)), None);
    assert_eq!(board.update(&installing("bp-a"), at(3)), Some(Change::State("bp-a".to_owned())));
    for foreign in ["podinfo", "bp-", "xbp-a"] {
        assert_eq!(board.update(&installed(foreign), at(4)), None);
    }
    assert_eq!(board.states().len(), 1);
}

#[test]
fn a7_the_shortfall_names_what_is_missing() {
    let board =
        board(None, known(&["bp-a", "bp-b", "bp-c", "bp-d"]), &[installed("bp-a"), failed("bp-b"), pending("bp-c")]);
    assert_eq!(
        board.shortfall(),
        "1 failed component(s): b (InstallFailed); 1 of 4 expected components installed; not installed: c (pending: \
         Waiting for Flux to begin.), d (not in the cluster)"
    );
    let mut empty = Board::new(None, SETTLE);
    empty.expect(Inventory::Coming, Some("kustomization path not found".to_owned()), at(0));
    assert!(empty.shortfall().ends_with("Flux says of the bootstrap kit: kustomization path not found"));
}

#[test]
fn a_flood_of_releases_is_bounded() {
    let flood: Vec<Release> = (0..5000).map(|n| failed(&format!("bp-{n:05}"))).collect();
    let board = board(None, Inventory::Absent, &flood);
    assert_eq!(board.states().len(), MAX_COMPONENTS);
    assert!(board.shortfall().len() < 4096, "{}", board.shortfall().len());
}
