//! What a run that ended with its host, or outlived it, made and no state knows: said in the log before anything else is done.

use super::leftovers::found;
use super::{Driver, Hand};
use crate::engine::{Engine, RunError, unkept_sentence};
use catalyst_domain::restart::{KubeconfigFile, on_start};
use catalyst_domain::{DeploymentId, Entry, Level, Record, Timestamp, phase};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Hand {
    /// The process ends, and the run with it. The same words as after a crash: for whoever reads them it is the same thing. What
    /// cannot be written is said by the next start.
    pub(super) async fn stopped_with_the_process(&self, error: &RunError) {
        let Some(record) = self.record() else { return };
        let Some(fact) = on_start(&record, KubeconfigFile::Absent) else { return };
        let told = match unkept_sentence(&error.unkept) {
            Some(text) => self.driver.note_unkept(&self.id, &error.unkept, text).await,
            None => self.driver.tell_unkept(&record).await,
        };
        if self.interrupted(&record, fact).await && told {
            self.driver.forget_unkept(&self.id).await;
        }
    }
}

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
        let (made, text) = self.engine.unkept(id, &secrets).await;
        if let Some(text) = text
            && !self.note_unkept(id, &made, text).await
        {
            return false;
        }
        self.forget_unkept(id).await;
        true
    }

    /// Says in the log and on the record what a run made and no state has; `false` when it could not be written.
    async fn note_unkept(&self, id: &DeploymentId, made: &BTreeMap<String, String>, text: String) -> bool {
        let entry = Entry::new(Timestamp::now(), phase::TOFU_APPLY, Level::Error, text);
        if let Err(error) = self.store.append(id, vec![entry]).await {
            tracing::error!(deployment.id = %id, %error, "cannot log what a run made and no state knows");
            // A log that is damaged must not hold the deployment up.
            if self.store.unusable().is_some() {
                return false;
            }
        }
        made.is_empty() || self.note_left(id, made).await
    }

    /// Removes what runs of deployments left that are gone: nobody is there to be told. Not while such a run goes on, nor where the record
    /// could not be read at this start.
    pub(super) async fn forget_unkept_of_nobody(&self) {
        for id in found(&self.engine, Engine::with_unkept).await {
            let _turn = self.claims.of(&id).await;
            let is_nobodys = self.store.get(&id).is_none() && !self.store.has_unread_record(&id);
            if is_nobodys && self.engine.orphans(&id).is_empty() {
                self.forget_unkept(&id).await;
            }
        }
    }

    /// What the last run made is in the state, the record or the log.
    pub(super) async fn forget_unkept(&self, id: &DeploymentId) {
        if let Err(error) = self.engine.forget_unkept(id).await {
            tracing::warn!(deployment.id = %id, %error, "what a run made will be said again after a crash");
        }
    }
}
