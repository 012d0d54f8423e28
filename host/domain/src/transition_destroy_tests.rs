//! What a destroy keeps on the record beside its status: the yes to the loss of volumes, and what it saw and did not remove.

use super::*;
use crate::record::{Child, NewRecord, ProviderRef};
use crate::restart::{KubeconfigFile, on_start};
use crate::step::{Step, next_steps};
use crate::{DeploymentId, RemainingResource, Request};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ready() -> Record {
    let mut record = Record::new(NewRecord {
        id: DeploymentId::from_bytes([1; 8]),
        request: Request { sovereign_fqdn: "a.example".into(), ..Request::default() },
        kubeconfig_bearer_hash: "ab".repeat(32),
        provider: ProviderRef { id: "x".into(), version: "1.0.0".into(), digest: "d".into() },
        at: at(0),
    });
    record.status = Status::Ready;
    record
}

fn after(record: &Record, facts: &[Fact]) -> Record {
    facts.iter().fold(record.clone(), |r, f| apply(&r, f, at(9)).unwrap_or_else(|e| panic!("{f:?}: {e}")))
}

fn volume() -> RemainingResource {
    RemainingResource::new("volume", "pvc-1", "42", "it was not agreed that it is deleted")
}

#[test]
fn t6_the_yes_to_the_loss_of_volumes_is_on_the_record_and_counts_for_its_own_destroy() {
    let plain = after(&ready(), &[Fact::DestroyRequested]);
    let agreed = after(&ready(), &[Fact::DestroyWithVolumesRequested]);
    assert_eq!((plain.status, plain.delete_volumes), (Status::Destroying, false));
    assert_eq!((agreed.status, agreed.delete_volumes), (Status::Destroying, true));
    let failed = after(&agreed, &[Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    assert!(!after(&failed, &[Fact::DestroyRequested]).delete_volumes, "the next one says it anew");
    let retried = Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
    assert!(!after(&failed, &[retried]).delete_volumes);
    for status in [Status::Provisioning, Status::TofuApplying, Status::Destroying] {
        let busy = Record { status, ..ready() };
        assert_eq!(apply(&busy, &Fact::DestroyWithVolumesRequested, at(9)).unwrap_err(), Refused::Busy(status));
    }
    let gone = Record { status: Status::Destroyed, ..ready() };
    assert_eq!(apply(&gone, &Fact::DestroyWithVolumesRequested, at(9)).unwrap_err(), Refused::Gone);
}

#[test]
fn t6_what_remains_is_kept_until_it_is_seen_anew_or_a_cluster_lives() {
    let seen = Fact::RemainingSeen(vec![volume(), volume()]);
    assert_eq!(apply(&ready(), &seen, at(9)).unwrap_err(), Refused::Stale(Status::Ready));
    let going = after(&ready(), &[Fact::DestroyRequested, seen]);
    assert_eq!(going.remaining, [volume()]);
    let gone = after(&going, &[Fact::DestroyFinished]);
    assert_eq!((gone.status, gone.remaining.len()), (Status::Destroyed, 1), "a person finds it here");
    let failed = after(&going, &[Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    let again = after(&failed, &[Fact::DestroyRequested]);
    assert_eq!(again.remaining.len(), 1, "the cluster may be gone by now, and cannot tell any more");
    assert!(after(&again, &[Fact::RemainingSeen(Vec::new())]).remaining.is_empty());
}

#[test]
fn t6_what_a_destroy_suspended_is_to_be_resumed_after_a_retry_until_that_was_done_or_the_cluster_is_gone() {
    let mut up = ready();
    up.result_mut().kubeconfig_path = "f.yaml".into();
    up.kubeconfig_checked = true;
    let retried = || Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
    let failed =
        |of: &Record| after(of, &[Fact::DestroyRequested, Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    let back = after(&failed(&up), &[retried()]);
    assert!(back.resume_flux);
    let kept: Record = serde_json::from_str(&serde_json::to_string(&back).unwrap()).unwrap();
    assert!(kept.resume_flux, "it survives the process");
    assert!(!after(&back, &[Fact::FluxResumed]).resume_flux);
    let error = || Fact::Phase0Failed { error: "tofu plan: x".into() };
    assert!(after(&back, &[error(), retried()]).resume_flux, "a run that fails resumes nothing");
    assert!(!after(&failed(&ready()), &[retried()]).resume_flux, "without a cluster nothing was suspended");
    let only_failed = Record { status: Status::Failed, ..up };
    assert!(!after(&only_failed, &[retried()]).resume_flux);
    let gone = after(&back, &[error(), Fact::DestroyRequested, Fact::DestroyFinished]);
    assert!(!gone.resume_flux);
}

#[test]
fn t6_a_destroy_that_was_killed_before_its_run_goes_on_and_one_in_its_run_has_failed() {
    let going = after(&ready(), &[Fact::DestroyWithVolumesRequested, Fact::RemainingSeen(vec![volume()])]);
    for file in [KubeconfigFile::Present, KubeconfigFile::Absent] {
        assert_eq!(on_start(&going, file), None);
    }
    assert_eq!(next_steps(&going), [Step::Destroy]);
    let kept: Record = serde_json::from_str(&serde_json::to_string(&going).unwrap()).unwrap();
    assert!(kept == going && kept.delete_volumes, "it survives the process");
    let running = after(&going, &[Fact::ChildStarted(Child { pid: 1, start_ticks: 2 })]);
    assert!(matches!(on_start(&running, KubeconfigFile::Present), Some(Fact::Interrupted { .. })));
}

#[test]
fn t6_records_of_releases_before_are_read_and_written_as_they_were() {
    let text = serde_json::to_string(&ready()).unwrap();
    assert!(!text.contains("deleteVolumes") && !text.contains("remaining"), "{text}");
    let read: Record = serde_json::from_str(&text).unwrap();
    assert!(!read.delete_volumes && read.remaining.is_empty());
}
