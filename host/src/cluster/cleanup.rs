//! Takes out of a cluster that is to go what it made in its cloud by itself: load balancers, and volumes where that was agreed to.
//!
//! OpenTofu does not know of them. A load balancer that is still attached to the network keeps the network from being removed, and
//! a volume stays and is paid for. Only the controllers of the cluster can remove them in order, so this comes before its servers go.
//! Every step can be repeated: a cleanup that was cut off begins anew.

mod api;
mod flux;
mod load_balancers;
mod objects;
mod quota;
mod resume;
mod volumes;

use super::trouble::{Kind, Trouble};
use super::{Observation, WatchSettings, client};
use api::ClusterApi;
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::{Level, RemainingResource};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a cluster may take to answer before it counts as one that does not: an API server that is restarted is back by then.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two words on what is waited for.
const PROGRESS: Duration = Duration::from_secs(30);
/// Names in one entry of the log.
const NAMES: usize = 20;

/// What happens to the volumes that the cluster made in its cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumePolicy {
    /// They stay, and are named.
    Keep,
    /// They are deleted, with the data in them.
    Delete,
}

/// How a cluster is cleaned up.
#[derive(Debug, Clone, Copy)]
pub struct CleanupOptions {
    /// What happens to volumes.
    pub volumes: VolumePolicy,
    /// Time for all of it.
    pub budget: Duration,
}

/// Suspends Flux, deletes the Services of type LoadBalancer and waits for them, then deletes or names the volumes of cloud drivers.
/// Gives what stays in the cloud; `out` gets remarks on what is done and waited for. Dropping the future ends it.
///
/// # Errors
/// Why the cluster could not be asked. Nothing was changed.
pub async fn clean_up(
    kubeconfig: &Kubeconfig,
    settings: &WatchSettings,
    options: CleanupOptions,
    out: mpsc::Sender<Observation>,
) -> Result<Vec<RemainingResource>, String> {
    let client = client::connect(kubeconfig, settings).map_err(|fault| fault.to_string())?;
    run(&ClusterApi::new(client, settings.request_timeout), options, &CleanupLog(out)).await
}

/// Resumes what a cleanup suspended, puts back what it changed of volumes and removes what it kept out with, on a cluster that goes on after
/// all. It is tried again until `ended`, and for at most a minute after it; `false` where it was never done. `out` gets remarks. Dropping
/// the future ends it.
pub async fn resume_flux(
    kubeconfig: &Kubeconfig,
    settings: &WatchSettings,
    out: mpsc::Sender<Observation>,
    ended: &CancellationToken,
) -> bool {
    // A watch of the same kubeconfig tells why it cannot be used.
    let Ok(client) = client::connect(kubeconfig, settings) else { return false };
    resume::resume(&ClusterApi::new(client, settings.request_timeout), &CleanupLog(out), ended).await
}

async fn run(api: &ClusterApi, options: CleanupOptions, log: &CleanupLog) -> Result<Vec<RemainingResource>, String> {
    let begun = Instant::now();
    let deadline = begun + options.budget;
    answers(api, deadline.min(begun + ANSWER_WITHIN)).await.map_err(|trouble| trouble.why)?;
    flux::suspend(api, log).await;
    // Volumes need their part of the time only where they are to be deleted.
    let until = match options.volumes {
        VolumePolicy::Keep => deadline,
        VolumePolicy::Delete => begun + options.budget / 2,
    };
    let mut remaining = load_balancers::remove(api, log, until).await;
    remaining.extend(volumes::clean_up(api, log, options.volumes, deadline).await);
    Ok(remaining)
}

/// Waits until the cluster answers.
async fn answers(api: &ClusterApi, until: Instant) -> Result<(), Trouble> {
    loop {
        match api.list(&objects::services(), None, &objects::SERVICE).await {
            Ok(_) => return Ok(()),
            Err(trouble) if trouble.kind == Kind::Forbidden || Instant::now() >= until => return Err(trouble),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Says what is done, to whoever keeps the log.
struct CleanupLog(mpsc::Sender<Observation>);

impl CleanupLog {
    async fn info(&self, message: impl Into<String>) {
        self.remark(Level::Info, message.into()).await;
    }

    async fn warn(&self, message: impl Into<String>) {
        self.remark(Level::Warn, message.into()).await;
    }

    /// `head: name, name`, in as many entries as it takes to name all.
    async fn names(&self, level: Level, head: &str, names: &[String]) {
        for names in names.chunks(NAMES) {
            self.remark(level, format!("{head}: {}", names.join(", "))).await;
        }
    }

    async fn remark(&self, level: Level, message: String) {
        // Who no longer listens is about to drop the cleanup.
        let _ = self.0.send(Observation::Remark { level, message }).await;
    }
}

/// Whether it is time for a word on what is waited for.
struct Progress(Instant);

impl Progress {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn is_due(&mut self) -> bool {
        let is_due = self.0.elapsed() >= PROGRESS;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}

/// Waits a little, but not longer than until then.
async fn pause(until: Instant) {
    sleep_until(until.min(Instant::now() + PAUSE)).await;
}

#[cfg(test)]
mod tests;
