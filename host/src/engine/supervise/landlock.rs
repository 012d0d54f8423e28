//! Landlock around one command: its files, its signals and abstract sockets, its TCP ports.
//!
//! A ruleset holds for a thread and what that thread starts. So a thread of its own is restricted, starts the command and ends.

use super::layers::Layer;
use super::places::Places;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use std::io;
use std::path::PathBuf;

/// What is asked of a kernel that has more.
const WANTED: ABI = ABI::V9;
/// The least that a kernel must have. Before it (Linux 5.19), no file could be moved between folders, which OpenTofu does
/// when it installs providers.
const LEAST: ABI = ABI::V2;
/// What a program writes to be rid of it.
const DEVICE: &str = "/dev/null";
/// Layers that are made here.
const LAYERS: [Layer; 3] = [Layer::Files, Layer::Scopes, Layer::Ports];

/// Whether this kernel has what a layer of Landlock needs.
///
/// # Errors
/// What it lacks; or the layer is none of Landlock's.
pub(in crate::engine) fn has(layer: Layer) -> io::Result<()> {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let (made, needs) = match layer {
        Layer::Files => (strict().handle_access(AccessFs::from_all(LEAST)).map(|_| ()), "Landlock 2 (Linux 5.19)"),
        Layer::Scopes => (strict().scope(scopes()).map(|_| ()), "Landlock 6 (Linux 6.12)"),
        Layer::Ports => (strict().handle_access(ports()).map(|_| ()), "Landlock 4 (Linux 6.7)"),
        Layer::UserNamespace
        | Layer::PidNamespace
        | Layer::NetworkNamespace
        | Layer::MountNamespace
        | Layer::ProcessLimit
        | Layer::ResourceLimits
        | Layer::SocketFamilies => return Err(io::Error::other("it is no layer of Landlock")),
    };
    made.map_err(|_| io::Error::other(format!("this kernel has no {needs}, or `landlock` is not in its `lsm=` list")))
}

fn scopes() -> BitFlags<Scope> {
    Scope::AbstractUnixSocket | Scope::Signal
}

fn ports() -> BitFlags<AccessNet> {
    AccessNet::ConnectTcp | AccessNet::BindTcp
}

/// Restricts this thread for the rest of its life to what the layers let through. A place that is not there gives nothing.
///
/// # Errors
/// The kernel refuses, or a folder of the run is not there.
pub(super) fn restrict(layers: &[Layer], places: &Places, own: &[PathBuf], connect: &[u16]) -> io::Result<()> {
    if !layers.iter().any(|layer| LAYERS.contains(layer)) {
        return Ok(());
    }
    let has = |layer| layers.contains(&layer);
    let (all, run) = (AccessFs::from_all(WANTED), AccessFs::from_read(WANTED));
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // A device of its own would be the machine's.
    let own_access = all & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut ruleset = Ruleset::default();
    if has(Layer::Files) {
        ruleset = ruleset.handle_access(all).map_err(io::Error::other)?;
    }
    if has(Layer::Scopes) {
        ruleset = ruleset.scope(scopes()).map_err(io::Error::other)?;
    }
    if has(Layer::Ports) {
        ruleset = ruleset.handle_access(ports()).map_err(io::Error::other)?;
    }
    let mut ruleset = ruleset.create().map_err(io::Error::other)?;
    if has(Layer::Files) {
        ruleset = ruleset
            .add_rules(path_beneath_rules(&places.run, run))
            .and_then(|rules| rules.add_rules(path_beneath_rules(&places.read, read)))
            .and_then(|rules| rules.add_rules(path_beneath_rules([DEVICE], read | AccessFs::WriteFile)))
            .map_err(io::Error::other)?;
        for folder in own {
            let folder = PathFd::new(folder).map_err(io::Error::other)?;
            ruleset = ruleset.add_rule(PathBeneath::new(folder, own_access)).map_err(io::Error::other)?;
        }
    }
    if has(Layer::Ports) {
        for port in connect {
            let rule = NetPort::new(*port, AccessNet::ConnectTcp);
            ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
        }
    }
    match ruleset.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::other("the kernel did not take the confinement")),
    }
}
