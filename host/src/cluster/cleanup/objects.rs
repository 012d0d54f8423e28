//! What a cleanup reads out of Services, volumes and Pods. Pure: objects in, decisions out. Texts are the cluster's own, so they
//! are cut and made plain before anybody sees them.

use super::api::ObjectName;
use crate::cluster::bounds;
use crate::cluster::object::{ClusterObject, METADATA, Shape};
use catalyst_domain::RemainingResource;
use catalyst_domain::remaining::{LOAD_BALANCER, NamedBy, VOLUME};
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// Finalizer of a Service by which a cloud controller says that its load balancer is not removed yet.
pub(super) const LOAD_BALANCER_FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// Policy of a volume that goes with its claim.
const DELETE: &str = "Delete";
/// Policies of a volume that stays without its claim. The first one is what Kubernetes takes where none is given.
const STAYS: [&str; 2] = ["Retain", "Recycle"];
/// Annotation with the policy that a volume had before a cleanup changed it.
pub(super) const POLICY_BEFORE: &str = "catalyst.openova.io/policy-before-destroy";
/// Annotation with the driver that made a volume for a claim. A driver deletes no volume without it.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// How the names of claims begin that are not there, to which volumes are bound so that they are released.
const NO_CLAIM: &str = "catalyst-destroy-";
/// Namespace of such a claim.
const NO_CLAIM_NAMESPACE: &str = "default";
/// Annotation of what a cleanup suspended: nothing else is resumed.
pub(super) const MARK: &str = "catalyst.openova.io/suspended-by-destroy";
/// Longest text of an object in a log, in bytes: ids of volumes have some dozens.
const MAX_TEXT: usize = 128;

/// Drivers whose volumes lie on the disks of the cluster's own servers and go with them. Those of every other driver count as the
/// cloud's.
const ON_ITS_OWN_SERVERS: [&str; 9] = [
    "driver.longhorn.io",
    "hostpath.csi.k8s.io",
    "io.openebs.csi-mayastor",
    "local.csi.openebs.io",
    "lvm.csi.openebs.io",
    "rook-ceph.cephfs.csi.ceph.com",
    "rook-ceph.rbd.csi.ceph.com",
    "topolvm.io",
    "zfs.csi.openebs.io",
];

/// What is kept of a Service.
pub(super) const SERVICE: Shape = Shape::Keys(&[
    METADATA,
    ("spec", Shape::Keys(&[("type", Shape::Plain)])),
    (
        "status",
        Shape::Keys(&[(
            "loadBalancer",
            Shape::Keys(&[(
                "ingress",
                Shape::Each(16, &Shape::Keys(&[("ip", Shape::Plain), ("hostname", Shape::Plain)])),
            )]),
        )]),
    ),
]);

/// What is kept of a PersistentVolume.
pub(super) const PERSISTENT_VOLUME: Shape = Shape::Keys(&[
    (
        "metadata",
        Shape::Keys(&[
            ("name", Shape::Plain),
            ("uid", Shape::Plain),
            ("annotations", Shape::Keys(&[(PROVISIONED_BY, Shape::Plain), (POLICY_BEFORE, Shape::Plain)])),
        ]),
    ),
    (
        "spec",
        Shape::Keys(&[
            ("csi", Shape::Keys(&[("driver", Shape::Plain), ("volumeHandle", Shape::Plain)])),
            ("capacity", Shape::Keys(&[("storage", Shape::Plain)])),
            ("persistentVolumeReclaimPolicy", Shape::Plain),
            ("claimRef", Shape::Keys(&[("namespace", Shape::Plain), ("name", Shape::Plain), ("uid", Shape::Plain)])),
        ]),
    ),
    ("status", Shape::Keys(&[("phase", Shape::Plain)])),
]);

/// What is kept of a Pod.
pub(super) const POD: Shape = Shape::Keys(&[
    ("metadata", Shape::Keys(&[("name", Shape::Plain), ("namespace", Shape::Plain), ("uid", Shape::Plain)])),
    (
        "spec",
        Shape::Keys(&[(
            "volumes",
            Shape::Each(
                256,
                &Shape::Keys(&[
                    ("name", Shape::Plain),
                    ("persistentVolumeClaim", Shape::Keys(&[("claimName", Shape::Plain)])),
                    ("ephemeral", Shape::Keys(&[])),
                ]),
            ),
        )]),
    ),
]);

/// What is kept where only the name counts.
pub(super) const NAME: Shape =
    Shape::Keys(&[("metadata", Shape::Keys(&[("name", Shape::Plain), ("namespace", Shape::Plain)]))]);

/// What is kept of what Flux makes others of.
pub(super) const MAKER: Shape = Shape::Keys(&[
    (
        "metadata",
        Shape::Keys(&[
            ("name", Shape::Plain),
            ("namespace", Shape::Plain),
            ("annotations", Shape::Keys(&[(MARK, Shape::Plain)])),
        ]),
    ),
    ("spec", Shape::Keys(&[("suspend", Shape::Plain)])),
]);

pub(super) fn services() -> ApiResource {
    core("Service", "services")
}

pub(super) fn persistent_volumes() -> ApiResource {
    core("PersistentVolume", "persistentvolumes")
}

pub(super) fn claims() -> ApiResource {
    core("PersistentVolumeClaim", "persistentvolumeclaims")
}

pub(super) fn pods() -> ApiResource {
    core("Pod", "pods")
}

pub(super) fn quotas() -> ApiResource {
    core("ResourceQuota", "resourcequotas")
}

fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

/// A Service that has, or had, a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BalancedService {
    pub(super) object: ObjectName,
    pub(super) uid: String,
    /// Addresses of its load balancer.
    pub(super) addresses: Vec<String>,
    /// Whether its deletion was asked for.
    pub(super) is_leaving: bool,
}

impl BalancedService {
    /// The uid that a deletion is bound to.
    pub(super) fn known_uid(&self) -> Option<&str> {
        Some(self.uid.as_str()).filter(|uid| !uid.is_empty())
    }

    /// `namespace/name (address)`.
    pub(super) fn shown(&self) -> String {
        match self.addresses.join(", ") {
            addresses if addresses.is_empty() => self.object.to_string(),
            addresses => format!("{} ({addresses})", self.object),
        }
    }

    /// Its load balancer, which stays for this reason.
    pub(super) fn remaining(&self, reason: &str) -> RemainingResource {
        let name = format!("of the Service {}", self.object);
        RemainingResource::new(LOAD_BALANCER, &name, &self.addresses.join(", "), reason).by(NamedBy::Cluster)
    }
}

/// The Services of type LoadBalancer, and those whose controller has not let go of a load balancer yet.
pub(super) fn balanced_services(objects: &[ClusterObject]) -> Vec<BalancedService> {
    let is_balanced = |object: &&ClusterObject| {
        object.body()["spec"]["type"] == "LoadBalancer" || object.has_finalizer(LOAD_BALANCER_FINALIZER)
    };
    let read = |object: &ClusterObject| {
        let ingress = object.body()["status"]["loadBalancer"]["ingress"].as_array();
        let address = |entry: &Value| entry["ip"].as_str().or_else(|| entry["hostname"].as_str()).map(plain);
        BalancedService {
            object: ObjectName::of(object),
            uid: object.uid().unwrap_or_default().to_owned(),
            addresses: ingress.into_iter().flatten().filter_map(address).collect(),
            is_leaving: object.is_leaving(),
        }
    };
    objects.iter().filter(is_balanced).map(read).collect()
}

/// A volume in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloudVolume {
    /// Name of the PersistentVolume.
    pub(super) object: ObjectName,
    driver: String,
    /// Its id in the cloud.
    handle: String,
    size: String,
    phase: String,
    uid: String,
    /// Whether its driver made it.
    is_provisioned: bool,
    /// What happens to it without its claim; blank where that is not said.
    policy: String,
    /// Whether no claim has or had it, so that it was never released.
    pub(super) needs_release: bool,
    pub(super) claim: Option<Claim>,
}

/// The claim that a volume is, or was, bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) object: ObjectName,
    pub(super) uid: Option<String>,
}

impl Claim {
    /// Whether its names and its uid are no longer than Kubernetes allows.
    fn is_valid(&self) -> bool {
        self.object.is_valid() && self.uid.as_deref().is_none_or(bounds::is_uid)
    }
}

impl CloudVolume {
    /// With claim, size, driver and id.
    pub(super) fn shown(&self) -> String {
        format!("{} ({}, driver {}, volume {})", self.object, self.what(), self.driver, self.handle)
    }

    fn what(&self) -> String {
        let claim = match &self.claim {
            Some(claim) => format!("claim {}", claim.object),
            None => "no claim".to_owned(),
        };
        if self.size.is_empty() { claim } else { format!("{claim}, {}", self.size) }
    }

    /// It, which stays for this reason.
    pub(super) fn remaining(&self, reason: &str) -> RemainingResource {
        let name = format!("{} ({})", self.object, self.what());
        RemainingResource::new(VOLUME, &name, &self.handle, reason).by(NamedBy::Cluster)
    }

    /// Why it is still there although its claim was to go.
    pub(super) fn why_still_there(&self, seconds: u64) -> String {
        let phase = if self.phase.is_empty() { "unknown" } else { &self.phase };
        format!("its driver {} did not delete it within {seconds} s (it is {phase})", self.driver)
    }

    /// Why it stays whatever is asked for: no driver deletes a volume that it did not make, and there is no claim to delete.
    pub(super) fn why_kept(&self) -> Option<String> {
        let is_kept = self.claim.is_none() && !self.is_provisioned;
        is_kept.then(|| {
            format!("no claim has it, and it has no annotation {PROVISIONED_BY}, so the driver did not make it")
        })
    }

    /// Whether it goes with its claim.
    pub(super) fn goes_with_claim(&self) -> bool {
        self.policy == DELETE
    }

    /// The patch by which it goes with its claim. The policy that it had is kept beside it, for [`undo`].
    pub(super) fn delete_with_claim(&self) -> Value {
        let mut patch = serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": DELETE}});
        if !self.goes_with_claim() {
            let before = if self.policy.is_empty() { STAYS[0] } else { &self.policy };
            patch["metadata"]["annotations"][POLICY_BEFORE] = before.into();
        }
        patch
    }

    /// The patch by which a volume that no claim has counts as released, and goes. Its own uid is that of no claim.
    pub(super) fn release(&self) -> Value {
        let mut patch = self.delete_with_claim();
        patch["spec"]["claimRef"] = serde_json::json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": NO_CLAIM_NAMESPACE, "name": format!("{NO_CLAIM}{}", self.object.name), "uid": self.uid});
        patch
    }
}

/// The PersistentVolumes that a driver keeps in the cloud.
pub(super) fn cloud_volumes(objects: &[ClusterObject]) -> Vec<CloudVolume> {
    let read = |object: &ClusterObject| {
        let spec = &object.body()["spec"];
        let driver = spec["csi"]["driver"].as_str().filter(|driver| !ON_ITS_OWN_SERVERS.contains(driver))?;
        let text = |value: &Value| value.as_str().map(plain).unwrap_or_default();
        let claim = claim_of(object);
        let is_released = claim.as_ref().is_some_and(|claim| is_of_no_claim(object, claim));
        Some(CloudVolume {
            object: ObjectName::of(object),
            driver: plain(driver),
            handle: text(&spec["csi"]["volumeHandle"]),
            size: text(&spec["capacity"]["storage"]),
            phase: text(&object.body()["status"]["phase"]),
            uid: object.uid().unwrap_or_default().to_owned(),
            is_provisioned: object.body()["metadata"]["annotations"][PROVISIONED_BY].is_string(),
            policy: text(&spec["persistentVolumeReclaimPolicy"]),
            needs_release: claim.is_none(),
            claim: claim.filter(|claim| !is_released && claim.is_valid()),
        })
    };
    objects.iter().filter_map(read).collect()
}

/// The claim that a PersistentVolume is, or was, bound to.
fn claim_of(volume: &ClusterObject) -> Option<Claim> {
    let reference = &volume.body()["spec"]["claimRef"];
    let uid = reference["uid"].as_str().filter(|uid| !uid.is_empty())?;
    let namespace = reference["namespace"].as_str().unwrap_or_default();
    Some(Claim { object: ObjectName::new(namespace, reference["name"].as_str()?), uid: Some(uid.to_owned()) })
}

/// The patch by which a PersistentVolume is again as it was before a cleanup that asked for its deletion; `None` where none did. A policy that
/// somebody changed since stays.
pub(super) fn undo(volume: &ClusterObject) -> Option<Value> {
    let (metadata, spec) = (&volume.body()["metadata"], &volume.body()["spec"]);
    let before = metadata["annotations"][POLICY_BEFORE].as_str();
    let is_released = claim_of(volume).is_some_and(|claim| is_of_no_claim(volume, &claim));
    let mut patch = serde_json::json!({});
    if let Some(before) = before {
        patch["metadata"]["annotations"][POLICY_BEFORE] = Value::Null;
        if spec["persistentVolumeReclaimPolicy"] == DELETE && STAYS.contains(&before) {
            patch["spec"]["persistentVolumeReclaimPolicy"] = before.into();
        }
    }
    if is_released {
        patch["spec"]["claimRef"] = Value::Null;
    }
    (before.is_some() || is_released).then_some(patch)
}

/// Whether it is the claim that is not there, to which a cleanup binds this volume ([`CloudVolume::release`]). Anybody may give a claim
/// such a name, but none has the uid of a volume.
fn is_of_no_claim(volume: &ClusterObject, claim: &Claim) -> bool {
    claim.object.namespace == NO_CLAIM_NAMESPACE
        && claim.object.name.strip_prefix(NO_CLAIM) == Some(volume.name())
        && claim.uid.as_deref().is_some_and(|uid| volume.uid() == Some(uid))
}

/// The claims that a Pod uses.
pub(super) fn claims_of_pod(pod: &ClusterObject) -> Vec<ObjectName> {
    let of = ObjectName::of(pod);
    let volumes = pod.body()["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let claim = |volume: &Value| match volume["persistentVolumeClaim"]["claimName"].as_str() {
        Some(name) => Some(name.to_owned()),
        // A claim that the cluster makes for this Pod alone has this name.
        None if volume["ephemeral"].is_object() => Some(format!("{}-{}", of.name, volume["name"].as_str()?)),
        None => None,
    };
    volumes.iter().filter_map(claim).map(|name| ObjectName::new(&of.namespace, &name)).collect()
}

/// A text of the cluster as a person may see it.
fn plain(text: &str) -> String {
    bounds::plain(text, MAX_TEXT)
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
