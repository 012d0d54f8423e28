//! What a call costs in figures that are the same on every machine and at every time: instructions and memory. For who
//! writes a plugin, or compares two builds of one.
//!
//! The engine here is one of its own that counts, which makes each call slower, so a host that serves has none. It
//! judges no answer and keeps none; a [`Provider`] does that. A plugin is pure, so what is counted depends on its bytes
//! and its input alone: the engine counts one for nearly every operator that is executed, and nothing that the host
//! does.

use catalyst_domain::Request;
use catalyst_domain::provider::{Asked, Diagnostic, RenderContext};
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::bind::{Bound, Called, Failed, Version};
use crate::compile::{Compile, Target};
use crate::error::{Function, LoadError, SandboxError};
use crate::limits::{Limits, PluginLimits, WALL_FACTOR};
use crate::served::Provider;
use crate::state::{self, CallState};
use crate::{engine, load};

/// Instructions that a call may take: the clock ends it long before.
const INSTRUCTIONS: u64 = u64::MAX;

/// What a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Operators of WebAssembly that were executed, as the engine counts them.
    pub instructions: u64,
    /// The most that all linear memories and tables had, in bytes: what the limit of memory is held against.
    pub memory_bytes: usize,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The bytes are not those of the plugin that was loaded.
    #[error("the component is another one than was loaded")]
    Changed,
    /// There is no engine that counts.
    #[error("an engine that counts cannot be started")]
    Engine(#[source] SandboxError),
    /// The component does not run in it.
    #[error("the component cannot be measured")]
    Load(#[source] LoadError),
    /// A call ended without an answer; in the engine's words, which quote nothing of a guest.
    #[error("{function} gave no answer: {why}")]
    Call {
        /// What was called.
        function: Function,
        /// Why.
        why: String,
    },
}

/// A component in an engine that counts.
pub struct Measure {
    engine: Engine,
    limits: Limits,
    bound: Bound,
}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measure").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Measure {
    /// Compiles the bytes of a plugin that was loaded, anew and so that calls can be counted.
    ///
    /// # Errors
    /// As the kinds of [`MeasureError`] say, but for the last.
    pub async fn of(provider: &Provider, bytes: Vec<u8>, compile: &Compile) -> Result<Self, MeasureError> {
        // They have passed every check of a load.
        if load::digest(&bytes) != provider.digest() {
            return Err(MeasureError::Changed);
        }
        let limits = provider.limits().clone();
        let (engine, target) = counting(&limits).map_err(MeasureError::Engine)?;
        let component = machine_code(&engine, target, &limits, bytes, compile).await.map_err(MeasureError::Load)?;
        let bound = bind(&engine, &component, provider.interface_version())?;
        // Outside of the lanes all time counts, that in which others had the processor as well.
        let limits = Limits { call_timeout: limits.call_timeout.saturating_mul(WALL_FACTOR), ..limits };
        Ok(Self { engine, limits, bound })
    }

    /// What `validate` takes.
    ///
    /// # Errors
    /// [`MeasureError::Call`]; so for the calls below.
    pub async fn validate(&self, request: &Request) -> Result<Cost, MeasureError> {
        let mut store = self.store(Function::Validate)?;
        let called = self.bound.validate(&mut store, request, &[]).await;
        cost(Function::Validate, &store, called)
    }

    /// What `render` takes, be it for a bundle or for findings.
    pub async fn render(&self, request: &Request, context: &RenderContext) -> Result<Cost, MeasureError> {
        let mut store = self.store(Function::Render)?;
        let called = self.bound.render(&mut store, request, context).await;
        cost(Function::Render, &store, called)
    }

    /// What `diagnose` takes.
    pub async fn diagnose(&self, diagnostic: &Diagnostic, asked: &Asked) -> Result<Cost, MeasureError> {
        let mut store = self.store(Function::Diagnose)?;
        let called = self.bound.diagnose(&mut store, diagnostic, asked).await;
        cost(Function::Diagnose, &store, called)
    }

    fn store(&self, function: Function) -> Result<Store<CallState>, MeasureError> {
        let mut store = state::open(&self.engine, &self.limits, "measured", function);
        let set = store.set_fuel(INSTRUCTIONS);
        set.map_err(|error| MeasureError::Call { function, why: error.root_cause().to_string() })?;
        Ok(store)
    }
}

fn counting(limits: &Limits) -> Result<(Engine, Target), SandboxError> {
    let started = engine::start_counting(&PluginLimits::from(limits.clone()));
    let (engine, target) = started.map_err(|error| SandboxError::Engine(format!("{error:#}")))?;
    engine::start_ticker(&engine)?;
    Ok((engine, target))
}

async fn machine_code(
    engine: &Engine,
    target: Target,
    limits: &Limits,
    bytes: Vec<u8>,
    compile: &Compile,
) -> Result<Component, LoadError> {
    compile.run(engine, target, limits, bytes).await.map(|(component, _)| component)
}

fn bind(engine: &Engine, component: &Component, interface: &str) -> Result<Bound, MeasureError> {
    let linker = load::linker(engine).map_err(MeasureError::Engine)?;
    let world = |why: String| MeasureError::Load(LoadError::World(why));
    let contract = semver::Version::parse(interface).map_err(|error| world(error.to_string()))?;
    let version = Version::of(&contract).map_err(MeasureError::Load)?;
    let pre = linker.instantiate_pre(component).map_err(|error| world(format!("{error:#}")))?;
    Bound::new(version, pre).map_err(MeasureError::Load)
}

fn cost<T>(function: Function, store: &Store<CallState>, called: Called<T>) -> Result<Cost, MeasureError> {
    let failed = |why: String| MeasureError::Call { function, why };
    match called {
        Ok(_) => {}
        Err(Failed::Engine(error)) => return Err(failed(error.root_cause().to_string())),
        Err(Failed::Output(why) | Failed::Host(why)) => return Err(failed(why)),
    }
    let left = store.get_fuel().map_err(|error| failed(error.root_cause().to_string()))?;
    Ok(Cost { instructions: INSTRUCTIONS - left, memory_bytes: store.data().meter.used() })
}
