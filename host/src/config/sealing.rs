//! What is kept encrypted, with which key, and how long secrets are remembered.

use super::{ConfigError, Env, invalid};
use catalyst_store::{Seal, StateKey};
use std::time::Duration;

impl Env<'_> {
    // The text is not repeated in the error.
    pub(super) fn state_key(&self) -> Result<Option<StateKey>, ConfigError> {
        let name = "CATALYST_STATE_KEY";
        let parsed = self.get(name).map(StateKey::parse).transpose();
        parsed.map_err(|error| ConfigError { name, why: error.to_string() })
    }

    pub(super) fn seal(&self) -> Result<Seal, ConfigError> {
        let name = "CATALYST_SEAL";
        match self.get(name) {
            None | Some("states") => Ok(Seal::States),
            Some("all") if self.get("CATALYST_STATE_KEY").is_some() => Ok(Seal::All),
            Some("all") => Err(invalid(name, "all needs a key to seal with: set CATALYST_STATE_KEY")),
            Some(_) => Err(invalid(name, "must be states or all")),
        }
    }

    /// Unlike other times this one may be none at all.
    pub(super) fn secrets_ttl(&self) -> Result<Duration, ConfigError> {
        let name = "CATALYST_SECRETS_TTL";
        let text = self.get(name).unwrap_or("24h");
        let parsed = if text == "0" { Some(Duration::ZERO) } else { super::parse_time(text) };
        parsed.ok_or_else(|| invalid(name, "must be a duration such as 90s, 30m or 1h30m, or 0 for not at all"))
    }
}
