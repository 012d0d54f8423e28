//! Removing the infrastructure with the bundle that made it.

use super::Hand;
use super::provision::run_destroy;
use crate::engine::RunErrorKind;
use catalyst_domain::{Fact, Level, phase};

impl Hand {
    pub(super) async fn destroy(&self) {
        let Some(record) = self.record() else { return };
        let kept = self.driver.store.bundle(&self.id).await;
        let bundle = kept.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let (Some(bundle), Some(secrets)) = (bundle, self.driver.vault.get(&self.id)) else {
            let error = "tofu destroy: the bundle or the credentials of this deployment are no longer kept".to_owned();
            return self.not_destroyed(error).await;
        };
        let ended = run_destroy(self, bundle, secrets).await;
        self.driver.vault.run_ended(&self.id);
        match ended {
            Ok(()) => {
                self.say(phase::TOFU_DESTROY, Level::Info, "everything is removed").await;
                self.fact(Fact::DestroyFinished).await;
                self.driver.vault.forget(&self.id);
            }
            Err(error) if error.kind == RunErrorKind::Stopped && self.driver.stop.is_cancelled() => {
                if let Some(fact) = catalyst_domain::restart::on_start(&record, super::KubeconfigFile::Absent) {
                    let _ = self.interrupted(&record, fact).await;
                }
            }
            Err(error) => {
                let provider = self.driver.provider_of(&record);
                let text = self.diagnose(provider.as_deref(), &error).await;
                self.not_destroyed(text).await;
            }
        }
    }

    async fn not_destroyed(&self, error: String) {
        self.say(phase::TOFU_DESTROY, Level::Error, error.clone()).await;
        self.fact(Fact::DestroyFailed { error }).await;
    }
}
