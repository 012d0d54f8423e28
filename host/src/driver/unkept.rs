//! What a run that outlived its host made and no state knows: said in the log before anything else is done.

use super::Driver;
use catalyst_domain::{DeploymentId, Entry, Level, Record, Timestamp, phase};
use std::sync::Arc;

impl Driver {
    /// Takes in what its run left on disk, tells what of it no state knows, then as [`Driver::adopt`].
    pub(super) async fn adopt_ended(self: &Arc<Self>, record: &Record) -> bool {
        self.tidy_ended_run(&record.id).await;
        self.tell_unkept(record).await && self.adopt(record).await
    }

    /// `false` when it could not be written.
    async fn tell_unkept(&self, record: &Record) -> bool {
        let id = &record.id;
        let secrets = self.vault.get(id).unwrap_or_default();
        match self.engine.unkept(id, &secrets).await {
            Ok(Some(text)) => {
                let entry = Entry::new(Timestamp::now(), phase::TOFU_APPLY, Level::Error, text);
                if let Err(error) = self.store.append(id, vec![entry]).await {
                    tracing::error!(deployment.id = %id, %error, "cannot log what a run made that outlived its host");
                    return false;
                }
            }
            Ok(None) => {}
            Err(error) => {
                // The record matters more than these words.
                tracing::error!(deployment.id = %id, %error, "cannot read what a run left that outlived its host");
                return true;
            }
        }
        self.forget_unkept(id).await;
        true
    }

    /// What the last run made is in the state, the record or the log.
    pub(super) async fn forget_unkept(&self, id: &DeploymentId) {
        if let Err(error) = self.engine.forget_unkept(id).await {
            tracing::warn!(deployment.id = %id, %error, "what a run made will be said again after a crash");
        }
    }
}
