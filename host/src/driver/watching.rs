//! Phase 1: watch the new cluster and tell what it shows.

use super::{Hand, proxy};
use crate::cluster::{self, Observation, WatchSettings};
use catalyst_domain::event::seconds;
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::{Entry, Fact, Level, Outcome, Record, Timestamp, phase};
use catalyst_store::KubeconfigError;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Time beside the quiet time that a watch has after a downtime, however little of its budget is left: enough to connect and
/// list.
const LOOK: Duration = Duration::from_secs(60);
/// Observations on their way to the log.
const QUEUE: usize = 256;

impl Hand {
    pub(super) async fn watch(&self) {
        let Some(record) = self.record() else { return };
        let kubeconfig = match self.kubeconfig().await {
            Ok(kubeconfig) => kubeconfig,
            Err(None) => return,
            Err(Some(why)) => return self.watch_ended(Outcome::Failed(why), BTreeMap::new()).await,
        };
        self.say(phase::MONITOR, Level::Info, "the kubeconfig is there; watching the new cluster's releases").await;
        let settings = self.watch_settings(&record);
        let begun = Instant::now();
        let address = match self.server_address(&kubeconfig, &record, settings.timeout).await {
            Ok(address) => address,
            Err(None) => return,
            Err(Some(why)) => return self.watch_ended(Outcome::Failed(why), BTreeMap::new()).await,
        };
        let (out, seen) = mpsc::channel(QUEUE);
        let scribe = tokio::spawn(self.clone().observe(seen).in_current_span());
        // One budget for the name and for the cluster.
        let timeout = settings.timeout.saturating_sub(begun.elapsed());
        let servers = self.driver.server_names(&record).await;
        let settings = WatchSettings { address, timeout, servers, ..settings };
        let watched = CancellationToken::new();
        let resuming = self.resume_flux(&record, &kubeconfig, settings.clone(), out.clone(), &watched);
        let watching = async {
            let ended = cluster::watch(&kubeconfig, settings, out, self.stop.clone()).await;
            watched.cancel();
            ended
        };
        let (ended, ()) = tokio::join!(watching, resuming);
        if let Err(error) = scribe.await {
            tracing::error!(deployment.id = %self.id, %error, "the scribe of a watch broke");
        }
        // Stopped from outside: the watch goes on when the process does, and nothing has been decided.
        if let Ok(ended) = ended {
            self.watch_ended(ended.outcome, ended.components).await;
        }
    }

    /// Resumes on the cluster what a destroy suspended that did not come to its end, while the cluster is watched.
    async fn resume_flux(
        &self,
        record: &Record,
        kubeconfig: &Kubeconfig,
        settings: WatchSettings,
        out: mpsc::Sender<Observation>,
        watched: &CancellationToken,
    ) {
        if !record.resume_flux {
            return;
        }
        let is_done = tokio::select! {
            () = self.stop.cancelled() => false,
            is_done = cluster::resume_flux(kubeconfig, &settings, out, watched) => is_done,
        };
        // Else the next watch does it.
        if is_done {
            self.fact(Fact::FluxResumed).await;
        }
    }

    /// The stored kubeconfig. The store gives it out only once its server was checked, so nothing is dialled before. One that the
    /// host has no key for says nothing about the cluster, so nothing is decided (`None`) until the watch is stopped.
    pub(super) async fn kubeconfig(&self) -> Result<Kubeconfig, Option<String>> {
        match self.driver.store.kubeconfig(&self.id).await {
            Ok(bytes) => Kubeconfig::parse(&bytes).map_err(|fault| Some(fault.to_string())),
            Err(KubeconfigError::Sealed(error)) => {
                let text =
                    format!("{error}; the cluster is watched again when the host was restarted with the right key");
                self.say(phase::MONITOR, Level::Error, text).await;
                self.stop.cancelled().await;
                Err(None)
            }
            Err(error) => Err(Some(error.to_string())),
        }
    }

    fn watch_settings(&self, record: &Record) -> WatchSettings {
        let settings = &self.driver.settings;
        let since = record.phase1_started_at.unwrap_or_else(Timestamp::now);
        let gone = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        // However long the process was down: a cluster is looked at before it is judged.
        let after_downtime = (since < self.driver.started).then(|| settings.phase1_settle.saturating_add(LOOK));
        WatchSettings {
            timeout: time_left(settings.phase1_timeout, gone, after_downtime),
            settle: settings.phase1_settle,
            expected: settings.phase1_expected,
            proxy: proxy::choice(&settings.proxy),
            ..WatchSettings::default()
        }
    }

    async fn observe(self, mut seen: mpsc::Receiver<Observation>) {
        while let Some(observation) = seen.recv().await {
            self.log(vec![entry(observation)]).await;
        }
    }

    async fn watch_ended(&self, outcome: Outcome, components: BTreeMap<String, String>) {
        match &outcome {
            Outcome::Ready => {
                let text = format!("the cluster is ready: {} releases are installed", components.len());
                self.say_last(phase::MONITOR, Level::Info, text).await;
            }
            Outcome::Failed(why) => self.say_last(phase::MONITOR, Level::Error, why.clone()).await,
        }
        self.fact(Fact::Phase1Ended { outcome, components }).await;
    }
}

/// What is left of a budget: the operator's, and no second more, but for what is granted after a downtime.
fn time_left(budget: Duration, gone: Duration, after_downtime: Option<Duration>) -> Duration {
    budget.saturating_sub(gone).max(after_downtime.unwrap_or_default())
}

fn entry(observation: Observation) -> Entry {
    let now = Timestamp::now();
    match observation {
        Observation::Component { id, release, namespace, chart_version, state, level, message } => Entry {
            component: Some(id),
            state: Some(state.as_str().to_owned()),
            helm_release: Some(release),
            namespace: Some(namespace),
            chart_version,
            ..Entry::new(now, phase::COMPONENT, level, message)
        },
        Observation::Log { component, level, line } => {
            Entry { component: Some(component), ..Entry::new(now, phase::COMPONENT_LOG, level, line) }
        }
        Observation::Remark { level, message } => Entry::new(now, phase::MONITOR, level, message),
        Observation::Unreachable { since, why } => {
            let text = format!("the cluster has not answered since {}: {why}", seconds(since));
            Entry::new(now, phase::MONITOR, Level::Warn, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_the_operators_and_a_minute_is_granted_only_after_a_downtime() {
        let s = Duration::from_secs;
        assert_eq!(time_left(s(4), s(0), None), s(4));
        assert_eq!(time_left(s(4), s(3), None), s(1));
        assert_eq!(time_left(s(4), s(60), None), s(0));
        assert_eq!(time_left(s(4), s(60), Some(s(90))), s(90));
        assert_eq!(time_left(s(3600), s(60), Some(s(90))), s(3540));
    }
}
