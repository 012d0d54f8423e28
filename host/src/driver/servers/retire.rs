//! Servers of a living cluster that are replaced leave it first: their nodes are removed through its API.

use crate::cluster::{self, RemovalFault, RemovedNodes, WatchSettings};
use crate::driver::{Hand, proxy};
use catalyst_domain::provider::{Node, NodeRole};
use catalyst_domain::{Level, Record, phase};
use std::time::Duration;

/// How long a server of the control plane may take to leave: k3s takes its member out of etcd meanwhile, which needs an answer of the
/// others.
const SERVERS: Duration = Duration::from_secs(300);
/// How long a worker may take. One that did not leave keeps nobody from joining.
const WORKERS: Duration = Duration::from_secs(60);
/// How much later than its budget a removal may end.
const LATE: Duration = Duration::from_secs(30);

/// Nodes that are named as gone: a deployment has fewer servers of a role, and an API server may show any number of nodes.
const MAX_REMARKS: usize = 100;

/// Why servers of the control plane cannot be replaced yet, in words.
pub(super) enum NotRetired {
    /// The cluster is silent.
    Silent(String),
    /// It is not, or that is not known.
    Stays(String),
}

impl Hand {
    /// Removes the nodes of servers that go, and waits until they are gone.
    ///
    /// # Errors
    /// Why a server of the control plane did not leave. It must not be replaced then: the one that takes its place could not join, and
    /// etcd would be one answer short.
    pub(super) async fn remove_nodes(&self, record: &Record, leaving: &[Node]) -> Result<(), NotRetired> {
        for (role, budget) in [(NodeRole::ControlPlane, SERVERS), (NodeRole::Worker, WORKERS)] {
            let names: Vec<String> =
                leaving.iter().filter(|node| node.role == role).map(|node| node.name.clone()).collect();
            if names.is_empty() {
                continue;
            }
            let text = format!("old nodes of {} leave the cluster first", names.join(", "));
            self.say(phase::TOFU_PLAN, Level::Info, text).await;
            let removed = match self.remove_from_cluster(record, &names, budget).await {
                Ok(removed) => removed,
                Err(RemovalFault::Silent(why) | RemovalFault::NotRemoved(why)) if role == NodeRole::Worker => {
                    let text = format!("the old nodes of {} stay in the cluster: {why}", names.join(", "));
                    self.say_of_others(phase::TOFU_PLAN, Level::Warn, text).await;
                    continue;
                }
                Err(RemovalFault::Silent(why)) => {
                    return Err(NotRetired::Silent(format!(
                        "{} must leave the cluster before the server that takes its place can join, and the cluster does not answer: {why}",
                        names.join(", ")
                    )));
                }
                Err(RemovalFault::NotRemoved(why)) => {
                    return Err(NotRetired::Stays(format!(
                        "{} must leave the cluster before the server that takes its place can join, and did not: {why}. Nothing was \
                         changed; a retry tries again, also after its node was removed by hand",
                        names.join(", ")
                    )));
                }
            };
            for (level, text) in remarks(role, &removed) {
                self.say_of_others(phase::TOFU_PLAN, level, text).await;
            }
        }
        Ok(())
    }

    async fn remove_from_cluster(
        &self,
        record: &Record,
        servers: &[String],
        budget: Duration,
    ) -> Result<RemovedNodes, RemovalFault> {
        let unasked =
            |why: Option<String>| RemovalFault::NotRemoved(why.unwrap_or_else(|| "the host is going down".to_owned()));
        // The last word comes from within; this only ends what hangs.
        let removed = tokio::time::timeout(budget + LATE, async {
            let kubeconfig = self.kubeconfig().await.map_err(unasked)?;
            let address = self.server_address(&kubeconfig, record, budget).await.map_err(unasked)?;
            let proxy = proxy::choice(&self.driver.settings.proxy);
            let settings = WatchSettings { address, proxy, ..WatchSettings::default() };
            cluster::remove_nodes(&kubeconfig, &settings, servers, budget).await
        });
        let late = format!("it took longer than {} s", budget.as_secs());
        removed.await.unwrap_or(Err(RemovalFault::NotRemoved(late)))
    }
}

/// What is said of a removal that came to its end, with its level.
fn remarks(role: NodeRole, removed: &RemovedNodes) -> Vec<(Level, String)> {
    let left = |node: &String| match role {
        NodeRole::ControlPlane => format!("the node {node} has left the cluster, and its member has left etcd"),
        NodeRole::Worker => format!("the node {node} has left the cluster"),
    };
    let mut remarks: Vec<_> = removed.nodes.iter().take(MAX_REMARKS).map(|node| (Level::Info, left(node))).collect();
    let more = removed.nodes.len().saturating_sub(MAX_REMARKS);
    if more > 0 {
        remarks.push((Level::Info, format!("{more} more nodes have left the cluster")));
    }
    if role == NodeRole::ControlPlane {
        remarks.extend(removed.without_node.iter().map(|server| {
            let text = "if it is a member of etcd, remove it by hand";
            (Level::Warn, format!("no node of the cluster belongs to {server}; {text}"))
        }));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(nodes: &[String], without_node: &[&str]) -> RemovedNodes {
        let without_node = without_node.iter().map(|server| (*server).to_owned()).collect();
        RemovedNodes { nodes: nodes.to_vec(), without_node }
    }

    #[test]
    fn a_server_of_the_control_plane_without_a_node_is_named_and_a_worker_is_not() {
        let all = removed(&["a-cp1-00000001".to_owned()], &["a-cp2"]);
        let left = "the node a-cp1-00000001 has left the cluster, and its member has left etcd".to_owned();
        let warning =
            "no node of the cluster belongs to a-cp2; if it is a member of etcd, remove it by hand".to_owned();
        assert_eq!(remarks(NodeRole::ControlPlane, &all), [(Level::Info, left), (Level::Warn, warning)]);
        let left = "the node a-cp1-00000001 has left the cluster".to_owned();
        assert_eq!(remarks(NodeRole::Worker, &all), [(Level::Info, left)]);
    }

    #[test]
    fn of_many_nodes_that_left_some_are_named() {
        let nodes: Vec<String> = (0..3_000).map(|at| format!("a-w1.{at}")).collect();
        let said = remarks(NodeRole::Worker, &removed(&nodes, &[]));
        assert_eq!(said.len(), MAX_REMARKS + 1);
        assert_eq!(said[MAX_REMARKS].1, format!("{} more nodes have left the cluster", 3_000 - MAX_REMARKS));
    }
}
