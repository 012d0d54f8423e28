//! The only place that knows WebAssembly: loads, limits and calls provider plugins.
//!
//! A plugin is pure: it gets values and answers with values. Here it is compiled, its imports are proven harmless, and
//! each call runs in a store of its own with a bound on time, memory and output. What a plugin does wrong costs its own
//! call. This crate knows the contract in `wit/` and the domain's types; it never sees HTTP, a cluster, a secret, or a
//! deployment's files.

mod bind;
mod breaker;
mod cache;
mod call;
mod check;
mod compile;
mod engine;
mod error;
mod folder;
mod follow;
mod gate;
pub mod grants;
mod guest_log;
mod guest_record;
mod imports;
mod lane;
mod ledger;
mod limits;
mod load;
mod loaded;
mod measure;
mod memo;
mod meters;
pub mod module_outputs;
mod pins;
pub mod policy;
mod provider;
mod reading;
mod readmission;
mod sandbox;
mod served;
mod settings_schema;
mod signature;
mod state;
mod wasi;
mod words;

pub use compile::{Compile, CompileError, Compiler, Counting, Target, compile};
pub use engine::{Allocator, PagePolicy};
pub use error::{CallError, CallFailure, Function, LoadError, SandboxError};
pub use follow::Follow;
pub use guest_record::{GuestLine, GuestRecord, GuestRecorder, GuestSource, GuestStop};
pub use ledger::GrantChange;
pub use limits::{Limits, MEMO_BYTES, PluginLimits, Settings, Suspension};
pub use load::Compiled;
pub use loaded::LoadFailure;
pub use measure::{Cost, Measure, MeasureError};
pub use meters::{BreakerState, BreakerStatus, CallStats, Outcome, SandboxStats};
pub use pins::{FILE as LOCK_FILE, check_lock, lock_rights};
pub use sandbox::{LoadReport, Sandbox};
pub use served::{CALL_SPANS, Provider};
pub use settings_schema::{JudgedSettings, SettingsSchema, ValueFault};
pub use signature::Signer;
