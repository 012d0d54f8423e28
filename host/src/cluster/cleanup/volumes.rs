//! Volumes that the cluster made in its cloud: named, or deleted where that was agreed to.
//!
//! A volume goes when its claim does and its policy says so. A claim is held while a Pod that uses it is scheduled, so those Pods are
//! deleted as well; others that their owners make are not scheduled while the claim is on its way out. Drivers delete
//! only what was released, so a volume that no claim has is bound to a claim that does not exist: then it counts as released.

use super::api::{ClusterApi, ObjectName};
use super::objects::{
    CloudVolume, PERSISTENT_VOLUME, POD, claims, claims_of_pod, cloud_volumes, persistent_volumes, pods,
};
use super::{ANSWER_WITHIN, CleanupLog, Progress, VolumePolicy, pause, quota};
use crate::cluster::bounds::RememberedKeys;
use crate::cluster::trouble::Trouble;
use catalyst_domain::remaining::{DELETE_VOLUMES, VOLUME};
use catalyst_domain::{Level, RemainingResource};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// What a namespace may have no more of: a StatefulSet would make its claims anew.
pub(super) const COUNTED: &str = "persistentvolumeclaims";

/// Names the volumes, or deletes them until none is left or the time is up; gives those that stay.
pub(super) async fn clean_up(
    api: &ClusterApi,
    log: &CleanupLog,
    policy: VolumePolicy,
    until: Instant,
) -> Vec<RemainingResource> {
    let until_seen = until.min(Instant::now() + ANSWER_WITHIN);
    let volumes = loop {
        match list(api).await {
            Ok(volumes) => break volumes,
            Err(trouble) if Instant::now() >= until_seen => return vec![unknown(log, &trouble).await],
            Err(_) => pause(until_seen).await,
        }
    };
    if volumes.is_empty() {
        return Vec::new();
    }
    match policy {
        VolumePolicy::Keep => {
            let head =
                format!("volumes of the cluster stay in the cloud, since \"{DELETE_VOLUMES}\": true was not given");
            log.names(Level::Warn, &head, &shown(&volumes)).await;
            let reason = format!("\"{DELETE_VOLUMES}\": true was not given");
            volumes.iter().map(|volume| volume.remaining(&reason)).collect()
        }
        VolumePolicy::Delete => delete_all(api, log, volumes, until).await,
    }
}

/// Deletes those that their drivers would delete; the others are named at once, and not waited for.
async fn delete_all(
    api: &ClusterApi,
    log: &CleanupLog,
    volumes: Vec<CloudVolume>,
    until: Instant,
) -> Vec<RemainingResource> {
    let begun = Instant::now();
    let (mut left, mut kept) = split(volumes);
    if !kept.is_empty() {
        let head = "volumes that no claim has, and that their drivers did not make, stay in the cloud";
        log.names(Level::Warn, head, &shown(&kept)).await;
    }
    if left.is_empty() {
        return remaining(&kept);
    }
    let head = "volumes of the cluster are deleted with their data, as was agreed to";
    log.names(Level::Info, head, &shown(&left)).await;
    let (mut progress, mut asked) = (Progress::begin(), RememberedKeys::default());
    loop {
        let trouble = match delete(api, &left, &mut asked).await {
            Ok(()) => None,
            Err(trouble) => Some(trouble.why),
        };
        pause(until).await;
        let trouble = match list(api).await {
            Ok(found) => {
                (left, kept) = split(found);
                if left.is_empty() {
                    let which = if kept.is_empty() { "the" } else { "the other" };
                    log.info(format!("{which} volumes of the cluster are deleted")).await;
                    return remaining(&kept);
                }
                trouble
            }
            Err(trouble) => Some(trouble.why),
        };
        let seconds = begun.elapsed().as_secs();
        if Instant::now() >= until {
            let head =
                format!("these volumes of the cluster were not deleted within {seconds} s and stay in the cloud");
            log.names(Level::Warn, &head, &shown(&left)).await;
            let reason = |volume: &CloudVolume| match &trouble {
                Some(why) => format!("it was not seen to go within {seconds} s: {why}"),
                None => volume.why_still_there(seconds),
            };
            let left = left.iter().map(|volume| volume.remaining(&reason(volume)));
            return left.chain(remaining(&kept)).collect();
        }
        if progress.is_due() {
            let head = format!("waiting for {seconds} s until these volumes are deleted");
            log.names(Level::Info, &head, &shown(&left)).await;
        }
    }
}

/// One pass over the volumes that are left. `asked` is what was asked for before.
async fn delete(api: &ClusterApi, left: &[CloudVolume], asked: &mut RememberedKeys) -> Result<(), Trouble> {
    let mut fault = None;
    let mut note = |done: Result<(), Trouble>| match done {
        Ok(()) => true,
        Err(trouble) => {
            fault = Some(trouble);
            false
        }
    };
    let in_use: BTreeSet<&ObjectName> = left.iter().filter_map(|volume| Some(&volume.claim.as_ref()?.object)).collect();
    let namespaces: BTreeSet<&str> = in_use.iter().map(|claim| claim.namespace.as_str()).collect();
    let mut new = BTreeSet::new();
    for namespace in &namespaces {
        if asked.insert(format!("quota {namespace}"))? {
            new.insert(*namespace);
        }
    }
    quota::forbid(api, &new, COUNTED).await;
    for volume in left.iter().filter(|volume| volume.needs_release) {
        note(api.merge(&persistent_volumes(), &volume.object, &volume.release()).await);
    }
    for volume in left.iter().filter(|volume| !volume.goes_with_claim() && !volume.needs_release) {
        note(api.merge(&persistent_volumes(), &volume.object, &volume.delete_with_claim()).await);
    }
    for claim in left.iter().filter_map(|volume| volume.claim.as_ref()) {
        let key = key_of("claim", &claim.object, claim.uid.as_deref());
        if asked.lacks(&key)? && note(api.delete(&claims(), &claim.object, claim.uid.as_deref()).await) {
            asked.insert(key)?;
        }
    }
    for namespace in namespaces {
        let found = match api.list(&pods(), Some(namespace), &POD).await {
            Ok(found) => found,
            Err(trouble) => {
                note(Err(trouble));
                continue;
            }
        };
        for pod in found.iter().filter(|pod| claims_of_pod(pod).iter().any(|claim| in_use.contains(claim))) {
            let (object, uid) = (ObjectName::of(pod), pod.uid());
            let key = key_of("pod", &object, uid);
            if asked.lacks(&key)? && note(api.delete(&pods(), &object, uid).await) {
                asked.insert(key)?;
            }
        }
    }
    fault.map_or(Ok(()), Err)
}

/// By what it is remembered that a deletion was asked for.
fn key_of(kind: &str, object: &ObjectName, uid: Option<&str>) -> String {
    format!("{kind} {}/{} {}", object.namespace, object.name, uid.unwrap_or_default())
}

async fn list(api: &ClusterApi) -> Result<Vec<CloudVolume>, Trouble> {
    Ok(cloud_volumes(&api.list(&persistent_volumes(), None, &PERSISTENT_VOLUME).await?))
}

/// Those that can be deleted, and those that stay whatever is asked for.
fn split(volumes: Vec<CloudVolume>) -> (Vec<CloudVolume>, Vec<CloudVolume>) {
    volumes.into_iter().partition(|volume| volume.why_kept().is_none())
}

/// Volumes that stay whatever is asked for, each with its reason.
fn remaining(kept: &[CloudVolume]) -> Vec<RemainingResource> {
    kept.iter().filter_map(|volume| Some(volume.remaining(&volume.why_kept()?))).collect()
}

async fn unknown(log: &CleanupLog, trouble: &Trouble) -> RemainingResource {
    let reason = format!("the cluster did not answer when its volumes were looked for: {}", trouble.why);
    log.warn(format!("volumes of the cluster may be left: {reason}")).await;
    RemainingResource::not_listed(VOLUME, &reason)
}

fn shown(volumes: &[CloudVolume]) -> Vec<String> {
    volumes.iter().map(CloudVolume::shown).collect()
}
