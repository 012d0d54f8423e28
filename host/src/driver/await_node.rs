//! Waiting, with a deadline, until the first node hands in its kubeconfig. The PUT changes the record, and that ends this.

use super::Hand;
use catalyst_domain::event::seconds;
use catalyst_domain::{Fact, Level, Timestamp, phase};
use std::time::Duration;

/// How often a waiting viewer is told that nothing is lost.
const REMINDER: Duration = Duration::from_secs(300);

/// How long a node may take to call back after the host was down; it tries again every few seconds.
const CALL_BACK: Duration = Duration::from_secs(120);

impl Hand {
    pub(super) async fn await_node(&self) {
        let Some(record) = self.record() else { return };
        // From the record, so that a restart neither prolongs nor shortens it.
        let since = record.phase0_finished_at.or(record.phase1_started_at).unwrap_or_else(Timestamp::now);
        let deadline = since.saturating_add(self.driver.settings.kubeconfig_timeout).unwrap_or(Timestamp::MAX);
        // While the process was down nobody could call back: the node gets a little time after each start.
        let earliest = self.driver.started.saturating_add(CALL_BACK).unwrap_or(Timestamp::MAX);
        let deadline = if since < self.driver.started { deadline.max(earliest) } else { deadline };
        let until = seconds(deadline);
        let address = record.result.as_ref().map(|r| r.control_plane_ip.as_str()).filter(|ip| !ip.is_empty());
        let node = address.map_or_else(|| "the first node".to_owned(), |ip| format!("the first node ({ip})"));
        let text = format!("waiting for {node} to hand in its kubeconfig, until {until}");
        self.say(phase::FLUX_BOOTSTRAP, Level::Info, text.clone()).await;
        loop {
            let left = Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default();
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(left.min(REMINDER)) => {}
            }
            if left > REMINDER {
                self.say(phase::FLUX_BOOTSTRAP, Level::Info, format!("still {text}")).await;
            }
        }
        let text = format!("{node} did not hand in its kubeconfig until {until}");
        self.say(phase::FLUX_BOOTSTRAP, Level::Error, text).await;
        self.fact(Fact::NodeDeadline).await;
    }
}
