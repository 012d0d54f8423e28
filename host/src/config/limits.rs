//! What one address and one subject may have of the host.

use super::{ConfigError, Env, invalid};
use crate::limits::{Rate, Settings};

impl Env<'_> {
    pub(super) fn limits(&self) -> Result<Settings, ConfigError> {
        let usual = Settings::default();
        Ok(Settings {
            creates: self.rate("CATALYST_CREATE_RATE")?.unwrap_or(usual.creates),
            questions: self.rate("CATALYST_QUESTION_RATE")?.unwrap_or(usual.questions),
            live: self.count("CATALYST_MAX_LIVE")?.unwrap_or(usual.live),
            waiting: self.count("CATALYST_MAX_WAITING")?.unwrap_or(usual.waiting),
        })
    }

    /// Connections of one address; half of the places where nothing is said.
    pub(super) fn address_connections(&self) -> Result<Option<usize>, ConfigError> {
        self.count("CATALYST_ADDRESS_CONNECTIONS")
    }

    fn rate(&self, name: &'static str) -> Result<Option<Rate>, ConfigError> {
        let parsed = self.get(name).map(str::parse).transpose();
        parsed.map_err(|why: crate::limits::BadRate| invalid(name, &why.to_string()))
    }
}
