//! Removing what a deployment made: the claim of a person, and the hand that does it.
//!
//! First the cluster removes what it made in its cloud by itself, while it still can; then OpenTofu removes what its state names, with
//! the bundle that made it. Only an empty state ends as destroyed. Where nothing was ever applied there is nothing to run; where something
//! was and no state of it is here, nobody can say what is left, so it is not begun. Whatever comes before the run can be repeated, so
//! a host that is killed there goes on at its next start.

mod cluster;
mod outcome;
mod search;

use super::credentials::CredentialsFault;
use super::left::left_words;
use super::provision::run_destroy;
use super::secrets::{RunSecrets, complete};
use super::take_up::{Kept, TakeUpFault};
use super::{Driver, Hand, tofu_state};
use crate::engine::{RunError, RunErrorKind};
use bytes::Bytes;
use catalyst_domain::provider::Bundle;
use catalyst_domain::request::{BodyError, DestroyBody};
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Fact, LeftResource, Level, Record, Secrets, Timestamp, phase};
use catalyst_store::RecordError;
use cluster::DestroyBudget;
use outcome::{Looked, last_words, with_remaining};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Leftovers named in an error; a person finds the rest by the deployment's label.
const NAMED: usize = 20;

impl Driver {
    /// Begins to remove what a deployment made. The body may give credentials by the create's own keys, and agree to the loss of
    /// volumes. Checking and claiming are one step: of a destroy and a retry one wins.
    ///
    /// # Errors
    /// [`TakeUpFault`]; nothing changed.
    pub async fn destroy(
        self: &Arc<Self>,
        id: DeploymentId,
        body: Bytes,
        at: Timestamp,
    ) -> Result<Arc<Record>, TakeUpFault> {
        // In a task of its own: a caller that leaves must not part a claim from its task.
        let driver = self.clone();
        let whole = self.tasks.spawn(async move { driver.destroy_now(&id, &body, at).await });
        whole.await.unwrap_or(Err(TakeUpFault::Broken))
    }

    async fn destroy_now(
        self: &Arc<Self>,
        id: &DeploymentId,
        body: &[u8],
        at: Timestamp,
    ) -> Result<Arc<Record>, TakeUpFault> {
        let _one_at_a_time = self.claims.of(id).await;
        let record = self.store.get(id).ok_or(RecordError::Unknown)?;
        let provider = self.provider_of(&record);
        let asked = DestroyBody::read(body, provider.as_ref().map(|provider| provider.descriptor()));
        let asked = asked.map_err(|BodyError(findings)| TakeUpFault::Body(findings))?;
        let requested = if asked.delete_volumes { Fact::DestroyWithVolumesRequested } else { Fact::DestroyRequested };
        apply(&record, &requested, at).map_err(RecordError::Refused)?;
        let secrets = match self.settled(&record).await? {
            Kept::Nothing | Kept::Empty => None,
            Kept::Resources => Some(self.destroy_secrets(&record, body).await?),
        };
        if let Some(secrets) = secrets {
            if record.has_cluster() {
                self.seal_until_run(id, &secrets, at).await;
            }
            self.vault.put(id, secrets);
        }
        let claimed = match self.store.record(id, &requested, at).await {
            Ok(record) => record,
            Err(error) => {
                // No run begins, so nothing else would start the time after which they are forgotten.
                self.vault.run_ended(id);
                return Err(error.into());
            }
        };
        let text = match asked.delete_volumes {
            true => {
                "destroy asked for: what this deployment made is removed, and volumes of its cluster are deleted with their data"
            }
            false => "destroy asked for: what this deployment made is removed",
        };
        self.note(id, phase::HOST, text, at).await;
        tracing::info!(deployment.id = %id, "destroy asked for");
        self.wake(id);
        Ok(claimed)
    }

    async fn destroy_secrets(&self, record: &Record, body: &[u8]) -> Result<Secrets, TakeUpFault> {
        let Some(provider) = self.provider_of(record) else {
            // The bundle is kept, so the plugin is only asked which keys are secret.
            return self.kept_secrets(&record.id).await.ok_or_else(|| self.not_loaded(record));
        };
        let descriptor = provider.descriptor();
        let mut secrets = self.gather(record, descriptor, body).await?;
        // What was minted is only needed to fill the module's variables; nothing is made with it any more.
        complete(&mut secrets, descriptor, &self.settings)?;
        Ok(secrets)
    }
}

impl Hand {
    pub(super) async fn destroy(&self) {
        let Some(record) = self.record() else { return };
        match self.driver.infrastructure(&self.id).await {
            Ok(Kept::Nothing | Kept::Empty) => {
                self.driver.engine.discard(&self.id).await;
                let looked = Looked { remaining: record.remaining.clone(), ..Looked::default() };
                return self.destroyed("there is no infrastructure, so nothing has to be removed", &looked).await;
            }
            Ok(Kept::Resources) => {}
            Err(error) => return self.not_begun(&error.to_string()).await,
        }
        let (bundle, secrets) = match self.bundle_and_secrets(&record).await {
            Ok(both) => both,
            Err(why) => return self.not_begun(&why).await,
        };
        let budget = DestroyBudget::begin(self.driver.settings.destroy_timeout);
        let Some(cluster) = self.clean_up_cluster(&record, &budget).await else { return };
        let basis = self.driver.search_basis(&record).await;
        let before = self.look_before_run(&record, &cluster, &basis).await;
        let ended = run_destroy(self, bundle, secrets, budget.left()).await;
        self.driver.run_ended(&self.id).await;
        if let Err(error) = &ended
            && error.kind == RunErrorKind::Stopped
            && self.driver.stop.is_cancelled()
        {
            return self.stopped_with_the_process(error).await;
        }
        let Some(record) = self.record() else { return };
        let looked = self.look_after_run(&record, cluster, basis, &before).await;
        self.run_of_destroy_ended(&record, ended, &looked).await;
    }

    async fn run_of_destroy_ended(&self, record: &Record, ended: Result<(), RunError>, looked: &Looked) {
        match ended {
            Ok(()) => match self.driver.infrastructure(&self.id).await {
                Ok(Kept::Nothing | Kept::Empty) => {
                    self.destroyed("what this deployment made is removed", looked).await;
                }
                Ok(Kept::Resources) => {
                    let text = "tofu destroy: it ended well, but its state is not empty";
                    self.not_destroyed(text.to_owned(), &BTreeMap::new(), looked).await;
                }
                Err(error) => self.not_destroyed(format!("tofu destroy: {error}"), &BTreeMap::new(), looked).await,
            },
            Err(error) => {
                let provider = self.driver.provider_of(record);
                let text = self.diagnose(provider.as_deref(), &error).await;
                self.not_destroyed(text, &error.unkept, looked).await;
            }
        }
    }

    /// The bundle that made the deployment, else a fresh one: what is removed stands in the state, and the bundle only says how the
    /// cloud is spoken to.
    async fn bundle_and_secrets(&self, record: &Record) -> Result<(Bundle, RunSecrets), String> {
        let secrets = match self.driver.vault.get(&self.id) {
            Some(secrets) => secrets,
            None => self.secrets_after_restart(record).await?,
        };
        let secrets = self.granted_secrets(record, secrets).await;
        if let Some(bundle) = self.driver.kept_bundle(record).await? {
            return Ok((bundle, secrets));
        }
        let missing = "the bundle that made this deployment is not kept, and the plugin of its provider is not loaded to render it anew: \
                       load the plugin and destroy it again";
        let provider = self.driver.provider_of(record).ok_or(missing)?;
        let rendered = self.driver.render(&provider, &record.request, &secrets.given).await;
        let rendered = rendered.map_err(|fault| fault.text())?;
        let text = "the bundle that made this deployment is not kept, and is rendered anew";
        self.say(phase::HOST, Level::Warn, text).await;
        Ok((rendered.bundle, secrets))
    }

    /// The secrets of a destroy that goes on from an earlier process: as they were sealed, if they were.
    ///
    /// # Errors
    /// That they are gone, and what to do.
    async fn secrets_after_restart(&self, record: &Record) -> Result<Secrets, String> {
        let gone = "the credentials of this deployment are no longer kept";
        let _one_at_a_time = self.driver.claims.of(&self.id).await;
        match self.driver.destroy_secrets(record, b"").await {
            Ok(secrets) => {
                self.driver.vault.put(&self.id, secrets.clone());
                Ok(secrets)
            }
            Err(TakeUpFault::Credentials(CredentialsFault::Needed(keys))) => {
                Err(format!("{gone}: destroy it again with {} in the body", keys.join(", ")))
            }
            Err(_) => Err(gone.to_owned()),
        }
    }

    async fn destroyed(&self, head: &str, looked: &Looked) {
        let record = self.record();
        let left = match &record {
            Some(record) => self.driver.left(record, &BTreeMap::new()).await,
            None => Vec::new(),
        };
        let lost: Vec<LeftResource> = left.into_iter().filter(|resource| !resource.in_state).collect();
        if record.is_some_and(|record| record.left != lost) {
            self.fact(Fact::LeftBehind(lost.clone())).await;
        }
        let head = if lost.is_empty() { head } else { "what the state of this deployment names is removed" };
        if !lost.is_empty() {
            self.say(phase::TOFU_DESTROY, Level::Warn, left_words(&lost, &self.id)).await;
        }
        self.say(phase::TOFU_DESTROY, Level::Info, last_words(head, looked)).await;
        if self.fact(Fact::DestroyFinished).await && lost.is_empty() {
            self.driver.engine.discard_whole(&self.id).await;
        }
        self.driver.vault.forget(&self.id);
        self.driver.forget_sealed(&self.id).await;
    }

    /// No run was begun, for this reason.
    async fn not_begun(&self, why: &str) {
        self.not_destroyed(format!("tofu destroy: {why}"), &BTreeMap::new(), &Looked::default()).await;
        self.driver.vault.run_ended(&self.id);
    }

    /// `error` begins with `tofu`; what is still there is added. `made` is what the run made and no state has.
    async fn not_destroyed(&self, error: String, made: &BTreeMap<String, String>, looked: &Looked) {
        let state = self.driver.engine.newest_state(&self.id).await.ok().flatten();
        let error = with_leftovers(with_remaining(error, looked), &tofu_state::addresses(state.as_deref()));
        tracing::warn!(deployment.id = %self.id, %error, "the destroy failed");
        self.tell_left(phase::TOFU_DESTROY, made).await;
        self.say(phase::TOFU_DESTROY, Level::Error, error.clone()).await;
        if self.fact(Fact::DestroyFailed { error }).await {
            self.driver.forget_unkept(&self.id).await;
        }
    }
}

fn with_leftovers(error: String, left: &[String]) -> String {
    if left.is_empty() {
        return error;
    }
    let named = left.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match left.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{error}. Still there: {named}{more}; destroy it again to go on from here")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_failed_destroy_left_is_named_within_bounds() {
        let left: Vec<String> = (0..22).map(|n| format!("t.x[{n}]")).collect();
        let text = super::with_leftovers("tofu destroy: no".to_owned(), &left);
        assert!(text.starts_with("tofu destroy: no. Still there: t.x[0], t.x[1]"), "{text}");
        assert!(text.contains("t.x[19] and 2 more") && !text.contains("t.x[20]"), "{text}");
        assert_eq!(super::with_leftovers("tofu destroy: no".to_owned(), &[]), "tofu destroy: no");
    }
}
