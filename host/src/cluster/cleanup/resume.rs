//! Resumes what a cleanup suspended, where the destroy that it belonged to did not come to its end and the cluster is to go on. Only what
//! has the mark of a cleanup is touched: what a person suspended stays as it is. Every step can be repeated.

use super::api::{ClusterApi, ObjectName};
use super::flux::{MAKERS, Maker, served};
use super::objects::{MARK, NAME, quotas};
use super::{CleanupLog, PAUSE, load_balancers, quota, volumes};
use crate::cluster::bounds::RememberedKeys;
use crate::cluster::object::ClusterObject;
use crate::cluster::trouble::Trouble;
use catalyst_domain::Level;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What the words end with where something may be left.
const BY_HAND: &str = "where the cluster is to go on, resume its Kustomizations and HelmReleases by hand and delete the ResourceQuotas \
                       catalyst-destroy-*";

/// Resumes all that has the mark, and removes the quotas of the cleanup. It is tried again until `ended`; `false` where it was never
/// done.
pub(super) async fn resume(api: &ClusterApi, log: &CleanupLog, ended: &CancellationToken) -> bool {
    let mut done = Resumed::default();
    loop {
        let is_last = ended.is_cancelled();
        let fault = done.run(api).await.err();
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

#[derive(Default)]
struct Resumed {
    /// How many by the plural of their kind.
    counts: BTreeMap<&'static str, usize>,
    /// Those of the two names that a cleanup gives, which were removed.
    quotas: RememberedKeys,
    /// Suspended, and not by a cleanup that left its mark.
    unmarked: Vec<String>,
}

impl Resumed {
    /// One pass over all.
    async fn run(&mut self, api: &ClusterApi) -> Result<(), Trouble> {
        self.unmarked.clear();
        let mut fault = self.remove_quotas(api).await.err();
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
