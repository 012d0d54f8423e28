//! The nodes of a cluster: those whose servers are replaced leave it, and those that never came are named.
//!
//! A node is known by its name, which is that of its server and a few random digits. Where the name is cut, the label that the node was
//! started with says which of the servers it is. A kubelet can set that label on its own node, and cannot change the node's name, so a
//! label that does not go with the name does not count. Servers that a release before made have no label.

use super::answers::{self, Listing};
use super::bounds::{MAX_NAME, RememberedKeys, has_valid_lengths, plain, some_names};
use super::client::Route;
use super::object::{ClusterObject, Shape};
use super::trouble::Trouble;
use super::{Observation, WatchSettings, client};
use catalyst_domain::Level;
use catalyst_domain::kubeconfig::Kubeconfig;
use kube::api::{ApiResource, DeleteParams, GroupVersionKind};
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

/// Nodes in one answer, of some 10 KiB each, and answers of one list: k3s is made for fewer.
const PAGE: u32 = 250;
const MAX_PAGES: usize = 8;

/// What is kept of a node.
const NODE: Shape = Shape::Keys(&[
    (
        "metadata",
        Shape::Keys(&[
            ("name", Shape::Plain),
            ("deletionTimestamp", Shape::Plain),
            ("labels", Shape::Keys(&[(SERVER, Shape::Plain)])),
        ]),
    ),
    (
        "status",
        Shape::Keys(&[(
            "conditions",
            Shape::Each(32, &Shape::Keys(&[("type", Shape::Plain), ("status", Shape::Plain)])),
        )]),
    ),
]);

/// Why a node did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalFault {
    /// The cluster gave no answer to any request for two minutes, for this reason. Never where a proxy is between: what fails there
    /// cannot be told from a cluster that does not answer.
    Silent(String),
    /// It answered, or could not be asked; why.
    NotRemoved(String),
}

/// What left a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedNodes {
    /// Names of the nodes, made plain.
    pub nodes: Vec<String>,
    /// The servers to which none of the cluster's nodes belongs, so that nothing was removed for them.
    pub without_node: Vec<String>,
}

/// What is known of nodes that leave, from one list to the next.
#[derive(Default)]
struct Leaving<'a> {
    nodes: RememberedKeys,
    /// The servers of these nodes.
    servers: BTreeSet<&'a str>,
}

/// Removes the nodes of these servers, and waits until each is gone. k3s lets a node of the control plane go only once its member has
/// left etcd (a finalizer of its own), so a node that is gone is no member any more.
///
/// # Errors
/// Why a node is still there when the budget is spent, or the cluster is silent.
pub async fn remove_nodes(
    kubeconfig: &Kubeconfig,
    settings: &WatchSettings,
    servers: &[String],
    budget: Duration,
) -> Result<RemovedNodes, RemovalFault> {
    let unusable = |fault: client::KubeconfigFault| RemovalFault::NotRemoved(fault.to_string());
    let route = client::route(kubeconfig, settings).map_err(unusable)?;
    let client = client::connect(kubeconfig, settings).map_err(unusable)?;
    leave(client, route, settings.request_timeout, servers, budget).await
}

async fn leave(
    client: kube::Client,
    route: Route,
    limit: Duration,
    servers: &[String],
    budget: Duration,
) -> Result<RemovedNodes, RemovalFault> {
    let begun = Instant::now();
    let (mut leaving, mut is_silent) = (Leaving::default(), route == Route::Direct);
    loop {
        let why = match remove(&client, servers, limit, &mut leaving).await {
            Ok(left) if left.is_empty() => break,
            Ok(left) => format!("{} is still there, since k3s has not let it go", some_names(&left)),
            Err(trouble) => {
                is_silent &= trouble.is_silence;
                trouble.why
            }
        };
        // One that listed its nodes has answered, whatever came then.
        is_silent &= leaving.nodes.is_empty();
        if is_silent && begun.elapsed() >= SILENCE {
            return Err(RemovalFault::Silent(why));
        }
        if begun.elapsed() >= budget {
            return Err(RemovalFault::NotRemoved(why));
        }
        sleep(PAUSE).await;
    }
    let secrets = answers::path(&kind("Secret", "secrets"), Some(PASSWORDS));
    for node in leaving.nodes.iter() {
        // k3s removes it with the node. Where it did not, the name is used no more, so it is in nobody's way.
        let (name, how) = (format!("{node}.node-password.k3s"), DeleteParams::default());
        let _ = timeout(limit, answers::ask(&client, secrets.delete(&name, &how))).await;
    }
    let without_node = servers.iter().filter(|server| !leaving.servers.contains(server.as_str())).cloned().collect();
    Ok(RemovedNodes { nodes: leaving.nodes.iter().map(|node| plain(node, MAX_NAME)).collect(), without_node })
}

/// One pass; gives the nodes that are still there.
async fn remove<'a>(
    client: &kube::Client,
    servers: &'a [String],
    limit: Duration,
    leaving: &mut Leaving<'a>,
) -> Result<Vec<String>, Trouble> {
    let listed = list(client, limit).await?;
    let place = answers::path(&kind("Node", "nodes"), None);
    let mut left = Vec::new();
    for node in &listed {
        let Some(server) = servers.iter().find(|server| runs_on(node, server)) else { continue };
        let name = node.name().to_owned();
        leaving.nodes.insert(name.clone())?;
        leaving.servers.insert(server);
        if !node.is_leaving() {
            let removed = answers::ask(client, place.delete(&name, &DeleteParams::default()));
            match timeout(limit, removed).await.map_err(|_| Trouble::timeout(limit.as_secs()))? {
                Ok(()) => {}
                Err(refusal) if refusal.status == Some(404) => continue,
                Err(refusal) => return Err(refusal.trouble),
            }
        }
        left.push(name);
    }
    Ok(left)
}

/// Tells, once they had their time, which servers have no node, and when all have one.
pub(super) async fn follow(client: kube::Client, settings: WatchSettings, out: mpsc::Sender<Observation>) {
    sleep(PATIENCE).await;
    let mut told = false;
    loop {
        match missing(&client, &settings).await {
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
    if let Ok(Some(words)) = missing(&client, settings).await {
        let message = format!("{words}, and the cluster is ready without them.");
        let _ = out.send(Observation::Remark { level: Level::Warn, message }).await;
    }
}

/// What is missing, in words without an end.
async fn missing(client: &kube::Client, settings: &WatchSettings) -> Result<Option<String>, Trouble> {
    if settings.servers.is_empty() {
        return Ok(None);
    }
    Ok(words_of(&list(client, settings.request_timeout).await?, &settings.servers))
}

fn words_of(nodes: &[ClusterObject], servers: &[String]) -> Option<String> {
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
fn is_silent(node: &ClusterObject) -> bool {
    let conditions = node.body()["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] != "True")
}

fn runs_on(node: &ClusterObject, server: &str) -> bool {
    let name = node.name();
    match node.body()["metadata"]["labels"][SERVER].as_str().filter(|label| is_name_on(name, label)) {
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

async fn list(client: &kube::Client, limit: Duration) -> Result<Vec<ClusterObject>, Trouble> {
    let listing = Listing {
        kind: kind("Node", "nodes"),
        namespace: None,
        labels: "",
        fields: "",
        shape: &NODE,
        page: PAGE,
        max_pages: MAX_PAGES,
    };
    let (mut nodes, _) = answers::list(client, &listing, limit).await?;
    nodes.retain(has_valid_lengths);
    Ok(nodes)
}

fn kind(name: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", name), plural)
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
