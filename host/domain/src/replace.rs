//! What a run does with the servers that its plan makes: one pure function over the record, OpenTofu's state and the plan.
//!
//! There are two cases. *No cluster was shown* (no kubeconfig was accepted and found to be this deployment's): there is nothing to
//! keep. Where the server that holds the bearer does not stay, all nodes are made anew together, with a new bearer, because those
//! that joined trust the authority of the old cluster. *One was shown*: a server that is made joins it, after the Kubernetes node of
//! the server that it replaces was removed, and none ever begins a second cluster. Where too few servers stay to go on with, the
//! cluster's data is lost, and only a person may say yes to that.

use crate::Record;
use crate::bearer::{BearerHolder, Replacement, SeenServer, StaleServer, current};
use crate::kubeconfig::Server;
use crate::provider::{Node, NodeRole};
use crate::tofu_state::{is_value, kind_of};

/// The key of a retry's body with which a person accepts that the cluster's data is lost.
pub const ACCEPT_DATA_LOSS: &str = "acceptDataLoss";

/// What a plan does to a resource instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedAction {
    /// It is made; none was there.
    Create,
    /// It is removed and made anew.
    Replace,
    /// It is removed.
    Delete,
    /// Whatever leaves it where it is.
    Other,
}

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// Exact address of the resource instance.
    pub address: String,
    /// What is done to it.
    pub action: PlannedAction,
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The deployment.
    pub record: &'a Record,
    /// Address of the resource that carries the bearer; `None` where the plugin names none.
    pub first: Option<&'a str>,
    /// Every node that the module makes; empty where that is not known.
    pub nodes: &'a [Node],
    /// Whether the plugin names no nodes (contract 1.0), so that resources of the first server's type count as its servers.
    pub names_none: bool,
    /// Whether the module can be told that the cluster exists.
    pub can_join: bool,
    /// Whether the run has the bearer whose hash is on the record.
    pub bearer_known: bool,
    /// The servers in OpenTofu's state.
    pub state: &'a [SeenServer],
    /// The plan.
    pub plan: &'a [PlannedChange],
}

/// What is done with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is applied.
    Apply {
        /// Whether it makes a server with the bearer of the record.
        gives_bearer: bool,
        /// The first server joins the cluster that it held the bearer of.
        joins: Option<Replacement>,
        /// Nodes of the cluster whose servers go: their Kubernetes nodes are removed first.
        leaving: Vec<Node>,
    },
    /// Another plan is made, which replaces these too.
    Replace {
        /// Exact addresses in the state, sorted.
        addresses: Vec<String>,
        /// Set where the first server gets a new bearer: the old kubeconfig goes with the old server.
        anew: Option<Anew>,
    },
    /// It is not applied: the cluster's data would be lost.
    Refuse(
        /// What happened, in words for a person.
        String,
    ),
}

/// A cluster that is begun again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anew {
    /// Exact address of the first server.
    pub first: String,
    /// Id of the first server that goes; `None` where none is known.
    pub instead_of: Option<String>,
    /// The servers of the old cluster.
    pub stale: Vec<StaleServer>,
}

/// What becomes of the servers under this plan.
pub fn decide(evidence: &Evidence<'_>) -> Decision {
    match evidence.first {
        None => Decision::Apply { gives_bearer: false, joins: None, leaving: Vec::new() },
        Some(first) if evidence.record.has_cluster() => evidence.with_cluster(first),
        Some(first) => evidence.without_cluster(first),
    }
}

/// What becomes of the servers under a plan that was to be applied, where nodes of the control plane could not leave the cluster because
/// that gave no answer. `why` says in which words. All servers are made anew where the body of this very retry accepts the loss; a
/// destroy that was begun before does not count as that, for the cluster may only be out of reach.
pub fn decide_without_answer(evidence: &Evidence<'_>, why: &str) -> Decision {
    let Some(first) = evidence.first.filter(|_| evidence.record.has_cluster()) else {
        return Decision::Refuse(words_of_silence(why));
    };
    if evidence.asks_a_server_that_goes(first) {
        return Decision::Refuse(words_of_wrong_address(why));
    }
    match evidence.record.data_loss_accepted {
        true => evidence.anew(first),
        false => Decision::Refuse(words_of_silence(why)),
    }
}

/// The servers of a given-up cluster once a plan is to be applied whose nodes have left. A cluster that let a node of its control plane
/// go is alive, so it goes on, and none of its servers is one of a cluster that was given up.
pub fn stale_after(record: &Record, left: &[Node]) -> Vec<StaleServer> {
    match left.iter().any(|node| node.role == NodeRole::ControlPlane) {
        true => Vec::new(),
        false => record.stale_servers.clone(),
    }
}

/// The plan that OpenTofu will make at least, as far as its state tells: what is damaged is replaced, what is missing is made. Servers
/// that are missing in the cloud alone show in the plan itself only.
pub fn expected_plan(state: &[SeenServer], nodes: &[Node], first: Option<&str>) -> Vec<PlannedChange> {
    let mut addresses: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).chain(first).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let change = |address: &str| match current(state, address) {
        None => Some(PlannedAction::Create),
        Some(server) if server.tainted => Some(PlannedAction::Replace),
        Some(_) => None,
    };
    let planned = |address: &str| Some(PlannedChange { address: address.to_owned(), action: change(address)? });
    addresses.into_iter().filter_map(planned).collect()
}

impl Evidence<'_> {
    fn makes(&self, address: &str) -> bool {
        let made = |action| matches!(action, PlannedAction::Create | PlannedAction::Replace);
        self.plan.iter().any(|change| change.address == address && made(change.action))
    }

    fn id_of(&self, address: &str) -> Option<&str> {
        current(self.state, address).map(|server| server.id.as_str())
    }

    /// Whether the state still has a server there that belongs to a cluster which was given up.
    fn is_stale(&self, address: &str) -> bool {
        self.record
            .stale_servers
            .iter()
            .any(|stale| stale.address == address && self.id_of(address) == Some(stale.id.as_str()))
    }

    fn servers(&self, role: NodeRole) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    fn without_cluster(&self, first: &str) -> Decision {
        let in_state = |address: &str| current(self.state, address).is_some();
        let makes_first = self.makes(first);
        let is_given = !matches!(self.record.bearer_holder, Some(BearerHolder::Nobody));
        if makes_first && !is_given && self.bearer_known && !in_state(first) {
            return Decision::Apply { gives_bearer: true, joins: None, leaving: Vec::new() };
        }
        // A second server that joined is a member of its cluster; none of those that stay would have a majority without it.
        let loses_member =
            self.servers(NodeRole::ControlPlane).any(|node| in_state(&node.address) && self.makes(&node.address));
        let first_is_lost = makes_first || self.is_stale(first) || self.is_another_server(first);
        // It handed in a kubeconfig, so its cluster is up; that is not given up for the loss of another one without a yes.
        if loses_member && !first_is_lost && self.record.has_kubeconfig() && !self.accepts_loss() {
            return Decision::Refuse(MEMBER_LOST.to_owned());
        }
        if first_is_lost || loses_member {
            return self.anew(first);
        }
        let stale =
            |server: &SeenServer| !server.deposed && self.is_stale(&server.address) && !self.makes(&server.address);
        let addresses = sorted(self.state.iter().filter(|server| stale(server)));
        if addresses.is_empty() {
            Decision::Apply { gives_bearer: false, joins: None, leaving: Vec::new() }
        } else {
            Decision::Replace { addresses, anew: None }
        }
    }

    /// Whether the state has another server there than the one that holds the bearer.
    fn is_another_server(&self, first: &str) -> bool {
        match (&self.record.bearer_holder, self.id_of(first)) {
            (Some(BearerHolder::Server(held)), Some(id)) => held != id,
            _ => false,
        }
    }

    fn with_cluster(&self, first: &str) -> Decision {
        if self.is_half_given_up(first) {
            return if self.accepts_loss() { self.anew(first) } else { Decision::Refuse(HALF_GIVEN_UP.to_owned()) };
        }
        let workers = self.servers(NodeRole::Worker).filter(|node| self.makes(&node.address));
        let mut leaving: Vec<Node> = workers.map(|node| self.as_it_was_made(node)).collect();
        let servers: Vec<&Node> = self.servers(NodeRole::ControlPlane).collect();
        let lost: Vec<&Node> = servers.iter().copied().filter(|node| self.makes(&node.address)).collect();
        if lost.is_empty() && !self.makes(first) {
            return Decision::Apply { gives_bearer: false, joins: None, leaving };
        }
        // Where the plugin names no nodes, the first server is all that is known.
        let (all, gone) = (servers.len().max(1), lost.len().max(1));
        let loss = if (all - gone.min(all)) * 2 <= all {
            Some(words_of_loss(all, gone))
        } else if self.makes(first) && !self.can_join {
            Some(CANNOT_JOIN.to_owned())
        } else {
            None
        };
        let is_accepted = self.accepts_loss();
        match loss {
            None => {
                leaving.extend(lost.into_iter().map(|node| self.as_it_was_made(node)));
                let joins = self.makes(first).then(|| Replacement {
                    address: first.to_owned(),
                    instead_of: self.old_id(first),
                    bearer_hash: None,
                });
                Decision::Apply { gives_bearer: false, joins, leaving }
            }
            Some(_) if is_accepted => self.anew(first),
            Some(words) => Decision::Refuse(words),
        }
    }

    /// Whether a run that gave the cluster up ended after it had replaced a server of the control plane, and before the first one: no
    /// plan shows that any more, and the two belong to different clusters.
    fn is_half_given_up(&self, first: &str) -> bool {
        let is_new = |node: &Node| current(self.state, &node.address).is_some() && !self.is_stale(&node.address);
        self.is_stale(first) && self.servers(NodeRole::ControlPlane).any(is_new)
    }

    /// Whether the kubeconfig names the address of the first server alone, which goes: that it is silent says nothing of the others.
    fn asks_a_server_that_goes(&self, first: &str) -> bool {
        let Some(result) = self.record.result.as_ref().filter(|_| self.makes(first)) else { return false };
        let server = Server::parse(&self.record.kubeconfig_server);
        server.is_ok_and(|server| {
            server.host() == result.control_plane_ip && result.control_plane_ip != result.load_balancer_ip
        })
    }

    fn accepts_loss(&self) -> bool {
        self.record.data_loss_accepted || self.record.destroy_begun
    }

    fn anew(&self, first: &str) -> Decision {
        let is_node = |address: &str| match self.nodes {
            [] => address == first || (self.names_none && is_like(address, first)),
            nodes => address == first || nodes.iter().any(|node| node.address == address),
        };
        let servers = || self.state.iter().filter(|server| !server.deposed && is_node(&server.address));
        let stale = servers().map(|server| StaleServer { address: server.address.clone(), id: server.id.clone() });
        let anew = Anew { first: first.to_owned(), instead_of: self.old_id(first), stale: stale.collect() };
        Decision::Replace { addresses: sorted(servers()), anew: Some(anew) }
    }

    /// A node with the name that its server has: another release may have named it otherwise.
    fn as_it_was_made(&self, node: &Node) -> Node {
        let named = current(self.state, &node.address).map(|server| &server.name).filter(|name| !name.is_empty());
        Node { name: named.unwrap_or(&node.name).clone(), ..node.clone() }
    }

    /// Id of the server that goes: the state's, else the one that was last known to hold the bearer.
    fn old_id(&self, first: &str) -> Option<String> {
        match (self.id_of(first), &self.record.bearer_holder) {
            (Some(id), _) => Some(id.to_owned()),
            (None, Some(BearerHolder::Server(held))) => Some(held.clone()),
            (None, _) => None,
        }
    }
}

/// Why a member that is lost before the first run ended well takes its cluster along.
const MEMBER_LOST: &str = "a server of the control plane is damaged or gone, and the first one has handed in a kubeconfig: its cluster may be \
                           up. It could not be checked yet, so the lost server cannot be taken out of it, and all servers are made anew";

/// Why a cluster of which a part was made anew is not gone on with.
const HALF_GIVEN_UP: &str = "a run before this gave the cluster up, as was agreed to, and ended after it had made a part of the control \
                             plane anew: what is left of the cluster cannot go on with it, and all servers are made anew";

/// Why a first server that is made anew cannot join.
const CANNOT_JOIN: &str = "the first server is replaced or gone, and the module that is kept of this deployment was rendered by a \
                           release or a plugin that cannot let it join the cluster again: it would begin a second one";

fn words_of_loss(all: usize, gone: usize) -> String {
    if all == 1 {
        return "the first server is replaced or gone, and no other one has the cluster's data: it is lost when the server is made anew"
            .to_owned();
    }
    format!(
        "{gone} of {all} servers of the control plane are replaced or gone, so the cluster has no majority and can take in no new one: \
         its data is lost when they are made anew"
    )
}

fn words_of_silence(why: &str) -> String {
    format!(
        "{why}. Nothing was changed. A retry asks the cluster again. Where it is dead, a retry with \"{ACCEPT_DATA_LOSS}\": true in its body \
         makes all servers anew together, if the cluster does not answer that one either: its data is lost then"
    )
}

fn words_of_wrong_address(why: &str) -> String {
    format!(
        "{why}. That is the address of the first server, which is damaged or gone, so the others may be up: nothing was changed, and no yes \
         to a loss of data makes them anew. Remove the node of the first server from the cluster by hand and retry, or destroy the deployment"
    )
}

/// Whether a resource of the state is of the same type as the first server. Where a plugin names no nodes (contract 1.0), those are its
/// servers: no other resource shows what a node is. Values that a state makes up are no servers.
fn is_like(address: &str, first: &str) -> bool {
    !is_value(first) && kind_of(address) == kind_of(first)
}

fn sorted<'a>(servers: impl Iterator<Item = &'a SeenServer>) -> Vec<String> {
    let mut addresses: Vec<String> = servers.map(|server| server.address.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;
