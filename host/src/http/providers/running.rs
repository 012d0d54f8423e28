//! The shapes of how plugins do: what holds for their calls, how these went, and whether they are called at all.

use catalyst_sandbox::{Compiled, Limits, Outcome, Provider, Sandbox, SandboxStats};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How one plugin does.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Whether its machine code was compiled now or came from the cache of an earlier start: `now` or `cached`.
    compiled: String,
    /// Who signed it; `null` where signatures are not asked for.
    signature: Option<Signature>,
    /// What each of its calls may use.
    limits: CallLimits,
    /// How its calls went since it was loaded.
    calls: Calls,
    /// Whether it is called.
    breaker: Breaker,
}

/// A signature that was held against the component.
#[derive(Serialize, ToSchema)]
struct Signature {
    /// Public key, as minisign prints it.
    key: String,
    /// What the signer wrote beside it.
    comment: String,
}

/// What a call may use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallLimits {
    /// CPU time in milliseconds.
    call_milliseconds: u64,
    /// Memory in bytes.
    memory_bytes: u64,
    /// Bytes that it may hand out in one go.
    answer_bytes: u64,
    /// Bytes of log.
    log_bytes: u64,
    /// Bytes of the component's file.
    component_bytes: u64,
    /// Core instances of the component.
    core_instances: u32,
}

/// Calls since the plugin was loaded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Calls {
    /// Answered by the plugin.
    answered: u64,
    /// Answered from before, without a call.
    remembered: u64,
    /// Failed, by kind.
    failed: Failed,
    /// Half of the calls took at most so many microseconds, to within 41 per cent; `null` before the first call.
    p50_micros: Option<u64>,
    /// 99 of 100 calls took at most so many microseconds, to within 41 per cent; `null` before the first call.
    p99_micros: Option<u64>,
}

/// Calls without an answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Failed {
    /// Spent their time.
    timeout: u64,
    /// Wanted too much memory.
    memory: u64,
    /// Trapped.
    trap: u64,
    /// Ended themselves.
    exit: u64,
    /// Handed out too much.
    hostcall_limit: u64,
    /// Answered against a rule.
    bad_output: u64,
    /// Could not be made.
    host: u64,
    /// Were not made because the breaker was open.
    refused: u64,
}

/// A plugin that traps or hits limits again and again is not called for a while.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Breaker {
    /// `closed`: it is called; `open`: it is not; `half-open`: one call may go through.
    state: String,
    /// Since when it is not closed.
    since: Option<String>,
    /// Different requests that failed since the last answer.
    failures_in_a_row: usize,
    /// How often it opened.
    openings: u64,
}

/// How the plugins do as a whole, since the start.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxSummary {
    /// How often the folder was read.
    loads: u64,
    /// Components that came to serve, each new digest once.
    loaded: u64,
    /// Files that were found not to serve, each time the folder was read.
    load_failures: u64,
    /// Bytes of answers that are remembered.
    memo_bytes: u64,
    /// Answers that are remembered.
    memo_answers: u64,
}

impl Running {
    /// Of one plugin, now.
    pub fn new(provider: &Provider) -> Self {
        let stats = provider.stats();
        let failed = |outcome| stats.count(outcome);
        let percentile = |percent| stats.percentile(percent).map(micros);
        Self {
            compiled: match provider.compiled() {
                Compiled::Now => "now".to_owned(),
                Compiled::Cached => "cached".to_owned(),
            },
            signature: provider.signer().map(|s| Signature { key: s.key.clone(), comment: s.comment.clone() }),
            limits: CallLimits::new(provider.limits()),
            calls: Calls {
                answered: stats.count(Outcome::Answered),
                remembered: stats.count(Outcome::Remembered),
                failed: Failed {
                    timeout: failed(Outcome::Timeout),
                    memory: failed(Outcome::Memory),
                    trap: failed(Outcome::Trap),
                    exit: failed(Outcome::Exit),
                    hostcall_limit: failed(Outcome::HostcallLimit),
                    bad_output: failed(Outcome::BadOutput),
                    host: failed(Outcome::Host),
                    refused: failed(Outcome::Refused),
                },
                p50_micros: percentile(50),
                p99_micros: percentile(99),
            },
            breaker: Breaker {
                state: stats.breaker.state.name().to_owned(),
                since: stats.breaker.since.map(|since| since.to_string()),
                failures_in_a_row: stats.breaker.failures_in_a_row,
                openings: stats.openings,
            },
        }
    }
}

impl CallLimits {
    fn new(of: &Limits) -> Self {
        Self {
            call_milliseconds: u64::try_from(of.call_timeout.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: of.memory_bytes as u64,
            answer_bytes: of.hostcall_bytes as u64,
            log_bytes: of.log_bytes as u64,
            component_bytes: of.component_bytes,
            core_instances: of.core_instances,
        }
    }
}

impl SandboxSummary {
    /// Of all plugins, now.
    pub fn new(sandbox: &Sandbox) -> Self {
        let SandboxStats { loads, loaded, load_failures, memo_bytes, memo_answers } = sandbox.stats();
        Self { loads, loaded, load_failures, memo_bytes, memo_answers }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
