//! What a run would meet, without a store and without a folder of the host: for who examines an installation.

use super::confine::Confinement;
use super::environment::{self, Proxied};
use super::ground::confinement;
use super::{EngineError, Settings, probe};

/// The binary, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its version.
    pub version: String,
    /// Whether it is one with which the engine is tested.
    pub current: bool,
    /// Whether it is kept to its own files.
    pub confined: bool,
}

/// Asks the binary for its version, the way it will be run.
///
/// # Errors
/// [`EngineError`] when it cannot be run or is too old.
pub async fn look(mut settings: Settings) -> Result<Seen, EngineError> {
    environment::keep_what_may_pass(&mut settings);
    let binary = settings.binary();
    let confinement = confinement(&settings, &binary);
    let version =
        probe::version(&binary, &environment::of_every_command(&settings, Proxied::AsTheHost), &confinement).await?;
    let confined = matches!(confinement, Confinement::Behind(_));
    Ok(Seen { version: version.as_str().to_owned(), current: version.is_current(), confined })
}
