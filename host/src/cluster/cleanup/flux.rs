//! Suspends Flux: it would make again what a cleanup deletes.

use super::api::{ClusterApi, ObjectName};
use super::objects::{MAKER, MARK};
use super::{CleanupLog, PAUSE};
use crate::cluster::object::ClusterObject;
use crate::cluster::trouble::{Kind, Trouble};
use catalyst_domain::Level;
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::json;
use tokio::time::sleep;

/// How often it is tried.
const TRIES: u32 = 3;

/// A kind whose objects make others: group, versions with the newest first, kind and plural.
pub(super) type Maker = (&'static str, &'static [&'static str], &'static str, &'static str);

/// Each version of Flux serves one of the versions or more. What sources only fetch makes nothing.
pub(super) const MAKERS: [Maker; 2] = [
    ("kustomize.toolkit.fluxcd.io", &["v1", "v1beta2"], "Kustomization", "kustomizations"),
    ("helm.toolkit.fluxcd.io", &["v2", "v2beta2", "v2beta1"], "HelmRelease", "helmreleases"),
];

/// Suspends every Kustomization and HelmRelease of all namespaces that is not. What cannot be suspended is said, and holds nothing up.
pub(super) async fn suspend(api: &ClusterApi, log: &CleanupLog) {
    let mut done = Vec::new();
    let mut faults = Vec::new();
    for attempt in 1..=TRIES {
        faults.clear();
        for maker in &MAKERS {
            match suspend_kind(api, maker, &mut faults).await {
                Ok(0) => {}
                Ok(count) => done.push(format!("{count} {}", maker.3)),
                Err(trouble) => faults.push(format!("{}: {}", maker.3, trouble.why)),
            }
        }
        if faults.is_empty() || attempt == TRIES {
            break;
        }
        sleep(PAUSE).await;
    }
    if !done.is_empty() {
        log.info(format!("Flux is suspended, for it would make again what is removed: {}", done.join(", "))).await;
    }
    if !faults.is_empty() {
        let head = "Flux could not be suspended, and may make again what is removed";
        log.names(Level::Warn, head, &faults).await;
    }
}

/// How many were suspended now.
async fn suspend_kind(api: &ClusterApi, maker: &Maker, faults: &mut Vec<String>) -> Result<usize, Trouble> {
    let Some((kind, objects)) = served(api, maker).await? else { return Ok(0) };
    let mut count = 0_usize;
    for object in objects.iter().filter(|object| object.body()["spec"]["suspend"] != true) {
        let name = ObjectName::of(object);
        match api
            .merge(&kind, &name, &json!({"metadata": {"annotations": {MARK: "true"}}, "spec": {"suspend": true}}))
            .await
        {
            Ok(()) => count = count.saturating_add(1),
            Err(trouble) => faults.push(format!("{} {name}: {}", maker.2, trouble.why)),
        }
    }
    Ok(count)
}

/// The version that is served, with its objects; none where Flux is not there.
pub(super) async fn served(
    api: &ClusterApi,
    (group, versions, kind, plural): &Maker,
) -> Result<Option<(ApiResource, Vec<ClusterObject>)>, Trouble> {
    for version in *versions {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        match api.list(&kind, None, &MAKER).await {
            Ok(objects) => return Ok(Some((kind, objects))),
            Err(trouble) if trouble.kind == Kind::Absent => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(None)
}
