//! What a run that was killed left on disk: its secrets are taken into memory, sealed where there is a key, and removed in plain.

use super::start::may_have_orphans;
use super::{Driver, SWEEP};
use crate::engine::Engine;
use catalyst_domain::provider::Bundle;
use catalyst_domain::{DeploymentId, Record, Secrets, Status, Timestamp};
use catalyst_store::{RunSecrets, RunSecretsKept};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

impl Driver {
    /// At the start, and then from time to time: what lies in plain of runs that ended is taken in and removed, and so are secrets
    /// whose time is over.
    pub(super) async fn sweep_secrets(self: Arc<Self>) {
        self.settle_errored_states().await;
        while !self.stop.is_cancelled() {
            self.vault.sweep();
            self.forget_sealed_secrets().await;
            self.forget_unkept_of_nobody().await;
            for id in found(&self.engine, Engine::with_leftovers).await {
                self.tidy_leftovers(&id).await;
            }
            self.pause(SWEEP).await;
        }
    }

    /// A state that a dead run could not hand over is in plain as long as it is not taken in. One that cannot be used is set aside, which
    /// the log says.
    async fn settle_errored_states(&self) {
        for id in found(&self.engine, Engine::with_errored_state).await {
            let _turn = self.claims.of(&id).await;
            // Those that may run are settled when they are taken up. Asked with the turn: nobody begins a run meanwhile.
            if self.store.get(&id).is_some_and(|record| !may_have_orphans(&record))
                && self.engine.orphans(&id).is_empty()
            {
                self.settle_ended_run(&id).await;
            }
        }
    }

    /// What a run that is known to have ended left on disk: its state, and its secrets.
    pub(super) async fn tidy_ended_run(&self, id: &DeploymentId) {
        let _turn = self.claims.of(id).await;
        self.settle_ended_run(id).await;
        self.try_take_in(id).await;
    }

    async fn settle_ended_run(&self, id: &DeploymentId) {
        if let Err(error) = self.settle(id).await {
            let text = "what a dead run left of the state is not taken in, and stays in plain in its work folder";
            tracing::error!(deployment.id = %id, %error, "{text}");
        }
    }

    async fn try_take_in(&self, id: &DeploymentId) {
        if let Err(why) = self.take_in_leftovers(id).await {
            let text = "secrets of an interrupted run stay in plain in its work folder; it is tried again";
            tracing::error!(deployment.id = %id, why, "{text}");
        }
    }

    async fn forget_sealed_secrets(&self) {
        let kept = match self.store.kept_run_secrets().await {
            Ok(kept) => kept,
            Err(error) => return tracing::warn!(%error, "sealed secrets of interrupted runs cannot be looked for"),
        };
        for (id, ended_at) in kept {
            let known = self.store.get(&id).map(|record| record.status != Status::Destroyed);
            let is_of_use = known.unwrap_or_else(|| self.store.has_unread_record(&id));
            if !is_of_use || self.time_left(ended_at).is_zero() {
                self.forget_sealed(&id).await;
            }
        }
    }

    async fn tidy_leftovers(&self, id: &DeploymentId) {
        let _turn = self.claims.of(id).await;
        // Who takes the deployment up ends them; those of a deployment without a record end by themselves.
        if self.engine.orphans(id).is_empty() {
            self.try_take_in(id).await;
        }
    }

    /// Takes in what a run left in plain, and removes it. Not while OpenTofu runs there, and with the deployment's turn: nobody
    /// begins a run meanwhile. Killed at any point it can be done again: what is removed was sealed before, where there is a key.
    ///
    /// # Errors
    /// Words on why the files stay.
    pub(super) async fn take_in_leftovers(&self, id: &DeploymentId) -> Result<(), String> {
        let engine = self.engine.clone();
        let of = id.clone();
        let has = spawn_blocking(move || Ok(engine.has_leftovers(&of)? && !engine.is_busy(&of)));
        let words = |error: std::io::Error| error.to_string();
        if !has.await.map_err(|error| error.to_string())?.map_err(words)? {
            return Ok(());
        }
        match self.store.get(id) {
            Some(record) if record.status != Status::Destroyed => self.keep_leftovers(&record).await?,
            Some(_) => {}
            None if self.store.has_unread_record(id) => {
                return Err("its record could not be read at the start".to_owned());
            }
            None => {}
        }
        let (engine, of) = (self.engine.clone(), id.clone());
        let removed = spawn_blocking(move || engine.remove_leftovers(&of));
        removed.await.map_err(|error| error.to_string())?.map_err(words)?;
        tracing::info!(deployment.id = %id, "what an interrupted run left in plain is removed");
        Ok(())
    }

    async fn keep_leftovers(&self, record: &Record) -> Result<(), String> {
        let ended_at = self.run_ended_at(record).await;
        let left = self.time_left(ended_at);
        if left.is_zero() {
            return Ok(());
        }
        // They are in memory where an earlier try could not seal them.
        let remembered = self.vault.get(&record.id);
        let found = if remembered.is_some() { remembered } else { self.plain_secrets(record).await? };
        let Some(secrets) = found else { return Ok(()) };
        let kept = RunSecrets { secrets: secrets.clone(), ended_at };
        let kept = self.store.put_run_secrets(&record.id, kept).await;
        // For this process at least, whatever the disk says.
        self.vault.put_ended(&record.id, secrets, left);
        match kept.map_err(|error| error.to_string())? {
            RunSecretsKept::Sealed => {
                tracing::info!(deployment.id = %record.id, "the secrets of an interrupted run are sealed for its retry");
            }
            RunSecretsKept::NoKey => {
                tracing::info!(deployment.id = %record.id, "the secrets of an interrupted run are in memory only: no CATALYST_STATE_KEY is set");
            }
        }
        Ok(())
    }

    /// The secrets in a work folder; `None` where none can be told. The bundle says which variables they are, so with a bundle
    /// that cannot be read, such as one that is sealed under a key that is not set, they count as gone: whoever asks for a retry
    /// gives them anew, and nothing stays in plain until somebody finds the key.
    async fn plain_secrets(&self, record: &Record) -> Result<Option<Secrets>, String> {
        let bundle = match self.store.bundle(&record.id).await {
            Ok(bundle) => bundle,
            Err(error) => {
                let text = "the bundle cannot be read, so the secrets of an interrupted run are not kept for its retry";
                tracing::warn!(deployment.id = %record.id, %error, "{text}");
                return Ok(None);
            }
        };
        let Some(bundle) = bundle.and_then(|bytes| serde_json::from_slice::<Bundle>(&bytes).ok()) else {
            return Ok(None);
        };
        let (engine, id) = (self.engine.clone(), record.id.clone());
        let read = spawn_blocking(move || engine.leftover_secrets(&id, &bundle.secret_variables));
        match read.await.map_err(|error| error.to_string())? {
            Ok(secrets) => Ok(secrets.filter(|secrets| !secrets.names().is_empty())),
            // Half a file, as a kill leaves it, or one that nobody can read: there is nothing to be had from it.
            Err(error) if is_of_the_file(error.kind()) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The secrets of the last run of a deployment, from memory or as a crash left them. With the deployment's turn.
    pub(super) async fn kept_secrets(&self, id: &DeploymentId) -> Option<Secrets> {
        self.try_take_in(id).await;
        if let Some(secrets) = self.vault.get(id) {
            return Some(secrets);
        }
        match self.store.run_secrets(id).await {
            Ok(kept) => kept.filter(|kept| !self.time_left(kept.ended_at).is_zero()).map(|kept| kept.secrets),
            Err(error) => {
                tracing::warn!(deployment.id = %id, %error, "the sealed secrets of an interrupted run count as gone");
                None
            }
        }
    }

    /// A run of the deployment ended: from now on this process remembers its secrets for a time, and what was sealed of an
    /// earlier one has been used.
    pub(super) async fn run_ended(&self, id: &DeploymentId) {
        self.vault.run_ended(id);
        if self.stop.is_cancelled() {
            self.renew_sealed(id).await;
        } else {
            self.forget_sealed(id).await;
        }
    }

    /// Memory ends with the process, so where secrets are sealed, those of the run that just ended replace the older ones.
    async fn renew_sealed(&self, id: &DeploymentId) {
        let Some(secrets) = self.vault.get(id) else { return };
        if !matches!(self.store.run_secrets(id).await, Ok(Some(_))) {
            return;
        }
        let renewed = RunSecrets { secrets, ended_at: Timestamp::now() };
        if let Err(error) = self.store.put_run_secrets(id, renewed).await {
            tracing::warn!(deployment.id = %id, %error, "the sealed secrets of an earlier run stay");
        }
    }

    /// Seals the secrets of a run that comes after work of minutes: until it begins there are no files that would tell the next start of
    /// them. Without a key, or a time for which they are remembered, they are in memory alone.
    pub(super) async fn seal_until_run(&self, id: &DeploymentId, secrets: &Secrets, at: Timestamp) {
        if self.time_left(at).is_zero() {
            return;
        }
        let kept = RunSecrets { secrets: secrets.clone(), ended_at: at };
        if let Err(error) = self.store.put_run_secrets(id, kept).await {
            tracing::warn!(deployment.id = %id, %error, "the secrets of a run that is to begin are in memory only");
        }
    }

    pub(super) async fn forget_sealed(&self, id: &DeploymentId) {
        if let Err(error) = self.store.forget_run_secrets(id).await {
            tracing::warn!(deployment.id = %id, %error, "sealed secrets of an interrupted run stay; it is tried again");
        }
    }

    fn time_left(&self, ended_at: Timestamp) -> Duration {
        let gone = Duration::try_from(Timestamp::now().duration_since(ended_at)).unwrap_or_default();
        self.settings.secrets_ttl.saturating_sub(gone)
    }

    /// When the last run ended: as recorded, or when a run that was killed was last heard of.
    async fn run_ended_at(&self, record: &Record) -> Timestamp {
        let now = Timestamp::now();
        let recorded = record.finished_at.or(record.phase0_finished_at);
        if let Some(at) = recorded {
            return at.min(now);
        }
        let engine = self.engine.clone();
        let id = record.id.clone();
        let written = spawn_blocking(move || engine.last_written(&id)).await.ok().flatten();
        let written = written.and_then(|at| Timestamp::try_from(at).ok());
        written.max(self.last_entry_at(&record.id).await).unwrap_or(now).min(now)
    }

    async fn last_entry_at(&self, id: &DeploymentId) -> Option<Timestamp> {
        let last = self.store.count(id).await.ok()?;
        let entries = self.store.read(id, last.checked_sub(1)?, 1).await.ok()?;
        entries.first()?.entry.time.parse().ok()
    }
}

/// Whether it is this file that gives nothing, and not the disk that fails.
fn is_of_the_file(kind: ErrorKind) -> bool {
    use ErrorKind::{FileTooLarge, InvalidData, PermissionDenied, UnexpectedEof};
    matches!(kind, FileTooLarge | InvalidData | PermissionDenied | UnexpectedEof)
}

/// Work folders, as the disk has them.
pub(super) async fn found(
    engine: &Arc<Engine>,
    look: impl FnOnce(&Engine) -> std::io::Result<Vec<DeploymentId>> + Send + 'static,
) -> Vec<DeploymentId> {
    let engine = engine.clone();
    match spawn_blocking(move || look(&engine)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(%error, "what interrupted runs left cannot be looked for");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}
