//! What a run would meet, without a store and without a folder of the host: for who examines an installation.

use super::supervise::LayerState;
use super::{EngineError, Settings, ground};

/// The binary, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its version.
    pub version: String,
    /// Whether it is one with which the engine is tested.
    pub current: bool,
    /// The layers between a run and all else; empty where none is asked for.
    pub layers: Vec<LayerState>,
}

/// Asks the binary for its version, the way it will be run.
///
/// # Errors
/// [`EngineError`] when it cannot be run, is too old, or is not confined as it must be.
pub async fn look(mut settings: Settings) -> Result<Seen, EngineError> {
    settings.keep_what_may_pass();
    let binary = settings.binary();
    let (version, confinement) = ground::probe(&settings, &binary).run().await?;
    let layers = confinement.states().to_vec();
    Ok(Seen { version: version.as_str().to_owned(), current: version.is_current(), layers })
}
