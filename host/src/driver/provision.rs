//! Phase 0: render once, let OpenTofu apply, read the outputs.

use super::left::left_words;
use super::render::Rendered;
use super::secrets::{RunSecrets, host_secrets};
use super::servers::ServerReview;
use super::{Driver, Hand};
use crate::dns::retry::{RetryPolicy, Spread, Waited, wait};
use crate::engine::{PlanSettings, Progress, Run, RunClass, RunError, RunErrorKind};
use catalyst_domain::provider::{Bundle, Endpoints};
use catalyst_domain::{Entry, Fact, Level, Record, Secrets, Status, Timestamp, phase};
use catalyst_sandbox::grants::{Grant, GrantLine};
use catalyst_sandbox::{CallError, Provider};
use catalyst_store::RecordError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::Instrument;

/// Lines on their way from OpenTofu to the log; what does not fit is counted as dropped.
const QUEUE: usize = 4_096;
/// Entries of one append.
const BATCH: usize = 256;

/// A plugin that others made fail is called again within half a minute (the longest pause of its breaker); so is one that waits for
/// its turn.
const OUTPUTS: RetryPolicy = RetryPolicy {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(10),
    give_up_after: Duration::from_secs(120),
    spread: Spread::Exact,
};

/// What a run begins with.
struct Prepared {
    bundle: Bundle,
    secrets: RunSecrets,
    plan: PlanSettings,
    review: Arc<ServerReview>,
}

impl Hand {
    pub(super) async fn provision(&self) {
        let _asked = self.run_asked();
        // Its turn comes first: what is rendered before would lie in memory, and keep plugins busy, for runs that wait.
        let permit = match self.permit(self.class_of_provision()).await {
            Ok(permit) => permit,
            Err(error) => {
                self.run_failed(&error).await;
                return self.driver.run_ended(&self.id).await;
            }
        };
        let Some(record) = self.record() else { return };
        let Prepared { bundle, secrets: RunSecrets { given: secrets, withheld }, plan, review } =
            match self.prepare(&record).await {
                Ok(ready) => ready,
                Err(error) => return self.failed(phase::TOFU_INIT, error).await,
            };
        let (progress, lines) = mpsc::channel(QUEUE);
        let scribe = tokio::spawn(self.clone().scribe(lines).in_current_span());
        let hosts = self.run_hosts(&secrets).await;
        let run = Run { id: self.id.clone(), bundle, secrets, withheld, hosts, plan };
        let ended = self.driver.engine.apply(permit, run, progress, self.stop.clone()).await;
        // Every line is in the log before the end is told.
        if let Err(error) = scribe.await {
            tracing::error!(deployment.id = %self.id, %error, "the scribe of a run broke");
        }
        // Before the end is told: what a server that is gone handed in must not count as the new one's.
        self.look_at_servers().await;
        match (ended, review.refused()) {
            (Ok(outputs), _) => self.applied(&outputs.public_json).await,
            (Err(_), Some(loss)) => self.data_loss_refused(loss).await,
            (Err(error), None) => self.run_failed(&error).await,
        }
        self.driver.run_ended(&self.id).await;
    }

    /// The bundle that is kept, else a fresh one; the secrets of this run; and what looks at its plan.
    async fn prepare(&self, record: &Record) -> Result<Prepared, String> {
        let secrets = self.driver.vault.get(&self.id).ok_or("init: the credentials of this run are no longer kept")?;
        let secrets = self.granted_secrets(record, secrets).await;
        let kept = self.driver.kept_bundle(record).await.map_err(|error| format!("init: {error}"))?;
        let bundle = match kept {
            Some(bundle) => bundle,
            None => self.render(record, &secrets.given).await?,
        };
        for size in &bundle.user_data {
            tracing::info!(deployment.id = %self.id, node = size.node, bytes = size.bytes, limit = size.limit, "user data");
        }
        let (plan, review) = self.plan_settings(record, &bundle, &secrets.given).await?;
        Ok(Prepared { bundle, secrets, plan, review })
    }

    async fn render(&self, record: &Record, secrets: &Secrets) -> Result<Bundle, String> {
        let missing = "init: the provider of this deployment is not loaded";
        let provider = self.driver.provider_of(record).ok_or(missing)?;
        let rendered = self.driver.render(&provider, &record.request, secrets).await;
        let Rendered { bundle, bytes, digest } = rendered.map_err(|fault| format!("init: {}", fault.text()))?;
        let approved = &record.approved_render_digest;
        if !approved.is_empty() && *approved != digest {
            return Err(format!("init: the render {digest} is not the one that was approved, {approved}"));
        }
        self.driver.store.put_bundle(&self.id, &bytes).await.map_err(|error| format!("init: {error}"))?;
        let before = &record.render_digest;
        if !before.is_empty() && *before != digest {
            let text =
                format!("the bundle is rendered anew as {digest} and was {before} before: it may change what is there");
            self.say(phase::HOST, Level::Warn, text).await;
        }
        let warnings = &bundle.warnings;
        let entry = |text: &String| Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text.clone());
        self.log(warnings.iter().map(entry).collect()).await;
        let (rights, file) = (provider.rights(), provider.file_name());
        let line = |grant: &Grant| GrantLine { file: file.to_owned(), grant: Some(grant.clone()) }.to_string();
        let rights = rights.grants().iter().map(line).collect();
        let host_secrets = host_secrets(provider.descriptor());
        self.fact(Fact::Rendered { digest, rights, host_secrets }).await;
        Ok(bundle)
    }

    async fn scribe(self, mut lines: mpsc::Receiver<Progress>) {
        let mut batch = Vec::with_capacity(BATCH);
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            let mut entries = Vec::with_capacity(batch.len());
            for progress in batch.drain(..) {
                match self.heard(progress) {
                    Heard::Entry(entry) => entries.push(entry),
                    Heard::Fact(fact) => {
                        // In the order in which it happened: what came before is in the log first.
                        self.log(std::mem::take(&mut entries)).await;
                        self.fact(fact).await;
                    }
                }
            }
            self.log(entries).await;
        }
    }

    fn heard(&self, progress: Progress) -> Heard {
        let entry = |phase: &str, level, text: String| Heard::Entry(Entry::new(Timestamp::now(), phase, level, text));
        match progress {
            Progress::Phase(marker) => entry(marker, Level::Info, marker_text(marker).to_owned()),
            Progress::Line { phase, level, message } => entry(phase, level, message),
            Progress::Dropped(lines) => {
                entry(phase::HOST, Level::Warn, format!("{lines} lines came too fast and were dropped"))
            }
            Progress::Child(child) => Heard::Fact(Fact::ChildStarted(child)),
            Progress::ApplyBegan => Heard::Fact(Fact::ApplyBegan),
        }
    }

    async fn applied(&self, outputs: &str) {
        let Some(record) = self.record() else { return };
        let Some(provider) = self.driver.provider_of(&record) else {
            return self.failed(phase::TOFU_OUTPUT, "output: the provider is no longer loaded".to_owned()).await;
        };
        match self.endpoints(&provider, outputs).await {
            Ok(Ok(endpoints)) => {
                let fqdn = &record.request.sovereign_fqdn;
                let text = format!("infrastructure is up; the first node boots and Flux follows clusters/{fqdn}/");
                self.say(phase::FLUX_BOOTSTRAP, Level::Info, text).await;
                self.fact(Fact::Applied(endpoints)).await;
                self.tell_of_refused_kubeconfig().await;
            }
            Ok(Err(words)) => self.failed(phase::TOFU_OUTPUT, format!("output: {words}")).await,
            Err(error) => self.failed(phase::TOFU_OUTPUT, format!("output: {error}")).await,
        }
    }

    /// A kubeconfig that came before the outputs may have been dropped with them.
    async fn tell_of_refused_kubeconfig(&self) {
        let refusal = self.record().map(|record| record.kubeconfig_refusal.clone()).unwrap_or_default();
        if !refusal.is_empty() {
            let text = format!("the kubeconfig that was handed in is dropped, and its bearer counts again: {refusal}");
            self.say(phase::FLUX_BOOTSTRAP, Level::Warn, text).await;
        }
    }

    /// What the outputs tell is paid for, so a call that cannot be made now is made again.
    async fn endpoints(&self, provider: &Provider, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let mut waits = OUTPUTS.waits();
        loop {
            let read = provider.read_outputs(outputs).await;
            let again = read.as_ref().is_err_and(CallError::passes).then(|| waits.next()).flatten();
            let Some(pause) = again else { return read };
            if wait(pause, &self.stop).await == Waited::Cancelled {
                return read;
            }
        }
    }

    async fn run_failed(&self, error: &RunError) {
        if error.kind == RunErrorKind::Stopped && self.driver.stop.is_cancelled() {
            return self.stopped_with_the_process(error).await;
        }
        let provider = self.record().and_then(|record| self.driver.provider_of(&record));
        let text = self.diagnose(provider.as_deref(), error).await;
        self.failed_with(error.step.phase(), text.trim_start_matches("tofu ").to_owned(), &error.unkept).await;
    }

    /// `error` begins with the step's name.
    async fn failed(&self, phase: &str, error: String) {
        self.failed_with(phase, error, &BTreeMap::new()).await;
    }

    /// `made` is what the run made and no state has.
    async fn failed_with(&self, phase: &str, error: String, made: &BTreeMap<String, String>) {
        let error = format!("tofu {error}");
        tracing::warn!(deployment.id = %self.id, %error, "phase 0 failed");
        self.tell_left(phase, made).await;
        self.say(phase, Level::Error, error.clone()).await;
        if self.fact(Fact::Phase0Failed { error }).await {
            self.driver.forget_unkept(&self.id).await;
        }
        self.driver.run_ended(&self.id).await;
    }

    /// Records what a restart means, with an entry that turns the right banner. `false` when the fact could not be written.
    pub(super) async fn interrupted(&self, record: &Record, fact: Fact) -> bool {
        let store = &self.driver.store;
        if let Fact::Interrupted { error } = &fact {
            let phase = match record.status {
                Status::TofuApplying => phase::TOFU_APPLY,
                Status::Destroying => phase::TOFU_DESTROY,
                _ => phase::TOFU_INIT,
            };
            let entry = |level, text| Entry::new(Timestamp::now(), phase, level, text);
            // What the run made was noted since this record was read.
            let current = self.record();
            let left = self.driver.left(current.as_deref().unwrap_or(record), &BTreeMap::new()).await;
            let words = (!left.is_empty()).then(|| entry(Level::Warn, left_words(&left, &self.id)));
            let entries = words.into_iter().chain([entry(Level::Error, error.clone())]).collect();
            if !self.driver.note_left(&self.id, &BTreeMap::new()).await {
                return false;
            }
            if let Err(error) = store.append(&self.id, entries).await {
                // The record matters more than its words.
                tracing::error!(deployment.id = %self.id, %error, "cannot log an interruption");
            }
        }
        if let Err(error) = store.record(&self.id, &fact, Timestamp::now()).await {
            tracing::error!(deployment.id = %self.id, %error, "cannot record an interruption");
            return !matches!(error, RecordError::Storage(_));
        }
        true
    }
}

enum Heard {
    Entry(Entry),
    Fact(Fact),
}

fn marker_text(marker: &str) -> &'static str {
    match marker {
        phase::TOFU_INIT => "initialising OpenTofu and its providers",
        phase::TOFU_PLAN => "planning the infrastructure",
        phase::TOFU_APPLY => "applying the plan",
        phase::TOFU_OUTPUT => "reading the outputs",
        phase::TOFU_DESTROY => "removing the infrastructure",
        _ => "next phase",
    }
}

/// Shared with the hand that destroys. The run has this time, from when it has its place.
pub(super) async fn run_destroy(
    hand: &Hand,
    bundle: Bundle,
    secrets: RunSecrets,
    limit: Duration,
) -> Result<(), RunError> {
    let driver: &Arc<Driver> = &hand.driver;
    let _asked = hand.run_asked();
    let permit = hand.permit(RunClass::TakeUp).await?.within(limit);
    let (progress, lines) = mpsc::channel(QUEUE);
    let scribe = tokio::spawn(hand.clone().scribe(lines).in_current_span());
    let RunSecrets { given: secrets, withheld } = secrets;
    let hosts = hand.run_hosts(&secrets).await;
    let run = Run { id: hand.id.clone(), bundle, secrets, withheld, hosts, plan: PlanSettings::default() };
    let ended = driver.engine.destroy(permit, run, progress, hand.stop.clone()).await;
    if let Err(error) = scribe.await {
        tracing::error!(deployment.id = %hand.id, %error, "the scribe of a run broke");
    }
    ended
}
