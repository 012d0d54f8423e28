//! Kustomizations and sources in scripts of conditions, as Flux's controllers set them over time.

use super::*;
use serde_json::{Value, json};

const PATIENCE: Patience =
    Patience { settle: Duration::from_secs(30), source: Duration::from_secs(180), refusal: Duration::from_secs(1200) };

const NO_PATH: &str = "kustomization path not found: stat /tmp/kustomization-";
const NO_AUTH: &str =
    "failed to checkout and determine revision: unable to clone 'https://git.example/kit': authentication required";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn object(
    kind: FluxKind,
    name: &str,
    spec: &Value,
    kind_of: &str,
    status: &str,
    reason: &str,
    message: &str,
) -> FluxObject {
    let condition = json!({"type": kind_of, "status": status, "reason": reason, "message": message});
    let body = json!({"spec": spec, "status": {"artifact": {"revision": "main@sha1:1"}, "conditions": [condition]}});
    FluxObject::read(kind, name, None, &body)
}

fn kit_says(status: &str, reason: &str, message: &str) -> FluxObject {
    let spec = json!({"path": "./clusters/x", "sourceRef": {"kind": "GitRepository", "name": "openova"}});
    object(FluxKind::Kustomization, "bootstrap-kit", &spec, "Ready", status, reason, message)
}

fn git(reference: &Value, status: &str, reason: &str, message: &str) -> FluxObject {
    let spec = json!({"url": "https://git.example/kit", "ref": reference});
    object(FluxKind::GitRepository, "openova", &spec, "Ready", status, reason, message)
}

fn fetched(reference: &Value) -> FluxObject {
    git(reference, "True", "Succeeded", "stored artifact")
}

/// One try of kustomize-controller: it begins, and finds no folder in a new temporary one.
fn a_try(state: &mut FluxState, number: u64, now: u64) {
    state.update(kit_says("Unknown", "Progressing", "Reconciliation in progress"), at(now));
    let message = format!("{NO_PATH}{number:09}/clusters/x: no such file or directory");
    state.update(kit_says("False", "ArtifactFailed", &message), at(now + 1));
}

fn seen(kustomization: FluxObject, source: FluxObject) -> FluxState {
    let mut state = FluxState::new(PATIENCE);
    state.list(FluxKind::GitRepository, vec![source], at(0));
    state.list(FluxKind::Kustomization, vec![kustomization], at(0));
    state
}

fn told(state: &mut FluxState, now: u64) -> Vec<String> {
    state.remarks(at(now)).into_iter().map(|remark| format!("{:?} {}", remark.level, remark.message)).collect()
}

#[test]
fn t5_a_path_that_is_not_found_is_told_once_with_flux_s_words_and_the_remedy() {
    let message = format!("{NO_PATH}878691743/clusters/x: no such file or directory");
    let branch = json!({"branch": "main"});
    let mut state = seen(kit_says("False", "ArtifactFailed", &message), fetched(&branch));
    assert_eq!(
        told(&mut state, 0),
        [
            "Warn Kustomization bootstrap-kit: kustomization path not found: stat /tmp/kustomization-878691743/clusters/x: no such file \
          or directory (ArtifactFailed). The folder ./clusters/x is not in https://git.example/kit (branch main): add it \
          there, or correct spec.path."
        ]
    );
    for minute in 1..60 {
        a_try(&mut state, minute * 1_234_567, minute * 60);
        assert!(told(&mut state, minute * 60 + 1).is_empty(), "the same fault again is no news");
    }
    assert_eq!(state.hopeless(at(3600)), None, "a push to the branch heals it");
    state.update(kit_says("Unknown", "Progressing", "Building manifests"), at(3600));
    assert!(told(&mut state, 3600).is_empty());
    state.update(kit_says("True", "ReconciliationSucceeded", "Applied revision"), at(3630));
    assert_eq!(told(&mut state, 3630), ["Info Kustomization bootstrap-kit is ready again."]);
    assert!(state.faults().is_empty());
}

#[test]
fn t5_each_change_of_a_fault_is_told_at_once_and_a_flip_not_for_ever() {
    let branch = json!({"branch": "main"});
    let mut state = seen(kit_says("False", "BuildFailed", "kustomize build failed: a"), fetched(&branch));
    assert_eq!(told(&mut state, 0).len(), 1);
    state.update(kit_says("False", "BuildFailed", "kustomize build failed: b"), at(60));
    assert_eq!(told(&mut state, 60).len(), 1);
    state.update(git(&branch, "False", "GitOperationFailed", NO_AUTH), at(70));
    let said = told(&mut state, 70);
    assert!(
        said[0].starts_with("Warn GitRepository openova: failed to checkout") && said[0].contains("spec.secretRef"),
        "{said:?}"
    );
    let count: usize = (1..360)
        .map(|n| {
            state.update(kit_says("False", "BuildFailed", ["one", "two"][usize::from(n % 2 == 0)]), at(70 + n * 10));
            told(&mut state, 70 + n * 10).len()
        })
        .sum();
    assert!((6..=20).contains(&count), "{count} entries in an hour");
}

#[test]
fn t5_what_can_never_become_another_ends_the_wait_and_says_so() {
    for reference in [json!({"commit": "0a1b"}), json!({"tag": "v1"})] {
        let mut state = seen(kit_says("Unknown", "Progressing", ""), fetched(&reference));
        a_try(&mut state, 1, 10);
        assert_eq!(state.hopeless(at(40)), None);
        a_try(&mut state, 2, 70);
        let why = state.hopeless(at(72)).unwrap();
        assert!(why.contains("kustomization path not found"), "{why}");
        assert!(why.contains("(tag v1)") || why.contains("(commit 0a1b)"), "{why}");
        // While the controller looks again, or its kind is out of sight, nothing is final.
        state.update(kit_says("Unknown", "Progressing", ""), at(80));
        assert_eq!(state.hopeless(at(80)), None);
        a_try(&mut state, 3, 90);
        state.lose_sight(FluxKind::GitRepository);
        assert_eq!(state.hopeless(at(95)), None);
        state.list(FluxKind::GitRepository, vec![fetched(&reference)], at(95));
        assert!(state.hopeless(at(95)).is_some());
        // Another revision has to be looked at first.
        let mut next = fetched(&reference);
        next.revision = Some("v1@sha1:2".to_owned());
        state.update(next, at(100));
        assert_eq!(state.hopeless(at(129)), None);
        assert!(state.hopeless(at(130)).is_some());
    }
    let decrypts = kit_says("False", "BuildFailed", "error decrypting sources: no key");
    assert_eq!(seen(decrypts, fetched(&json!({"tag": "v1"}))).hopeless(at(3600)), None, "a key may come");
}

#[test]
fn t5_refused_credentials_end_the_wait_only_after_long() {
    let branch = json!({"branch": "main"});
    let waiting = kit_says("False", "ArtifactFailed", "Source artifact not found, retrying in 30s");
    let mut state = seen(waiting, git(&branch, "False", "GitOperationFailed", NO_AUTH));
    let said = told(&mut state, 0);
    assert_eq!(said.len(), 1, "the Kustomization only waits for it: {said:?}");
    for minute in 1..20 {
        state.update(git(&branch, "Unknown", "Progressing", "reconciliation in progress"), at(minute * 60));
        state.update(git(&branch, "False", "GitOperationFailed", NO_AUTH), at(minute * 60 + 1));
    }
    assert!(told(&mut state, 1199).is_empty());
    assert_eq!((state.hopeless(at(1199)), state.next(at(1199))), (None, Some(at(1200))));
    assert!(state.hopeless(at(1200)).unwrap().contains("authentication required"));
    // In between it answered: the time begins anew.
    state.update(git(&branch, "False", "GitOperationFailed", "dial tcp: i/o timeout"), at(1210));
    state.update(git(&branch, "False", "GitOperationFailed", NO_AUTH), at(1270));
    assert_eq!(state.hopeless(at(1300)), None);
}

#[test]
fn t5_a_stalled_object_ends_the_wait_where_the_kit_needs_it() {
    let spec = json!({"url": "https://git.example/kit"});
    let stalled =
        |name| object(FluxKind::GitRepository, name, &spec, "Stalled", "True", "URLInvalid", "failed to parse url");
    let waiting = || kit_says("False", "ArtifactFailed", "Source artifact not found, retrying in 30s");
    let mut state = seen(waiting(), stalled("openova"));
    let said = told(&mut state, 0);
    assert!(said[0].contains("(URLInvalid)") && said[0].ends_with("Flux does not try again by itself."), "{said:?}");
    assert!(state.hopeless(at(29)).is_none() && state.hopeless(at(30)).is_some());
    let mut state = seen(kit_says("True", "ReconciliationSucceeded", "Applied"), stalled("other"));
    assert_eq!(told(&mut state, 0).len(), 1);
    assert_eq!(state.hopeless(at(3600)), None, "the kit does not come from there");
}

#[test]
fn t5_a_healthy_start_tells_no_fault() {
    let mut state = FluxState::new(PATIENCE);
    state.list(FluxKind::Kustomization, Vec::new(), at(0));
    let absent = "gitrepositories.source.toolkit.fluxcd.io \"openova\" not found";
    state.update(kit_says("False", "ArtifactFailed", absent), at(1));
    let spec = json!({"path": "./x", "sourceRef": {"kind": "GitRepository", "name": "openova"}});
    let dependent = |message| {
        object(FluxKind::Kustomization, "infrastructure-config", &spec, "Ready", "False", "DependencyNotReady", message)
    };
    state.update(dependent("dependency 'flux-system/bootstrap-kit' is not ready"), at(1));
    state.list(FluxKind::GitRepository, vec![git(&json!({"branch": "main"}), "Unknown", "Progressing", "")], at(2));
    state.update(kit_says("False", "ArtifactFailed", "Source artifact not found, retrying in 30s"), at(2));
    assert!(told(&mut state, 179).is_empty());
    state.update(fetched(&json!({"branch": "main"})), at(179));
    state.update(kit_says("Unknown", "Progressing", "Building manifests"), at(180));
    assert!(told(&mut state, 1800).is_empty(), "a dependency that is on its way is no fault");
    assert_eq!(state.next(at(1800)), None);
}

#[test]
fn t5_a_source_that_never_comes_and_a_dependency_of_the_kit_are_told() {
    let mut state = FluxState::new(PATIENCE);
    state.list(FluxKind::GitRepository, Vec::new(), at(0));
    let absent = "GitRepository.source.toolkit.fluxcd.io \"openova\" not found";
    state.list(FluxKind::Kustomization, vec![kit_says("False", "ArtifactFailed", absent)], at(0));
    assert_eq!((told(&mut state, 29).len(), state.next(at(29))), (0, Some(at(30))));
    assert_eq!(told(&mut state, 30).len(), 1);
    let other = kit_says("False", "DependencyNotReady", "dependency 'flux-system/crds' not found: no");
    state.update(other, at(40));
    let said = told(&mut state, 40);
    assert!(
        said[0].contains("dependency 'flux-system/crds' not found") && said[0].contains("look at that one"),
        "{said:?}"
    );
}

#[test]
fn t5_a_hundred_charts_of_one_registry_tell_their_refusal_a_few_times() {
    let mut state = FluxState::new(PATIENCE);
    let spec = json!({"sourceRef": {"kind": "HelmRepository", "name": "openova"}});
    let charts = (0..100).map(|n| {
        let message = format!("failed to login to OCI registry: bp-{n}: 401 Unauthorized");
        object(
            FluxKind::HelmChart,
            &format!("flux-system-bp-{n:03}"),
            &spec,
            "Ready",
            "False",
            "AuthenticationFailed",
            &message,
        )
    });
    state.list(FluxKind::HelmChart, charts.collect(), at(0));
    assert_eq!(told(&mut state, 0).len(), MAX_CHARTS);
    assert!(told(&mut state, 3600).is_empty());
}

#[test]
fn t5_what_is_gone_or_may_not_be_read_any_more_is_no_fault() {
    let mut state = seen(kit_says("False", "BuildFailed", "kustomize build failed"), fetched(&json!({"tag": "v1"})));
    assert!(state.hopeless(at(100)).is_some());
    state.forget(FluxKind::Kustomization);
    assert_eq!((state.hopeless(at(200)), state.faults().len()), (None, 0));
    let mut state = seen(kit_says("False", "BuildFailed", "kustomize build failed"), fetched(&json!({"tag": "v1"})));
    state.remove(FluxKind::Kustomization, "bootstrap-kit");
    assert_eq!(state.hopeless(at(200)), None);
    state.list(FluxKind::Kustomization, Vec::new(), at(201));
    assert!(told(&mut state, 201).is_empty());
}
