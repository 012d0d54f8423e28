//! Servers of a living cluster that are replaced leave it first: their nodes are removed through its API.

use crate::cluster::{self, RemovalFault, WatchSettings};
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
            for node in removed {
                let text = match role {
                    NodeRole::ControlPlane => {
                        format!("the node {node} has left the cluster, and its member has left etcd")
                    }
                    NodeRole::Worker => format!("the node {node} has left the cluster"),
                };
                self.say_of_others(phase::TOFU_PLAN, Level::Info, text).await;
            }
        }
        Ok(())
    }

    async fn remove_from_cluster(
        &self,
        record: &Record,
        servers: &[String],
        budget: Duration,
    ) -> Result<Vec<String>, RemovalFault> {
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
