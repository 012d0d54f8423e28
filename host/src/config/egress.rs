//! Where strangers may make the host connect to.

use super::{ConfigError, Env};
use crate::outbound::AllowedClouds;

impl Env<'_> {
    pub(super) fn allowed_clouds(&self) -> Result<AllowedClouds, ConfigError> {
        let name = "CATALYST_ALLOWED_CLOUDS";
        AllowedClouds::parse(self.get(name).unwrap_or_default()).map_err(|why| ConfigError { name, why })
    }
}
