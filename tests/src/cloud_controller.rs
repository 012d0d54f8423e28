//! Plays the controllers of a cloud on a real API server: Services with a load balancer, and volumes with their claims. They go only
//! when a test says that the cloud has removed what is behind them.

use crate::kube::Cluster;
use anyhow::Context;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// By which a cloud controller holds a Service until its load balancer is removed.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

impl Cluster {
    /// Creates a Service of type LoadBalancer that has its load balancer.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn balanced_service(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let api = self.namespaced::<Service>(namespace);
        let service = json!({"metadata": {"name": name, "finalizers": [FINALIZER]},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}}});
        api.create(&PostParams::default(), &serde_json::from_value(service)?).await.context("creating a Service")?;
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.context("its address")?;
        Ok(())
    }

    /// Whether the deletion of a Service was asked for.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn service_is_leaving(&self, namespace: &str, name: &str) -> anyhow::Result<bool> {
        let service = self.namespaced::<Service>(namespace).get_opt(name).await?;
        Ok(service.is_none_or(|service| service.metadata.deletion_timestamp.is_some()))
    }

    /// The cloud has removed the load balancer, so the Service may go.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove_load_balancer(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let_go(&self.namespaced::<Service>(namespace), name).await
    }

    /// Creates a claim, the volume that a driver of the cloud made for it, and a Pod that uses it. The volume stays without its claim.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn cloud_volume(&self, namespace: &str, claim: &str, volume: &str, handle: &str) -> anyhow::Result<()> {
        let claims = self.namespaced::<PersistentVolumeClaim>(namespace);
        let resources = json!({"requests": {"storage": "10Gi"}});
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": resources, "volumeName": volume, "storageClassName": ""});
        let object = json!({"metadata": {"name": claim}, "spec": spec});
        let made = claims.create(&PostParams::default(), &serde_json::from_value(object)?).await;
        let uid = made.context("creating a claim")?.metadata.uid;
        let volumes: Api<PersistentVolume> = Api::all(self.client());
        let object = json!({"metadata": {"name": volume}, "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": "csi.cloud.example", "volumeHandle": handle},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim, "uid": uid}}});
        volumes.create(&PostParams::default(), &serde_json::from_value(object)?).await.context("creating a volume")?;
        let accounts = self.namespaced::<ServiceAccount>(namespace);
        // What a controller makes in a real cluster; a Pod needs it.
        if accounts.get_opt("default").await?.is_none() {
            let account = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
            accounts.create(&PostParams::default(), &account).await.context("creating an account")?;
        }
        let pod = json!({"metadata": {"name": format!("uses-{claim}")}, "spec": {
            "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "registry.example/c"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}});
        let pods = self.namespaced::<Pod>(namespace);
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await.context("creating a Pod")?;
        Ok(())
    }

    /// What became of a volume: its policy, whether its claim is leaving, and whether the Pod that uses it is there.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn volume(&self, namespace: &str, claim: &str, volume: &str) -> anyhow::Result<(String, bool, bool)> {
        let volumes: Api<PersistentVolume> = Api::all(self.client());
        let policy = volumes.get(volume).await?.spec.and_then(|spec| spec.persistent_volume_reclaim_policy);
        let claims = self.namespaced::<PersistentVolumeClaim>(namespace);
        let claim_object = claims.get_opt(claim).await?;
        let is_leaving = claim_object.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some());
        let pod = self.namespaced::<Pod>(namespace).get_opt(&format!("uses-{claim}")).await?;
        Ok((policy.unwrap_or_default(), is_leaving, pod.is_some()))
    }

    /// The cloud has deleted the volume, so claim and volume go.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove_volume(&self, namespace: &str, claim: &str, volume: &str) -> anyhow::Result<()> {
        let_go(&self.namespaced::<PersistentVolumeClaim>(namespace), claim).await?;
        let volumes: Api<PersistentVolume> = Api::all(self.client());
        volumes.delete(volume, &DeleteParams::default()).await?;
        let_go(&volumes, volume).await
    }

    /// Whether every object of Flux in `flux-system` that makes others is suspended.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn flux_is_suspended(&self) -> anyhow::Result<bool> {
        let makers = self.makers().await?;
        Ok(!makers.is_empty() && makers.iter().all(|maker| maker.data["spec"]["suspend"] == Value::Bool(true)))
    }

    fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), namespace)
    }
}

/// Takes the finalizers of an object away.
async fn let_go<K>(api: &Api<K>, name: &str) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug,
{
    let patch = json!({"metadata": {"finalizers": null}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .with_context(|| format!("letting {name} go"))?;
    Ok(())
}
