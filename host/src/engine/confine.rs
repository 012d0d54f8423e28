//! How far OpenTofu, and every provider that it starts, is kept from all else: which layers are asked for, and what an operator
//! has to know of those that do not hold.
//!
//! What a module may say is checked before; what a provider does cannot be. A confined process reads and runs the system's
//! programs, reads its settings and the trust store, and writes into its work folder, the provider cache and a folder for
//! temporary files that is its own.

use super::EngineError;
use super::supervise::{Layer, LayerState, Places, Setup};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Whether OpenTofu is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confine {
    /// By every layer that holds here; a warning names the others.
    Auto,
    /// As before, and no start where one of the layers that a fence is made of does not hold.
    Require,
    /// Never.
    Off,
}

/// The network of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunNetwork {
    /// The host's.
    Shared,
    /// None but the listeners of its state backend and its proxy.
    Alone,
}

/// The layers without which a run is not fenced: what is missing of the others is told, and bounded by these.
const FENCE: [Layer; 5] =
    [Layer::Files, Layer::UserNamespace, Layer::PidNamespace, Layer::NetworkNamespace, Layer::ResourceLimits];

/// How OpenTofu is started.
pub(super) struct Confinement {
    places: Places,
    layers: Vec<Layer>,
    states: Vec<LayerState>,
}

impl Confine {
    /// The layers to try.
    pub(super) fn wanted(self, network: RunNetwork) -> Vec<Layer> {
        let of_network = [Layer::NetworkNamespace, Layer::Ports];
        let wanted = |layer: &Layer| match (self, network) {
            (Self::Off, _) => false,
            (_, RunNetwork::Alone) => true,
            (_, RunNetwork::Shared) => !of_network.contains(layer),
        };
        Layer::ALL.into_iter().filter(wanted).collect()
    }
}

impl Confinement {
    /// What the trial of the layers came to.
    ///
    /// # Errors
    /// [`EngineError::Confinement`] where it does not suffice.
    pub(super) fn new(asked: Confine, states: Vec<LayerState>, places: Places) -> Result<Self, EngineError> {
        let missing = missing(&states, |layer| FENCE.contains(&layer));
        if asked == Confine::Require && !missing.is_empty() {
            return Err(EngineError::Confinement { missing });
        }
        let layers = states.iter().filter(|state| state.missing.is_none()).map(|state| state.layer).collect();
        Ok(Self { places, layers, states })
    }

    /// Each layer that was tried.
    pub(super) fn states(&self) -> &[LayerState] {
        &self.states
    }

    /// Whether a layer holds.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }

    /// A folder for the temporary files of one run, removed when dropped; `None` where the usual one is in reach.
    pub(super) fn temporary(&self) -> io::Result<Option<TempDir>> {
        if self.layers.is_empty() {
            return Ok(None);
        }
        tempfile::Builder::new().prefix("catalyst-").tempdir_in(&self.places.temporary).map(Some)
    }

    /// What the supervisor of a run is told. `own` are the folders that any of its commands may write.
    pub(super) fn setup(&self, folder: &Path, own: Vec<PathBuf>, deadline_ms: u64, grace: Duration) -> Setup {
        setup(self.layers.clone(), self.places.clone(), folder, own, deadline_ms, grace)
    }
}

/// As [`Confinement::setup`], for layers that are to be tried.
pub(super) fn trial(layers: Vec<Layer>, places: Places, folder: &Path, deadline_ms: u64) -> Setup {
    let setup = setup(layers, places, folder, vec![folder.to_owned()], deadline_ms, Duration::ZERO);
    Setup { trial: true, ..setup }
}

fn setup(
    layers: Vec<Layer>,
    places: Places,
    folder: &Path,
    own: Vec<PathBuf>,
    deadline_ms: u64,
    grace: Duration,
) -> Setup {
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    Setup { folder: folder.to_owned(), layers, trial: false, places, own, deadline_ms, grace_ms }
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
        for layer in FENCE {
            let refused = Confinement::new(Confine::Require, states(&[layer]), places()).err().unwrap().to_string();
            assert!(refused.contains(layer.as_str()) && refused.contains("not here"), "{refused}");
            let auto = Confinement::new(Confine::Auto, states(&[layer]), places()).unwrap();
            assert!(!auto.has(layer) && auto.layers.len() == Layer::ALL.len() - 1);
        }
        // Of Linux 6.14, 6.12 and 6.7: the fence stands without.
        let others = [Layer::ProcessLimit, Layer::Scopes, Layer::Ports, Layer::MountNamespace];
        assert!(Confinement::new(Confine::Require, states(&others), places()).is_ok());
    }

    #[test]
    fn off_asks_for_nothing_and_a_shared_network_is_not_closed() {
        assert_eq!(Confine::Off.wanted(RunNetwork::Alone), []);
        assert_eq!(Confine::Auto.wanted(RunNetwork::Alone), Layer::ALL);
        let shared = Confine::Require.wanted(RunNetwork::Shared);
        assert!(!shared.contains(&Layer::NetworkNamespace) && !shared.contains(&Layer::Ports));
        assert_eq!(shared.len(), Layer::ALL.len() - 2);
    }
}
