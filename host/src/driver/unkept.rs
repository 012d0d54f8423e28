//! What a run that ended with its host, or outlived it, made and no state knows: said in the log before anything else is done.

use super::leftovers::found;
use super::{Driver, Hand};
use crate::engine::{Engine, RunError};
use catalyst_domain::restart::{KubeconfigFile, on_start};
use catalyst_domain::{DeploymentId, Entry, Level, Record, Timestamp, phase};
use std::sync::Arc;

impl Hand {
    /// The process ends, and the run with it. The same words as after a crash: for whoever reads them it is the same thing. What
    /// cannot be written is said by the next start.
    pub(super) async fn stopped_with_the_process(&self, error: &RunError) {
        let Some(record) = self.record() else { return };
        let Some(fact) = on_start(&record, KubeconfigFile::Absent) else { return };
        let told = match &error.unkept {
            Some(text) => self.driver.log_unkept(&self.id, text.clone()).await,
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
        match self.engine.unkept(id, &secrets).await {
            Ok(Some(text)) => {
                if !self.log_unkept(id, text).await {
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

    async fn log_unkept(&self, id: &DeploymentId, text: String) -> bool {
        let entry = Entry::new(Timestamp::now(), phase::TOFU_APPLY, Level::Error, text);
        let logged = self.store.append(id, vec![entry]).await;
        if let Err(error) = &logged {
            tracing::error!(deployment.id = %id, %error, "cannot log what a run made and no state knows");
        }
        logged.is_ok()
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
