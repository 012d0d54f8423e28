//! Every object of every value set, shown to a real API server with a dry run on its side: its schemas, defaults, validation
//! and admission say whether it would be taken.

use super::*;
use catalyst_tests::kube::{Cluster, Kinds, Options};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, ValidationDirective};
use kube::discovery::{Scope, pinned_kind};
use serde_json::json;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "catalyst";

/// Kinds that are not Kubernetes' own: group, version, kind, plural, and the fields of the spec that the chart sets, as the
/// kinds' makers define them. A field that is not here is refused.
fn definitions() -> Vec<Value> {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let list = |item: Value| json!({"type": "array", "items": item});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let number = json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535});
    let duration = json!({"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"});
    let parent = object(json!({"name": text, "namespace": text, "sectionName": text, "port": number}));
    let path = object(
        json!({"type": {"enum": ["Exact", "PathPrefix", "RegularExpression"], "type": "string"}, "value": text}),
    );
    let rewrite = object(json!({"path": object(json!({"type": text, "replacePrefixMatch": text})), "hostname": text}));
    let rule = object(json!({
        "matches": list(object(json!({"path": path}))),
        "filters": list(object(json!({"type": text, "urlRewrite": rewrite}))),
        "timeouts": object(json!({"request": duration, "backendRequest": duration})),
        "backendRefs": list(object(json!({"name": text, "port": number}))),
    }));
    let endpoint = object(json!({"port": text, "path": text, "interval": duration}));
    let alert = json!({"type": "object", "required": ["expr"], "properties":
        {"alert": text, "expr": text, "for": duration, "labels": texts, "annotations": texts}});
    let group = json!({"type": "object", "required": ["name"], "properties": {"name": text, "rules": list(alert)}});
    [
        ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes",
         json!({"parentRefs": list(parent), "hostnames": list(text.clone()), "rules": list(rule)})),
        ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors",
         json!({"selector": object(json!({"matchLabels": texts})), "endpoints": list(endpoint)})),
        ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules", json!({"groups": list(group)})),
    ]
    .map(|(group, version, kind, plural, spec)| {
        json!({
            "metadata": {
                "name": format!("{plural}.{group}"),
                // Groups of Kubernetes' own want to know who approved a kind.
                "annotations": {"api-approved.kubernetes.io": "unapproved, a definition for tests"},
            },
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "properties": {"spec": object(spec), "status": open}}}}],
            },
        })
    })
    .into()
}

/// A cluster with the kinds, and a namespace that takes restricted Pods only.
async fn cluster() -> Cluster {
    let cluster = Cluster::start(Options { kinds: Kinds::None, ..Options::default() }).await.unwrap();
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for definition in definitions() {
        api.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    show(&cluster, &namespace, Run::Real).await.unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    for definition in definitions() {
        let spec = &definition["spec"];
        let kind =
            GroupVersionKind::gvk(spec["group"].as_str().unwrap(), "v1", spec["names"]["kind"].as_str().unwrap());
        while pinned_kind(&cluster.client(), &kind).await.is_err() {
            assert!(Instant::now() < until, "{} is not served", kind.kind);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    cluster
}

#[derive(Clone, Copy, PartialEq)]
enum Run {
    Dry,
    Real,
}

/// Applies an object as `kubectl apply --server-side --validate=strict` does.
async fn show(cluster: &Cluster, object: &Value, run: Run) -> Result<DynamicObject, kube::Error> {
    let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", object["apiVersion"].as_str().unwrap()),
    };
    let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    let (resource, capabilities) = pinned_kind(&cluster.client(), &kind).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(cluster.client(), &resource),
        Scope::Namespaced => Api::namespaced_with(cluster.client(), NAMESPACE, &resource),
    };
    let params = PatchParams {
        dry_run: run == Run::Dry,
        force: true,
        field_manager: Some("helm".to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    api.patch(object["metadata"]["name"].as_str().unwrap(), &params, &Patch::Apply(object)).await
}

/// The Pod that a Deployment's controller would make.
fn pod_of(deployment: &Value) -> Value {
    let template = &deployment["spec"]["template"];
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "labels": template["metadata"]["labels"]},
           "spec": template["spec"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_takes_every_object_of_every_value_set() {
    let cluster = cluster().await;
    let mut shown = 0;
    for set in SETS {
        let objects = objects(set);
        // A Pod's account must really be there for the Pod to be taken.
        show(&cluster, only(&objects, "ServiceAccount"), Run::Real).await.unwrap();
        for object in &objects {
            let taken = show(&cluster, object, Run::Dry).await;
            assert!(taken.is_ok(), "{set}: {} {}: {:?}", object["kind"], object["metadata"]["name"], taken.err());
            shown += 1;
        }
        let pod = show(&cluster, &pod_of(only(&objects, "Deployment")), Run::Dry).await;
        let pod = pod.unwrap_or_else(|error| panic!("{set}: its Pod: {error}"));
        let sent = super::pod(&objects)["volumes"].as_array().unwrap();
        for volume in sent.iter().filter(|volume| volume.get("image").is_some()) {
            let kept =
                pod.data["spec"]["volumes"].as_array().unwrap().iter().any(|kept| kept["image"] == volume["image"]);
            assert!(kept, "{set}: the server dropped {volume}");
        }
    }
    assert!(shown >= 30, "only {shown} objects were rendered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_takes_them_refuses_what_is_wrong() {
    let cluster = cluster().await;
    let objects = objects("gateway");
    show(&cluster, only(&objects, "ServiceAccount"), Run::Real).await.unwrap();
    for (kind, pointer, value) in [
        ("Deployment", "/spec/template/spec/containers/0/livenessProb", json!({})),
        ("Deployment", "/spec/template/spec/containers/0/ports/0/containerPort", json!(99_999)),
        ("HTTPRoute", "/spec/rules/0/timeout", json!({})),
        ("HTTPRoute", "/spec/rules/0/timeouts/request", json!("never")),
        ("ServiceMonitor", "/spec/endpoints/0/intervall", json!("30s")),
        ("PrometheusRule", "/spec/groups/0/rules/0/expr", json!(null)),
        ("NetworkPolicy", "/spec/policyTypes", json!(["Inside"])),
    ] {
        let mut object = only(&objects, kind).clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value;
        assert!(show(&cluster, &object, Run::Dry).await.is_err(), "{kind} {pointer} was taken");
    }
    let mut pod = pod_of(only(&objects, "Deployment"));
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = show(&cluster, &pod, Run::Dry).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_changes_and_removes_a_release_and_what_must_not_be_lost_stays() {
    let cluster = cluster().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig").display().to_string();
    std::fs::write(&kubeconfig, cluster.kubeconfig()).unwrap();
    let did = |arguments: &[&str]| {
        let output = helm(&[arguments, &["--namespace", NAMESPACE, "--kubeconfig", &kubeconfig]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        words(&output)
    };
    let notes = did(&["install", "cat", "chart", "--values", &values("default")]);
    assert!(
        notes.contains("NO PUBLIC URL IS SET") && notes.contains("Secret catalyst-auth-tokens is there"),
        "{notes}"
    );
    let notes = did(&["upgrade", "cat", "chart", "--values", &values("gateway")]);
    assert!(notes.contains("https://console.example.org/sovereign/api/v1/deployments"), "{notes}");
    let notes = did(&["upgrade", "cat", "chart", "--values", &values("reference")]);
    assert!(notes.contains("ANYBODY WHO REACHES THE SERVICE"), "{notes}");
    did(&["upgrade", "cat", "chart", "--values", &values("default")]);
    did(&["uninstall", "cat"]);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client(), NAMESPACE);
    assert!(claims.get("cat-catalyst").await.is_ok(), "the claim went with the release");
}
