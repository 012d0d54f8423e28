//! The status table of the design, generated over all pairs of state and fact.

use super::*;
use crate::bearer::{BearerHolder, Replacement, SeenServer};
use crate::dns::{DnsFact, DnsState, PoolDns, PoolReservation};
use crate::fact::Repair;
use crate::record::{Child, NewRecord, ProviderRef};
use crate::restart::{KubeconfigFile, on_start};
use crate::step::{Step, next_steps};
use crate::{DeploymentId, Request};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    status: Status,
    kubeconfig: bool,
    phase0_done: bool,
    name: Name,
}

/// The pool name of a record: none at all, or one that is so far; `Old` is how the earlier service left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    None,
    Old,
    Is(DnsState),
}

impl Name {
    const ALL: [Self; 6] = [
        Self::None,
        Self::Old,
        Self::Is(DnsState::Reserved),
        Self::Is(DnsState::Publishing),
        Self::Is(DnsState::Published),
        Self::Is(DnsState::Failed),
    ];
}

fn record(shape: Shape) -> Record {
    let mut record = Record::new(NewRecord {
        id: DeploymentId::from_bytes([1; 8]),
        request: Request { sovereign_fqdn: "a.example".into(), ..Request::default() },
        kubeconfig_bearer_hash: "ab".repeat(32),
        provider: ProviderRef { id: "x".into(), version: "1.0.0".into(), digest: "d".into() },
        at: at(0),
    });
    record.status = shape.status;
    if shape.kubeconfig {
        record.result_mut().kubeconfig_path = "0101010101010101.yaml".into();
        record.kubeconfig_server = "https://192.0.2.2:6443".into();
    }
    if shape.phase0_done {
        record.phase0_finished_at = Some(at(1));
    }
    if shape.name != Name::None {
        record = record.with_reservation(&reservation());
    }
    match shape.name {
        Name::None => {}
        Name::Old => record.dns = None,
        Name::Is(state) => record.dns = Some(PoolDns { state, detail: String::new() }),
    }
    record
}

fn reservation() -> PoolReservation {
    PoolReservation { token: "t1".into(), domain: "pool.example".into(), label: "a".into() }
}

fn shapes() -> Vec<Shape> {
    let mut all = Vec::new();
    for status in Status::ALL {
        for kubeconfig in [false, true] {
            for phase0_done in [false, true] {
                all.extend(Name::ALL.map(|name| Shape { status, kubeconfig, phase0_done, name }));
            }
        }
    }
    all
}

fn facts() -> Vec<Fact> {
    let endpoints = Endpoints {
        control_plane_ip: "192.0.2.1".into(),
        load_balancer_ip: "192.0.2.2".into(),
        kubeconfig_hosts: vec!["192.0.2.2".into()],
        console_url: "https://console.a.example".into(),
    };
    vec![
        Fact::Rendered { digest: "d".into(), rights: vec!["host a.example".into()], host_secrets: Default::default() },
        Fact::ChildStarted(Child { pid: 1, start_ticks: 2 }),
        Fact::ApplyBegan,
        Fact::Applied(endpoints),
        Fact::Phase0Failed { error: "tofu apply: no stock".into() },
        Fact::KubeconfigReceived { file: "f.yaml".into(), sha256: "s".into(), server: "https://192.0.2.2:6443".into() },
        Fact::NodeDeadline,
        Fact::Phase1Ended { outcome: Outcome::Ready, components: BTreeMap::new() },
        Fact::Phase1Ended { outcome: Outcome::Failed("1 failed component".into()), components: BTreeMap::new() },
        retried(),
        Fact::Phase1Retried,
        Fact::DestroyRequested,
        Fact::DestroyFinished,
        Fact::DestroyFailed { error: "tofu destroy: x".into() },
        Fact::Interrupted { error: "restarted".into() },
        Fact::WatchResumed,
        Fact::Dns(DnsFact::Reserved { token: "t2".into() }),
        Fact::Dns(DnsFact::Waiting { detail: "503".into() }),
        Fact::Dns(DnsFact::Published),
        Fact::Dns(DnsFact::Failed { detail: "taken".into() }),
        Fact::Dns(DnsFact::LetGo { left: None }),
        Fact::Dns(DnsFact::LetGo { left: Some("500".into()) }),
        Fact::KubeconfigReread { sha256: "s".into(), server: "https://192.0.2.2:6443".into() },
        Fact::KubeconfigRefused { why: "unsafe kubeconfig".into() },
        judged(Some(anew("17", "ef"))),
        judged(None),
        seen("18"),
        Fact::CalledWithNewBearer,
        Fact::DataLossRefused { error: "tofu plan: its data is lost".into(), why: "its data is lost".into() },
        Fact::Phase0Retried { repair: Some(Repair::ServerMissing), data_loss_accepted: false, reservation: None },
    ]
}

fn retried() -> Fact {
    Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None }
}

/// A first server that is made anew in the place of another, with a bearer of its own.
fn anew(instead_of: &str, bearer: &str) -> Replacement {
    let (address, bearer_hash) = ("x.first[0]".to_owned(), Some(bearer.repeat(32)));
    Replacement { address, instead_of: Some(instead_of.to_owned()), bearer_hash }
}

fn judged(replacement: Option<Replacement>) -> Fact {
    Fact::PlanJudged { gives_bearer: replacement.is_none(), replacement, stale: Vec::new() }
}

/// A state that has the first server with this id.
fn seen(id: &str) -> Fact {
    let server =
        SeenServer { address: "x.first[0]".into(), id: id.into(), name: String::new(), tainted: false, deposed: false };
    Fact::ServersSeen { first: "x.first[0]".into(), servers: vec![server] }
}

/// The table as it stands in the design, written once more as data: the state after the fact, or the refusal.
fn expected(shape: Shape, fact: &Fact) -> Result<Status, Refused> {
    use Status::*;
    let from = shape.status;
    let stale = Err(Refused::Stale(from));
    match (from, fact) {
        (Provisioning, Fact::Rendered { .. }) => Ok(Provisioning),
        (Provisioning | TofuApplying | Destroying, Fact::ChildStarted(_)) => Ok(from),
        (Provisioning, Fact::ApplyBegan) => Ok(TofuApplying),
        (TofuApplying, Fact::Applied(_)) => Ok(if shape.kubeconfig { Phase1Watching } else { FluxBootstrapping }),
        (Provisioning | TofuApplying, Fact::Phase0Failed { .. }) => Ok(Failed),
        (Destroying | Destroyed, Fact::KubeconfigReceived { .. }) => Err(Refused::NoBearer),
        (_, Fact::KubeconfigReceived { .. }) if shape.kubeconfig => Err(Refused::AlreadySet),
        (FluxBootstrapping | Phase1Watching, Fact::KubeconfigReceived { .. }) => Ok(Phase1Watching),
        (_, Fact::KubeconfigReceived { .. }) => Ok(from),
        (_, Fact::KubeconfigReread { .. } | Fact::KubeconfigRefused { .. }) if shape.kubeconfig => Ok(from),
        (FluxBootstrapping | Phase1Watching, Fact::NodeDeadline) if !shape.kubeconfig => Ok(Failed),
        (Phase1Watching, Fact::Phase1Ended { outcome: Outcome::Ready, .. }) => Ok(Ready),
        (Phase1Watching, Fact::Phase1Ended { .. }) => Ok(Failed),
        (Provisioning, Fact::PlanJudged { .. }) => Ok(Provisioning),
        (Provisioning, Fact::DataLossRefused { .. }) => Ok(Failed),
        (Destroyed, Fact::ServersSeen { .. }) => stale,
        (_, Fact::ServersSeen { .. }) => Ok(from),
        (Failed | Ready, Fact::Phase0Retried { repair: Some(_), .. }) => Ok(Provisioning),
        (Failed, Fact::Phase0Retried { .. }) => Ok(Provisioning),
        (Ready, Fact::Phase0Retried { .. }) => Err(Refused::Healthy),
        (Failed, Fact::Phase1Retried) if shape.kubeconfig && shape.phase0_done => Ok(Phase1Watching),
        (Failed | Ready, Fact::Phase1Retried) => Err(Refused::ManualRetry),
        (Destroyed, Fact::Phase0Retried { .. } | Fact::Phase1Retried | Fact::DestroyRequested) => Err(Refused::Gone),
        (_, Fact::Phase0Retried { .. } | Fact::Phase1Retried) => Err(Refused::Busy(from)),
        (Ready | Failed | FluxBootstrapping | Phase1Watching, Fact::DestroyRequested) => Ok(Destroying),
        (_, Fact::DestroyRequested) => Err(Refused::Busy(from)),
        (Destroying, Fact::DestroyFinished) => Ok(Destroyed),
        (Destroying, Fact::DestroyFailed { .. }) => Ok(Failed),
        (Ready | Failed | Destroyed, Fact::Interrupted { .. }) => stale,
        (_, Fact::Interrupted { .. }) => Ok(Failed),
        (Ready | Failed, Fact::WatchResumed) if shape.kubeconfig => Ok(Phase1Watching),
        (_, Fact::Dns(DnsFact::LetGo { .. })) if releasable(shape) => Ok(from),
        (_, Fact::Dns(DnsFact::LetGo { .. })) => stale,
        (_, Fact::Dns(_)) if publishable(shape) => Ok(from),
        _ => stale,
    }
}

/// The name is written once there is an address, and as long as the cluster is wanted.
fn publishable(shape: Shape) -> bool {
    use Status::*;
    let alive = matches!(shape.status, FluxBootstrapping | Phase1Watching);
    let kept = alive || matches!(shape.status, Ready | Failed);
    shape.phase0_done
        && match shape.name {
            Name::Is(DnsState::Reserved | DnsState::Publishing) => kept,
            Name::Old => alive,
            Name::None | Name::Is(_) => false,
        }
}

/// The name is given back after a destroy, or when no cluster came to be before it was written.
fn releasable(shape: Shape) -> bool {
    match (shape.status, shape.name) {
        (_, Name::None) => false,
        (Status::Destroyed, _) => true,
        (Status::Failed, Name::Old | Name::Is(DnsState::Reserved)) => !shape.phase0_done,
        _ => false,
    }
}

#[test]
fn every_fact_in_every_state_is_taken_or_refused_as_the_table_says() {
    let mut pairs = 0;
    for shape in shapes() {
        for fact in facts() {
            let got = apply(&record(shape), &fact, at(9)).map(|r| r.status);
            assert_eq!(got, expected(shape, &fact), "{shape:?} {fact:?}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 9 * 2 * 2 * 6 * 30);
}

fn after(record: &Record, facts: &[Fact]) -> Record {
    facts.iter().fold(record.clone(), |r, f| apply(&r, f, at(9)).unwrap_or_else(|e| panic!("{f:?}: {e}")))
}

fn fresh() -> Record {
    record(Shape { status: Status::Provisioning, kubeconfig: false, phase0_done: false, name: Name::None })
}

fn applied() -> Fact {
    facts().remove(3)
}

fn received() -> Fact {
    facts().remove(5)
}

#[test]
fn a1_a2_both_orders_of_apply_and_kubeconfig_end_alike() {
    let late = after(&fresh(), &[Fact::ApplyBegan, applied(), received()]);
    let early = after(&fresh(), &[Fact::ApplyBegan, received(), applied()]);
    let earliest = after(&fresh(), &[received(), Fact::ApplyBegan, applied()]);
    for record in [&late, &early, &earliest] {
        assert_eq!(record.status, Status::Phase1Watching);
        assert!(record.has_kubeconfig() && record.phase0_done());
        assert_eq!(record.result.as_ref().unwrap().load_balancer_ip, "192.0.2.2");
        assert_eq!(next_steps(record), [Step::Watch]);
        assert_eq!(apply(record, &received(), at(10)).unwrap_err(), Refused::AlreadySet);
    }
    assert_eq!(late, early);
    assert_eq!(early, earliest);
}

#[test]
fn a10_success_clears_the_error_of_an_earlier_run() {
    let failed = after(&fresh(), &[Fact::ApplyBegan, received(), applied(), facts().remove(8)]);
    assert_eq!((failed.status, failed.error.as_str()), (Status::Failed, "1 failed component"));
    let again = after(&failed, &[Fact::Phase1Retried]);
    assert!(again.error.is_empty() && again.finished_at.is_none() && !again.phase1_finished());
    let ready = after(&again, &[facts().remove(7)]);
    assert_eq!((ready.status, ready.error.as_str()), (Status::Ready, ""));
}

#[test]
fn a8_a_kubeconfig_after_a_failure_is_kept_and_changes_nothing_else() {
    let failed = after(&fresh(), &[Fact::ApplyBegan, facts().remove(4)]);
    let kept = after(&failed, &[received()]);
    assert_eq!((kept.status, kept.error.as_str()), (Status::Failed, "tofu apply: no stock"));
    assert!(kept.has_kubeconfig());
    assert_eq!(next_steps(&kept), []);
    let retried = after(&kept, &[retried(), Fact::ApplyBegan, applied()]);
    assert_eq!(retried.status, Status::Phase1Watching);
}

#[test]
fn a9_a_restart_resumes_what_can_be_resumed_however_often_it_happens() {
    // While Phase 0 or a destroy runs, Phase 0 is not complete: the property test below holds that.
    let running = [Status::Pending, Status::Provisioning, Status::TofuApplying, Status::Destroying];
    for shape in shapes().into_iter().filter(|s| !(running.contains(&s.status) && s.phase0_done)) {
        let mut record = record(shape);
        for file in [KubeconfigFile::Present, KubeconfigFile::Absent] {
            if let Some(fact) = on_start(&record, file) {
                record = apply(&record, &fact, at(20)).unwrap();
                let watched = record.status == Status::Phase1Watching;
                assert!(on_start(&record, file).is_none() || watched, "{shape:?}");
            }
        }
        if shape.status == Status::Phase1Watching && shape.kubeconfig {
            assert!(next_steps(&record).contains(&Step::Watch));
        }
    }
    let interrupted = after(&fresh(), &[Fact::ApplyBegan]);
    let fact = on_start(&interrupted, KubeconfigFile::Absent).unwrap();
    let Fact::Interrupted { error } = &fact else { panic!("{fact:?}") };
    for part in ["catalyst-api restarted during provisioning", "0101010101010101", "orphan"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_servers_of_an_earlier_run_do_not_judge_a_kubeconfig_of_the_next() {
    let up = after(&fresh(), &[Fact::ApplyBegan, applied()]);
    assert_eq!(up.allowed_hosts(), ["192.0.2.2"]);
    let again = [Fact::DestroyRequested, Fact::DestroyFailed { error: "tofu destroy: x".into() }, retried()];
    assert!(after(&up, &again).allowed_hosts().is_empty(), "the next load balancer has another address");
}

proptest! {
    /// Random facts in random order never lose a kubeconfig, never make a ready without evidence, and never leave an
    /// error on a healthy deployment.
    #[test]
    fn invariants_hold_for_any_history(picks in proptest::collection::vec(0usize..30, 0..60), pooled: bool) {
        let all = facts();
        let mut record = if pooled { fresh().with_reservation(&reservation()) } else { fresh() };
        let mut had_kubeconfig = false;
        for (second, pick) in picks.into_iter().enumerate() {
            let (before, replaced) = (record.status, record.replacement.clone());
            if let Ok(next) = apply(&record, &all[pick], at(second as i64)) {
                record = next;
            }
            had_kubeconfig |= record.has_kubeconfig();
            had_kubeconfig &= record.status != Status::Destroyed && record.kubeconfig_refusal.is_empty();
            // What a server handed in goes with it.
            had_kubeconfig &= record.has_kubeconfig() || record.replacement == replaced;
            prop_assert_eq!(had_kubeconfig, record.has_kubeconfig());
            prop_assert!(record.has_kubeconfig() || !record.kubeconfig_checked);
            if record.status == Status::Ready && before != Status::Ready {
                prop_assert_eq!(before, Status::Phase1Watching);
            }
            let running = [Status::Provisioning, Status::TofuApplying, Status::Destroying];
            prop_assert!(!(running.contains(&record.status) && record.phase0_done()));
            prop_assert!(record.status == Status::Failed || record.error.is_empty());
            prop_assert_eq!(record.finished_at.is_some(), record.status.is_terminal());
            let only_names = next_steps(&record).iter().all(|s| matches!(s, Step::PublishDns | Step::ReleaseDns));
            prop_assert!(!record.status.is_terminal() || only_names);
            // A name is never forgotten while it may be held, and never given back under a living cluster.
            prop_assert_eq!(record.pdm_pool_domain.is_empty(), record.pdm_reservation_token.is_empty());
            let living = matches!(record.status, Status::Ready | Status::FluxBootstrapping | Status::Phase1Watching);
            prop_assert!(!living || !next_steps(&record).contains(&Step::ReleaseDns));
        }
    }
}

#[test]
fn a15_each_part_of_phase_0_has_a_status_of_its_own() {
    let shape = Shape { status: Status::Provisioning, kubeconfig: false, phase0_done: false, name: Name::None };
    let endpoints = facts().into_iter().find(|fact| matches!(fact, Fact::Applied(_))).unwrap();
    let mut record = record(shape);
    for (fact, status) in [(Fact::ApplyBegan, Status::TofuApplying), (endpoints, Status::FluxBootstrapping)] {
        record = apply(&record, &fact, at(1)).unwrap();
        assert_eq!(record.status, status);
    }
}

#[path = "transition_bearer_tests.rs"]
mod bearer;

#[path = "transition_dns_tests.rs"]
mod dns;

#[path = "transition_kubeconfig_tests.rs"]
mod kubeconfig;

#[path = "transition_left_tests.rs"]
mod left;
