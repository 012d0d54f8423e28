//! The engine: which WebAssembly is allowed, how memory is given out, and the clock that bounds CPU time.

use std::time::Duration;

use wasmtime::{Collector, Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::limits::{
    ASYNC_STACK_BYTES, CALLS_AT_ONCE, CORE_INSTANCES, Limits, MEMORIES, TABLE_ELEMENTS, TABLES, TICK, WASM_STACK_BYTES,
};

/// How memory for instances is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// From slots reserved at start: quick, and bounded in number.
    Pooling,
    /// From the system for each call: where address space is scarce.
    OnDemand,
}

/// Starts the engine. The pool reserves some hundred GiB of address space, which a container may refuse: then memory is
/// taken on demand.
pub(crate) fn start(limits: &Limits) -> Result<(Engine, Allocator), SandboxError> {
    let mut config = base_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, Allocator::Pooling)),
        Err(error) => {
            tracing::warn!(error = %error.root_cause(), "no address space for the plugin pool, taking memory on demand");
            let mut config = base_config();
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            let engine = Engine::new(&config).map_err(|e| SandboxError::Engine(format!("{e:#}")))?;
            Ok((engine, Allocator::OnDemand))
        }
    }
}

/// Whatever differs between two machines or two runs is off. Threads are not even compiled in.
fn base_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .wasm_shared_everything_threads(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_stack_switching(false)
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_function_references(true)
        .collector(Collector::Null)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CALLS_AT_ONCE)
        .total_stacks(CALLS_AT_ONCE)
        .total_core_instances(CALLS_AT_ONCE * CORE_INSTANCES)
        .total_memories(CALLS_AT_ONCE * MEMORIES)
        .total_tables(CALLS_AT_ONCE * TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes);
    pool
}

/// Starts the thread that advances the engine's clock. It ends by itself once the engine is gone.
pub(crate) fn start_ticker(engine: &Engine) -> Result<(), SandboxError> {
    let weak = engine.weak();
    let tick: Duration = TICK;
    std::thread::Builder::new()
        .name("plugin-clock".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(tick);
            }
        })
        .map(|_| ())
        .map_err(SandboxError::Ticker)
}
