//! The requests of a cleanup: each has a limit of its own, and its trouble is told in words.

use crate::cluster::trouble::Trouble;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// Objects in one answer. A Pod is some 10 KiB.
const PAGE: u32 = 250;
/// Pages of one list: more objects than a cluster of this kind has.
const MAX_PAGES: usize = 40;
/// It is gone, or another one has its name by now.
const GONE: [u16; 2] = [404, 409];

/// An object of a namespace, or of the whole cluster where that is blank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl ObjectName {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(super) fn of(object: &DynamicObject) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { namespace: text(&object.metadata.namespace), name: text(&object.metadata.name) }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// The API server of one cluster.
pub(super) struct ClusterApi {
    client: kube::Client,
    limit: Duration,
}

impl ClusterApi {
    /// Each request gets its answer within `limit`, or counts as failed.
    pub(super) fn new(client: kube::Client, limit: Duration) -> Self {
        Self { client, limit }
    }

    /// All objects of a kind, in one namespace or in all.
    pub(super) async fn list(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
    ) -> Result<Vec<DynamicObject>, Trouble> {
        let api = self.api(kind, namespace.unwrap_or_default());
        let mut objects = Vec::new();
        let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
        for _ in 0..MAX_PAGES {
            let Some(page) = self.ask(api.list(&params), &[]).await? else { break };
            if page.items.len() > PAGE as usize {
                let why = format!("the cluster gives more objects of the kind {} than it was asked for", kind.kind);
                return Err(Trouble::unreachable(why));
            }
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(objects),
            }
        }
        let most = u64::from(PAGE).saturating_mul(MAX_PAGES as u64);
        let why = format!("the cluster lists more than {most} objects of the kind {}", kind.kind);
        Err(Trouble::unreachable(why))
    }

    /// Merges `patch` into an object; one that is gone needs none.
    pub(super) async fn merge(&self, kind: &ApiResource, object: &ObjectName, patch: &Value) -> Result<(), Trouble> {
        let api = self.api(kind, &object.namespace);
        let (how, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.ask(api.patch(&object.name, &how, &patch), &GONE[..1]).await.map(drop)
    }

    /// Asks for the deletion of an object; of another one that has its name by now it is not asked. What has finalizers goes later.
    pub(super) async fn delete(
        &self,
        kind: &ApiResource,
        object: &ObjectName,
        uid: Option<&str>,
    ) -> Result<(), Trouble> {
        let api = self.api(kind, &object.namespace);
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let how = DeleteParams { preconditions, ..DeleteParams::background() };
        self.ask(api.delete(&object.name, &how), &GONE).await.map(drop)
    }

    /// Creates an object in a namespace, where there is none of its name.
    pub(super) async fn create(
        &self,
        kind: &ApiResource,
        namespace: &str,
        object: &DynamicObject,
    ) -> Result<(), Trouble> {
        let api = self.api(kind, namespace);
        self.ask(api.create(&PostParams::default(), object), &GONE).await.map(drop)
    }

    fn api(&self, kind: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client.clone(), kind),
            namespace => Api::namespaced_with(self.client.clone(), namespace, kind),
        }
    }

    /// The answer; none where its status is one of `tolerated`.
    async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
        tolerated: &[u16],
    ) -> Result<Option<T>, Trouble> {
        match timeout(self.limit, request).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(kube::Error::Api(status))) if tolerated.contains(&status.code) => Ok(None),
            Ok(Err(error)) => Err(Trouble::from(&error)),
            Err(_) => Err(Trouble::timeout(self.limit.as_secs())),
        }
    }
}
