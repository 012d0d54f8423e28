//! What belongs to one call: its handles, its log, its random numbers, and the meters that stop it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;

use crate::error::Function;
use crate::guest_log::GuestLog;
use crate::lane;
use crate::limits::{HANDLES, Limits, MEMORIES, TABLES, TICK};

/// Data of the store of one call.
pub(crate) struct CallState {
    /// Streams and pollables that the guest holds.
    pub table: ResourceTable,
    /// No preopened folder, hence no file.
    pub files: WasiFilesystemCtx,
    /// State of the guest's random numbers, the same at the start of each call.
    pub random: u64,
    /// The meter of memory.
    pub meter: Meter,
    log: Arc<Mutex<GuestLog>>,
}

impl CallState {
    /// The guest's log, shared with its standard output.
    pub fn log(&self) -> Arc<Mutex<GuestLog>> {
        Arc::clone(&self.log)
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        lock(&self.log).finish();
    }
}

/// The log holds plain values, so it is whole even after a panic elsewhere.
pub(crate) fn lock(log: &Mutex<GuestLog>) -> MutexGuard<'_, GuestLog> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store for one call, with every limit set before anything of the guest runs.
pub(crate) fn open(engine: &Engine, limits: &Limits, plugin: &str, function: Function) -> Store<CallState> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let state = CallState {
        table,
        files: WasiFilesystemCtx::default(),
        random: 0,
        meter: Meter::new(limits),
        log: Arc::new(Mutex::new(GuestLog::new(plugin, function, limits.log_bytes, limits.log_line_bytes))),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits.hostcall_bytes);
    store.set_max_component_handles(HANDLES);
    let (mut ticks, budget) = (0_u32, limits.call_timeout);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        ticks = ticks.saturating_add(1);
        // Ticks go on while the machine does something else; they count only where nothing better is known.
        let spent = lane::spent().unwrap_or_else(|| TICK.saturating_mul(ticks));
        Ok(if spent >= budget {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        })
    });
    store
}

/// Sums all memories and tables of a store.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: usize,
    used: usize,
    /// The last growth that was granted, taken back if it then fails.
    asked: usize,
    refused: bool,
    instances: usize,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        let instances = limits.core_instances as usize;
        Self { limit: limits.memory_bytes, used: 0, asked: 0, refused: false, instances }
    }

    /// Whether the guest was refused memory.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Bytes that the guest has: a memory never shrinks, so this is the most it ever had.
    pub fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, more: usize) -> bool {
        let granted = self.used.checked_add(more).is_some_and(|sum| sum <= self.limit);
        if granted {
            self.used += more;
            self.asked = more;
        } else {
            self.asked = 0;
            self.refused = true;
        }
        granted
    }

    fn take_back(&mut self) {
        self.used = self.used.saturating_sub(std::mem::take(&mut self.asked));
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The engine keeps a pointer for each element.
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, Allocator};
    use crate::limits::PluginLimits;
    use wasmtime::component::{Component, Linker};

    /// A component that takes so many handles of a resource of its own when it starts: no function of the host sees them.
    fn takes_handles(count: usize) -> Vec<u8> {
        let text = format!(
            "(component
                (type $r (resource (rep i32)))
                (core func $new (canon resource.new $r))
                (core module $m
                    (import \"\" \"new\" (func $new (param i32) (result i32)))
                    (func $take (local $n i32)
                        (loop $again
                            (drop (call $new (local.get $n)))
                            (local.set $n (i32.add (local.get $n) (i32.const 1)))
                            (br_if $again (i32.lt_u (local.get $n) (i32.const {count})))))
                    (start $take))
                (core instance (instantiate $m (with \"\" (instance (export \"new\" (func $new)))))))"
        );
        wat::parse_str(text).expect("text")
    }

    #[tokio::test]
    async fn a_guest_holds_no_more_handles_than_the_limit_says_whose_resources_they_are() {
        let limits = PluginLimits::default();
        let (engine, _) = engine::start_as(Allocator::OnDemand, &limits).expect("an engine");
        for (count, fits) in [(HANDLES - 1, true), (HANDLES + 1, false)] {
            let component = Component::from_binary(&engine, &takes_handles(count)).expect("compiles");
            let pre = Linker::new(&engine).instantiate_pre(&component).expect("links");
            let mut store = open(&engine, limits.of("p.wasm"), "p", Function::Describe);
            assert_eq!(pre.instantiate_async(&mut store).await.is_ok(), fits, "{count} handles");
        }
    }

    #[test]
    fn memories_and_tables_share_one_sum() {
        let mut meter = Meter::new(&Limits { memory_bytes: 1000, ..Limits::default() });
        assert!(meter.memory_growing(0, 400, None).expect("first"));
        assert!(meter.memory_growing(0, 400, None).expect("second"));
        assert!(meter.table_growing(0, 25, None).expect("table"));
        assert!(!meter.refused());
        assert!(!meter.table_growing(25, 26, None).expect("one element too many"));
        assert!(meter.refused());
    }

    #[test]
    fn a_growth_that_fails_is_taken_back() {
        let mut meter = Meter::new(&Limits { memory_bytes: 1000, ..Limits::default() });
        assert!(meter.memory_growing(0, 900, None).expect("granted"));
        meter.memory_grow_failed(wasmtime::Error::msg("no address space")).expect("taken back");
        assert!(meter.memory_growing(0, 900, None).expect("granted again"));
        assert!(!meter.memory_growing(900, usize::MAX, None).expect("no overflow"));
    }
}
