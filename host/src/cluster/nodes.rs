//! The nodes of a cluster: those whose servers are replaced leave it, and those that never came are named.
//!
//! A node is known by its name, which is that of its server and a few random digits. Where the name is cut, the label that the node was
//! started with says which of the servers it is. A kubelet can set that label on its own node, and cannot change the node's name, so a
//! label that does not go with the name does not count. Servers that a release before made have no label.

use super::trouble::Trouble;
use super::{Observation, WatchSettings, client};
use catalyst_domain::Level;
use catalyst_domain::kubeconfig::Kubeconfig;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Label with the name of the server that a node runs on.
const SERVER: &str = "catalyst.openova.io/server";
/// Where k3s keeps what binds a node's name to the machine that had it first.
const PASSWORDS: &str = "kube-system";
/// Random digits behind a server's name, in characters.
const SUFFIX: usize = 8;
/// Bytes of a server's name that the name of its node has: with the digits it is at most 63.
const CUT: usize = 54;
/// How long a cluster must be silent before that counts: k3s, or a whole server, that starts anew is back by then, and so is a load
/// balancer that has to see it first.
const SILENCE: Duration = Duration::from_secs(120);
/// Between two looks at nodes that leave.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after the begin of a watch a node may be missing before that is told: a server boots, downloads and joins within minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Between two looks for nodes that are missing.
const LOOK: Duration = Duration::from_secs(30);

/// Why a node did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalFault {
    /// The cluster gave no answer to any request for two minutes, for this reason.
    Silent(String),
    /// It answered, or could not be asked; why.
    NotRemoved(String),
}

/// Removes the nodes of these servers, and waits until each is gone. k3s lets a node of the control plane go only once its member has
/// left etcd (a finalizer of its own), so a node that is gone is no member any more. Gives the names of the nodes.
///
/// # Errors
/// Why a node is still there when the budget is spent, or the cluster is silent.
pub async fn remove_nodes(
    kubeconfig: &Kubeconfig,
    settings: &WatchSettings,
    servers: &[String],
    budget: Duration,
) -> Result<Vec<String>, RemovalFault> {
    let client = client::connect(kubeconfig, settings).map_err(|fault| RemovalFault::NotRemoved(fault.to_string()))?;
    leave(client, settings.request_timeout, servers, budget).await
}

async fn leave(
    client: kube::Client,
    limit: Duration,
    servers: &[String],
    budget: Duration,
) -> Result<Vec<String>, RemovalFault> {
    let nodes = Api::all_with(client.clone(), &kind("Node", "nodes"));
    let begun = Instant::now();
    let (mut leaving, mut is_silent) = (BTreeSet::new(), true);
    loop {
        let why = match remove(&nodes, servers, limit, &mut leaving).await {
            Ok(left) if left.is_empty() => break,
            Ok(left) => format!("{} is still there, since k3s has not let it go", left.join(", ")),
            Err(trouble) => {
                is_silent &= trouble.is_silence;
                trouble.why
            }
        };
        // One that listed its nodes has answered, whatever came then.
        is_silent &= leaving.is_empty();
        if is_silent && begun.elapsed() >= SILENCE {
            return Err(RemovalFault::Silent(why));
        }
        if begun.elapsed() >= budget {
            return Err(RemovalFault::NotRemoved(why));
        }
        sleep(PAUSE).await;
    }
    let secrets: Api<DynamicObject> = Api::namespaced_with(client, PASSWORDS, &kind("Secret", "secrets"));
    for node in &leaving {
        // k3s removes it with the node. Where it did not, the name is used no more, so it is in nobody's way.
        let (name, how) = (format!("{node}.node-password.k3s"), DeleteParams::default());
        let _ = timeout(limit, secrets.delete(&name, &how)).await;
    }
    Ok(leaving.into_iter().collect())
}

/// One pass; gives the nodes that are still there.
async fn remove(
    nodes: &Api<DynamicObject>,
    servers: &[String],
    limit: Duration,
    leaving: &mut BTreeSet<String>,
) -> Result<Vec<String>, Trouble> {
    let listed = list(nodes, limit).await?;
    let mut left = Vec::new();
    for node in listed.iter().filter(|node| servers.iter().any(|server| runs_on(node, server))) {
        let Some(name) = node.metadata.name.clone() else { continue };
        leaving.insert(name.clone());
        if node.metadata.deletion_timestamp.is_none() {
            let removed = timeout(limit, nodes.delete(&name, &DeleteParams::default())).await;
            match removed.map_err(|_| Trouble::timeout(limit.as_secs()))? {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(Trouble::from(&error)),
            }
        }
        left.push(name);
    }
    Ok(left)
}

/// Tells, once they had their time, which servers have no node, and when all have one.
pub(super) async fn follow(client: kube::Client, settings: WatchSettings, out: mpsc::Sender<Observation>) {
    let nodes = Api::all_with(client, &kind("Node", "nodes"));
    sleep(PATIENCE).await;
    let mut told = false;
    loop {
        match missing(&nodes, &settings).await {
            // The feeds tell of a cluster that does not answer.
            Err(_) => {}
            Ok(Some(words)) if !std::mem::replace(&mut told, true) => {
                let message = format!("{words} after {} minutes.", PATIENCE.as_secs() / 60);
                if out.send(Observation::Remark { level: Level::Warn, message }).await.is_err() {
                    return;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) if told => {
                let message = "All nodes are in the cluster now.".to_owned();
                let _ = out.send(Observation::Remark { level: Level::Info, message }).await;
                return;
            }
            Ok(None) => return,
        }
        sleep(LOOK).await;
    }
}

/// Tells which servers have no node in a cluster that is ready.
pub(super) async fn tell_missing(client: kube::Client, settings: &WatchSettings, out: &mpsc::Sender<Observation>) {
    let nodes = Api::all_with(client, &kind("Node", "nodes"));
    if let Ok(Some(words)) = missing(&nodes, settings).await {
        let message = format!("{words}, and the cluster is ready without them.");
        let _ = out.send(Observation::Remark { level: Level::Warn, message }).await;
    }
}

/// What is missing, in words without an end.
async fn missing(nodes: &Api<DynamicObject>, settings: &WatchSettings) -> Result<Option<String>, Trouble> {
    if settings.servers.is_empty() {
        return Ok(None);
    }
    Ok(words_of(&list(nodes, settings.request_timeout).await?, &settings.servers))
}

fn words_of(nodes: &[DynamicObject], servers: &[String]) -> Option<String> {
    let of = |server: &String| nodes.iter().filter(|node| runs_on(node, server)).collect::<Vec<_>>();
    let (mut absent, mut silent) = (Vec::new(), Vec::new());
    for server in servers {
        let nodes = of(server);
        if nodes.is_empty() {
            absent.push(server.as_str());
        } else if nodes.iter().all(|node| is_silent(node)) {
            silent.push(server.as_str());
        }
    }
    let mut parts = Vec::new();
    if !absent.is_empty() {
        let log = "/var/log/catalyst-boot.log";
        parts.push(format!("not in the cluster: {} (see {log} on the server)", absent.join(", ")));
    }
    if !silent.is_empty() {
        parts.push(format!("in the cluster, but not ready: {}", silent.join(", ")));
    }
    let all = absent.len() + silent.len();
    (all > 0).then(|| format!("{all} of {} nodes are missing: {}", servers.len(), parts.join("; ")))
}

/// Whether the node says, or others say of it, that it is not ready. One without a word is new.
fn is_silent(node: &DynamicObject) -> bool {
    let conditions = node.data["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] != "True")
}

fn runs_on(node: &DynamicObject, server: &str) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.as_ref();
    match labels.and_then(|labels| labels.get(SERVER)).filter(|label| is_name_on(name, label)) {
        Some(label) => label == server,
        // A name that is cut may be that of several servers.
        None => name == server || (server.len() <= CUT && is_name_on(name, server)),
    }
}

/// Whether a node of this name may run on the server: it has the server's name, with a domain or with random digits behind it.
fn is_name_on(name: &str, server: &str) -> bool {
    let is_domain = |rest: &str| rest.is_empty() || rest.starts_with('.');
    let is_suffix = |rest: &str| {
        let digits = rest.strip_prefix('-').unwrap_or_default();
        digits.len() == SUFFIX && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let cut = &server[..server.floor_char_boundary(CUT)];
    name.strip_prefix(server).is_some_and(is_domain) || name.strip_prefix(cut).is_some_and(is_suffix)
}

async fn list(nodes: &Api<DynamicObject>, limit: Duration) -> Result<Vec<DynamicObject>, Trouble> {
    match timeout(limit, nodes.list(&ListParams::default())).await {
        Ok(Ok(listed)) => Ok(listed.items),
        Ok(Err(error)) => Err(Trouble::from(&error)),
        Err(_) => Err(Trouble::timeout(limit.as_secs())),
    }
}

fn kind(name: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", name), plural)
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
