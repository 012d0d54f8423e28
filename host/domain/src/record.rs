//! The record of a deployment: small, replaced as a whole on every fact, and the only truth.
//!
//! Its keys are those of the earlier service, so records of that are read as they are; further keys are ours.

mod encoding;

use crate::bearer::{BearerHolder, Replacement, StaleServer};
use crate::creator::Creator;
use crate::dns::{PoolDns, PoolReservation};
use crate::event::Entry;
use crate::kubeconfig::{BodyFault, Server};
use crate::read_token::ReadToken;
use crate::{DeploymentId, LeftResource, RemainingResource, Request, Status};
use encoding::{go_time, is_zero, null_is_empty};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Version of the record's shape. Records of the earlier service have none and are read as 0.
pub const SCHEMA: u32 = 1;

/// A deployment as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of this shape.
    #[serde(default)]
    pub schema: u32,
    /// Name; equal to the file's.
    pub id: DeploymentId,
    /// State.
    pub status: Status,
    /// The request without its secrets.
    pub request: Request,
    /// What is known of the new cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultInfo>,
    /// Why it failed, in plain words; absent otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What a run that failed or was interrupted left in the cloud. What is in no state stays here until the end of the deployment;
    /// the rest is known anew with each run. Empty in records of releases before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftResource>,
    /// How many more there are than those in `left`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_more: u64,
    /// Who created it; absent where callers are not known, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Creator>,
    /// When it was created.
    pub started_at: Timestamp,
    /// When the last run ended.
    #[serde(default, with = "go_time", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Token of the reserved pool name; opaque, not a credential.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pdm_reservation_token: String,
    /// Domain of the reserved name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pdm_pool_domain: String,
    /// Label of the reserved name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pdm_subdomain: String,
    /// How far the pool name is; absent where there is none, and in records of the earlier service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<PoolDns>,
    /// SHA-256 of the bearer's hex text, as hex. Gone with a destroy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubeconfig_bearer_hash: String,
    /// Which server holds that bearer; `None` in records of releases before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_holder: Option<BearerHolder>,
    /// What the last run makes of that server, until the state shows that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Replacement>,
    /// Servers of a cluster that was given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale_servers: Vec<StaleServer>,
    /// Whether who asked for this run accepts that the cluster's data is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_loss_accepted: bool,
    /// Whether a destroy began after the last run that came to its end: what it removed was to go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroy_begun: bool,
    /// Whether who asked for the last destroy agrees that the volumes that the cluster made are deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_volumes: bool,
    /// Whether a destroy that did not come to its end may have suspended Flux on the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume_flux: bool,
    /// What the last destroy saw in the cloud and did not remove: at most 100. Empty in records of releases before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<RemainingResource>,
    /// Why the last run did not go on: it would have lost the cluster's data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_loss: String,
    /// SHA-256 of the kubeconfig as it was handed in, as hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubeconfig_sha256: String,
    /// URL of the API server that the stored kubeconfig names. Blank in records of releases that did not write kubeconfigs
    /// anew: theirs are read again at the start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubeconfig_server: String,
    /// Whether that server was found to be this cluster's; only then is the kubeconfig given out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kubeconfig_checked: bool,
    /// Why the last kubeconfig that was accepted was dropped, if it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubeconfig_refusal: String,
    /// Which plugin rendered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderRef>,
    /// SHA-256 of the rendered bundle, as hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub render_digest: String,
    /// The rights of the plugin at that time, as lines of `plugins.lock`: what a run may do whose plugin is loaded no more. Empty in
    /// records of releases before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub render_rights: Vec<String>,
    /// Secrets of the host that the plugin wanted at that time: the host's name of each, by the plugin's own. Empty in records of
    /// releases before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub render_host_secrets: BTreeMap<String, String>,
    /// Digest of the render that a person approved; blank when any will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub approved_render_digest: String,
    /// Which create this was, where its sender named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// Tokens that open this deployment for reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_tokens: Vec<ReadToken>,
    /// When the outputs were read: Phase 0 is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase0_finished_at: Option<Timestamp>,
    /// When the watch of the new cluster began; its deadline counts from here, however often the process restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase1_started_at: Option<Timestamp>,
    /// Hosts that a kubeconfig may name; empty until the outputs are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kubeconfig_hosts: Vec<String>,
    /// The process by which a later start finds the run that goes on, if any: its supervisor; in records of the release before, OpenTofu
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<Child>,
    /// Entries that the earlier service kept inside the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub events: Vec<Entry>,
}

/// Which plugin rendered a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderRef {
    /// Provider id.
    pub id: String,
    /// Version of the component.
    pub version: String,
    /// SHA-256 of the component, as hex.
    pub digest: String,
}

/// How a create that is sent twice is known again. No secret is in either digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Idempotency {
    /// SHA-256 of the sender's key, as hex.
    pub key_sha256: String,
    /// SHA-256 of the request without its secrets, as hex.
    pub request_sha256: String,
}

/// A child process, recognisable after a restart although pids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
}

/// What is known of the new cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultInfo {
    /// DNS name.
    #[serde(rename = "sovereignFQDN")]
    pub sovereign_fqdn: String,
    /// Public address of the first server.
    #[serde(rename = "controlPlaneIP")]
    pub control_plane_ip: String,
    /// Public address of the load balancer.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: String,
    /// Where the console will be.
    #[serde(rename = "consoleURL")]
    pub console_url: String,
    /// Where the cluster's own Git service will be.
    #[serde(rename = "gitopsRepoURL")]
    pub gitops_repo_url: String,
    /// File of the kubeconfig: ours is the base name, the earlier service wrote an absolute path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubeconfig_path: String,
    /// Component id → state.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub component_states: BTreeMap<String, String>,
    /// When the watch ended; UTC, in an answer whole seconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase1_finished_at: Option<Timestamp>,
}

/// Why the server of a kubeconfig does not count as this cluster's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    /// Nothing was read from the outputs yet.
    #[error("it is not known yet where this cluster answers")]
    Unknown,
    /// It is another host.
    #[error(transparent)]
    Foreign(BodyFault),
}

/// What is known when a deployment is created.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Name.
    pub id: DeploymentId,
    /// The request without its secrets.
    pub request: Request,
    /// SHA-256 of the bearer, as hex; blank when the provider has no bearer.
    pub kubeconfig_bearer_hash: String,
    /// Which plugin will render it.
    pub provider: ProviderRef,
    /// Now.
    pub at: Timestamp,
}

impl Record {
    /// The record of a deployment that was just created.
    pub fn new(new: NewRecord) -> Self {
        Self {
            schema: SCHEMA,
            id: new.id,
            status: Status::Provisioning,
            request: new.request,
            result: None,
            error: String::new(),
            left: Vec::new(),
            left_more: 0,
            created_by: None,
            started_at: new.at,
            finished_at: None,
            pdm_reservation_token: String::new(),
            pdm_pool_domain: String::new(),
            pdm_subdomain: String::new(),
            dns: None,
            kubeconfig_bearer_hash: new.kubeconfig_bearer_hash,
            bearer_holder: Some(BearerHolder::Nobody),
            replacement: None,
            stale_servers: Vec::new(),
            data_loss_accepted: false,
            destroy_begun: false,
            delete_volumes: false,
            resume_flux: false,
            remaining: Vec::new(),
            data_loss: String::new(),
            kubeconfig_sha256: String::new(),
            kubeconfig_server: String::new(),
            kubeconfig_checked: false,
            kubeconfig_refusal: String::new(),
            provider: Some(new.provider),
            render_digest: String::new(),
            render_rights: Vec::new(),
            render_host_secrets: BTreeMap::new(),
            approved_render_digest: String::new(),
            idempotency: None,
            read_tokens: Vec::new(),
            phase0_finished_at: None,
            phase1_started_at: None,
            kubeconfig_hosts: Vec::new(),
            child: None,
            events: Vec::new(),
        }
    }

    /// The same with a pool name that is held for it.
    #[must_use]
    pub fn with_reservation(mut self, reservation: &PoolReservation) -> Self {
        crate::dns::reserved(&mut self, reservation);
        self
    }

    /// Whether a kubeconfig was accepted: the bearer is used up.
    pub fn has_kubeconfig(&self) -> bool {
        self.result.as_ref().is_some_and(|r| !r.kubeconfig_path.is_empty())
    }

    /// Whether the cluster of the stored kubeconfig is one to keep: it was accepted, and its server is known to be this deployment's.
    pub fn has_cluster(&self) -> bool {
        self.has_kubeconfig() && self.kubeconfig_checked
    }

    /// Whether the infrastructure was applied to the end. The earlier service kept no time of it, but its addresses.
    pub fn phase0_done(&self) -> bool {
        let addressed = self.result.as_ref().is_some_and(|r| !r.load_balancer_ip.is_empty());
        self.phase0_finished_at.is_some() || (self.schema == 0 && addressed)
    }

    /// Hosts that a kubeconfig may name; empty while the outputs are not known. The earlier service kept no list, but
    /// the addresses.
    pub fn allowed_hosts(&self) -> Vec<String> {
        if !self.kubeconfig_hosts.is_empty() || !self.phase0_done() {
            return self.kubeconfig_hosts.clone();
        }
        if self.result.is_some() { self.known_hosts() } else { Vec::new() }
    }

    /// Checks that a server is one of this cluster's.
    ///
    /// # Errors
    /// [`ServerFault::Unknown`] while it is not known where this cluster answers; [`ServerFault::Foreign`].
    pub fn check_server(&self, server: &Server) -> Result<(), ServerFault> {
        let hosts = self.allowed_hosts();
        if !hosts.is_empty() {
            return server.check(&hosts).map_err(ServerFault::Foreign);
        }
        if self.schema > 0 {
            return Err(ServerFault::Unknown);
        }
        // No outputs will come for a record of the earlier service. Where it kept no address either, there is nothing that a
        // server could be compared with.
        let known = self.known_hosts();
        if known.len() > 1 { server.check(&known).map_err(ServerFault::Foreign) } else { Ok(()) }
    }

    /// The addresses that the record has, and its name.
    fn known_hosts(&self) -> Vec<String> {
        let addresses = self.result.iter().flat_map(|result| [&result.control_plane_ip, &result.load_balancer_ip]);
        let known = addresses.chain([&self.request.sovereign_fqdn]);
        known.filter(|host| !host.is_empty()).cloned().collect()
    }

    /// Whether a node may hand in a kubeconfig: none that is being removed, and none without a bearer.
    pub fn takes_kubeconfig(&self) -> bool {
        let new = self.replacement.as_ref().and_then(|replacement| replacement.bearer_hash.as_ref());
        !self.is_leaving() && (new.is_some() || !self.kubeconfig_bearer_hash.is_empty())
    }

    /// Whether its infrastructure is being removed, or is.
    pub fn is_leaving(&self) -> bool {
        matches!(self.status, Status::Destroying | Status::Destroyed)
    }

    /// Whether infrastructure was once seen to be there. With no state of it at hand nobody can say that nothing is
    /// left: so it is with records of the earlier service, whose states are not kept here.
    pub fn had_infrastructure(&self) -> bool {
        let addressed = self.result.as_ref().is_some_and(|r| !r.control_plane_ip.is_empty());
        addressed || self.phase0_done() || self.provider.is_none()
    }

    /// What may be in the cloud although no state has it.
    pub fn left_in_no_state(&self) -> impl Iterator<Item = &LeftResource> {
        self.left.iter().filter(|resource| !resource.in_state)
    }

    /// Id of its provider, as far as the record names one.
    pub fn provider_id(&self) -> Option<&str> {
        self.provider.as_ref().map(|p| p.id.as_str()).or_else(|| self.request.provider())
    }

    /// Whether the watch came to an end.
    pub fn phase1_finished(&self) -> bool {
        self.result.as_ref().is_some_and(|r| r.phase1_finished_at.is_some())
    }

    /// Forgets the kubeconfig; its bearer stays.
    pub(crate) fn forget_kubeconfig(&mut self) {
        self.kubeconfig_sha256.clear();
        self.kubeconfig_server.clear();
        self.kubeconfig_checked = false;
        self.kubeconfig_refusal.clear();
        if let Some(result) = &mut self.result {
            result.kubeconfig_path.clear();
        }
    }

    /// The result, made when there is none yet.
    pub(crate) fn result_mut(&mut self) -> &mut ResultInfo {
        let fqdn = &self.request.sovereign_fqdn;
        self.result.get_or_insert_with(|| ResultInfo { sovereign_fqdn: fqdn.clone(), ..ResultInfo::default() })
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
