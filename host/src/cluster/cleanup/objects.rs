//! What a cleanup reads out of Services, volumes and Pods. Pure: objects in, decisions out. Texts are the cluster's own, so they
//! are cut and made plain before anybody sees them.

use super::api::ObjectName;
use crate::cluster::shorten;
use catalyst_domain::RemainingResource;
use catalyst_domain::remaining::{LOAD_BALANCER, NamedBy, VOLUME};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

/// Finalizer of a Service by which a cloud controller says that its load balancer is not removed yet.
pub(super) const LOAD_BALANCER_FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// Policy of a volume that goes with its claim.
const DELETE: &str = "Delete";
/// Annotation with the driver that made a volume for a claim. A driver deletes no volume without it.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// How the names of claims begin that are not there, to which volumes are bound so that they are released.
const NO_CLAIM: &str = "catalyst-destroy-";
/// Namespace of such a claim.
const NO_CLAIM_NAMESPACE: &str = "default";
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
pub(super) fn balanced_services(objects: &[DynamicObject]) -> Vec<BalancedService> {
    let is_balanced = |object: &&DynamicObject| {
        let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
        object.data["spec"]["type"] == "LoadBalancer" || finalizers.iter().any(|name| name == LOAD_BALANCER_FINALIZER)
    };
    let read = |object: &DynamicObject| {
        let ingress = object.data["status"]["loadBalancer"]["ingress"].as_array();
        let address = |entry: &Value| entry["ip"].as_str().or_else(|| entry["hostname"].as_str()).map(plain);
        BalancedService {
            object: ObjectName::of(object),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            addresses: ingress.into_iter().flatten().filter_map(address).collect(),
            is_leaving: object.metadata.deletion_timestamp.is_some(),
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
    /// Whether it goes with its claim.
    pub(super) goes_with_claim: bool,
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
        let why = format!("its driver {} did not delete it within {seconds} s (it is {phase})", self.driver);
        match self.claim {
            None if !self.is_provisioned => {
                format!(
                    "{why}: no claim has it, and it has no annotation {PROVISIONED_BY}, so the driver did not make it"
                )
            }
            _ => why,
        }
    }

    /// The patch by which a volume that no claim has counts as released, and goes. Its own uid is that of no claim.
    pub(super) fn release(&self) -> Value {
        let claim = serde_json::json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": NO_CLAIM_NAMESPACE,
            "name": format!("{NO_CLAIM}{}", self.object.name), "uid": self.uid});
        serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": DELETE, "claimRef": claim}})
    }
}

/// The PersistentVolumes that a driver keeps in the cloud.
pub(super) fn cloud_volumes(objects: &[DynamicObject]) -> Vec<CloudVolume> {
    let read = |object: &DynamicObject| {
        let spec = &object.data["spec"];
        let driver = spec["csi"]["driver"].as_str().filter(|driver| !ON_ITS_OWN_SERVERS.contains(driver))?;
        let text = |value: &Value| value.as_str().map(plain).unwrap_or_default();
        let reference = &spec["claimRef"];
        let uid = reference["uid"].as_str().filter(|uid| !uid.is_empty());
        let claim = reference["name"].as_str().zip(uid).map(|(name, uid)| Claim {
            object: ObjectName::new(reference["namespace"].as_str().unwrap_or_default(), name),
            uid: Some(uid.to_owned()),
        });
        let is_released = claim.as_ref().is_some_and(|claim| claim.object.name.starts_with(NO_CLAIM));
        Some(CloudVolume {
            object: ObjectName::of(object),
            driver: plain(driver),
            handle: text(&spec["csi"]["volumeHandle"]),
            size: text(&spec["capacity"]["storage"]),
            phase: text(&object.data["status"]["phase"]),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            is_provisioned: object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(PROVISIONED_BY)),
            goes_with_claim: spec["persistentVolumeReclaimPolicy"] == DELETE,
            needs_release: claim.is_none(),
            claim: claim.filter(|_| !is_released),
        })
    };
    objects.iter().filter_map(read).collect()
}

/// The patch by which a volume goes with its claim.
pub(super) fn delete_with_claim() -> Value {
    serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": DELETE}})
}

/// The claims that a Pod uses.
pub(super) fn claims_of_pod(pod: &DynamicObject) -> Vec<ObjectName> {
    let of = ObjectName::of(pod);
    let volumes = pod.data["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
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
    let text: String =
        text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).take(MAX_TEXT).collect();
    shorten(&text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn t6_services_with_a_load_balancer_are_known_by_their_type_or_by_their_finalizer() {
        let services = [
            object(
                json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u1"}, "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "lb.cloud.example"}]}}}),
            ),
            object(
                json!({"metadata": {"namespace": "shop", "name": "api", "uid": "u2"}, "spec": {"type": "ClusterIP"}}),
            ),
            object(
                json!({"metadata": {"namespace": "old", "name": "web", "uid": "u3", "finalizers": [LOAD_BALANCER_FINALIZER],
                "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"type": "ClusterIP"}}),
            ),
        ];
        let found = balanced_services(&services);
        let shown: Vec<String> = found.iter().map(BalancedService::shown).collect();
        assert_eq!(shown, ["shop/web (203.0.113.7, lb.cloud.example)", "old/web"]);
        assert_eq!(found.iter().map(|service| service.is_leaving).collect::<Vec<_>>(), [false, true]);
        let remaining = found[0].remaining("late").to_string();
        assert_eq!(remaining, "load balancer of the Service shop/web (203.0.113.7, lb.cloud.example): late");
    }

    fn volume(source: Value, claim: Value) -> DynamicObject {
        let mut volume = json!({"metadata": {"name": "pvc-1"}, "status": {"phase": "Bound"},
            "spec": {"capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain"}});
        for (key, value) in source.as_object().unwrap() {
            volume["spec"][key] = value.clone();
        }
        if !claim.is_null() {
            volume["spec"]["claimRef"] = claim;
        }
        object(volume)
    }

    #[test]
    fn t6_volumes_of_the_cloud_are_those_of_drivers_that_keep_them_there() {
        let claim = json!({"namespace": "shop", "name": "data-0", "uid": "c1"});
        let csi = |driver: &str| json!({"csi": {"driver": driver, "volumeHandle": "42"}});
        let all = [
            volume(csi("csi.cloud.example"), claim.clone()),
            volume(csi("csi.cloud.example"), Value::Null),
            volume(csi("driver.longhorn.io"), claim.clone()),
            volume(json!({"hostPath": {"path": "/x"}}), claim.clone()),
            volume(json!({"local": {"path": "/x"}}), claim),
        ];
        let found = cloud_volumes(&all);
        let shown: Vec<String> = found.iter().map(CloudVolume::shown).collect();
        assert_eq!(
            shown,
            [
                "pvc-1 (claim shop/data-0, 10Gi, driver csi.cloud.example, volume 42)",
                "pvc-1 (no claim, 10Gi, driver csi.cloud.example, volume 42)",
            ]
        );
        assert!(!found[0].goes_with_claim && found[0].claim.as_ref().unwrap().uid.as_deref() == Some("c1"));
        assert_eq!(found[0].remaining("late").to_string(), "volume pvc-1 (claim shop/data-0, 10Gi) (42): late");
        assert_eq!(
            found[0].why_still_there(9),
            "its driver csi.cloud.example did not delete it within 9 s (it is Bound)"
        );
    }

    #[test]
    fn t6_a_volume_that_no_claim_has_is_released_once() {
        let csi = json!({"csi": {"driver": "csi.cloud.example", "volumeHandle": "42"}});
        let reserved = json!({"namespace": "shop", "name": "data"});
        for claim in [Value::Null, reserved] {
            let mut object = volume(csi.clone(), claim);
            object.metadata.uid = Some("u1".to_owned());
            let found = cloud_volumes(&[object.clone()]).remove(0);
            assert!(found.needs_release && found.claim.is_none());
            assert!(found.why_still_there(9).ends_with("so the driver did not make it"));
            object.data["spec"]["claimRef"] = found.release()["spec"]["claimRef"].clone();
            let released = cloud_volumes(&[object]).remove(0);
            assert!(!released.needs_release && released.claim.is_none(), "it has no Pods, and no claim to delete");
        }
        // One whose claim is gone was released by the cluster itself.
        let gone = volume(csi, json!({"namespace": "shop", "name": "data", "uid": "c1"}));
        assert!(!cloud_volumes(&[gone]).remove(0).needs_release);
    }

    #[test]
    fn t6_claims_of_a_pod_are_those_that_it_names_and_those_that_are_made_for_it() {
        let pod = object(json!({"metadata": {"namespace": "shop", "name": "db-0"}, "spec": {"volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "config", "configMap": {"name": "x"}}]}}));
        let claims: Vec<String> = claims_of_pod(&pod).iter().map(ToString::to_string).collect();
        assert_eq!(claims, ["shop/data-db-0", "shop/db-0-scratch"]);
        assert!(claims_of_pod(&object(json!({"metadata": {"name": "x"}, "spec": {}}))).is_empty());
    }

    #[test]
    fn t6_texts_of_the_cluster_are_cut_and_made_plain() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert!(plain(&"x".repeat(5_000)).len() <= MAX_TEXT);
    }
}
