//! Keeps controllers from making again what a cleanup deletes: a StatefulSet makes its claims anew, a gateway its Service.

use super::api::ClusterApi;
use super::objects::quotas;
use kube::api::DynamicObject;
use serde_json::json;
use std::collections::BTreeSet;

/// How the names of quotas of a cleanup begin.
const NAME: &str = "catalyst-destroy-";

/// Name of the quota by which a namespace may have no more of what is counted so.
pub(super) fn name_of(counted: &str) -> String {
    format!("{NAME}{}", counted.replace('.', "-"))
}

/// Lets these namespaces have no new objects that are counted as `counted`; those that are there stay. It only keeps controllers
/// from working against the cleanup, so a cluster that does not take a quota is cleaned up all the same.
pub(super) async fn forbid(api: &ClusterApi, namespaces: &BTreeSet<&str>, counted: &str) {
    let kind = quotas();
    let mut hard = serde_json::Map::new();
    hard.insert(counted.to_owned(), json!("0"));
    for namespace in namespaces {
        let name = name_of(counted);
        let quota = DynamicObject::new(&name, &kind).within(namespace).data(json!({"spec": {"hard": hard.clone()}}));
        if let Err(trouble) = api.create(&kind, namespace, &quota).await {
            tracing::debug!(why = trouble.why, "a namespace of a cluster that is to go took no quota");
        }
    }
}
