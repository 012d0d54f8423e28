//! From the bytes of a file to a provider that serves: each step proves one thing, the cheapest first.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bind::{self, Bound};
use crate::cache::Cache;
use crate::error::{CallError, CallFailure, Function, LoadError};
use crate::lane::Lanes;
use crate::limits::Limits;
use crate::provider::{Code, Plugin};
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
    pub linker: Linker<CallState>,
    pub limits: Limits,
    pub cache: Option<Cache>,
    /// Bounds the calls of all plugins by the slots there are.
    pub slots: tokio::sync::Semaphore,
    /// Where calls run.
    pub lanes: Lanes,
}

/// Links what a plugin may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<CallState>, SandboxError> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)
        .and_then(|()| bind::link(&mut linker))
        .map_err(|error| SandboxError::Link(format!("{error:#}")))?;
    Ok(linker)
}

/// Reads a file of bounded size.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(LoadError::Read)?;
    file.take(limits.component_bytes + 1).read_to_end(&mut bytes).map_err(LoadError::Read)?;
    Ok(bytes)
}

/// SHA-256 in lower-case hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Loads a component and asks it who it is. Compiling takes a second for a large component and uses this machine's cores,
/// so it runs apart from the calls.
pub(crate) async fn load(shared: &Arc<Shared>, file_name: &str, bytes: Vec<u8>) -> Result<Provider, LoadError> {
    let digest = digest(&bytes);
    let compiling = Arc::clone(shared);
    let for_cache = digest.clone();
    let code = tokio::task::spawn_blocking(move || prepare(&compiling, &for_cache, &bytes))
        .await
        .map_err(|error| LoadError::Invalid(format!("the compiler stopped: {error}")))??;
    // Nothing is known of it yet, and nobody waits for it.
    let introduced = Plugin::introduce(Arc::clone(shared), file_name.to_owned(), digest, code);
    let plugin = shared.lanes.aside(introduced).await.map_err(|stopped| {
        let reason = CallFailure::Host(stopped.to_string());
        LoadError::Describe(CallError { plugin: file_name.to_owned(), function: Function::Describe, reason })
    })??;
    Ok(Provider::new(plugin, Arc::clone(shared)))
}

fn prepare(shared: &Shared, digest: &str, bytes: &[u8]) -> Result<Code, LoadError> {
    check_form(bytes, &shared.limits)?;
    let (component, compiled) = machine_code(shared, digest, bytes)?;
    let imports = imports::check(&component, &shared.engine)?;
    let version = bind::Version::of(&imports.contract)?;
    let pre = shared.linker.instantiate_pre(&component).map_err(|error| LoadError::World(format!("{error:#}")))?;
    let bound = Bound::new(version, pre)?;
    Ok(Code { bound, imports: imports.names, contract: imports.contract, compiled })
}

/// Says in plain words what is not a binary component, before the compiler sees it.
fn check_form(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    if bytes.len() as u64 > limits.component_bytes {
        return Err(LoadError::TooLarge { limit_bytes: limits.component_bytes });
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    // Magic, then version and layer (component-model Binary.md, preamble).
    match bytes.strip_prefix(b"\0asm") {
        None => Err(LoadError::NotWasm),
        Some([1, 0, 0, 0, ..]) => Err(LoadError::CoreModule),
        Some(_) => Ok(()),
    }
}

fn machine_code(shared: &Shared, digest: &str, bytes: &[u8]) -> Result<(Component, Compiled), LoadError> {
    if let Some(component) = shared.cache.as_ref().and_then(|cache| cache.load(&shared.engine, digest)) {
        return Ok((component, Compiled::Cached));
    }
    let component =
        Component::from_binary(&shared.engine, bytes).map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
    if let Some(cache) = &shared.cache
        && let Err(error) = cache.store(&shared.engine, digest, &component)
    {
        tracing::warn!(plugin.digest = digest, %error, "a compiled plugin could not be kept; the next start compiles it anew");
    }
    Ok((component, Compiled::Now))
}
