//! What a run that outlived its host made and no state knows: said in the log before anything else is done.

use super::Driver;
use crate::engine::unkept_sentence;
use catalyst_domain::{DeploymentId, Entry, Level, Record, Timestamp, phase};
use std::collections::BTreeMap;
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
        let (made, text) = match self.engine.unkept(id, &secrets).await {
            Ok(made) => {
                let text = unkept_sentence(&made);
                (made, text)
            }
            Err(error) => {
                let text = format!("what a run left that outlived its host cannot be read: {error}");
                (BTreeMap::new(), Some(text))
            }
        };
        if let Some(text) = text {
            let entry = Entry::new(Timestamp::now(), phase::TOFU_APPLY, Level::Error, text);
            if let Err(error) = self.store.append(id, vec![entry]).await {
                tracing::error!(deployment.id = %id, %error, "cannot log what a run made that outlived its host");
                // A log that is damaged must not hold the deployment up.
                if self.store.unusable().is_some() {
                    return false;
                }
            }
        }
        if !self.note_left(id, &made).await {
            return false;
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
