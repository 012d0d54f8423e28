//! The start of the process: every record is taken up where it stands, after what a crash left running has ended.

use super::leftovers::found;
use super::{Driver, Hand, PAUSE, SWEEP};
use crate::engine::{Engine, Reaped};
use catalyst_domain::restart::{KubeconfigFile, on_start};
use catalyst_domain::{Record, Status};
use std::sync::Arc;
use std::time::Duration;

/// How long a run that outlived its host may take to end after an interrupt, in which OpenTofu writes its state.
const ORPHAN_GRACE: Duration = Duration::from_secs(20);

impl Driver {
    /// Takes up every record where it stands.
    pub async fn start(self: &Arc<Self>) {
        let unkept = found(&self.engine, Engine::with_unkept).await;
        for record in self.store.list() {
            let is_simple = !may_have_orphans(&record) && !unkept.contains(&record.id);
            if is_simple && self.adopt(&record).await {
                self.wake(&record.id);
                continue;
            }
            // Its place is taken meanwhile, so that nothing else begins before it is known where it stands.
            self.lives().insert(record.id.clone());
            let driver = self.clone();
            self.tasks.spawn(async move { driver.adopt_slowly(&record).await });
        }
        self.tasks.spawn(self.clone().sweep_secrets());
    }

    /// Ends what a crash left running before anything else touches its state, and tries until the record says so.
    async fn adopt_slowly(self: &Arc<Self>, record: &Record) {
        let mut pause = PAUSE;
        while !(self.reap(record).await && self.adopt_ended(record).await) {
            if self.stop.is_cancelled() {
                return;
            }
            self.pause(pause).await;
            pause = (pause * 2).min(SWEEP);
        }
        self.lives().remove(&record.id);
        self.wake(&record.id);
    }

    /// Ends what still runs of this deployment: the supervisor of its run, and any process in its work folder. Whether none is left.
    async fn reap(&self, record: &Record) -> bool {
        let mut children = self.engine.orphans(&record.id);
        children.extend(record.child.filter(|child| !children.contains(child)));
        let mut gone = true;
        for child in children {
            match self.engine.reap_orphan(&record.id, &child, ORPHAN_GRACE).await {
                Ok(Reaped::Gone) => {}
                Ok(Reaped::Alive) => {
                    tracing::error!(deployment.id = %record.id, process.pid = child.pid, "an orphaned OpenTofu run lives on");
                    gone = false;
                }
                Ok(reaped) => tracing::warn!(deployment.id = %record.id, ?reaped, "an OpenTofu run outlived its host"),
                Err(error) => {
                    tracing::error!(deployment.id = %record.id, %error, "cannot end an orphaned OpenTofu run");
                    gone = false;
                }
            }
        }
        gone
    }

    /// Records what the start of the process means for a deployment; `false` when that could not be written.
    pub(super) async fn adopt(self: &Arc<Self>, record: &Record) -> bool {
        self.settle_servers(record).await;
        let present = self.store.kubeconfig_present(&record.id);
        let file = if present { KubeconfigFile::Present } else { KubeconfigFile::Absent };
        let Some(fact) = on_start(record, file) else { return true };
        let hand = Hand { driver: self.clone(), id: record.id.clone(), stop: self.stop.child_token() };
        hand.interrupted(record, fact).await
    }
}

/// Whether a run of OpenTofu may have outlived the process that recorded this.
pub(super) fn may_have_orphans(record: &Record) -> bool {
    let running = matches!(record.status, Status::Provisioning | Status::TofuApplying | Status::Destroying);
    running || record.child.is_some()
}
