//! What a run does with the servers of a deployment. `catalyst_domain::replace` decides; here is what it decides on (OpenTofu's state
//! and plan), and what follows: another bearer, nodes that leave the cluster first, and the record of both before anything is applied.

mod retire;

use super::create::hash_of;
use super::secrets::{NoRandomness, mint};
use super::{Driver, Hand, tofu_state};
use crate::engine::{PlanReviewer, PlanSettings, Reviewed};
use async_trait::async_trait;
use catalyst_domain::bearer::{Replacement, SeenServer, current};
use catalyst_domain::kubeconfig::authorise;
use catalyst_domain::provider::{Bundle, Descriptor, Node};
use catalyst_domain::replace::{
    ACCEPT_DATA_LOSS, Anew, Decision, Evidence, PlannedChange, decide, decide_without_answer, expected_plan,
    stale_after,
};
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Fact, Level, Record, SecretValue, Secrets, Timestamp, phase};
use catalyst_sandbox::Provider;
use catalyst_store::StorageError;
use retire::NotRetired;
use std::sync::{Arc, Mutex, PoisonError};

/// What is said where a plugin names no nodes (contract 1.0), and others in the state are of the first server's type.
const UNNAMED: &str = ". The plugin of this deployment does not name its servers, so these are the resources of the type of the first one";
/// What is said where none is.
const UNNAMED_ONE: &str = ". The plugin of this deployment does not name its servers, and no other resource of the state is of the type of \
                           the first one: a server that joined the old cluster cannot join the new one, so destroy and create it anew \
                           where there is one";

/// The nodes of a deployment, as far as its plugin names them.
struct KnownNodes {
    nodes: Vec<Node>,
    /// Whether the plugin was asked, and names none.
    names_none: bool,
}

/// What is said where the plugin could not be asked.
const UNKNOWN: &str = ". The plugin of this deployment cannot render it now, so its other servers are not known: one that joined the old \
                       cluster cannot join the new one, so destroy and create it anew where there is one";

/// What is known of the servers before a run, from the kept state alone.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// Why the run would lose the cluster's data.
    pub(super) loss: Option<String>,
    /// Whether a server is damaged or missing.
    pub(super) damaged: bool,
}

/// Address of the resource that carries the bearer, where the plugin has a bearer.
fn first_server(descriptor: &Descriptor) -> Option<&str> {
    descriptor.bearer().and(descriptor.bearer_resource.as_deref())
}

impl Driver {
    /// What a retry can tell before its run. A server that is missing in the cloud alone shows in the run's plan only.
    pub(super) async fn outlook(&self, record: &Record, provider: &Provider) -> Result<Outlook, StorageError> {
        let state = self.state(&record.id).await?;
        let Ok(state) = tofu_state::servers(state.as_deref()) else { return Ok(Outlook::default()) };
        // One that cannot be read is set aside by the run, which renders another and decides by its plan.
        let kept = self.store.bundle(&record.id).await.ok().flatten();
        let Some(bundle) = kept.and_then(|bytes| serde_json::from_slice::<Bundle>(&bytes).ok()) else {
            return Ok(Outlook::default());
        };
        let KnownNodes { nodes, names_none } = self.nodes_of(record, provider, &bundle).await;
        let first = first_server(provider.descriptor());
        let plan = expected_plan(&state, &nodes, first);
        let decision = decide(&Evidence {
            record,
            first,
            nodes: &nodes,
            names_none,
            can_join: bundle.cluster_exists_variable.is_some(),
            bearer_known: true,
            state: &state,
            plan: &plan,
        });
        let found = match decision {
            Decision::Refuse(why) => Some(why),
            Decision::Apply { .. } | Decision::Replace { .. } => None,
        };
        let of_last_run = (!record.data_loss.is_empty()).then(|| record.data_loss.clone());
        Ok(Outlook { loss: found.or(of_last_run), damaged: !plan.is_empty() })
    }

    /// The nodes that a bundle makes. One that a release before rendered names none, so its plugin is asked anew.
    async fn nodes_of(&self, record: &Record, provider: &Provider, bundle: &Bundle) -> KnownNodes {
        if !bundle.nodes.is_empty() {
            return KnownNodes { nodes: bundle.nodes.clone(), names_none: false };
        }
        match self.render(provider, &record.request, &Secrets::default()).await {
            Ok(rendered) => KnownNodes { names_none: rendered.bundle.nodes.is_empty(), nodes: rendered.bundle.nodes },
            Err(fault) => {
                tracing::warn!(deployment.id = %record.id, error = fault.text(), "the nodes of a deployment are not known");
                KnownNodes { nodes: Vec::new(), names_none: false }
            }
        }
    }

    /// Names of the servers, as the state has them: one that an earlier release made has not the name that its bundle would give it now.
    /// None where neither state nor bundle says which are servers.
    pub(super) async fn server_names(&self, record: &Record) -> Vec<String> {
        let kept = self.store.bundle(&record.id).await.ok().flatten();
        let bundle = kept.and_then(|bytes| serde_json::from_slice::<Bundle>(&bytes).ok());
        let nodes = bundle.map(|bundle| bundle.nodes).unwrap_or_default();
        let state = self.state(&record.id).await.ok().flatten();
        names_of(nodes, &tofu_state::servers(state.as_deref()).unwrap_or_default())
    }

    /// At the start: what a run that was interrupted made of the servers.
    pub(super) async fn settle_servers(&self, record: &Record) {
        if record.replacement.is_none() && record.stale_servers.is_empty() {
            return;
        }
        if let Some(fact) = self.servers_seen(&record.id).await
            && let Err(error) = self.store.record(&record.id, &fact, Timestamp::now()).await
        {
            // The next retry looks again before it decides.
            tracing::error!(deployment.id = %record.id, %error, "cannot record which servers there are");
        }
    }

    /// What OpenTofu's state says of the servers, where that is news to the record. Only while no run goes.
    pub(super) async fn servers_seen(&self, id: &DeploymentId) -> Option<Fact> {
        let record = self.store.get(id)?;
        let replaced = record.replacement.as_ref().map(|replacement| replacement.address.clone());
        let provider = self.provider_of(&record);
        let declared = provider.as_ref().and_then(|provider| first_server(provider.descriptor()).map(str::to_owned));
        let first = replaced.or(declared)?;
        let state = match self.state(id).await {
            Ok(state) => tofu_state::servers(state.as_deref()).ok()?,
            Err(error) => {
                tracing::warn!(deployment.id = %id, %error, "it is not known which servers there are");
                return None;
            }
        };
        let counts = |server: &SeenServer| {
            server.address == first || record.stale_servers.iter().any(|stale| stale.address == server.address)
        };
        let servers = state.into_iter().filter(counts).collect();
        news(&record, Fact::ServersSeen { first, servers })
    }
}

/// The name that each node's server has in the state, else the one that the bundle gives it.
fn names_of(nodes: Vec<Node>, state: &[SeenServer]) -> Vec<String> {
    let in_state = |address: &str| current(state, address).map(|server| &server.name).filter(|name| !name.is_empty());
    nodes.into_iter().map(|node| in_state(&node.address).unwrap_or(&node.name).clone()).collect()
}

/// The fact, where it changes the record.
fn news(record: &Record, fact: Fact) -> Option<Fact> {
    apply(record, &fact, Timestamp::now()).is_ok_and(|next| next != *record).then_some(fact)
}

/// Looks at the plan of one run.
pub(super) struct ServerReview {
    hand: Hand,
    first: Option<String>,
    nodes: Vec<Node>,
    names_none: bool,
    can_join: bool,
    bearer_known: bool,
    /// Hash of the bearer that is minted for a server which takes the place of the first one.
    new_hash: String,
    refused: Mutex<Option<String>>,
}

impl Hand {
    /// How the plan of this run is made, and what looks at it.
    pub(super) async fn plan_settings(
        &self,
        record: &Record,
        bundle: &Bundle,
        secrets: &Secrets,
    ) -> Result<(PlanSettings, Arc<ServerReview>), String> {
        let missing = "init: the provider of this deployment is not loaded";
        let provider = self.driver.provider_of(record).ok_or(missing)?;
        let descriptor = provider.descriptor();
        let mut renewed = Secrets::default();
        let (mut new_hash, mut bearer_known) = (String::new(), false);
        if let Some(spec) = descriptor.bearer() {
            let minted = mint().map_err(|NoRandomness| "init: the system gave no random bytes")?;
            new_hash = hash_of(&minted);
            renewed.insert(&spec.name, minted);
            let is_known = |bearer: &SecretValue| authorise(record, bearer.expose()).is_ok();
            bearer_known = secrets.get(&spec.name).is_some_and(is_known);
        }
        let KnownNodes { nodes, names_none } = self.driver.nodes_of(record, &provider, bundle).await;
        let review = Arc::new(ServerReview {
            hand: self.clone(),
            first: first_server(descriptor).map(str::to_owned),
            nodes,
            names_none,
            can_join: bundle.cluster_exists_variable.is_some(),
            bearer_known,
            new_hash,
            refused: Mutex::default(),
        });
        let reviewer: Arc<dyn PlanReviewer> = review.clone();
        Ok((PlanSettings { cluster_exists: record.has_cluster(), renewed, reviewer: Some(reviewer) }, review))
    }

    /// Tells the record which servers there are after a run.
    pub(super) async fn look_at_servers(&self) {
        if let Some(fact) = self.driver.servers_seen(&self.id).await {
            self.fact(fact).await;
        }
    }

    /// The run would have lost the cluster's data, and nobody agreed to that.
    pub(super) async fn data_loss_refused(&self, why: String) {
        let error = format!("tofu plan: {}", with_key(&why));
        tracing::warn!(deployment.id = %self.id, %error, "phase 0 was not begun");
        self.say(phase::TOFU_PLAN, Level::Error, error.clone()).await;
        if self.fact(Fact::DataLossRefused { error, why }).await {
            self.driver.forget_unkept(&self.id).await;
        }
    }
}

/// What is lost, and how a person agrees to it.
pub(super) fn with_key(why: &str) -> String {
    format!(
        "{why}. Nothing was changed. A retry with \"{ACCEPT_DATA_LOSS}\": true in its body makes the cluster anew where that is so, and \
         keeps it where it is not"
    )
}

#[async_trait]
impl PlanReviewer for ServerReview {
    async fn review(&self, plan: &[PlannedChange]) -> Result<Reviewed, String> {
        let record = self.hand.record().ok_or("the deployment is gone")?;
        let state = self.hand.driver.state(&self.hand.id).await.map_err(|error| error.to_string())?;
        let state = tofu_state::servers(state.as_deref()).map_err(|fault| {
            format!("it is not known which servers stay, for what the state names cannot be read: {fault}")
        })?;
        let evidence = Evidence {
            record: &record,
            first: self.first.as_deref(),
            nodes: &self.nodes,
            names_none: self.names_none,
            can_join: self.can_join,
            bearer_known: self.bearer_known,
            state: &state,
            plan,
        };
        match decide(&evidence) {
            Decision::Apply { gives_bearer, joins, leaving } => {
                match self.hand.remove_nodes(&record, &leaving).await {
                    Ok(()) => {}
                    Err(NotRetired::Stays(why)) => return Err(why),
                    Err(NotRetired::Silent(why)) => return self.without_answer(&evidence, why).await,
                }
                let stale = stale_after(&record, &leaving);
                self.judged(&record, Fact::PlanJudged { gives_bearer, replacement: joins, stale }).await?;
                Ok(Reviewed::Apply)
            }
            Decision::Replace { addresses, anew: Some(anew) } => {
                self.begin_anew(&record, "the first server does not stay", addresses, anew).await
            }
            Decision::Replace { addresses, anew: None } => {
                let text = format!("made anew too, since the first server was: {}", addresses.join(", "));
                self.hand.say(phase::TOFU_PLAN, Level::Warn, text).await;
                let stale = record.stale_servers.clone();
                self.judged(&record, Fact::PlanJudged { gives_bearer: false, replacement: None, stale }).await?;
                Ok(Reviewed::PlanAgain { replace: addresses, renew_secrets: false, cluster_exists: false })
            }
            Decision::Refuse(why) => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                Err(why)
            }
        }
    }
}

impl ServerReview {
    /// Why the run would have lost data, where that is why it ended.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The nodes of servers that go could not be removed, since the cluster is silent.
    async fn without_answer(&self, evidence: &Evidence<'_>, why: String) -> Result<Reviewed, String> {
        match decide_without_answer(evidence, &why) {
            Decision::Replace { addresses, anew: Some(anew) } => {
                let why = format!("{why}. The loss of its data was accepted");
                self.begin_anew(evidence.record, &why, addresses, anew).await
            }
            // The next retry may ask again without a yes: a cluster that is out of reach may come back.
            Decision::Refuse(words) => Err(words),
            Decision::Replace { anew: None, .. } | Decision::Apply { .. } => Err(why),
        }
    }

    async fn begin_anew(
        &self,
        record: &Record,
        why: &str,
        addresses: Vec<String>,
        anew: Anew,
    ) -> Result<Reviewed, String> {
        let Anew { first, instead_of, stale } = anew;
        if !addresses.is_empty() {
            let mut text =
                format!("{why}, so all servers are made anew together, with a new bearer: {}", addresses.join(", "));
            if self.nodes.is_empty() {
                text.push_str(match (self.names_none, addresses.len()) {
                    (false, _) => UNKNOWN,
                    (true, 1) => UNNAMED_ONE,
                    (true, _) => UNNAMED,
                });
            }
            self.hand.say(phase::TOFU_PLAN, Level::Warn, text).await;
        }
        let replacement = Replacement { address: first, instead_of, bearer_hash: Some(self.new_hash.clone()) };
        self.judged(record, Fact::PlanJudged { gives_bearer: false, replacement: Some(replacement), stale }).await?;
        Ok(Reviewed::PlanAgain { replace: addresses, renew_secrets: true, cluster_exists: false })
    }

    /// Records what the plan does, before it is done.
    async fn judged(&self, record: &Record, fact: Fact) -> Result<(), String> {
        let Some(fact) = news(record, fact) else { return Ok(()) };
        if self.hand.fact(fact).await {
            Ok(())
        } else {
            Err("what the plan does to the servers could not be recorded".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::provider::NodeRole;

    #[test]
    fn t7_servers_have_the_names_of_the_state_and_those_of_the_bundle_where_it_has_none() {
        let node =
            |name: &str, address: &str| Node { name: name.into(), role: NodeRole::Worker, address: address.into() };
        let nodes = vec![node("a-1f2e3d4c-cp1", "x.cp[0]"), node("a-1f2e3d4c-w1", "x.w[0]"), node("a-w2", "x.w[1]")];
        let seen = |name: &str, address: &str, deposed| SeenServer {
            address: address.into(),
            id: "7".into(),
            name: name.into(),
            tainted: false,
            deposed,
        };
        let state = [
            seen("gone", "x.cp[0]", true),
            seen("a-cp1", "x.cp[0]", false),
            seen("", "x.w[0]", false),
            seen("other", "x.network", false),
        ];
        assert_eq!(names_of(nodes, &state), ["a-cp1", "a-1f2e3d4c-w1", "a-w2"]);
    }
}
