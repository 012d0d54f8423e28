//! The files and folders that a run may use, beside its own.

use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

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
/// Where temporary files go when nothing else is said.
const TEMPORARY: &str = "/tmp";

/// Places of every run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Places {
    /// May be read and run.
    pub(in crate::engine) run: Vec<PathBuf>,
    /// May be read.
    pub(in crate::engine) read: Vec<PathBuf>,
    /// Where folders for temporary files are made.
    pub(in crate::engine) temporary: PathBuf,
}

impl Places {
    /// The places that an environment and the engine's settings name. `binary` as it is started.
    pub(in crate::engine) fn new(
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
        read.extend(path("SSL_CERT_FILE"));
        read.extend(paths("SSL_CERT_DIR").unwrap_or_default());
        let temporary = path("TMPDIR").unwrap_or_else(|| TEMPORARY.into());
        Self { run, read, temporary }
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
