//! The whole film: wait for the user data, start the double of the cluster, boot the first node, show what happens.

use super::cluster::{Cluster, ClusterError};
use super::kit::{Film, Look};
use super::node::{self, Boot, BootError, BootReport, Step};
use super::state::{self, Found, Nodes, StateError};
use catalyst_domain::DeploymentId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// The node that is booted: the first server, which alone hands in a kubeconfig.
const FIRST: &str = "cp1";
/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a deployment may be unknown: between its create and OpenTofu's first word to the store.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Longest wait for OpenTofu: the host's own budget for Phase 0.
const STATE_FOR: Duration = Duration::from_secs(30 * 60);
/// Longest wait for the host's first look, where the film is to end by itself. It may still be at work on OpenTofu.
const LOOK_FOR: Duration = Duration::from_secs(5 * 60);
/// Steps that wait to be shown.
const STEPS: usize = 1024;
/// What k3s writes into its own kubeconfig.
const LOCAL_SERVER: &str = "https://127.0.0.1:6443";

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Play {
    /// The deployment.
    pub id: DeploymentId,
    /// The host's `CATALYST_STATE_DIR`.
    pub state_dir: PathBuf,
    /// The node's `/`: an empty folder.
    pub root: PathBuf,
    /// Length and end of the film.
    pub film: Film,
    /// Port of the double instead of the one that the state tells.
    pub api_port: Option<u16>,
    /// When it ends by itself.
    pub end: End,
}

/// When a rehearsal ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Never: the cluster stays until it is stopped.
    Stay,
    /// When nothing moves any more and the host had this long to see it.
    Settled(Duration),
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The film says something about itself.
    Say,
    /// A detail.
    Detail,
    /// Something went well.
    Good,
    /// Something failed.
    Bad,
}

/// Why a rehearsal ended early.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// See there.
    #[error("the user data of the node could not be read")]
    State(#[source] StateError),
    /// OpenTofu did not come to an end.
    #[error("the state had no user data within {} minutes", STATE_FOR.as_secs() / 60)]
    NoState,
    /// A module that names its nodes in another way.
    #[error("the state has no node `{FIRST}`; it has {0}")]
    NoFirstNode(String),
    /// The state does not tell, and nobody else did.
    #[error("the state does not tell the port of the cluster's API; give it with --api-port")]
    NoPort,
    /// See there.
    #[error("the double of the cluster could not be started")]
    Cluster(#[source] ClusterError),
    /// See there.
    #[error("the node could not be booted")]
    Boot(#[source] BootError),
    /// The kubeconfig was handed in and nobody used it.
    #[error("the host did not look at the cluster within {} minutes", LOOK_FOR.as_secs() / 60)]
    NotWatched,
    /// The scripts ran and did not get through.
    #[error("{0}")]
    Unfinished(String),
}

/// Plays. Dropping it stops the node and the cluster.
///
/// # Errors
/// [`PlayError`]. That a release fails because it was asked to is none.
pub async fn play(play: Play, say: &mut (dyn FnMut(Tone, &str) + Send)) -> Result<(), PlayError> {
    let nodes = wait_for_nodes(&play, say).await?;
    let Some(user_data) = nodes.user_data.get(FIRST) else {
        return Err(PlayError::NoFirstNode(nodes.user_data.keys().cloned().collect::<Vec<_>>().join(", ")));
    };
    let port = play.api_port.or(nodes.api_port).ok_or(PlayError::NoPort)?;
    let cluster = Cluster::start(port, play.film).await.map_err(PlayError::Cluster)?;
    say(Tone::Say, &format!("cluster   a double of a Kubernetes API answers on https://{}", cluster.address()));
    say(Tone::Detail, "          it only shows the eleven HelmReleases of the bootstrap kit; nothing is installed");
    let names: Vec<&str> = nodes.user_data.keys().map(String::as_str).collect();
    say(Tone::Say, &format!("node      {FIRST} of {} boots below {}", names.join(", "), play.root.display()));
    let report = boot(&play, user_data.clone(), cluster.kubeconfig(LOCAL_SERVER), say).await?;
    if let Some(failed) = report.commands.iter().chain(report.last_of_units()).find(|ran| ran.status != 0) {
        let log = report.log.trim_end().lines().last().unwrap_or_default();
        let hint = "a node hands in its kubeconfig once; for another film create another deployment";
        let why = format!("{} ended with exit status {} {log}; {hint}", failed.what, failed.status);
        return Err(PlayError::Unfinished(why));
    }
    say(Tone::Good, "node      booted");
    say(Tone::Say, "cluster   waits for the host to look at it");
    let limit = if play.end == End::Stay { Duration::MAX } else { LOOK_FOR };
    let mut screen = cluster.screen();
    // The cluster lives as long as this function, so the screen does not go away.
    let began = screen.wait_for(|screen| screen.began.is_some());
    if tokio::time::timeout(limit, began).await.is_err() {
        return Err(PlayError::NotWatched);
    }
    show(&play, &cluster, say).await;
    Ok(())
}

async fn wait_for_nodes(play: &Play, say: &mut (dyn FnMut(Tone, &str) + Send)) -> Result<Nodes, PlayError> {
    let began = Instant::now();
    let mut told = "";
    loop {
        let why = match state::look(&play.state_dir, &play.id) {
            Ok(Found::Nodes(nodes)) => return Ok(nodes),
            Ok(Found::NotYet(why)) => why,
            Err(StateError::Unknown { .. }) if began.elapsed() < UNKNOWN_FOR => "the host has not begun yet",
            Err(error) => return Err(PlayError::State(error)),
        };
        if why != told {
            say(Tone::Say, &format!("state     waiting: {why}"));
            told = why;
        }
        if began.elapsed() > STATE_FOR {
            return Err(PlayError::NoState);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn boot(
    play: &Play,
    user_data: String,
    kubeconfig: String,
    say: &mut (dyn FnMut(Tone, &str) + Send),
) -> Result<BootReport, PlayError> {
    let (steps, mut shown) = mpsc::channel(STEPS);
    let mut boot = Boot::new(user_data, play.root.clone(), kubeconfig);
    // The waits are meant for machines; here somebody looks on.
    let env = [
        ("CATALYST_POLL_SECONDS", "1"),
        ("CATALYST_POSTBACK_DELAY_SECONDS", "2"),
        ("CATALYST_POSTBACK_BUDGET_SECONDS", "300"),
    ];
    boot.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    boot.steps = Some(steps);
    let mut booted = std::pin::pin!(node::boot(boot));
    let report = loop {
        tokio::select! {
            biased;
            Some(step) = shown.recv() => tell(step, say),
            report = &mut booted => break report,
        }
    };
    while let Ok(step) = shown.try_recv() {
        tell(step, say);
    }
    report.map_err(PlayError::Boot)
}

fn tell(step: Step, say: &mut (dyn FnMut(Tone, &str) + Send)) {
    match step {
        Step::Files(count) => say(Tone::Say, &format!("node      {count} files written")),
        Step::LeftOut(keys) => say(Tone::Detail, &format!("          not played: {}", keys.join(", "))),
        Step::Begins(what) => say(Tone::Say, &format!("node      runs {what}")),
        Step::Ended(ran) if ran.status == 0 => say(Tone::Detail, &format!("          {} ended", ran.what)),
        Step::Ended(ran) => say(Tone::Bad, &format!("node      {} ended with exit status {}", ran.what, ran.status)),
        Step::Called(call) => say(Tone::Detail, &format!("          stand-in: {call}")),
        Step::Unit(text) => say(Tone::Say, &format!("node      {text}")),
        Step::Logged(line) => say(Tone::Detail, &format!("          log: {line}")),
    }
}

/// Shows the releases until the end, if there is one.
async fn show(play: &Play, cluster: &Cluster, say: &mut (dyn FnMut(Tone, &str) + Send)) {
    let mut screen = cluster.screen();
    let mut shown: BTreeMap<&str, Look> = BTreeMap::new();
    loop {
        let now = screen.borrow_and_update().clone();
        for (name, look) in &now.looks {
            if shown.insert(name, *look) != Some(*look) {
                tell_look(name, *look, say);
            }
        }
        if now.is_over() || screen.changed().await.is_err() {
            break;
        }
    }
    let is_installed = screen.borrow().is_installed();
    let (tone, end) = if is_installed {
        (Tone::Good, "every release is installed")
    } else {
        (Tone::Bad, "a release failed, as asked")
    };
    say(tone, &format!("cluster   {end}"));
    match play.end {
        End::Settled(settle) => {
            say(
                Tone::Say,
                &format!("cluster   stays for {} s, so that the host can make up its mind", settle.as_secs()),
            );
            sleep(settle).await;
        }
        End::Stay => {
            say(Tone::Say, "cluster   stays until Ctrl-C");
            std::future::pending::<()>().await;
        }
    }
}

fn tell_look(name: &str, look: Look, say: &mut (dyn FnMut(Tone, &str) + Send)) {
    let (tone, text) = match look {
        Look::Absent => return,
        Look::Fresh => (Tone::Detail, "applied".to_owned()),
        Look::Waits(need) => (Tone::Detail, format!("waits for {need}")),
        Look::Installing(0) => (Tone::Say, "installs".to_owned()),
        Look::Installing(number) => (Tone::Say, format!("installs, try {}", number + 1)),
        Look::FailedOnce(number) => (Tone::Bad, format!("failed, try {}", number + 1)),
        Look::Failed => (Tone::Bad, "failed for good".to_owned()),
        Look::Installed => (Tone::Good, "installed".to_owned()),
    };
    say(tone, &format!("release   {name:<22}{text}"));
}
