//! The layers between a run and all else, by name. Each is tried at start; what does not hold is told with the reason.

use serde::{Deserialize, Serialize};

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Landlock: files and folders by path.
    Files,
    /// Landlock: no signal to, and no abstract socket of, a process outside the run.
    Scopes,
    /// Landlock: TCP connections to named ports only. It knows no addresses, so it is no fence alone.
    Ports,
    /// A user namespace: no right of the host's user beyond its files.
    UserNamespace,
    /// A process namespace: a run sees, and outlives itself in, no other process.
    PidNamespace,
    /// A network namespace with `lo` alone.
    NetworkNamespace,
    /// A mount namespace: a tree of the run's places alone, read-only but for its own folders.
    MountNamespace,
    /// No more than some hundred processes and threads, and no user namespace of its own.
    ProcessLimit,
    /// Limits on memory, on the size of a file and on open files, and no core dumps.
    ResourceLimits,
    /// A filter for system calls: sockets of a run's own families only. Others belong to no network, so no namespace holds them.
    SocketFamilies,
}

impl Layer {
    /// All of them, in the order in which they are put up.
    pub const ALL: [Self; 10] = [
        Self::UserNamespace,
        Self::NetworkNamespace,
        Self::PidNamespace,
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
            Self::PidNamespace => "providers see other processes; what they start is ended by looking for it",
            Self::NetworkNamespace => "providers reach the whole network of this process",
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
