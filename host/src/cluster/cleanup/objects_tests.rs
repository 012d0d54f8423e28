//! What is read of Services, volumes and Pods.

use super::*;
use serde_json::json;

fn service(value: Value) -> ClusterObject {
    ClusterObject::of(&value, &SERVICE)
}

#[test]
fn t6_services_with_a_load_balancer_are_known_by_their_type_or_by_their_finalizer() {
    let services = [
        service(
            json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u1"}, "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "lb.cloud.example"}]}}}),
        ),
        service(json!({"metadata": {"namespace": "shop", "name": "api", "uid": "u2"}, "spec": {"type": "ClusterIP"}})),
        service(
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

fn volume(source: Value, claim: Value) -> ClusterObject {
    let mut volume = json!({"metadata": {"name": "pvc-1"}, "status": {"phase": "Bound"},
        "spec": {"capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain"}});
    for (key, value) in source.as_object().unwrap() {
        volume["spec"][key] = value.clone();
    }
    if !claim.is_null() {
        volume["spec"]["claimRef"] = claim;
    }
    ClusterObject::of(&volume, &PERSISTENT_VOLUME)
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
    assert!(!found[0].goes_with_claim() && found[0].claim.as_ref().unwrap().uid.as_deref() == Some("c1"));
    assert_eq!(found[0].remaining("late").to_string(), "volume pvc-1 (claim shop/data-0, 10Gi) (42): late");
    assert_eq!(found[0].why_still_there(9), "its driver csi.cloud.example did not delete it within 9 s (it is Bound)");
}

#[test]
fn t6_a_volume_that_no_claim_has_is_released_once() {
    let csi = json!({"driver": "csi.cloud.example", "volumeHandle": "42"});
    let object = |claim: &Value| {
        let value = json!({"metadata": {"name": "pvc-1", "uid": "u1"}, "spec": {"csi": csi, "claimRef": claim}});
        ClusterObject::of(&value, &PERSISTENT_VOLUME)
    };
    for claim in [Value::Null, json!({"namespace": "shop", "name": "data"})] {
        let found = cloud_volumes(&[object(&claim)]).remove(0);
        assert!(found.needs_release && found.claim.is_none());
        assert!(found.why_kept().unwrap().ends_with("so the driver did not make it"));
        let released = cloud_volumes(&[object(&found.release()["spec"]["claimRef"])]).remove(0);
        assert!(!released.needs_release && released.claim.is_none(), "it has no Pods, and no claim to delete");
    }
    // One whose claim is gone was released by the cluster itself.
    let gone = object(&json!({"namespace": "shop", "name": "data", "uid": "c1"}));
    assert!(!cloud_volumes(&[gone]).remove(0).needs_release);
    let made = json!({"metadata": {"name": "pvc-1", "annotations": {(PROVISIONED_BY): "csi.cloud.example"}}, "spec": {"csi": csi}});
    let made = cloud_volumes(&[ClusterObject::of(&made, &PERSISTENT_VOLUME)]).remove(0);
    assert_eq!(made.why_kept(), None);
}

#[test]
fn what_a_cleanup_changed_of_a_volume_is_undone_and_nothing_else_is() {
    let volume = |policy: &str, before: Value, claim: &str| {
        let claim = json!({"namespace": "default", "name": claim, "uid": "u1"});
        let value = json!({"metadata": {"name": "pvc-1", "uid": "u1", "annotations": before}, "spec": {
            "csi": {"driver": "csi.cloud.example"}, "persistentVolumeReclaimPolicy": policy, "claimRef": claim}});
        ClusterObject::of(&value, &PERSISTENT_VOLUME)
    };
    let (none, retain) = (json!({}), json!({(POLICY_BEFORE): "Retain"}));
    let unmarked = json!({"annotations": {(POLICY_BEFORE): null}});
    let restored = json!({"metadata": unmarked, "spec": {"persistentVolumeReclaimPolicy": "Retain"}});
    let released = json!({"metadata": unmarked, "spec": {"persistentVolumeReclaimPolicy": "Retain", "claimRef": null}});
    for (volume, expect) in [
        (volume("Delete", none.clone(), "data"), None),
        (volume("Delete", retain.clone(), "data"), Some(restored)),
        (volume("Delete", retain.clone(), "catalyst-destroy-pvc-1"), Some(released)),
        (volume("Delete", none, "catalyst-destroy-pvc-1"), Some(json!({"spec": {"claimRef": null}}))),
        // Somebody changed it since, or the annotation.
        (volume("Retain", retain, "data"), Some(json!({"metadata": unmarked}))),
        (volume("Delete", json!({(POLICY_BEFORE): "odd"}), "data"), Some(json!({"metadata": unmarked}))),
    ] {
        assert_eq!(undo(&volume), expect, "{:?}", volume.body());
    }
    let kept = cloud_volumes(&[volume("Recycle", json!({}), "data")]).remove(0);
    assert_eq!(kept.delete_with_claim()["metadata"]["annotations"][POLICY_BEFORE], "Recycle");
    let goes = cloud_volumes(&[volume("Delete", json!({}), "data")]).remove(0);
    assert!(goes.delete_with_claim()["metadata"].is_null(), "there is nothing to put back");
}

#[test]
fn a_volume_is_released_only_by_its_own_uid_and_not_by_the_name_of_its_claim() {
    let csi = json!({"driver": "csi.cloud.example", "volumeHandle": "42"});
    let read = |claim: Value| {
        let value = json!({"metadata": {"name": "pvc-1", "uid": "u1"}, "spec": {"csi": csi, "claimRef": claim}});
        cloud_volumes(&[ClusterObject::of(&value, &PERSISTENT_VOLUME)]).remove(0)
    };
    let released = read(json!({"namespace": "default", "name": "catalyst-destroy-pvc-1", "uid": "u1"}));
    assert!(released.claim.is_none() && !released.needs_release);
    for (namespace, name, uid) in [
        ("default", "catalyst-destroy-pvc-1", "c1"),
        ("shop", "catalyst-destroy-pvc-1", "u1"),
        ("default", "catalyst-destroy-pvc-12", "u1"),
        ("default", "catalyst-destroy-", "u1"),
    ] {
        let volume = read(json!({"namespace": namespace, "name": name, "uid": uid}));
        assert_eq!(volume.claim.map(|claim| claim.object), Some(ObjectName::new(namespace, name)), "a tenant's claim");
    }
    let long = read(json!({"namespace": "shop", "name": "x".repeat(254), "uid": "c1"}));
    assert!(long.claim.is_none() && !long.needs_release, "not acted on");
}

#[test]
fn t6_claims_of_a_pod_are_those_that_it_names_and_those_that_are_made_for_it() {
    let pod = |value: Value| ClusterObject::of(&value, &POD);
    let db = pod(json!({"metadata": {"namespace": "shop", "name": "db-0"}, "spec": {"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "config", "configMap": {"name": "x"}}]}}));
    let claims: Vec<String> = claims_of_pod(&db).iter().map(ToString::to_string).collect();
    assert_eq!(claims, ["shop/data-db-0", "shop/db-0-scratch"]);
    assert!(claims_of_pod(&pod(json!({"metadata": {"name": "x"}, "spec": {}}))).is_empty());
}

#[test]
fn t6_texts_of_the_cluster_are_cut_and_made_plain() {
    assert_eq!(plain("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    assert!(plain(&"x".repeat(5_000)).len() <= MAX_TEXT);
}
