//! Keeps OpenTofu, and every provider that it starts, to the files of its run: Landlock, where the kernel has it.
//!
//! What a module may say is checked before; what a provider does cannot be. A confined process reads and runs the system's
//! programs, reads its settings and the trust store, and writes into its own folders alone. The cache of providers is one of them
//! while providers are installed, and to be read afterwards. All else (the host's records, states and kubeconfigs, keys in a home folder, `/proc`) is
//! closed to it. The network stays open: providers are there to use it.
//!
//! A ruleset holds for a thread and what that thread starts. So a thread of its own is restricted, starts the process and
//! ends: the host stays as it is, and nothing has to be done between fork and exec, where next to nothing is safe.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How far OpenTofu and its providers stand behind the host where both want the processor: about a tenth of its share, which
/// answers keep their time by and a plan, which waits for its cloud most of the time, hardly feels.
const CHILD_NICENESS: i32 = 10;

/// Whether OpenTofu is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confine {
    /// Where the kernel has Landlock; a warning where not.
    Auto,
    /// With Landlock, and with a proxy for each run; no start without.
    Require,
    /// Never.
    Off,
}

/// What is asked of a kernel that has more.
const WANTED: ABI = ABI::V6;
/// The least that a kernel must have. Before it (Linux 5.19), no file could be moved between folders, which OpenTofu does
/// when it installs providers.
const LEAST: ABI = ABI::V2;

/// Programs and libraries.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/nix/store"];
/// Settings of the resolver, the linker and the trust store. Not `/etc` itself: it holds keys and passwords.
const SETTINGS: [&str; 20] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted",
    "/dev/urandom",
    "/dev/random",
];
/// What a program writes to be rid of it.
const DEVICE: &str = "/dev/null";
/// Where temporary files go when nothing else is said.
const TEMPORARY: &str = "/tmp";

/// How OpenTofu is started.
pub(super) enum Confinement {
    /// Behind these places.
    Behind(Arc<Places>),
    /// As any process.
    None,
}

/// What every run may use, beside its own folders.
pub(super) struct Places {
    run: Vec<PathBuf>,
    read: Vec<PathBuf>,
    temporary: PathBuf,
}

/// Whether the kernel can confine a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// It can.
    HasLandlock,
    /// It is too old, or it was built or started without.
    HasNone,
}

/// Asks the kernel.
pub(super) fn kernel() -> Kernel {
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))
        .and_then(Ruleset::create);
    if asked.is_ok() { Kernel::HasLandlock } else { Kernel::HasNone }
}

/// What an operator has to know where OpenTofu will not be confined.
pub(super) fn warning(asked: Confine, kernel: Kernel) -> Option<&'static str> {
    match (asked, kernel) {
        (Confine::Auto | Confine::Require, Kernel::HasLandlock) => None,
        (Confine::Auto | Confine::Require, Kernel::HasNone) => Some(
            "this kernel has no Landlock (Linux 5.19 or later with landlock among its security modules), so OpenTofu and \
             its providers are not confined: they can read and write whatever this process can",
        ),
        (Confine::Off, _) => Some(
            "CATALYST_TOFU_CONFINE is off: OpenTofu and its providers can read and write whatever this process can",
        ),
    }
}

impl Confinement {
    /// As asked for, as far as the kernel can.
    pub(super) fn new(asked: Confine, kernel: Kernel, places: Places) -> Self {
        match (asked, kernel) {
            (Confine::Auto | Confine::Require, Kernel::HasLandlock) => Self::Behind(Arc::new(places)),
            _ => Self::None,
        }
    }

    /// A folder for the temporary files of one run, removed when dropped; `None` where the usual one is in reach.
    pub(super) fn temporary(&self) -> io::Result<Option<TempDir>> {
        match self {
            Self::Behind(places) => {
                tempfile::Builder::new().prefix("catalyst-").tempdir_in(&places.temporary).map(Some)
            }
            Self::None => Ok(None),
        }
    }

    /// Starts a process that may write into `own`, too. Never starts it unconfined where it should be. On a thread of its own:
    /// what restricts it stays, and a disk that does not give the program out holds that thread alone.
    pub(super) async fn spawn(&self, mut command: Command, own: &[&Path]) -> io::Result<Child> {
        let places = match self {
            Self::Behind(places) => {
                Some((Arc::clone(places), own.iter().map(|&path| path.to_owned()).collect::<Vec<_>>()))
            }
            Self::None => None,
        };
        let (runtime, (sender, started)) = (Handle::current(), oneshot::channel());
        let confine = move || places.map_or(Ok(()), |(places, own)| restrict(places.ruleset(&own)?));
        let start = move || {
            let _runtime = runtime.enter();
            yield_to_the_host();
            // When nobody waits any more, the child is dropped, which ends it.
            let _ = sender.send(confine().and_then(|()| command.spawn()));
        };
        std::thread::Builder::new().name("tofu-start".to_owned()).spawn(start)?;
        started.await.map_err(|_| io::Error::other("the thread that starts OpenTofu broke"))?
    }
}

/// Lowers the priority of this thread for the rest of its life, and so that of the process that it starts and of all that this
/// one starts. Where the system refuses, the run goes on as before.
fn yield_to_the_host() {
    // A thread's own, on Linux, with the id 0.
    if let Err(error) = rustix::process::setpriority_process(None, CHILD_NICENESS) {
        tracing::debug!(%error, "OpenTofu keeps the host's priority");
    }
}

/// Restricts this thread for the rest of its life.
fn restrict(ruleset: RulesetCreated) -> io::Result<()> {
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::other("the kernel did not take the confinement")),
    }
}

impl Places {
    /// The places that an environment and the engine's settings name. `binary` as it is started.
    pub(super) fn new(
        binary: &Path,
        environment: &[(OsString, OsString)],
        provider_cache: Option<&Path>,
        provider_mirror: Option<&Path>,
    ) -> Self {
        let given = |name: &str| environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        let paths = |name: &str| given(name).map(|value| std::env::split_paths(value).collect::<Vec<_>>());
        let path = |name: &str| given(name).map(PathBuf::from);
        let mut run: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        run.extend(resolved(binary, given("PATH").map(OsString::as_os_str)));
        // Providers are linked from the mirror and run where they are.
        run.extend(provider_mirror.map(Path::to_owned));
        // So with the cache, which a run may write in one step only, where it is among its own folders.
        run.extend(provider_cache.map(Path::to_owned));
        let mut read: Vec<PathBuf> = SETTINGS.iter().map(PathBuf::from).collect();
        read.extend(["SSL_CERT_FILE", "TF_CLI_CONFIG_FILE"].into_iter().filter_map(path));
        read.extend(paths("SSL_CERT_DIR").unwrap_or_default());
        let temporary = path("TMPDIR").unwrap_or_else(|| TEMPORARY.into());
        Self { run, read, temporary }
    }

    fn ruleset(&self, own: &[PathBuf]) -> io::Result<RulesetCreated> {
        let mut ruleset = self.shared().map_err(io::Error::other)?;
        for folder in own {
            let folder = PathFd::new(folder).map_err(io::Error::other)?;
            let rule = PathBeneath::new(folder, AccessFs::from_all(WANTED));
            ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
        }
        Ok(ruleset)
    }

    /// A place of these lists that is not there gives nothing.
    fn shared(&self) -> Result<RulesetCreated, RulesetError> {
        let all = AccessFs::from_all(WANTED);
        let run = AccessFs::from_read(WANTED);
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(&self.run, run))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules([DEVICE], read | AccessFs::WriteFile))
    }
}

/// The file that is run: a path, or a name that is looked up.
fn resolved(binary: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    if binary.components().count() > 1 {
        return Some(binary.to_owned());
    }
    std::env::split_paths(search?).map(|folder| folder.join(binary)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_confined_is_told_once_and_clearly() {
        assert_eq!(warning(Confine::Auto, Kernel::HasLandlock), None);
        assert!(warning(Confine::Auto, Kernel::HasNone).is_some_and(|text| text.contains("no Landlock")));
        for kernel in [Kernel::HasLandlock, Kernel::HasNone] {
            assert!(warning(Confine::Off, kernel).is_some_and(|text| text.contains("CATALYST_TOFU_CONFINE is off")));
        }
    }

    #[test]
    fn only_a_kernel_with_landlock_confines() {
        let new = |asked, kernel| Confinement::new(asked, kernel, Places::new(Path::new("tofu"), &[], None, None));
        assert!(matches!(new(Confine::Auto, Kernel::HasLandlock), Confinement::Behind(_)));
        assert!(matches!(new(Confine::Auto, Kernel::HasNone), Confinement::None));
        assert!(matches!(new(Confine::Off, Kernel::HasLandlock), Confinement::None));
    }

    #[test]
    fn places_come_from_the_childs_environment() {
        let variable = |(name, value): (&str, &str)| (name.into(), value.into());
        let environment = [("PATH", "/nowhere:/bin"), ("SSL_CERT_DIR", "/a:/b"), ("TMPDIR", "/t")].map(variable);
        let places = Places::new(Path::new("sh"), &environment, Some(Path::new("/c")), Some(Path::new("/mirror")));
        let has = |list: &[PathBuf], path: &str| list.iter().any(|one| one == Path::new(path));
        assert!(has(&places.run, "/bin/sh") && has(&places.run, "/mirror") && has(&places.run, "/c"));
        assert!(has(&places.read, "/a") && has(&places.read, "/b"));
        assert_eq!(places.temporary, Path::new("/t"));
    }
}
