//! The requests of a cleanup: each has a limit of its own, and its trouble is told in words.

use crate::cluster::answers::{self, Listing, Refusal};
use crate::cluster::bounds::{MAX_NAME, are_names, has_valid_lengths, plain};
use crate::cluster::object::{ClusterObject, Shape};
use crate::cluster::trouble::Trouble;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
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

/// An object of a namespace, or of the whole cluster where that is blank. The names are the cluster's own, as requests need them;
/// `Display` makes them plain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl ObjectName {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(super) fn of(object: &ClusterObject) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name())
    }

    /// Whether both names are no longer than Kubernetes allows.
    pub(super) fn is_valid(&self) -> bool {
        are_names(&[self.namespace.as_str(), self.name.as_str()])
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = plain(&self.name, MAX_NAME);
        match self.namespace.as_str() {
            "" => f.write_str(&name),
            namespace => write!(f, "{}/{name}", plain(namespace, MAX_NAME)),
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

    /// All objects of a kind, in one namespace or in all, of each of which so much is kept. Those whose names are longer than Kubernetes
    /// allows are left out: they are none of Kubernetes.
    pub(super) async fn list(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        shape: &'static Shape,
    ) -> Result<Vec<ClusterObject>, Trouble> {
        let listing = Listing {
            kind: kind.clone(),
            namespace: namespace.map(str::to_owned),
            labels: "",
            fields: "",
            shape,
            page: PAGE,
            max_pages: MAX_PAGES,
        };
        let (mut objects, _) = answers::list(&self.client, &listing, self.limit).await?;
        objects.retain(has_valid_lengths);
        Ok(objects)
    }

    /// Merges `patch` into an object; one that is gone needs none.
    pub(super) async fn merge(&self, kind: &ApiResource, object: &ObjectName, patch: &Value) -> Result<(), Trouble> {
        let place = answers::path(kind, Some(&object.namespace));
        let (how, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.ask(place.patch(&object.name, &how, &patch), &GONE[..1]).await
    }

    /// Asks for the deletion of an object; of another one that has its name by now it is not asked. What has finalizers goes later.
    pub(super) async fn delete(
        &self,
        kind: &ApiResource,
        object: &ObjectName,
        uid: Option<&str>,
    ) -> Result<(), Trouble> {
        let place = answers::path(kind, Some(&object.namespace));
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let how = DeleteParams { preconditions, ..DeleteParams::background() };
        self.ask(place.delete(&object.name, &how), &GONE).await
    }

    /// Creates an object in a namespace, where there is none of its name.
    pub(super) async fn create(
        &self,
        kind: &ApiResource,
        namespace: &str,
        object: &DynamicObject,
    ) -> Result<(), Trouble> {
        let place = answers::path(kind, Some(namespace));
        let request = serde_json::to_vec(object).map_err(kube::core::request::Error::SerializeBody);
        self.ask(request.and_then(|body| place.create(&PostParams::default(), body)), &GONE).await
    }

    /// Asks for something to be done; an answer with one of the statuses `tolerated` is as good as done.
    async fn ask(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        tolerated: &[u16],
    ) -> Result<(), Trouble> {
        match timeout(self.limit, answers::ask(&self.client, request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal { status: Some(status), .. })) if tolerated.contains(&status) => Ok(()),
            Ok(Err(refusal)) => Err(refusal.trouble),
            Err(_) => Err(Trouble::timeout(self.limit.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_plain_and_kept_as_they_are() {
        let object = ObjectName::new("shop\nroot", "web\u{1b}[2J");
        assert_eq!(object.to_string(), "shop\u{fffd}root/web\u{fffd}[2J");
        assert_eq!((object.namespace.as_str(), object.name.as_str()), ("shop\nroot", "web\u{1b}[2J"));
        let longest = "x".repeat(MAX_NAME);
        assert_eq!(ObjectName::new("", &longest).to_string(), longest, "no name of Kubernetes is cut");
        assert!(ObjectName::new("", &"x".repeat(8_000)).to_string().len() <= MAX_NAME);
    }
}
