//! The layers between a run and all else, by name. Each is tried at start; one that does not hold is named with the reason.
//!
//! # Adding a layer
//!
//! 1. Here: the variant, its place in [`Layer::ALL`], its name and what follows where it is missing.
//! 2. What makes it: `namespaces.rs`, `landlock.rs` (with its list of Landlock's layers) or `limits.rs`.
//! 3. Where it is made: `start.rs` for what the supervisor enters, `put_up` in `init.rs` for the rest. Both name every variant, and a
//!    wanted layer of which neither gives a state fails the start (`every_state`).
//! 4. `engine/confine.rs`: whether `CATALYST_TOFU_CONFINE=require` needs it (`REQUIRED_LAYERS`).
//! 5. `cli/doctor/programs.rs`: what to do where it is missing.
//! 6. `tests/tests/confinement/attempts.rs`: what a provider gets without it.
//! 7. `docs/confinement.md`: its row in both tables.

use serde::{Deserialize, Serialize};
use std::io;

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Landlock: files and folders by path.
    Files,
    /// Landlock: no signal to, and no abstract socket of, a process outside the run.
    Scopes,
    /// Landlock: TCP connections to named ports only. It knows no addresses, so alone it keeps a run from no machine.
    Ports,
    /// A user namespace: no right of the host's user beyond its files.
    UserNamespace,
    /// A process namespace and an IPC namespace: a run sees no process but its own, all of them end with its first one, and System V
    /// shared memory and message queues are its own.
    PidNamespace,
    /// A network namespace with `lo` alone.
    NetworkNamespace,
    /// A mount namespace: a tree of the run's places alone, read-only but for its own folders.
    MountNamespace,
    /// At most 1,024 processes and threads in a run and, where it has a user namespace, no further one below that.
    ProcessLimit,
    /// Limits on memory, on the size of a file and on open files, and no core dumps.
    ResourceLimits,
    /// A filter for system calls: sockets of a run's own families only. Others belong to no network, so no namespace holds them.
    SocketFamilies,
}

impl Layer {
    /// All of them: those that the supervisor enters, those that the run's init puts up, in this order, and Landlock's, which are put
    /// up around each command. The init tries the process limit before its others as well: the tree of the mount namespace may have no
    /// `/proc`.
    pub const ALL: [Self; 10] = [
        Self::UserNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::MountNamespace,
        Self::ProcessLimit,
        Self::ResourceLimits,
        Self::SocketFamilies,
        Self::Files,
        Self::Scopes,
        Self::Ports,
    ];

    /// Its name for an operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files (Landlock)",
            Self::Scopes => "signals and abstract sockets (Landlock)",
            Self::Ports => "TCP ports (Landlock)",
            Self::UserNamespace => "user namespace",
            Self::PidNamespace => "process namespace",
            Self::NetworkNamespace => "network namespace",
            Self::MountNamespace => "mount namespace with a file tree of its own",
            Self::ProcessLimit => "number of processes and namespaces",
            Self::ResourceLimits => "resource limits",
            Self::SocketFamilies => "socket families (seccomp)",
        }
    }

    /// What a run can do where it is missing.
    pub fn without(self) -> &'static str {
        match self {
            Self::Files => "providers can read and write whatever this process can",
            Self::Scopes => {
                "providers can send signals to, and reach abstract sockets of, other processes of this user"
            }
            Self::Ports => "providers can connect to any port that the network lets them reach",
            Self::UserNamespace => "providers keep the rights of this process's user",
            Self::PidNamespace => {
                "providers see other processes; what they start is ended by its control group, or else by looking for it"
            }
            Self::NetworkNamespace => {
                "providers are in the network of this process: by plain TCP they reach the run's own two ports on every address \
                 where Landlock's port rules hold, and everything else where they do not"
            }
            Self::MountNamespace => {
                "providers can change modes and times of files of this user, and reach sockets in folders"
            }
            Self::ProcessLimit => {
                "a provider can start processes until the machine has no room, or get rights in a namespace of its own"
            }
            Self::ResourceLimits => "a provider can fill memory and disk",
            Self::SocketFamilies => {
                "providers can make sockets that no network namespace holds, such as those to the hypervisor (vsock)"
            }
        }
    }
}

/// Whether a layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerState {
    /// The layer.
    pub layer: Layer,
    /// Why it does not hold; `None` where it does.
    pub missing: Option<String>,
}

impl LayerState {
    /// The state that an attempt came to.
    pub(super) fn of(layer: Layer, tried: Result<(), impl ToString>) -> Self {
        Self { layer, missing: tried.err().map(|why| why.to_string()) }
    }
}

/// Whether each wanted layer was tried: one without a state would not hold, and nobody would be told of it.
///
/// # Errors
/// The first layer without a state.
pub(super) fn every_state(wanted: &[Layer], states: &[LayerState]) -> io::Result<()> {
    match wanted.iter().find(|layer| !states.iter().any(|state| state.layer == **layer)) {
        Some(layer) => Err(io::Error::other(format!("{}: this program has not tried it", layer.as_str()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain through all variants. A new one that is not in it does not compile, one that is not in `ALL` is found.
    fn next(layer: Layer) -> Option<Layer> {
        Some(match layer {
            Layer::Files => Layer::Scopes,
            Layer::Scopes => Layer::Ports,
            Layer::Ports => Layer::UserNamespace,
            Layer::UserNamespace => Layer::PidNamespace,
            Layer::PidNamespace => Layer::NetworkNamespace,
            Layer::NetworkNamespace => Layer::MountNamespace,
            Layer::MountNamespace => Layer::ProcessLimit,
            Layer::ProcessLimit => Layer::ResourceLimits,
            Layer::ResourceLimits => Layer::SocketFamilies,
            Layer::SocketFamilies => return None,
        })
    }

    #[test]
    fn all_layers_are_in_the_list_once() {
        let every: Vec<Layer> = std::iter::successors(Some(Layer::Files), |layer| next(*layer)).collect();
        let mut listed = Layer::ALL.to_vec();
        listed.sort();
        assert_eq!(listed, every);
    }

    #[test]
    fn a_wanted_layer_that_nobody_tried_is_an_error() {
        let state = |layer| LayerState { layer, missing: (layer == Layer::Ports).then(|| "not here".to_owned()) };
        let states = Layer::ALL.map(state);
        assert!(every_state(&Layer::ALL, &states).is_ok() && every_state(&[], &[]).is_ok());
        for left_out in Layer::ALL {
            let rest: Vec<LayerState> = states.iter().filter(|state| state.layer != left_out).cloned().collect();
            let why = every_state(&Layer::ALL, &rest).unwrap_err().to_string();
            assert!(why.starts_with(left_out.as_str()), "{why}");
        }
    }
}
