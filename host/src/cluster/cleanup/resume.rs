//! Resumes what a cleanup suspended, where the destroy that it belonged to did not come to its end and the cluster is to go on, and gives
//! volumes that were to be deleted their policy back. Only what has the mark of a cleanup is touched: what a person suspended stays as it
//! is. Every step can be repeated.

use super::api::{ClusterApi, ObjectName};
use super::flux::{MAKERS, Maker, served};
use super::objects::{MARK, NAME, PERSISTENT_VOLUME, persistent_volumes, quotas, undo};
use super::{CleanupLog, PAUSE, load_balancers, quota, volumes};
use crate::cluster::bounds::RememberedKeys;
use crate::cluster::object::ClusterObject;
use crate::cluster::trouble::{Kind, Trouble};
use catalyst_domain::Level;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long what goes on may take once the watch has ended: who waits for the end of the watch waits for this as well.
const AFTER_THE_END: Duration = Duration::from_secs(60);

/// What the words end with where something may be left.
const BY_HAND: &str = "where the cluster is to go on, resume its Kustomizations and HelmReleases by hand, delete the ResourceQuotas \
                       catalyst-destroy-* and give PersistentVolumes the policy of their annotation \
                       catalyst.openova.io/policy-before-destroy";

/// Resumes all that has the mark, gives volumes their policy back and removes the quotas of the cleanup. It is tried again until `ended`,
/// and at most [`AFTER_THE_END`] longer; `false` where it was never done.
pub(super) async fn resume(api: &ClusterApi, log: &CleanupLog, ended: &CancellationToken) -> bool {
    let mut done = Resumed::default();
    loop {
        let had_ended = ended.is_cancelled();
        let (fault, is_last) = tokio::select! {
            result = done.run(api) => (result.err(), had_ended),
            fault = too_late(ended) => (Some(fault), true),
        };
        if fault.is_none() || is_last {
            done.tell(log).await;
        }
        match fault {
            None => return true,
            Some(trouble) if is_last => {
                let why = trouble.why;
                log.warn(format!(
                    "the destroy before this may have suspended Flux, which was not resumed ({why}): {BY_HAND}"
                ))
                .await;
                return false;
            }
            Some(_) => tokio::select! {
                () = ended.cancelled() => {}
                () = sleep(PAUSE) => {}
            },
        }
    }
}

/// Comes [`AFTER_THE_END`].
async fn too_late(ended: &CancellationToken) -> Trouble {
    ended.cancelled().await;
    sleep(AFTER_THE_END).await;
    let seconds = AFTER_THE_END.as_secs();
    Trouble::unreachable(format!("it was not done within {seconds} s after the watch had ended"))
}

#[derive(Default)]
struct Resumed {
    /// How many by the plural of their kind.
    counts: BTreeMap<&'static str, usize>,
    /// Those of the two names that a cleanup gives, which were removed.
    quotas: RememberedKeys,
    /// Volumes that are as they were before the cleanup.
    volumes: RememberedKeys,
    /// Suspended, and not by a cleanup that left its mark.
    unmarked: Vec<String>,
}

impl Resumed {
    /// One pass over all.
    async fn run(&mut self, api: &ClusterApi) -> Result<(), Trouble> {
        self.unmarked.clear();
        // First: a volume that is to be deleted may be so at any moment.
        let mut fault = self.undo_volumes(api).await.err();
        if let Err(trouble) = self.remove_quotas(api).await {
            fault = Some(trouble);
        }
        for maker in &MAKERS {
            if let Err(trouble) = self.resume_kind(api, maker).await {
                fault = Some(trouble);
            }
        }
        fault.map_or(Ok(()), Err)
    }

    async fn resume_kind(&mut self, api: &ClusterApi, maker: &Maker) -> Result<(), Trouble> {
        let Some((kind, objects)) = served(api, maker).await? else { return Ok(()) };
        let mut fault = None;
        for object in &objects {
            let name = ObjectName::of(object);
            let is_suspended = object.body()["spec"]["suspend"] == true;
            match (is_marked(object), is_suspended) {
                (false, false) => continue,
                (false, true) => {
                    self.unmarked.push(format!("{} {name}", maker.2));
                    continue;
                }
                (true, _) => {}
            }
            let mut patch = json!({"metadata": {"annotations": {MARK: null}}});
            if is_suspended {
                patch["spec"] = json!({"suspend": null});
            }
            match api.merge(&kind, &name, &patch).await {
                // It was resumed by hand before.
                Ok(()) if !is_suspended => {}
                Ok(()) => {
                    let count = self.counts.entry(maker.3).or_default();
                    *count = count.saturating_add(1);
                }
                Err(trouble) => fault = Some(trouble),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    async fn undo_volumes(&mut self, api: &ClusterApi) -> Result<(), Trouble> {
        let kind = persistent_volumes();
        let found = match api.list(&kind, None, &PERSISTENT_VOLUME).await {
            Ok(found) => found,
            Err(trouble) if trouble.kind == Kind::Absent => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        let mut fault = None;
        for volume in &found {
            let Some(patch) = undo(volume) else { continue };
            let name = ObjectName::of(volume);
            match api.merge(&kind, &name, &patch).await {
                Ok(()) => {
                    self.volumes.insert(name.to_string())?;
                }
                Err(trouble) => fault = Some(trouble),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    async fn remove_quotas(&mut self, api: &ClusterApi) -> Result<(), Trouble> {
        let kind = quotas();
        let found = api.list(&kind, None, &NAME).await?;
        let mut fault = None;
        let names = [load_balancers::COUNTED, volumes::COUNTED].map(quota::name_of);
        for quota in found.iter().map(ObjectName::of).filter(|quota| names.contains(&quota.name)) {
            let shown = quota.to_string();
            self.quotas.lacks(&shown)?;
            match api.delete(&kind, &quota, None).await {
                Ok(()) => {
                    self.quotas.insert(shown)?;
                }
                Err(trouble) => fault = Some(trouble),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    async fn tell(&self, log: &CleanupLog) {
        if !self.counts.is_empty() {
            let counts: Vec<String> = self.counts.iter().map(|(plural, count)| format!("{count} {plural}")).collect();
            log.info(format!("Flux is resumed, which the destroy before this had suspended: {}", counts.join(", ")))
                .await;
        }
        if !self.volumes.is_empty() {
            let head =
                "volumes that the destroy before this was to delete have the policy and the claim of before again";
            let volumes: Vec<String> = self.volumes.iter().cloned().collect();
            log.names(Level::Info, head, &volumes).await;
        }
        if !self.quotas.is_empty() {
            let quotas: Vec<String> = self.quotas.iter().cloned().collect();
            log.names(Level::Info, "the ResourceQuotas of the destroy before this are removed", &quotas).await;
        }
        if !self.unmarked.is_empty() {
            let head = format!(
                "suspended without the mark of a destroy ({MARK}), by a person or by a destroy of a release before, and left so; resume it by \
                 hand where it is to go on"
            );
            log.names(Level::Warn, &head, &self.unmarked).await;
        }
    }
}

fn is_marked(object: &ClusterObject) -> bool {
    object.body()["metadata"]["annotations"].get(MARK).is_some()
}
