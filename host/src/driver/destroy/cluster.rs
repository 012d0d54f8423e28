//! What comes before the run of a destroy: the cluster removes what it made in its cloud, while it still can.

use crate::cluster::{self, ANSWER_WITHIN, CleanupOptions, Observation, VolumePolicy, WatchSettings};
use crate::driver::{Hand, proxy};
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::remaining::after_cluster;
use catalyst_domain::{Fact, Level, Record, RemainingResource, phase};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

/// Share of a destroy's time that the work in its cluster may take, as its divisor: OpenTofu needs the most of it.
const SHARE: u32 = 4;
/// The most that it may take: controllers remove load balancers and volumes within minutes, or not at all.
const MOST: Duration = Duration::from_secs(600);
/// How much later than its bound it may end.
const LATE: Duration = Duration::from_secs(30);
/// Remarks on their way to the log.
const QUEUE: usize = 256;

/// The time of one destroy.
pub(super) struct DestroyBudget {
    begun: Instant,
    whole: Duration,
}

impl DestroyBudget {
    pub(super) fn begin(whole: Duration) -> Self {
        Self { begun: Instant::now(), whole }
    }

    /// The bound of the work in the cluster.
    fn of_cluster(&self) -> Duration {
        (self.whole / SHARE).min(MOST)
    }

    /// What is left now.
    pub(super) fn left(&self) -> Duration {
        self.whole.saturating_sub(self.begun.elapsed())
    }
}

/// Whether the cluster was asked what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClusterLook {
    /// It was, and removed what it could.
    CleanedUp,
    /// It was not, for this reason.
    NotAsked(String),
}

impl Hand {
    /// Lets the cluster of a deployment remove what it made, and records what stays. `None` where the process goes down meanwhile: the
    /// next start begins it anew.
    pub(super) async fn clean_up_cluster(&self, record: &Record, budget: &DestroyBudget) -> Option<ClusterLook> {
        if !record.has_cluster() {
            return Some(self.not_asked(Level::Info, without_cluster(record).to_owned()).await);
        }
        let (out, seen) = mpsc::channel(QUEUE);
        let log = tokio::spawn(self.clone().log_cleanup(seen).in_current_span());
        let bound = budget.of_cluster();
        let ended = tokio::select! {
            () = self.stop.cancelled() => None,
            // The last word comes from within; this only ends what hangs.
            ended = timeout(bound + LATE, self.ask_cluster(record, bound, out)) => {
                Some(ended.unwrap_or_else(|_| Err(format!("it took longer than {} s", bound.as_secs()))))
            }
        };
        if let Err(error) = log.await {
            tracing::error!(deployment.id = %self.id, %error, "the log of a cleanup broke");
        }
        match ended? {
            Ok(listed) => {
                self.fact(Fact::RemainingSeen(after_cluster(&record.remaining, &listed))).await;
                Some(ClusterLook::CleanedUp)
            }
            Err(why) => Some(self.not_asked(Level::Warn, why).await),
        }
    }

    async fn not_asked(&self, level: Level, why: String) -> ClusterLook {
        let text = format!("what the cluster itself made (load balancers, volumes) is not looked for in it: {why}");
        self.say(phase::TOFU_DESTROY, level, text).await;
        ClusterLook::NotAsked(why)
    }

    /// # Errors
    /// Why the cluster was not asked.
    async fn ask_cluster(
        &self,
        record: &Record,
        bound: Duration,
        out: mpsc::Sender<Observation>,
    ) -> Result<Vec<RemainingResource>, String> {
        let begun = Instant::now();
        let bytes = self.driver.store.kubeconfig(&self.id).await.map_err(|error| error.to_string())?;
        let kubeconfig = Kubeconfig::parse(&bytes).map_err(|fault| fault.to_string())?;
        let address = self.server_address(&kubeconfig, record, bound.min(ANSWER_WITHIN)).await;
        let address = address.map_err(|why| why.unwrap_or_else(|| "the host is going down".to_owned()))?;
        let proxy = proxy::choice(&self.driver.settings.proxy);
        let settings = WatchSettings { address, proxy, ..WatchSettings::default() };
        let volumes = if record.delete_volumes { VolumePolicy::Delete } else { VolumePolicy::Keep };
        let options = CleanupOptions { volumes, budget: bound.saturating_sub(begun.elapsed()) };
        cluster::clean_up(&kubeconfig, &settings, options, out).await
    }

    async fn log_cleanup(self, mut seen: mpsc::Receiver<Observation>) {
        while let Some(observation) = seen.recv().await {
            if let Observation::Remark { level, message } = observation {
                self.say_of_others(phase::TOFU_DESTROY, level, message).await;
            }
        }
    }
}

/// Why the cluster of such a deployment is not asked.
fn without_cluster(record: &Record) -> &'static str {
    if record.has_kubeconfig() {
        "its kubeconfig was accepted before the outputs of OpenTofu, which failed, so its server could not be checked"
    } else {
        "no kubeconfig of it was accepted"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t6_the_work_in_a_cluster_has_its_part_of_the_time_and_opentofu_the_rest() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let usual = DestroyBudget::begin(minutes(60));
        assert_eq!((usual.of_cluster(), usual.left()), (minutes(10), minutes(60)));
        tokio::time::sleep(minutes(10)).await;
        assert!(usual.left() > minutes(45), "a provider tries that long: {:?}", usual.left());
        assert_eq!(DestroyBudget::begin(minutes(4)).of_cluster(), minutes(1));
    }

    #[test]
    fn t6_a_kubeconfig_that_could_not_be_checked_is_told_from_none() {
        let mut record: Record = serde_json::from_value(serde_json::json!({
            "id": "0101010101010101", "status": "failed", "startedAt": "2026-04-29T10:00:00Z",
            "request": {"sovereignFQDN": "a.example"}, "result": {"sovereignFQDN": "a.example"},
        }))
        .unwrap();
        assert_eq!(without_cluster(&record), "no kubeconfig of it was accepted");
        record.result.as_mut().unwrap().kubeconfig_path = "f.yaml".to_owned();
        assert!(without_cluster(&record).contains("could not be checked"));
    }
}
