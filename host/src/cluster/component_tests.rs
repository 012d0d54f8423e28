//! Releases in scripts of conditions, as helm-controller sets them over time: what is judged, and what is told.

use super::super::flux_object::FluxObject;
use super::super::inventory::Inventory;
use super::super::judge::{Change, Verdict, WatchState};
use super::*;
use serde_json::{Value, json};

const PATIENCE: Patience =
    Patience { settle: Duration::from_secs(30), source: Duration::from_secs(180), refusal: Duration::from_secs(1200) };

const REFUSED: &str = "HelmChart 'flux-system/flux-system-bp-a' is not ready: failed to login to OCI registry: GET \
                       \"https://ghcr.io/v2/\": response status code 401: Unauthorized";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn release(name: &str, needs: &[&str], status: &str, reason: &str, message: &str) -> Release {
    let needs: Vec<Value> = needs.iter().map(|name| json!({"name": name})).collect();
    let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message});
    let source = json!({"kind": "HelmRepository", "name": "openova"});
    let body = json!({"spec": {"dependsOn": needs, "chart": {"spec": {"sourceRef": source}}},
        "status": {"observedGeneration": 1, "conditions": [condition]}});
    Release::read(name, "flux-system", Some(1), &body)
}

fn installed(name: &str) -> Release {
    release(name, &[], "True", "InstallSucceeded", "Helm install succeeded")
}

fn stalled(name: &str) -> Release {
    let mut release = release(name, &[], "False", "InstallFailed", "no");
    let condition = json!({"type": "Stalled", "status": "True", "reason": "RetriesExceeded", "message": "no"});
    let more = Conditions::read(Some(1), &json!({"status": {"observedGeneration": 1, "conditions": [condition]}}));
    release.conditions.list.extend(more.list);
    release
}

fn waits(name: &str, needs: &[&str], blocker: &str) -> Release {
    release(name, needs, "False", "DependencyNotReady", &format!("dependency 'flux-system/{blocker}' is not ready"))
}

fn looks(name: &str, needs: &[&str], message: &str) -> Release {
    release(name, needs, "Unknown", "Progressing", message)
}

/// A watch, and every state that was told: component, state, message.
struct Script {
    state: WatchState,
    told: Vec<(String, ComponentState, String)>,
}

impl Script {
    fn new(releases: &[Release]) -> Self {
        let mut script = Self { state: WatchState::new(None, PATIENCE), told: Vec::new() };
        script.state.set_inventory(Inventory::Absent, at(0));
        let changes = script.state.list(releases, at(0));
        script.take(changes);
        script
    }

    fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            if let Change::State(name) = change {
                let view = &self.state.get(&name).unwrap().view;
                self.told.push((name, view.state, view.message.clone()));
            }
        }
    }

    fn update(&mut self, release: &Release, now: u64) {
        let changes = self.state.update(release, at(now));
        self.take(changes);
    }

    /// Lets time pass as the watch does: it wakes at each time that it asked for.
    fn pass(&mut self, from: u64, to: u64) {
        let mut now = at(from);
        while let Some(next) = self.state.next(now).filter(|next| *next <= at(to)) {
            assert!(next > now);
            let changes = self.state.refresh(next);
            self.take(changes);
            now = next;
        }
    }

    fn told_of(&self, name: &str) -> Vec<ComponentState> {
        self.told.iter().filter(|(of, ..)| of == name).map(|(_, state, _)| *state).collect()
    }

    fn failed(&self, now: u64) -> Option<String> {
        match self.state.judge(at(now)) {
            Verdict::Failed(why) => Some(why),
            Verdict::Wait(_) => None,
            Verdict::Ready => panic!("ready"),
        }
    }
}

#[test]
fn t9_dependants_of_a_failed_release_are_no_motion_and_their_blinks_no_entries() {
    // Flux tells the dependencies in the spec, in the message of a wait, or both; the looks may be named as any work.
    for in_spec in [true, false] {
        for message in [
            "Fulfilling prerequisites",
            "reconciliation in progress",
            "Running 'install' action with timeout of 5m0s",
            "",
        ] {
            for (looks_for, waits_for) in [(30, 30), (1, 29), (90, 30)] {
                let needs = |name: &str| match (in_spec, name) {
                    (false, _) => Vec::new(),
                    // One hop further away.
                    (true, "bp-e") => vec!["bp-d"],
                    (true, _) => vec!["bp-a"],
                };
                let blocker = |name: &str| if name == "bp-e" { "bp-d" } else { "bp-a" };
                let names = ["bp-b", "bp-c", "bp-d", "bp-e"];
                let waiting = names.map(|name| waits(name, &needs(name), blocker(name)));
                let mut script = Script::new(&[&waiting[..], &[stalled("bp-a"), installed("bp-f")]].concat());
                let mut now = 0;
                let verdict = loop {
                    for name in names {
                        script.update(&looks(name, &needs(name), message), now);
                    }
                    script.pass(now, now + looks_for);
                    let first = script.failed(now + looks_for);
                    now += looks_for;
                    for name in names {
                        script.update(&waits(name, &needs(name), blocker(name)), now);
                    }
                    script.pass(now, now + waits_for);
                    now += waits_for;
                    if let Some(why) = first.or_else(|| script.failed(now)) {
                        break why;
                    }
                    assert!(now < 600, "no verdict in spite of {message:?}, spec {in_spec}");
                };
                assert_eq!(verdict, "1 failed component(s): a (RetriesExceeded)");
                for name in names {
                    assert_eq!(script.told_of(name), [ComponentState::Pending], "{name} {message:?} {looks_for} s");
                }
            }
        }
    }
}

#[test]
fn t9_dependants_that_show_work_or_name_no_dependency_do_not_keep_the_verdict_away() {
    // It began while its dependency was installed.
    let mut script = Script::new(&[installed("bp-a"), looks("bp-b", &["bp-a"], "Running 'install' action")]);
    script.update(&stalled("bp-a"), 10);
    script.update(&release("bp-b", &["bp-a"], "Unknown", "ProgressingWithRetry", "Running 'install' action"), 35);
    assert!(script.failed(39).is_none() && script.failed(40).is_some());
    assert_eq!(script.state.get("bp-b").unwrap().view.state, ComponentState::Installing);
    let unnamed = || release("bp-b", &[], "False", "DependencyNotReady", "a dependency is not ready");
    let mut script = Script::new(&[stalled("bp-a"), unnamed()]);
    for now in [5, 15, 25] {
        script.update(&looks("bp-b", &[], "Fulfilling prerequisites"), now);
        script.update(&unnamed(), now + 1);
    }
    assert!(script.failed(30).is_some());
    assert_eq!(script.told_of("bp-b"), [ComponentState::Installing]);
}

#[test]
fn t9_a_release_that_does_not_wait_for_the_failed_one_is_motion() {
    let mut script =
        Script::new(&[stalled("bp-a"), looks("bp-b", &["bp-c"], "Running 'install' action"), installed("bp-c")]);
    assert_eq!(script.failed(1000), None);
    script.update(&installed("bp-b"), 1000);
    assert!(script.failed(1030).is_some());
}

#[test]
fn t9_a_wait_that_is_over_is_told() {
    let mut script = Script::new(&[looks("bp-a", &[], "Running 'install' action"), waits("bp-b", &["bp-a"], "bp-a")]);
    for now in (30..1200).step_by(30) {
        script.update(&looks("bp-b", &["bp-a"], "Fulfilling prerequisites"), now);
        script.update(&waits("bp-b", &["bp-a"], "bp-a"), now + 1);
        script.pass(now + 1, now + 30);
    }
    assert_eq!(script.told_of("bp-b"), [ComponentState::Pending]);
    script.update(&installed("bp-a"), 1200);
    script.update(&looks("bp-b", &["bp-a"], "Fulfilling prerequisites"), 1201);
    assert_eq!(script.told_of("bp-b"), [ComponentState::Pending, ComponentState::Installing]);
    // Where it began to look before its dependency was ready, that is seen once the dependency is.
    let mut script = Script::new(&[looks("bp-a", &[], "Running 'install' action"), looks("bp-b", &["bp-a"], "")]);
    assert_eq!(script.told_of("bp-b"), [ComponentState::Pending]);
    script.update(&installed("bp-a"), 5);
    assert_eq!(script.told_of("bp-b"), [ComponentState::Pending, ComponentState::Installing]);
}

#[test]
fn t9_looks_at_what_is_installed_or_failed_are_neither_motion_nor_entries() {
    let mut script =
        Script::new(&[stalled("bp-a"), installed("bp-b"), release("bp-c", &[], "False", "InstallFailed", "no")]);
    let before = script.told.len();
    let verdict = (1..40).map(|n| n * 10).find_map(|now| {
        script.update(&looks("bp-b", &[], "Fulfilling prerequisites"), now);
        script.update(&looks("bp-c", &[], "Fulfilling prerequisites"), now);
        script.pass(now, now + 1);
        script.update(&installed("bp-b"), now + 1);
        script.update(&release("bp-c", &[], "False", "InstallFailed", "no"), now + 1);
        script.failed(now + 1).map(|_| now)
    });
    assert_eq!((verdict, script.told.len()), (Some(30), before));
    // In doubt it is not installed: `ready` is never said in a blink.
    let mut script = Script::new(&[installed("bp-a")]);
    script.update(&looks("bp-a", &[], "Fulfilling prerequisites"), 29);
    assert_eq!(script.state.judge(at(40)), Verdict::Wait(None));
    script.update(&installed("bp-a"), 40);
    assert_eq!(script.state.judge(at(40)), Verdict::Ready);
}

#[test]
fn t9_whatever_flips_the_entries_are_bounded_and_the_last_one_is_right() {
    let states = [
        installed("bp-a"),
        release("bp-a", &[], "False", "InstallFailed", "no"),
        release("bp-a", &[], "False", "Weather", "rain"),
        looks("bp-a", &[], "Running 'upgrade' action"),
        Release::read("bp-a", "flux-system", Some(1), &json!({})),
    ];
    let mut script = Script::new(&states[..1]);
    for now in 1..3600_u64 {
        script.update(&states[usize::try_from(now).unwrap() % states.len()], now);
        script.pass(now, now + 1);
    }
    assert!(script.told.len() < 20, "{:?}", script.told);
    let changes = script.state.held_back();
    script.take(changes);
    assert_eq!(script.told.last().unwrap().1, script.state.get("bp-a").unwrap().view.state);
    // A state that lasts is told, however often it was told before.
    script.update(&states[3], 3600);
    script.pass(3600, 3600 + 16 * 60);
    assert_eq!(script.told.last().unwrap().1, ComponentState::Installing);
}

#[test]
fn t10_a_source_that_refuses_is_degraded_after_some_minutes_with_its_reason() {
    let refused = || release("bp-a", &[], "False", "SourceNotReady", REFUSED);
    let mut script = Script::new(&[refused(), waits("bp-b", &["bp-a"], "bp-a")]);
    for now in (0..1200).step_by(60) {
        script.pass(now, now + 59);
        // Flux looks again in between.
        script.update(&looks("bp-a", &[], "Fulfilling prerequisites"), now + 59);
        script.update(&refused(), now + 60);
        let degraded = script.told_of("bp-a").contains(&ComponentState::Degraded);
        assert_eq!(degraded, now >= 120, "after {now} s");
    }
    assert_eq!(script.told_of("bp-a"), [ComponentState::Installing, ComponentState::Degraded]);
    let (_, state, message) = script.told.last().unwrap();
    assert_eq!(state.level(), catalyst_domain::Level::Warn);
    assert!(
        message.contains("401: Unauthorized") && message.ends_with("This lasts for more than 3 minutes."),
        "{message}"
    );
    // A token that is refused for so long does not heal by itself.
    let why = script.failed(1200).unwrap();
    assert!(why.contains("Flux cannot go on by itself") && why.contains("20 minutes") && why.contains("401"), "{why}");
    script.update(&looks("bp-a", &[], "Running 'install' action"), 1201);
    assert_eq!((script.failed(1201), script.told_of("bp-a").last()), (None, Some(&ComponentState::Installing)));
    script.update(&installed("bp-a"), 1230);
    assert_eq!(script.told_of("bp-a").last(), Some(&ComponentState::Installed));
}

#[test]
fn t10_only_refusals_end_the_wait_and_only_where_nothing_else_can_come() {
    let unreachable = REFUSED.replace("response status code 401: Unauthorized", "dial tcp: i/o timeout");
    let refused = release("bp-a", &[], "False", "SourceNotReady", REFUSED);
    for other in [
        release("bp-b", &[], "False", "SourceNotReady", &unreachable),
        Release::read("bp-b", "flux-system", Some(1), &json!({})),
        looks("bp-b", &[], "Running 'install' action"),
    ] {
        let mut script = Script::new(&[refused.clone(), other.clone()]);
        script.pass(0, 7200);
        assert_eq!(script.failed(7200), None, "{other:?}");
    }
    let mut script = Script::new(&[refused]);
    script.pass(0, 1199);
    assert_eq!(script.failed(1199), None);
    assert_eq!(script.state.next(at(1199)), Some(at(1200)), "it looks again when the time is over");
}

#[test]
fn t10_a_refusal_is_no_motion_beside_a_release_that_failed() {
    let mut script = Script::new(&[release("bp-a", &[], "False", "SourceNotReady", REFUSED), stalled("bp-b")]);
    script.pass(0, 209);
    assert_eq!(script.failed(209), None);
    assert!(script.failed(210).is_some());
}

#[test]
fn t10_the_charts_own_words_explain_what_the_release_does_not_tell() {
    // helm-controller looks at a chart again only after its interval, and tells until then what it saw first.
    let message =
        "HelmChart 'flux-system/flux-system-bp-a' is not ready: latest generation of object has not been reconciled";
    let mut script = Script::new(&[release("bp-a", &[], "False", "SourceNotReady", message)]);
    let condition = json!({"type": "Ready", "status": "False", "reason": "ChartPullError",
        "message": "chart pull error: failed to download chart: 403: denied", "observedGeneration": 1});
    let body = json!({"status": {"observedGeneration": 1, "conditions": [condition]}});
    let chart = FluxObject::read(FluxKind::HelmChart, "flux-system-bp-a", Some(1), &body);
    let changes = script.state.list_objects(FluxKind::HelmChart, vec![chart], at(10));
    script.take(changes);
    script.pass(10, 180);
    let (_, state, message) = script.told.last().unwrap();
    assert_eq!(*state, ComponentState::Degraded);
    assert!(
        message.contains("HelmChart flux-system-bp-a: chart pull error: failed to download chart: 403: denied"),
        "{message}"
    );
    script.pass(180, 1210);
    assert!(script.failed(1209).is_none() && script.failed(1210).is_some());
}

#[test]
fn t10_a_wait_that_began_before_the_watch_counts_by_the_clusters_clock() {
    let mut refused = release("bp-a", &[], "False", "SourceNotReady", REFUSED);
    let time = |text: &str| Some(text.parse().unwrap());
    refused.conditions.list[0].since = time("2026-01-01T00:00:00Z");
    for (cluster_now, expected) in [
        (time("2026-01-01T00:20:00Z"), ComponentState::Degraded),
        (time("2026-01-01T00:01:00Z"), ComponentState::Installing),
        // A clock that was set back, and none at all.
        (time("2025-12-31T00:00:00Z"), ComponentState::Installing),
        (None, ComponentState::Installing),
    ] {
        let mut script = Script::new(&[]);
        script.state.note_time(cluster_now);
        script.update(&refused, 0);
        assert_eq!(script.told_of("bp-a"), [expected], "{cluster_now:?}");
        script.pass(0, 1199);
        assert_eq!(script.failed(1199), None, "what ends a wait was seen");
    }
}

#[test]
fn t11_a_healthy_start_shows_no_failure() {
    let mut script = Script::new(&[Release::read("bp-a", "flux-system", Some(1), &json!({}))]);
    let lost = "could not get Source object: helmcharts.source.toolkit.fluxcd.io \"flux-system-bp-a\" not found";
    script.update(&looks("bp-a", &[], "Fulfilling prerequisites"), 1);
    script.update(&release("bp-a", &[], "False", "ArtifactFailed", lost), 1);
    script.update(&release("bp-a", &[], "False", "SourceNotReady", "HelmChart 'x' is not ready: building artifact"), 2);
    script.update(&looks("bp-a", &[], "Running 'install' action with timeout of 5m0s"), 20);
    script.update(&installed("bp-a"), 60);
    assert_eq!(
        script.told_of("bp-a"),
        [ComponentState::Pending, ComponentState::Installing, ComponentState::Installed]
    );
}

#[test]
fn spans_are_told_in_whole_units() {
    assert_eq!([30, 119, 180, 1200].map(|seconds| span(at(seconds))), ["30 s", "119 s", "3 minutes", "20 minutes"]);
}
