//! The shapes of answers, built from a record, and the one shape of failures.

use catalyst_domain::dns::PoolDns;
use catalyst_domain::event::{seconds, whole_second};
use catalyst_domain::{
    Creator, DeploymentId, Finding, LeftResource, Record, RemainingResource, ResultInfo, SecretValue, Status,
};
use catalyst_store::Store;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A deployment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Sixteen lower-case hex characters.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// Where it stands.
    status: Status,
    /// DNS name of the new cluster.
    #[serde(rename = "sovereignFQDN")]
    sovereign_fqdn: String,
    /// Region of its first servers.
    region: String,
    /// Who created it; absent where callers are not known, and for deployments of older releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<Creator>,
    /// When it was created; UTC, whole seconds.
    #[schema(format = DateTime)]
    started_at: String,
    /// When its last run ended; `null` while one is going on.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// Entries of its log.
    num_events: u64,
    /// Why it failed, in plain words; of one that is `ready`, what is wrong with what is kept of it. Absent otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    error: String,
    /// What the run that failed, or was interrupted, left in the cloud, first what is in no state of OpenTofu: at most 250 resources.
    /// Also there where a deployment is destroyed and something was made that its state never had. Absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    left: Vec<LeftResource>,
    /// How many more there are than those in `left`; absent where it names all.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_more: Option<u64>,
    /// What the last destroy saw in the cloud and did not remove, such as volumes of the cluster: at most 100. Absent otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    remaining: Vec<RemainingResource>,
    /// What is known of the new cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultInfo>,
    /// Component id → `pending`, `installing`, `installed`, `degraded` or `failed`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    component_states: BTreeMap<String, String>,
    /// When the watch of the new cluster ended; UTC, whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    phase1_finished_at: Option<String>,
    /// How far the name in a pool is; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<PoolDns>,
}

/// What was begun, and where to follow it. No `Debug`: it may hold a token.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// Sixteen lower-case hex characters.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// Where it stands now.
    status: Status,
    /// Path of its event stream.
    #[serde(rename = "streamURL")]
    stream_url: String,
    /// Opens this deployment alone, as a bearer; told in the answer of a create, where callers are known.
    #[serde(rename = "readToken", skip_serializing_if = "Option::is_none")]
    read_token: Option<String>,
}

impl Begun {
    /// A deployment that goes on from this status.
    pub fn new(id: &DeploymentId, status: Status) -> Self {
        Self { id: id.to_string(), status, stream_url: stream_url(id), read_token: None }
    }

    /// The same with a token that opens it.
    #[must_use]
    pub fn with_read_token(self, token: &SecretValue) -> Self {
        Self { read_token: Some(token.expose().to_owned()), ..self }
    }
}

/// Where to follow a deployment.
pub fn stream_url(id: &DeploymentId) -> String {
    format!("/api/v1/deployments/{id}/logs")
}

/// A failure. `error` is always there; the other keys are there where they say something.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Problem {
    /// A stable word for machines, or, where `detail` is absent, a sentence for a person.
    pub error: String,
    /// A sentence for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Everything that is wrong with the request, each with its place and its rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// `credentials-needed`: the request keys that must be given again. `data-loss`: the key with which a person accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// `name-taken`, `idempotency-mismatch`: the deployment that stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// `already-set`: whether the kubeconfig that was accepted is byte for byte this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<bool>,
    /// `render-digest-mismatch`: the digest that was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// `render-digest-mismatch`: the digest of what would be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

impl State {
    /// The answer for a record with so many log entries, as it is kept in this store.
    pub async fn of(store: &dyn Store, record: &Record, num_events: u64) -> Self {
        // Before the end a missing file shows by itself: the watch needs it.
        let state = Self::new(record, num_events);
        if !record.status.is_terminal() || !store.kubeconfig_missing(&record.id).await {
            return state;
        }
        let file = state.result.as_ref().map(|result| result.kubeconfig_path.as_str()).unwrap_or_default();
        let missing = missing_kubeconfig(file);
        let error = if state.error.is_empty() { missing } else { format!("{}; {missing}", state.error) };
        Self { error, ..state }
    }

    fn new(record: &Record, num_events: u64) -> Self {
        let result = record.result.as_ref().map(|result| ResultInfo {
            // Clients need to know that it is there, not where it lies on our disk.
            kubeconfig_path: base_name(&result.kubeconfig_path),
            phase1_finished_at: result.phase1_finished_at.map(whole_second),
            ..result.clone()
        });
        // While a run goes on, what an earlier one left says nothing any more.
        let tells = matches!(record.status, Status::Failed | Status::Destroyed);
        Self {
            id: record.id.to_string(),
            status: record.status,
            sovereign_fqdn: record.request.sovereign_fqdn.clone(),
            region: record.request.region.clone(),
            created_by: record.created_by.clone(),
            started_at: seconds(record.started_at),
            finished_at: record.finished_at.map(seconds),
            num_events,
            error: record.error.clone(),
            left: if tells { record.left.clone() } else { Vec::new() },
            left_more: Some(record.left_more).filter(|more| tells && *more > 0),
            remaining: if tells { record.remaining.iter().map(RemainingResource::shown).collect() } else { Vec::new() },
            component_states: result.as_ref().map(|r| r.component_states.clone()).unwrap_or_default(),
            phase1_finished_at: result.as_ref().and_then(|r| r.phase1_finished_at).map(seconds),
            result,
            dns: record.dns.clone(),
        }
    }
}

fn missing_kubeconfig(file: &str) -> String {
    format!(
        "the kubeconfig file {file} is missing from the folder of kubeconfigs (CATALYST_KUBECONFIGS_DIR), or cannot be read: put \
         it back from a backup, or read /etc/rancher/k3s/k3s.yaml on the first control-plane server"
    )
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn h17_no_path_of_our_disk_goes_out() {
        assert_eq!(super::base_name("/var/lib/catalyst/kubeconfigs/a.yaml"), "a.yaml");
        assert_eq!(super::base_name("a.yaml"), "a.yaml");
        assert_eq!(super::base_name(""), "");
    }
}
