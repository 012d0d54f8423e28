//! What a plugin may use. Every limit of the sandbox stands here with its reason.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::Compile;
use crate::guest_record::GuestRecorder;

/// Length of one tick of the engine's clock: how finely CPU time is counted and how long a guest runs before it yields.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A starved machine stretches a call; past this multiple of the CPU budget it is given up. `SLOW_CALLS_AT_ONCE` that share one
/// thread all get their CPU time within it, so those that never end are known for what they are.
pub(crate) const WALL_FACTOR: u32 = 40;

/// Calls of one plugin that run at the same time, so that a slow plugin cannot take every slot.
pub(crate) const CALLS_PER_PLUGIN: usize = 8;

/// Calls of all plugins that run at the same time: the slots of the pooling allocator.
pub(crate) const CALLS_AT_ONCE: u32 = 64;

/// CPU time of a call where its caller runs. What needs more moves to the slow lane. The first render of a large module, which
/// the host then reads for the first time, takes 6 ms, and must send no honest plugin there.
pub(crate) const QUICK_SLICE: Duration = Duration::from_millis(20);

/// How long a plugin's calls begin in the slow lane after one that was long or failed. With `CALLS_PER_PLUGIN` slices in such a
/// time, a plugin that never learns takes less than three thousandths of a core from the others.
pub(crate) const PROBATION: Duration = Duration::from_secs(60);

/// Calls in the slow lane, which take turns of one `TICK`: a short one ends within a third of a second beside so many loops.
/// The other half of `CALLS_AT_ONCE` is for calls that give their slot back within milliseconds.
pub(crate) const SLOW_CALLS_AT_ONCE: usize = 32;

/// Linear memories of one component: its own and those of adapters.
pub(crate) const MEMORIES: u32 = 4;

/// Tables of one component. Shims and adapters bring one each.
pub(crate) const TABLES: u32 = 40;

/// Elements of one table. Interpreters compiled to WebAssembly have some ten thousand functions in theirs.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// Handles a guest may hold at once: streams and pollables of the host, and resources of its own. The engine's default for the
/// latter is 100,000.
pub(crate) const HANDLES: usize = 256;

/// Stack of WebAssembly frames. What remains of `ASYNC_STACK` is for the host functions below them.
pub(crate) const WASM_STACK_BYTES: usize = 512 * 1024;

/// Stack of one call, host functions included.
pub(crate) const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Components in one folder: more is a mistake in the path.
pub(crate) const PLUGINS_IN_FOLDER: usize = 64;

/// Bytes of remembered answers of a host that serves: some hundred bundles, or a hundred thousand lists of findings.
pub const MEMO_BYTES: u64 = 32 * 1024 * 1024;

/// Limits of one plugin call and of one component file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of one call, instantiation included. A render takes about a millisecond.
    pub call_timeout: Duration,
    /// Sum of all linear memories and tables of one call, in bytes.
    pub memory_bytes: usize,
    /// What a guest may hand to the host in one go, in bytes: a bundle is some hundred KiB.
    pub hostcall_bytes: usize,
    /// Size of a component file in bytes. A component made from Python is 18 MB.
    pub component_bytes: u64,
    /// Bytes of log and standard output that one call may write; the rest is dropped.
    pub log_bytes: usize,
    /// Bytes of one log line; the rest of the line is cut.
    pub log_line_bytes: usize,
    /// Core instances of the component. One made from Python needs more than twenty.
    pub core_instances: u32,
    /// Time on the clock to compile it apart from the host. A component made from Python takes ten seconds on one core.
    pub compile_timeout: Duration,
    /// Address space of a compiler apart from the host, in bytes: the program, stacks and heaps of its threads, and its work.
    /// A bomb takes all that there is within seconds.
    pub compile_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(2),
            memory_bytes: 64 * 1024 * 1024,
            hostcall_bytes: 4 * 1024 * 1024,
            component_bytes: 32 * 1024 * 1024,
            log_bytes: 64 * 1024,
            log_line_bytes: 4 * 1024,
            core_instances: 40,
            compile_timeout: Duration::from_secs(60),
            compile_memory_bytes: 2 * 1024 * 1024 * 1024,
        }
    }
}

/// Limits of every plugin: those that were set for its file, else the common ones. They go by the file because they hold
/// before a plugin has said who it is.
#[derive(Debug, Clone, Default)]
pub struct PluginLimits {
    common: Arc<Limits>,
    by_file: BTreeMap<String, Arc<Limits>>,
}

impl PluginLimits {
    /// The limits of a component file.
    pub(crate) fn of(&self, file: &str) -> &Arc<Limits> {
        self.by_file.get(file).unwrap_or(&self.common)
    }

    /// The largest memory of all, for which the slots are made.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.all().map(|limits| limits.memory_bytes).max().unwrap_or_default()
    }

    /// The largest number of core instances of all.
    pub(crate) fn core_instances(&self) -> u32 {
        self.all().map(|limits| limits.core_instances).max().unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = &Limits> {
        self.by_file.values().chain([&self.common]).map(Arc::as_ref)
    }
}

impl From<Limits> for PluginLimits {
    fn from(common: Limits) -> Self {
        Self { common: Arc::new(common), by_file: BTreeMap::new() }
    }
}

/// How a sandbox is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Folder for machine code compiled ahead of time, made with mode 0700 if it is missing. Nothing is kept without it.
    pub cache_dir: Option<PathBuf>,
    /// Limits of every plugin.
    pub limits: PluginLimits,
    /// Bytes of answers that are remembered, so that the same question is not computed twice; 0 is none.
    pub memo_bytes: u64,
    /// File of public keys. With it only components that one of them signed may serve.
    pub keys: Option<PathBuf>,
    /// Where components become machine code.
    pub compile: Compile,
    /// Whether a plugin that fails again and again is left alone for a while.
    pub suspension: Suspension,
    /// Records what guests write and where they stop, for who writes a plugin. A host that serves has none.
    pub recorder: Option<Arc<GuestRecorder>>,
}

/// Whether the breaker refuses calls of a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Suspension {
    /// After failures in a row, as its rules say: other callers and other plugins come first.
    #[default]
    AfterFailures,
    /// Never: each call is to fail by itself, because who looks for faults waits for nobody.
    Never,
}
