//! From the bytes of a file to a provider that serves: each step proves one thing, the cheapest first.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use catalyst_domain::provider::Descriptor;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bind::{self, Bound, Leftovers};
use crate::cache::Cache;
use crate::call::Caller;
use crate::compile::{Compile, CompileError, Target};
use crate::error::{CallError, CallFailure, Function, LoadError};
use crate::guest_record::GuestRecorder;
use crate::lane::{Lanes, Standing};
use crate::limits::{Limits, PluginLimits, Suspension};
use crate::memo::Memo;
use crate::provider::{Code, Origin, Plugin, describe};
use crate::served::Provider;
use crate::state::CallState;
use crate::{SandboxError, imports, wasi};

/// Where the machine code of a component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiled {
    /// Compiled now.
    Now,
    /// From the cache of an earlier start.
    Cached,
}

/// What every load and every call needs.
pub(crate) struct Shared {
    pub engine: Engine,
    pub target: Target,
    pub linker: Linker<CallState>,
    pub limits: PluginLimits,
    pub compile: Compile,
    pub cache: Option<Cache>,
    pub memo: Option<Memo>,
    /// Bounds the calls of all plugins by the slots there are.
    pub slots: Arc<tokio::sync::Semaphore>,
    /// Where calls run.
    pub lanes: Lanes,
    pub suspension: Suspension,
    pub recorder: Option<Arc<GuestRecorder>>,
}

/// Links what a plugin may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<CallState>, SandboxError> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)
        .and_then(|()| bind::link(&mut linker))
        .map_err(|error| SandboxError::Link(format!("{error:#}")))?;
    Ok(linker)
}

/// Opens a file that is one: a pipe in its place would wait for whoever writes into it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// Reads a file of bounded size.
pub(crate) fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let file = open(path).map_err(LoadError::Read)?;
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(LoadError::Read)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(LoadError::TooLarge { limit_bytes });
    }
    Ok(bytes)
}

/// SHA-256 in lower-case hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// How much is done to load a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// No more than a start with machine code from the cache takes.
    Glance,
    /// It is compiled if need be, which takes a second for a large component, or a minute for a hostile one.
    Whole,
}

/// Loads a component and asks it who it is. None where that takes more effort.
pub(crate) async fn load(
    shared: &Arc<Shared>,
    origin: Origin,
    bytes: Vec<u8>,
    effort: Effort,
) -> Result<Option<Provider>, LoadError> {
    let limits = Arc::clone(shared.limits.of(&origin.file_name));
    let bytes = blocking(move || {
        check_form(&bytes)?;
        imports::forbid(&bytes)?;
        Ok(bytes)
    })
    .await?;
    let (component, made) = match (cached(shared, &origin.digest).await?, effort) {
        (Some(component), _) => (component, None),
        (None, Effort::Glance) => return Ok(None),
        (None, Effort::Whole) => {
            let (component, code) = shared.compile.run(&shared.engine, shared.target, &limits, bytes).await?;
            (component, Some(code))
        }
    };
    let (linking, compiled) = (Arc::clone(shared), if made.is_some() { Compiled::Now } else { Compiled::Cached });
    let code = Arc::new(blocking(move || link(&linking, &component, compiled)).await?);
    let standing = Arc::<Standing>::default();
    let descriptor = introduce(shared, &standing, &origin, &limits, &code).await?;
    let of = Arc::clone(shared);
    let plugin = blocking(move || Plugin::new(of, limits, origin, code, descriptor)).await?;
    Ok(Some(Provider::new(plugin, Arc::clone(shared), standing, made)))
}

async fn introduce(
    shared: &Arc<Shared>,
    standing: &Arc<Standing>,
    origin: &Origin,
    limits: &Arc<Limits>,
    code: &Arc<Code>,
) -> Result<Descriptor, LoadError> {
    let name = origin.file_name.clone();
    let caller = Arc::new(Caller::new(Arc::clone(shared), Arc::clone(limits), name, origin.digest.clone()));
    let ask = || {
        let (caller, code) = (Arc::clone(&caller), Arc::clone(code));
        async move { describe(&caller, &code).await }
    };
    let described =
        shared.lanes.run(standing, ask, |error: &CallError| error.reason.is_strike()).await.unwrap_or_else(|stopped| {
            let reason = CallFailure::Host(stopped.to_string());
            Err(CallError { plugin: origin.file_name.clone(), function: Function::Describe, reason })
        });
    described.map_err(LoadError::Describe)
}

fn link(shared: &Shared, component: &Component, compiled: Compiled) -> Result<Code, LoadError> {
    let imports = imports::check(component, &shared.engine)?;
    let version = bind::Version::of(&imports.contract)?;
    let pre = shared.linker.instantiate_pre(component).map_err(|error| LoadError::World(format!("{error:#}")))?;
    let bound = Bound::new(version, pre.clone())?;
    let leftovers = Leftovers::find(version, &pre)?;
    Ok(Code { bound, leftovers, pre, imports: imports.names, contract: imports.contract, compiled })
}

/// Says in plain words what is not a binary component, before the compiler sees it.
fn check_form(bytes: &[u8]) -> Result<(), LoadError> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    // Magic, then version and layer (the preamble in the binary format of the component model).
    match bytes.strip_prefix(b"\0asm") {
        None => Err(LoadError::NotWasm),
        Some([1, 0, 0, 0, ..]) => Err(LoadError::CoreModule),
        Some(_) => Ok(()),
    }
}

async fn cached(shared: &Arc<Shared>, digest: &str) -> Result<Option<Component>, LoadError> {
    let (from, of) = (Arc::clone(shared), digest.to_owned());
    blocking(move || Ok(from.cache.as_ref().and_then(|cache| cache.load(&from.engine, &of)))).await
}

/// Keeps the machine code of a plugin that serves. One that does not has no claim to be there first at the next start.
pub(crate) async fn keep(shared: &Arc<Shared>, provider: &Provider) {
    let Some(code) = provider.take_made() else { return };
    let (to, digest) = (Arc::clone(shared), provider.digest().to_owned());
    let kept = blocking(move || {
        if let Some(cache) = &to.cache
            && let Err(error) = cache.store(&to.engine, &digest, &code)
        {
            tracing::warn!(plugin.digest = digest, %error, "a compiled plugin could not be kept; the next start compiles it anew");
        }
        Ok(())
    });
    if let Err(error) = kept.await {
        tracing::warn!(%error, "a compiled plugin could not be kept");
    }
}

/// Runs what blocks apart from the calls.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let stopped = |error| LoadError::Compile(CompileError::Broken(format!("its loading stopped: {error}")));
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("p.wasm");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(open(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
