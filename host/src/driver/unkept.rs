//! What a run that outlived its host made and no state knows: said in the log before anything else is done.

use super::Driver;
use catalyst_domain::{Entry, Level, Record, Timestamp, phase};

impl Driver {
    /// `false` when it could not be written.
    pub(super) async fn tell_unkept(&self, record: &Record) -> bool {
        let id = &record.id;
        let text = match self.engine.unkept(id).await {
            Ok(Some(text)) => text,
            Ok(None) => return true,
            Err(error) => {
                // The record matters more than these words.
                tracing::error!(deployment.id = %id, %error, "cannot read what a run left that outlived its host");
                return true;
            }
        };
        let entry = Entry::new(Timestamp::now(), phase::TOFU_APPLY, Level::Error, text);
        if let Err(error) = self.store.append(id, vec![entry]).await {
            tracing::error!(deployment.id = %id, %error, "cannot log what a run made that outlived its host");
            return false;
        }
        if let Err(error) = self.engine.forget_unkept(id) {
            tracing::warn!(deployment.id = %id, %error, "what a run made will be said again");
        }
        true
    }
}
