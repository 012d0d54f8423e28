//! The engine: which WebAssembly is allowed, how memory is given out, and the clock that bounds CPU time.

use std::time::Duration;

use wasmtime::{Collector, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::compile::{Counting, Target};
use crate::error::SandboxError;
use crate::limits::{
    ASYNC_STACK_BYTES, CALLS_AT_ONCE, MEMORIES, PluginLimits, TABLE_ELEMENTS, TABLES, TICK, WASM_STACK_BYTES,
};

/// Guard after a memory where address space is scarce: enough to spare the check of small constant offsets.
const GUARD_BYTES: u64 = 64 * 1024;

/// Bytes at the beginning of a memory or table that are wiped in place after a call and stay resident; everything after them is
/// given back to the system. A page that was given back is faulted in again by the next call that writes to it, which takes
/// about as long as wiping sixteen. A render writes about 1 MiB.
const RESIDENT_BYTES: usize = 1024 * 1024;

/// Whether the kernel is asked which pages of a slot were written (`PAGEMAP_SCAN`, Linux 6.7), so that only those are wiped. Off:
/// the engine asks for pages that are present, so a written page that was swapped out is neither wiped nor given back, and the
/// next guest of the slot could read what an earlier one wrote (bytecodealliance/wasmtime#14357). On only once that is repaired.
const PAGE_SCAN: Enabled = Enabled::No;

/// How memory for instances is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// From slots reserved at start: quick, and bounded in number.
    Pooling,
    /// From the system for each call: where address space is scarce.
    OnDemand,
}

/// What happens to the pages of a slot between two guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagePolicy {
    /// There are no slots: each call gets fresh memory from the system, and gives it back.
    Fresh,
    /// The first bytes are wiped in place, whether they were written or not; all others are given back to the system.
    Wiped {
        /// How many bytes of each memory and table.
        resident_bytes: usize,
    },
}

impl Allocator {
    /// What this allocator does with pages that a guest has written.
    pub fn page_policy(self) -> PagePolicy {
        match self {
            Self::Pooling => PagePolicy::Wiped { resident_bytes: RESIDENT_BYTES },
            Self::OnDemand => PagePolicy::Fresh,
        }
    }
}

/// Starts the engine. The pool reserves some hundred GiB of address space, which a container may refuse: then memory is
/// taken on demand.
pub(crate) fn start(limits: &PluginLimits) -> Result<(Engine, Target), SandboxError> {
    match start_as(Allocator::Pooling, limits) {
        Ok(started) => Ok(started),
        Err(error) => {
            tracing::warn!(error = %error.root_cause(), "no address space for the plugin pool, taking memory on demand");
            start_as(Allocator::OnDemand, limits).map_err(|error| SandboxError::Engine(format!("{error:#}")))
        }
    }
}

pub(crate) fn start_as(allocator: Allocator, limits: &PluginLimits) -> wasmtime::Result<(Engine, Target)> {
    let target = Target { allocator, memory_bytes: limits.memory_bytes(), counting: Counting::Off };
    let mut config = config(target);
    if allocator == Allocator::Pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    }
    Ok((Engine::new(&config)?, target))
}

/// An engine that counts instructions. Its calls are few, so it has no pool.
pub(crate) fn start_counting(limits: &PluginLimits) -> wasmtime::Result<(Engine, Target)> {
    let (allocator, memory_bytes) = (Allocator::OnDemand, limits.memory_bytes());
    let target = Target { allocator, memory_bytes, counting: Counting::On };
    Ok((Engine::new(&config(target))?, target))
}

/// An engine that compiles for one that was started, and runs nothing.
pub(crate) fn compiler(target: Target) -> wasmtime::Result<Engine> {
    Engine::new(&config(target))
}

/// What machine code depends on. A pool takes the engine's own reservation for each memory.
fn config(target: Target) -> Config {
    let mut config = base_config();
    config.consume_fuel(target.counting == Counting::On);
    if target.allocator == Allocator::OnDemand {
        // A memory never grows past its limit, so no more than that is reserved; bounds are then checked in code.
        config
            .allocation_strategy(InstanceAllocationStrategy::OnDemand)
            .memory_reservation(target.memory_bytes as u64)
            .memory_guard_size(GUARD_BYTES);
    }
    config
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

fn pool(limits: &PluginLimits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CALLS_AT_ONCE)
        .total_stacks(CALLS_AT_ONCE)
        .total_core_instances(CALLS_AT_ONCE * limits.core_instances())
        .total_memories(CALLS_AT_ONCE * MEMORIES)
        .total_tables(CALLS_AT_ONCE * TABLES)
        .max_core_instances_per_component(limits.core_instances())
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes())
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(RESIDENT_BYTES)
        .pagemap_scan(PAGE_SCAN);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Function;
    use crate::state;
    use wasmtime::component::{Component, Linker};

    #[test]
    fn no_page_of_an_earlier_guest_is_left_to_a_scan_that_overlooks_swapped_ones() {
        let pool = pool(&PluginLimits::default());
        assert_eq!(pool.get_pagemap_scan(), Enabled::No, "until wasmtime#14357 is in the engine that is used");
        let resident_bytes = pool.get_memory_keep_resident();
        assert_eq!(Allocator::Pooling.page_policy(), PagePolicy::Wiped { resident_bytes });
        assert_eq!(pool.get_table_keep_resident(), resident_bytes);
        assert_eq!(Allocator::OnDemand.page_policy(), PagePolicy::Fresh);
    }

    /// Writes into the first and last bytes of what stays resident and of what does not; finds what the guest before it left.
    const MARKS: &str = "(component
        (core module $m (memory 48)
            (func (export \"f\") (result i32) (local $at i32) (local $found i32)
                (loop $next
                    (local.set $found (i32.or (local.get $found) (i32.load (local.get $at))))
                    (i32.store (local.get $at) (i32.const 7))
                    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                    (br_if $next (i32.lt_u (local.get $at) (i32.const 3145728))))
                (local.get $found)))
        (core instance $i (instantiate $m))
        (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))";

    #[tokio::test]
    async fn a_guest_finds_nothing_of_the_one_before_it_in_any_page() {
        let limits = PluginLimits::default();
        let (engine, _) = start_as(Allocator::Pooling, &limits).expect("an engine");
        let component = Component::from_binary(&engine, &wat::parse_str(MARKS).expect("text")).expect("compiles");
        let pre = Linker::new(&engine).instantiate_pre(&component).expect("links");
        for round in 0..3 {
            let mut store = state::open(&engine, limits.of("p.wasm"), "p", Function::Describe);
            let instance = pre.instantiate_async(&mut store).await.expect("an instance");
            let find = instance.get_typed_func::<(), (u32,)>(&mut store, "f").expect("it is there");
            assert_eq!(find.call_async(&mut store, ()).await.expect("an answer"), (0,), "round {round}");
        }
    }

    #[tokio::test]
    async fn both_allocators_hold_the_limit_of_memory() {
        let module = |pages| format!("(component (core module $m (memory {pages})) (core instance (instantiate $m)))");
        let limits = PluginLimits::default();
        for allocator in [Allocator::Pooling, Allocator::OnDemand] {
            let (engine, _) = start_as(allocator, &limits).expect("an engine");
            let linker = Linker::new(&engine);
            let two = "(component (core module $m (memory 600))
                (core instance (instantiate $m)) (core instance (instantiate $m)))";
            for (text, fits) in [(module(16), true), (two.to_owned(), false)] {
                let component =
                    Component::from_binary(&engine, &wat::parse_str(&text).expect("text")).expect("compiles");
                let pre = linker.instantiate_pre(&component).expect("links");
                let mut store = state::open(&engine, limits.of("p.wasm"), "p", Function::Describe);
                assert_eq!(pre.instantiate_async(&mut store).await.is_ok(), fits, "{allocator:?}: {text}");
                assert_eq!(store.data().meter.refused(), !fits);
            }
        }
    }
}
