//! What a run would meet, without a store and without a folder of the host: for who examines an installation.

use super::supervise::LayerState;
use super::{Confine, EngineError, Settings, environment, ground};

/// The binary, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its version.
    pub version: String,
    /// Whether it is one with which the engine is tested.
    pub current: bool,
    /// The layers between a run and all else; empty where none is asked for.
    pub layers: Vec<LayerState>,
    /// Why a start is refused for them, if it is.
    pub refused: Option<String>,
}

/// Tries each layer of the confinement and asks the binary for its version behind those that hold, as a start does. It makes no folder but
/// a temporary one, and does not look at the operator's proxy. Where a start would be refused for a layer, [`Seen::refused`] says so.
///
/// # Errors
/// [`EngineError::Supervisor`] when no supervisor starts; [`EngineError::Binary`] and [`EngineError::TooOld`] when OpenTofu cannot be run,
/// or is older than 1.6.
pub async fn look(mut settings: Settings) -> Result<Seen, EngineError> {
    environment::keep_what_may_pass(&mut settings);
    let (asked, binary) = (settings.confine, settings.binary());
    if asked == Confine::Require {
        settings.confine = Confine::Auto;
    }
    let (version, confinement) = ground::probe(&settings, &binary).run().await?;
    let refused = confinement.refused_by(asked).err().map(|error| error.to_string());
    let layers = confinement.states().to_vec();
    Ok(Seen { version: version.as_str().to_owned(), current: version.is_current(), layers, refused })
}
