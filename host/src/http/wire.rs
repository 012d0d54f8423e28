//! The shapes of answers (API.md 1.7, 2.2), built from a record.

use catalyst_domain::dns::PoolDns;
use catalyst_domain::event::seconds;
use catalyst_domain::{Record, ResultInfo};
use serde::Serialize;
use std::collections::BTreeMap;

/// A deployment as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    id: String,
    status: &'static str,
    #[serde(rename = "sovereignFQDN")]
    sovereign_fqdn: String,
    region: String,
    started_at: String,
    finished_at: Option<String>,
    num_events: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultInfo>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    component_states: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase1_finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<PoolDns>,
}

impl State {
    /// The answer for a record with so many log entries.
    pub fn new(record: &Record, num_events: u64) -> Self {
        let result = record.result.as_ref().map(|result| ResultInfo {
            // Clients need to know that it is there, not where it lies on our disk.
            kubeconfig_path: base_name(&result.kubeconfig_path),
            ..result.clone()
        });
        Self {
            id: record.id.to_string(),
            status: record.status.as_str(),
            sovereign_fqdn: record.request.sovereign_fqdn.clone(),
            region: record.request.region.clone(),
            started_at: seconds(record.started_at),
            finished_at: record.finished_at.map(seconds),
            num_events,
            error: record.error.clone(),
            component_states: result.as_ref().map(|r| r.component_states.clone()).unwrap_or_default(),
            phase1_finished_at: result.as_ref().and_then(|r| r.phase1_finished_at).map(seconds),
            result,
            dns: record.dns.clone(),
        }
    }
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
