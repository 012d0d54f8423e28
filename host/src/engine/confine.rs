//! How far OpenTofu, and every provider that it starts, is kept from all else: which layers are asked for, and what an operator
//! has to know of those that do not hold.
//!
//! What a module may say is checked before; what a provider does cannot be. A confined process reads and runs the system's
//! programs, reads its settings and the trust store, and writes into its own folders alone. The cache of providers is one of them
//! while providers are installed, and to be read afterwards. It reaches the hosts that it was given, by a proxy of its own.

use super::EngineError;
use super::supervise::{Layer, LayerState, Places, Setup};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether OpenTofu is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confine {
    /// By every layer that holds here; a warning names the others.
    Auto,
    /// As before, and no start unless the required layers hold (`docs/confinement.md`).
    Require,
    /// Never.
    Off,
}

/// The layers that [`Confine::Require`] asks for: with these a run reaches no file, process or address but its own. What the others
/// add is bounded by them, so where one of those is missing it is only named.
const REQUIRED_LAYERS: [Layer; 7] = [
    Layer::Files,
    Layer::UserNamespace,
    Layer::PidNamespace,
    Layer::NetworkNamespace,
    // Without it a socket in a folder leads out of the network namespace.
    Layer::MountNamespace,
    // The network namespace holds no socket that belongs to no network.
    Layer::SocketFamilies,
    Layer::ResourceLimits,
];

/// How OpenTofu is started.
pub(super) struct Confinement {
    places: Places,
    layers: Vec<Layer>,
    states: Vec<LayerState>,
}

impl Confine {
    /// The layers to try.
    pub(super) fn wanted(self) -> &'static [Layer] {
        if self == Self::Off { &[] } else { &Layer::ALL }
    }
}

impl Confinement {
    /// What the trial of the layers came to.
    ///
    /// # Errors
    /// [`EngineError::Confinement`] where it does not suffice.
    pub(super) fn new(asked: Confine, states: Vec<LayerState>, places: Places) -> Result<Self, EngineError> {
        let layers = states.iter().filter(|state| state.missing.is_none()).map(|state| state.layer).collect();
        let confinement = Self { places, layers, states };
        confinement.refused_by(asked).map(|()| confinement)
    }

    /// Whether it suffices.
    ///
    /// # Errors
    /// [`EngineError::Confinement`] where it does not.
    pub(super) fn refused_by(&self, asked: Confine) -> Result<(), EngineError> {
        let missing = missing(&self.states, |layer| REQUIRED_LAYERS.contains(&layer));
        match asked {
            Confine::Require if !missing.is_empty() => Err(EngineError::Confinement { missing }),
            _ => Ok(()),
        }
    }

    /// What is missing of the confinement that [`Confine::Require`] asks for; `None` where all of it holds.
    pub(super) fn lack(&self, asked: Confine) -> Option<String> {
        if asked == Confine::Off {
            return Some("CATALYST_TOFU_CONFINE is off".to_owned());
        }
        let missing = missing(&self.states, |layer| REQUIRED_LAYERS.contains(&layer));
        (!missing.is_empty()).then(|| format!("these layers do not hold here: {missing}"))
    }

    /// Each layer that was tried.
    pub(super) fn states(&self) -> &[LayerState] {
        &self.states
    }

    /// What the supervisor of a run is told, without a proxy. `own` are the folders that any of its commands may write.
    pub(super) fn setup(&self, folder: &Path, own: Vec<PathBuf>, deadline_ms: u64, grace: Duration) -> Setup {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Setup { own, grace_ms, trial: false, ..trial(self.layers.clone(), self.places.clone(), folder, deadline_ms) }
    }
}

/// As [`Confinement::setup`], for layers that are to be tried.
pub(super) fn trial(layers: Vec<Layer>, places: Places, folder: &Path, deadline_ms: u64) -> Setup {
    // No command of a trial makes anything.
    let (own, folder, spool) = (vec![folder.to_owned()], folder.to_owned(), PathBuf::new());
    let temporary = None;
    Setup { folder, spool, layers, trial: true, places, own, temporary, proxy: None, deadline_ms, grace_ms: 0 }
}

fn missing(states: &[LayerState], counts: impl Fn(Layer) -> bool) -> String {
    let missing = states.iter().filter(|state| counts(state.layer));
    let words = missing.filter_map(|state| Some(format!("{} ({})", state.layer.as_str(), state.missing.as_ref()?)));
    words.collect::<Vec<_>>().join("; ")
}

/// What an operator has to know at start: which layers hold, and what follows from those that do not.
pub(super) fn tell(asked: Confine, states: &[LayerState]) {
    if asked == Confine::Off {
        return tracing::warn!(
            "CATALYST_TOFU_CONFINE is off: OpenTofu and its providers can read and write whatever this process can"
        );
    }
    let held: Vec<&str> =
        states.iter().filter(|state| state.missing.is_none()).map(|state| state.layer.as_str()).collect();
    tracing::info!(layers = held.join(", "), "OpenTofu and its providers are confined");
    for state in states {
        if let Some(why) = &state.missing {
            tracing::warn!(
                layer = state.layer.as_str(),
                reason = why,
                "a layer of the confinement does not hold: {}",
                state.layer.without()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(lacking: &[Layer]) -> Vec<LayerState> {
        let why = |layer| lacking.contains(&layer).then(|| "not here".to_owned());
        Layer::ALL.map(|layer| LayerState { layer, missing: why(layer) }).into()
    }

    fn places() -> Places {
        Places::new(Path::new("tofu"), &[], None, None)
    }

    #[test]
    fn require_refuses_what_auto_warns_of_and_names_it() {
        for layer in REQUIRED_LAYERS {
            let refused = Confinement::new(Confine::Require, states(&[layer]), places()).err().unwrap().to_string();
            assert!(refused.contains(layer.as_str()) && refused.contains("not here"), "{refused}");
            let auto = Confinement::new(Confine::Auto, states(&[layer]), places()).unwrap();
            assert!(!auto.layers.contains(&layer) && auto.layers.len() == Layer::ALL.len() - 1);
        }
        // Of Linux 6.14, 6.12 and 6.7: none of them is required.
        let others = [Layer::ProcessLimit, Layer::Scopes, Layer::Ports];
        assert!(Confinement::new(Confine::Require, states(&others), places()).is_ok());
    }

    #[test]
    fn off_asks_for_nothing() {
        assert_eq!(Confine::Off.wanted(), []);
        assert_eq!((Confine::Auto.wanted(), Confine::Require.wanted()), (&Layer::ALL[..], &Layer::ALL[..]));
    }
}
