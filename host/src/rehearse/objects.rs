//! The objects of the double, in the shapes that Flux 2 gives them. Pure.
//!
//! Source: helm-controller's `api/v2` (HelmRelease, conditions, history) and kustomize-controller's `api/v1` (inventory).

use super::kit::{KIT, Look, RETRIES, Release};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where Flux lives.
pub(super) const NAMESPACE: &str = "flux-system";
/// The one pod: helm-controller's.
pub(super) const POD: &str = "helm-controller-5d8d5f7c6b-rhrsl";
/// Version of every chart of the film.
const CHART_VERSION: &str = "1.0.0";

/// What the double serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    HelmRelease,
    Kustomization,
    Pod,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::HelmRelease, Self::Kustomization, Self::Pod];

    /// `apiVersion`.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::HelmRelease => "helm.toolkit.fluxcd.io/v2",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io/v1",
            Self::Pod => "v1",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HelmRelease => "HelmRelease",
            Self::Kustomization => "Kustomization",
            Self::Pod => "Pod",
        }
    }

    /// As people type them.
    pub(super) fn short_names(self) -> &'static [&'static str] {
        match self {
            Self::HelmRelease => &["hr"],
            Self::Kustomization => &["ks"],
            Self::Pod => &["po"],
        }
    }

    /// As in URLs.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::HelmRelease => "helmreleases",
            Self::Kustomization => "kustomizations",
            Self::Pod => "pods",
        }
    }
}

/// A release, or nothing before it is applied.
pub(super) fn release(release: &Release, look: Look, now: Timestamp) -> Option<Value> {
    if look == Look::Absent {
        return None;
    }
    let chart = release.name;
    let short = chart.strip_prefix("bp-").unwrap_or(chart);
    let needs: Vec<Value> = release.needs.iter().map(|name| json!({"name": name})).collect();
    let mut body = json!({
        "metadata": {"name": chart, "namespace": NAMESPACE, "generation": 1, "labels": {
            "kustomize.toolkit.fluxcd.io/name": "bootstrap-kit",
            "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE,
        }},
        "spec": {
            "interval": "15m",
            "releaseName": short,
            "targetNamespace": short,
            "chart": {"spec": {"chart": chart, "version": CHART_VERSION,
                "sourceRef": {"kind": "HelmRepository", "name": chart}}},
            "install": {"remediation": {"retries": RETRIES}},
            "upgrade": {"remediation": {"retries": RETRIES}},
            "dependsOn": needs,
        },
    });
    if let Some(status) = status(release, look, now) {
        body["status"] = status;
    }
    Some(body)
}

fn status(release: &Release, look: Look, now: Timestamp) -> Option<Value> {
    let time = seconds(now);
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": time})
    };
    let (chart, short) = (release.name, release.name.strip_prefix("bp-").unwrap_or(release.name));
    let target = format!("{short}/{short}.v1 with chart {chart}@{CHART_VERSION}");
    let running = "Running 'install' action with timeout of 15m0s";
    let broken = format!("Helm install failed for release {target}: context deadline exceeded (asked for by --fail)");
    let conditions = match look {
        Look::Absent | Look::Fresh => return None,
        Look::Waits(need) => {
            let message = format!("dependency '{NAMESPACE}/{need}' is not ready");
            vec![condition("Ready", "False", "DependencyNotReady", &message)]
        }
        Look::Installing(0) => vec![
            condition("Reconciling", "True", "Progressing", running),
            condition("Ready", "Unknown", "Progressing", running),
        ],
        Look::Installing(_) => vec![
            condition("Reconciling", "True", "ProgressingWithRetry", running),
            condition("Ready", "Unknown", "ProgressingWithRetry", running),
            condition("Released", "False", "InstallFailed", &broken),
        ],
        Look::FailedOnce(_) => vec![
            condition("Reconciling", "True", "ProgressingWithRetry", "retrying after a failed install"),
            condition("Ready", "False", "InstallFailed", &broken),
            condition("Released", "False", "InstallFailed", &broken),
        ],
        Look::Failed => {
            let stalled = format!("Failed to install after {} attempt(s)", RETRIES + 1);
            vec![
                condition("Stalled", "True", "RetriesExceeded", &stalled),
                condition("Ready", "False", "InstallFailed", &broken),
                condition("Released", "False", "InstallFailed", &broken),
            ]
        }
        Look::Installed => {
            let message = format!("Helm install succeeded for release {target}");
            vec![
                condition("Ready", "True", "InstallSucceeded", &message),
                condition("Released", "True", "InstallSucceeded", &message),
            ]
        }
    };
    let mut status = json!({"observedGeneration": 1, "conditions": conditions});
    let outcome = match look {
        Look::Installed => Some("deployed"),
        Look::FailedOnce(_) | Look::Failed => Some("failed"),
        _ => None,
    };
    if let Some(outcome) = outcome {
        status["history"] = json!([{"name": short, "namespace": short, "version": 1, "status": outcome,
            "chartName": chart, "chartVersion": CHART_VERSION, "firstDeployed": time, "lastDeployed": time}]);
    }
    Some(status)
}

/// What the Kustomization of the kit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KitLook {
    /// Not applied yet: no inventory.
    Coming,
    /// Applied; it waits for the health of the releases.
    Applied,
    /// A release failed for good.
    Unhealthy,
    /// Everything is there.
    Ready,
}

impl KitLook {
    /// What follows from the releases.
    pub(super) fn of(looks: &[Look]) -> Self {
        if looks.contains(&Look::Absent) {
            Self::Coming
        } else if looks.contains(&Look::Failed) {
            Self::Unhealthy
        } else if looks.iter().all(|look| *look == Look::Installed) {
            Self::Ready
        } else {
            Self::Applied
        }
    }
}

/// The Kustomization of the kit.
pub(super) fn kustomization(look: KitLook, now: Timestamp) -> Value {
    let (status, reason, message) = match look {
        KitLook::Coming => ("Unknown", "Progressing", "Building manifests for revision main@sha1:double"),
        KitLook::Applied => ("Unknown", "Progressing", "Running health checks for revision main@sha1:double"),
        KitLook::Unhealthy => ("False", "HealthCheckFailed", "health check failed: a HelmRelease is stalled"),
        KitLook::Ready => ("True", "ReconciliationSucceeded", "Applied revision: main@sha1:double"),
    };
    let mut body = json!({
        "metadata": {"name": "bootstrap-kit", "namespace": NAMESPACE, "generation": 1},
        "spec": {"interval": "5m", "path": "./clusters/_template/bootstrap-kit", "prune": true, "wait": true,
            "sourceRef": {"kind": "GitRepository", "name": "openova"}},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": status, "reason": reason,
            "message": message, "observedGeneration": 1, "lastTransitionTime": seconds(now)}]},
    });
    if look != KitLook::Coming {
        let entries: Vec<Value> = KIT
            .iter()
            .map(|r| json!({"id": format!("{NAMESPACE}_{}_helm.toolkit.fluxcd.io_HelmRelease", r.name), "v": "v2"}))
            .collect();
        body["status"]["inventory"] = json!({"entries": entries});
    }
    body
}

/// The pod of helm-controller, so that its log can be followed.
pub(super) fn pod() -> Value {
    json!({
        "metadata": {"name": POD, "namespace": NAMESPACE, "labels": {"app": "helm-controller"}},
        "spec": {"containers": [{"name": "manager", "image": "ghcr.io/fluxcd/helm-controller"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "manager", "ready": true, "restartCount": 0,
                "image": "ghcr.io/fluxcd/helm-controller", "imageID": "", "state": {"running": {}}}]},
    })
}

/// What helm-controller prints when a release changes its look.
pub(super) fn log_line(release: &Release, look: Look, now: Timestamp) -> Option<String> {
    let (level, message) = match look {
        Look::Absent | Look::Fresh => return None,
        Look::Waits(need) => ("info", format!("dependency '{NAMESPACE}/{need}' is not ready, requeuing in 30s")),
        Look::Installing(_) => ("info", "running 'install' action with timeout of 15m0s".to_owned()),
        Look::FailedOnce(_) => ("error", "install failed, retrying".to_owned()),
        Look::Failed => ("error", "install retries exhausted".to_owned()),
        Look::Installed => ("info", "release in-sync with desired state".to_owned()),
    };
    let line = json!({"level": level, "ts": now.to_string(), "msg": message, "controller": "helmrelease",
        "HelmRelease": {"name": release.name, "namespace": NAMESPACE}, "namespace": NAMESPACE, "name": release.name});
    Some(line.to_string())
}

/// A time as Kubernetes writes it: whole seconds.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
