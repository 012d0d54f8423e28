//! What a release's conditions come to, row by row of the contract's table.

use super::ComponentState::{Degraded, Failed, Installed, Installing, Pending};
use super::Motion::{Moving, Still};
use super::*;
use serde_json::{Value, json};

fn release(body: &Value) -> Release {
    Release::read("bp-x", "flux-system", Some(2), body)
}

fn ready(status: &str, reason: &str, message: &str) -> Value {
    let condition =
        json!({"type": "Ready", "status": status, "reason": reason, "message": message, "observedGeneration": 2});
    json!({"status": {"observedGeneration": 2, "conditions": [condition]}})
}

fn with(mut body: Value, kind: &str, reason: &str, generation: i64) -> Value {
    let condition = json!({"type": kind, "status": "True", "reason": reason, "message": "said so", "observedGeneration": generation});
    body["status"]["conditions"].as_array_mut().unwrap().push(condition);
    body
}

#[track_caller]
fn check(body: &Value, state: ComponentState, motion: Motion) {
    let view = derive(&release(body)).view;
    assert_eq!((view.state, view.motion), (state, motion), "{body}");
    assert!(!view.message.is_empty());
}

#[test]
fn the_contracts_table() {
    check(&json!({}), Pending, Still);
    check(&json!({"status": {"conditions": []}}), Pending, Still);
    check(&ready("True", "InstallSucceeded", "Helm install succeeded"), Installed, Still);
    check(&ready("Unknown", "Progressing", "Running install"), Installing, Moving);
    check(&ready("False", "DependencyNotReady", "dependency 'flux-system/bp-y' is not ready"), Pending, Still);
    check(&ready("False", "InstallFailed", "Dependency 'flux-system/bp-y' IS NOT READY"), Pending, Still);
    for reason in ["InstallFailed", "UpgradeFailed", "ChartPullError", "ChartLoadError", "ArtifactFailed"] {
        check(&ready("False", reason, "no"), Failed, Still);
    }
    for reason in ["Progressing", "ReconcileStarted", "DependencyNotReady"] {
        check(&ready("False", reason, "…"), Installing, Moving);
    }
    check(&ready("False", "Weather", "rain"), Degraded, Still);
    check(&ready("Perhaps", "", ""), Pending, Still);
}

#[test]
fn levels_follow_the_state() {
    use catalyst_domain::Level::{Error, Info, Warn};
    for (state, level) in [(Pending, Info), (Installing, Info), (Installed, Info), (Degraded, Warn), (Failed, Error)] {
        assert_eq!(state.level(), level);
    }
}

#[test]
fn c6_a_source_that_is_not_there_yet_is_normal() {
    check(
        &ready("False", "SourceNotReady", "HelmChart 'flux-system/flux-system-bp-x' is not ready"),
        Installing,
        Moving,
    );
    check(&ready("False", "Other", "HelmChart 'flux-system/flux-system-bp-x' is not ready: x"), Installing, Moving);
    check(
        &ready("False", "ArtifactFailed", "Source not ready: artifact not found. Retrying in 30s"),
        Installing,
        Moving,
    );
    check(
        &ready("False", "DependencyNotReady", "unable to get 'flux-system/bp-y' dependency: not found"),
        Pending,
        Still,
    );
}

#[test]
fn t11_a_source_that_is_not_in_the_cache_yet_is_waited_for() {
    for message in [
        "could not get Source object: helmcharts.source.toolkit.fluxcd.io \"flux-system-bp-x\" not found",
        "could not get Source object: OCIRepository.source.toolkit.fluxcd.io \"bp-x\" not found",
        "Could not get Source object: context deadline exceeded",
        "Could not load chart: GET http://source-controller.flux-system.svc.cluster.local./x.tgz giving up after 10 attempt(s): \
         dial tcp 10.43.0.7:80: connect: connection refused",
    ] {
        let body = ready("False", "ArtifactFailed", message);
        check(&body, Installing, Moving);
        assert_eq!(derive(&release(&body)).wait, Some(Wait::Source), "{message}");
        assert!(derive(&release(&body)).view.message.starts_with("Waiting for its source: "), "{message}");
    }
    let broken = "Could not load chart: checksum of x.tgz does not match";
    check(&ready("False", "ArtifactFailed", broken), Failed, Still);
}

#[test]
fn t9_what_a_release_waits_for_is_read_from_its_message() {
    let wait = |reason, message| derive(&release(&ready("False", reason, message))).wait;
    let named = |names: &[&str]| Some(Wait::Dependency(names.iter().map(|name| (*name).to_owned()).collect()));
    let reason = "DependencyNotReady";
    assert_eq!(wait(reason, "dependency 'flux-system/bp-y' is not ready"), named(&["bp-y"]));
    assert_eq!(
        wait(reason, "dependency 'flux-system/bp-y' is not ready according to readyExpr eval"),
        named(&["bp-y"])
    );
    assert_eq!(wait(reason, "unable to get 'flux-system/bp-y' dependency: not found"), named(&["bp-y"]));
    assert_eq!(wait(reason, "dependency 'other/bp-y' is not ready"), named(&[]));
    assert_eq!(wait(reason, "…"), named(&[]));
    assert_eq!(wait("InstallFailed", "no"), None);
    let activity = |message| derive(&release(&ready("Unknown", "Progressing", message))).activity;
    assert_eq!(activity("Fulfilling prerequisites"), Activity::Prerequisites);
    assert_eq!(activity("Running 'install' action with timeout of 5m0s"), Activity::Helm);
}

#[test]
fn c6_remediation_and_stalled_are_failures() {
    for reason in ["RollbackFailed", "RollbackSucceeded", "UninstallFailed", "UninstallSucceeded", "RetriesExceeded"] {
        check(&ready("False", reason, "no"), Failed, Still);
    }
    check(&with(ready("Unknown", "Progressing", ""), "Stalled", "RetriesExceeded", 2), Failed, Still);
    let view = derive(&release(&with(ready("False", "InstallFailed", "no"), "Stalled", "RetriesExceeded", 2))).view;
    assert_eq!((view.reason.as_str(), view.message.as_str()), ("RetriesExceeded", "said so"));
    // Stalled on the spec before this one.
    check(&with(ready("Unknown", "Progressing", ""), "Stalled", "RetriesExceeded", 1), Installing, Moving);
}

#[test]
fn c6_a_failed_release_that_flux_retries_is_still_moving() {
    check(&with(ready("False", "InstallFailed", "no"), "Reconciling", "ProgressingWithRetry", 2), Failed, Moving);
    // Flux sets Reconciling on every periodic look; what is installed stays so.
    check(&with(ready("True", "InstallSucceeded", "ok"), "Reconciling", "Progressing", 2), Installed, Still);
}

#[test]
fn c6_an_older_generation_says_nothing_about_this_one() {
    let mut old_condition = ready("True", "InstallSucceeded", "ok");
    old_condition["status"]["conditions"][0]["observedGeneration"] = json!(1);
    check(&old_condition, Installing, Moving);
    let mut old_status = ready("True", "InstallSucceeded", "ok");
    old_status["status"]["observedGeneration"] = json!(-1);
    check(&old_status, Installing, Moving);
    let condition = json!({"type": "Ready", "status": "False", "reason": "InstallFailed"});
    check(&json!({"status": {"observedGeneration": 1, "conditions": [condition]}}), Installing, Moving);
    // While Flux retries, the status stays at −1 and only the condition tells its generation.
    let mut retrying = ready("False", "InstallFailed", "no");
    retrying["status"]["observedGeneration"] = json!(-1);
    check(&retrying, Failed, Still);
    let bare = json!({"type": "Ready", "status": "True"});
    check(&json!({"status": {"conditions": [bare]}}), Installed, Still);
}

#[test]
fn c6_a_suspended_release_is_not_installed() {
    let mut body = ready("True", "InstallSucceeded", "ok");
    body["spec"] = json!({"suspend": true});
    check(&body, Degraded, Still);
    assert!(derive(&release(&body)).view.message.contains("Suspended"));
}

#[test]
fn a_huge_message_is_cut_on_a_characters_border() {
    let view = derive(&release(&ready("False", "InstallFailed", &"ü".repeat(100_000)))).view;
    assert!(view.message.len() <= MAX_TEXT + '…'.len_utf8());
    assert!(view.message.ends_with('…'));
}
