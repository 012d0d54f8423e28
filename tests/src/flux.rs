//! Plays Flux on a real API server: its kinds, and objects whose status moves in the shapes that its controllers write.
//!
//! Shapes from helm-controller's and kustomize-controller's API: conditions with `observedGeneration`, a status that
//! begins at generation −1, an inventory of `<namespace>_<name>_<group>_<kind>`.

use crate::kube::Cluster;
use anyhow::{Context, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NAMESPACE: &str = "flux-system";
const HELM: (&str, &str, &str, &str) = ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
const KUSTOMIZE: (&str, &str, &str, &str) = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations");
const GIT: (&str, &str, &str, &str) = ("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories");
/// In the version that Flux served before it was stable.
const CHART: (&str, &str, &str, &str) = ("source.toolkit.fluxcd.io", "v1beta2", "HelmChart", "helmcharts");

/// How a release stands, as helm-controller tells it.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// Created; the controller has not looked.
    New,
    /// Waits for another release.
    WaitsFor(&'a str),
    /// Its chart is not there yet.
    WaitsForChart,
    /// Its chart is not there, for this reason.
    WaitsForSource(&'a str),
    /// Its chart was made just now, and helm-controller does not see it yet.
    SourceNotSeen,
    /// The controller begins to look at it once more.
    Checked,
    /// Helm installs it.
    Installing,
    /// Helm installed it.
    Installed,
    /// The install failed and nobody tries again.
    InstallFailed(&'a str),
    /// The install failed and Flux tries again.
    Retried(&'a str),
    /// The install failed as often as it may.
    RetriesExceeded,
}

impl Cluster {
    /// Adds Flux's kinds and waits until they are served.
    ///
    /// # Errors
    /// When the API server refuses or does not serve them within 30 s.
    pub async fn install_flux_kinds(&self) -> anyhow::Result<()> {
        self.install_kinds(&[HELM, KUSTOMIZE]).await
    }

    /// Adds the kinds of sources that [`Self::git_repository`] and [`Self::helm_chart`] need.
    ///
    /// # Errors
    /// As [`Self::install_flux_kinds`].
    pub async fn install_source_kinds(&self) -> anyhow::Result<()> {
        self.install_kinds(&[GIT, CHART]).await
    }

    async fn install_kinds(&self, kinds: &[(&str, &str, &str, &str)]) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        for kind in kinds.iter().copied() {
            let definition = serde_json::from_value(definition(kind))?;
            api.create(&PostParams::default(), &definition).await.with_context(|| format!("creating {}", kind.3))?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        for kind in kinds.iter().copied() {
            while self.objects(kind).list(&Default::default()).await.is_err() {
                if Instant::now() > until {
                    bail!("{} is not served", kind.3);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Creates a release where it is missing, and moves its status.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn release(&self, name: &str, stage: Stage<'_>) -> anyhow::Result<()> {
        let api = self.objects(HELM);
        let source = json!({"kind": "HelmRepository", "name": "openova"});
        let chart = json!({"spec": {"chart": name, "version": "1.2.3", "sourceRef": source}});
        let spec = json!({"interval": "15m", "chart": chart});
        let object = self.ensure(&api, HELM, name, spec).await?;
        let status = status(stage, object.metadata.generation.unwrap_or_default());
        self.set_status(&api, name, status).await
    }

    /// Changes a release's spec, so that its status speaks of an older generation.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn change_release(&self, name: &str, change: Value) -> anyhow::Result<()> {
        let patch = json!({"spec": change});
        self.objects(HELM).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Deletes a release.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_release(&self, name: &str) -> anyhow::Result<()> {
        self.objects(HELM).delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Creates the Kustomization `bootstrap-kit` where it is missing, and sets its inventory: the releases that it
    /// applied, or none yet.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn bootstrap_kit(&self, releases: Option<&[&str]>) -> anyhow::Result<()> {
        let api = self.objects(KUSTOMIZE);
        let spec = json!({"interval": "5m", "path": "./clusters/x", "prune": true,
            "sourceRef": {"kind": "GitRepository", "name": "openova"}});
        let object = self.ensure(&api, KUSTOMIZE, "bootstrap-kit", spec).await?;
        let generation = object.metadata.generation.unwrap_or_default();
        let Some(releases) = releases else {
            let conditions = [condition("Ready", "Unknown", "Progressing", "Building manifests", generation)];
            return self
                .set_status(&api, "bootstrap-kit", json!({"observedGeneration": -1, "conditions": conditions}))
                .await;
        };
        let mut entries = vec![json!({"id": "_flux-system__Namespace", "v": "v1"})];
        for name in releases {
            entries.push(json!({"id": format!("{NAMESPACE}_{name}_{}_HelmRelease", HELM.0), "v": "v2"}));
        }
        let conditions = [condition("Ready", "True", "ReconciliationSucceeded", "Applied revision: main", generation)];
        let status =
            json!({"observedGeneration": generation, "conditions": conditions, "inventory": {"entries": entries}});
        self.set_status(&api, "bootstrap-kit", status).await
    }

    /// Creates the Kustomization `bootstrap-kit` where it is missing, and lets it say that it is not ready.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn bootstrap_kit_fails(&self, reason: &str, message: &str) -> anyhow::Result<()> {
        self.bootstrap_kit(None).await?;
        self.says(KUSTOMIZE, "bootstrap-kit", json!({}), ("False", reason, message)).await
    }

    /// Creates the GitRepository of the kit where it is missing, or changes its `spec.ref`, and sets `Ready`: status, reason
    /// and message.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn git_repository(&self, reference: Value, ready: (&str, &str, &str)) -> anyhow::Result<()> {
        let spec = json!({"interval": "1m", "url": "https://git.example/kit", "ref": reference});
        self.says(GIT, "openova", spec, ready).await
    }

    /// Creates the HelmChart of a release where it is missing, and sets `Ready`: status, reason and message.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn helm_chart(&self, release: &str, ready: (&str, &str, &str)) -> anyhow::Result<()> {
        let spec = json!({"chart": release, "sourceRef": {"kind": "HelmRepository", "name": "openova"}});
        self.says(CHART, &format!("{NAMESPACE}-{release}"), spec, ready).await
    }

    async fn says(
        &self,
        kind: (&str, &str, &str, &str),
        name: &str,
        spec: Value,
        (status, reason, message): (&str, &str, &str),
    ) -> anyhow::Result<()> {
        let api = self.objects(kind);
        self.ensure(&api, kind, name, spec.clone()).await?;
        let object = api.patch(name, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec}))).await?;
        let generation = object.metadata.generation.unwrap_or_default();
        let conditions = [condition("Ready", status, reason, message, generation)];
        let observed = if status == "True" { generation } else { -1 };
        self.set_status(&api, name, json!({"observedGeneration": observed, "conditions": conditions})).await
    }

    /// The Kustomizations and HelmReleases.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn makers(&self) -> anyhow::Result<Vec<DynamicObject>> {
        let mut all = Vec::new();
        for kind in [KUSTOMIZE, HELM] {
            all.extend(self.objects(kind).list(&Default::default()).await?.items);
        }
        Ok(all)
    }

    fn objects(&self, kind: (&str, &str, &str, &str)) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), NAMESPACE, &resource(kind))
    }

    async fn ensure(
        &self,
        api: &Api<DynamicObject>,
        kind: (&str, &str, &str, &str),
        name: &str,
        spec: Value,
    ) -> anyhow::Result<DynamicObject> {
        if let Some(object) = api.get_opt(name).await? {
            return Ok(object);
        }
        let object = DynamicObject::new(name, &resource(kind)).within(NAMESPACE).data(json!({"spec": spec}));
        api.create(&PostParams::default(), &object).await.with_context(|| format!("creating {name}"))
    }

    async fn set_status(&self, api: &Api<DynamicObject>, name: &str, status: Value) -> anyhow::Result<()> {
        let patch = json!({"status": status});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .with_context(|| format!("setting the status of {name}"))?;
        Ok(())
    }
}

fn resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn definition((group, version, kind, plural): (&str, &str, &str, &str)) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    })
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, generation: i64) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": now})
}

/// The whole status: a condition that is not named here is taken away.
fn status(stage: Stage<'_>, generation: i64) -> Value {
    let one = |kind, status, reason, message: &str| condition(kind, status, reason, message, generation);
    let working = || one("Reconciling", "True", "ProgressingWithRetry", "Fulfilling prerequisites");
    let failure = |message: &str| {
        [one("Released", "False", "InstallFailed", message), one("Ready", "False", "InstallFailed", message)]
    };
    let (observed, conditions) = match stage {
        Stage::New => return json!({"observedGeneration": -1, "conditions": null}),
        Stage::WaitsFor(other) => {
            let message = format!("dependency '{NAMESPACE}/{other}' is not ready");
            (-1, vec![working(), one("Ready", "False", "DependencyNotReady", &message)])
        }
        Stage::WaitsForChart => {
            let message = format!(
                "HelmChart '{NAMESPACE}/{NAMESPACE}-chart' is not ready: latest generation of object has not been reconciled"
            );
            (-1, vec![working(), one("Ready", "False", "SourceNotReady", &message)])
        }
        Stage::WaitsForSource(why) => {
            let message = format!("HelmChart '{NAMESPACE}/{NAMESPACE}-chart' is not ready: {why}");
            (-1, vec![working(), one("Ready", "False", "SourceNotReady", &message)])
        }
        Stage::SourceNotSeen => {
            let message =
                "could not get Source object: helmcharts.source.toolkit.fluxcd.io \"flux-system-chart\" not found";
            (-1, vec![working(), one("Ready", "False", "ArtifactFailed", message)])
        }
        Stage::Checked => (-1, vec![working(), one("Ready", "Unknown", "Progressing", "Fulfilling prerequisites")]),
        Stage::Installing => {
            let message = "Running 'install' action with timeout of 5m0s";
            (
                -1,
                vec![
                    one("Reconciling", "True", "Progressing", message),
                    one("Ready", "Unknown", "Progressing", message),
                ],
            )
        }
        Stage::Installed => {
            let message = "Helm install succeeded for release x/x.v1 with chart x@1.2.3";
            let both = ["Ready", "Released"].map(|kind| one(kind, "True", "InstallSucceeded", message));
            (generation, both.to_vec())
        }
        Stage::InstallFailed(message) => (generation, failure(message).to_vec()),
        Stage::Retried(message) => (-1, [working()].into_iter().chain(failure(message)).collect()),
        Stage::RetriesExceeded => {
            let stalled = one("Stalled", "True", "RetriesExceeded", "Failed to install after 4 attempt(s)");
            (generation, [stalled].into_iter().chain(failure("Helm install failed: timed out waiting")).collect())
        }
    };
    json!({"observedGeneration": observed, "conditions": conditions})
}
