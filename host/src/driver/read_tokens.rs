//! Tokens that open one deployment for reading.

use super::Driver;
use catalyst_domain::read_token::ReadToken;
use catalyst_domain::{DeploymentId, Fact, Timestamp};
use catalyst_store::RecordError;

impl Driver {
    /// Gives a token that opens a deployment for reading. When this returns, its digest is on disk.
    ///
    /// # Errors
    /// [`RecordError`]; the token opens nothing.
    pub async fn give_read_token(&self, id: &DeploymentId, token: ReadToken, at: Timestamp) -> Result<(), RecordError> {
        self.store.record(id, &Fact::ReadTokenGiven(token), at).await.map(drop)
    }

    /// Ends all tokens that open a deployment for reading. When this returns, none does.
    ///
    /// # Errors
    /// [`RecordError`]; they open it still.
    pub async fn end_read_tokens(&self, id: &DeploymentId, at: Timestamp) -> Result<(), RecordError> {
        self.store.record(id, &Fact::ReadTokensEnded, at).await.map(drop)
    }
}
