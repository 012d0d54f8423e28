//! Times in the environment.

use super::{ConfigError, Env, invalid};
use std::time::Duration;

impl Env<'_> {
    pub(super) fn duration(&self, name: &'static str, default: &str) -> Result<Duration, ConfigError> {
        let text = self.get(name).unwrap_or(default);
        parse_duration(text).ok_or_else(|| invalid(name, "must be a duration above zero such as 90s, 30m or 1h30m"))
    }

    pub(super) fn apply_timeout(&self) -> Result<Duration, ConfigError> {
        self.duration("CATALYST_APPLY_TIMEOUT", "30m")
    }

    // Usually an hour: longer than the 45 minutes for which a provider tries to remove what something is still attached to.
    pub(super) fn destroy_timeout(&self) -> Result<Duration, ConfigError> {
        match self.get("CATALYST_DESTROY_TIMEOUT") {
            Some(_) => self.duration("CATALYST_DESTROY_TIMEOUT", ""),
            None => Ok(self.apply_timeout()?.saturating_mul(2)),
        }
    }

    // The contract says: empty, invalid or not above zero means the default.
    pub(super) fn lenient_duration(&self, name: &str, default: Duration) -> Duration {
        self.get(name).and_then(parse_duration).unwrap_or(default)
    }
}

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    parse_time(text).filter(|d| !d.is_zero())
}

pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}
