//! Why a component was not loaded, and why a call gave no answer. A plugin's own typed failure is neither: it is a value.
//!
//! Texts name the plugin and the function. They never hold input or output.

use std::fmt;

use catalyst_domain::Timestamp;

use crate::compile::CompileError;

/// An export of the provisioner world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Who the plugin is.
    Describe,
    /// Findings on a request.
    Validate,
    /// A bundle for a request.
    Render,
    /// Endpoints from outputs.
    ReadOutputs,
    /// Plain words for a diagnostic.
    Diagnose,
    /// Monthly cost.
    Estimate,
    /// What to ask the cloud about a credential.
    CredentialProbe,
    /// What the cloud's answers prove.
    JudgeCredentials,
    /// What to ask the cloud about what a destroy left.
    LeftoverProbe,
    /// What the cloud's answers show of it.
    JudgeLeftovers,
}

impl Function {
    /// Name in WIT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Validate => "validate",
            Self::Render => "render",
            Self::ReadOutputs => "read-outputs",
            Self::Diagnose => "diagnose",
            Self::Estimate => "estimate",
            Self::CredentialProbe => "credential-probe",
            Self::JudgeCredentials => "judge-credentials",
            Self::LeftoverProbe => "leftover-probe",
            Self::JudgeLeftovers => "judge-leftovers",
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call that gave no answer. The instance is gone; the next call starts afresh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin}: {function} {reason}")]
pub struct CallError {
    /// Id of the plugin, or its file name while it is being loaded.
    pub plugin: String,
    /// The export that was called.
    pub function: Function,
    /// What went wrong.
    pub reason: CallFailure,
}

impl CallError {
    /// Whether the call was not made, or not to its end, for a reason that passes and is none of what was asked.
    pub fn passes(&self) -> bool {
        matches!(self.reason, CallFailure::Suspended { .. } | CallFailure::Host(_))
    }
}

impl CallFailure {
    /// Whether the plugin's next calls begin where long ones run. Not where it was not called at all: a host without a slot is no
    /// fault of the plugin, and a refusal by the breaker tells nothing new of it.
    pub(crate) fn is_strike(&self) -> bool {
        !matches!(self, Self::Host(_) | Self::Suspended { .. })
    }
}

/// The kind of a failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// The CPU budget, or a multiple of it on the clock, was spent.
    #[error("did not end within {budget_ms} ms")]
    Timeout {
        /// The CPU budget in milliseconds.
        budget_ms: u128,
    },
    /// A request for memory was refused and the guest gave up.
    #[error("wanted more than {limit_bytes} bytes of memory")]
    Memory {
        /// The limit over all memories and tables.
        limit_bytes: usize,
    },
    /// The guest trapped; the text is the engine's.
    #[error("trapped: {0}")]
    Trap(String),
    /// The guest ended itself.
    #[error("exited instead of answering")]
    Exit,
    /// The guest handed out more than it may in one go.
    #[error("handed out more than {limit_bytes} bytes")]
    HostcallLimit {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// The answer breaks the interface's rules.
    #[error("gave an answer that is not allowed: {0}")]
    BadOutput(String),
    /// The host could not make the call: no plugin's fault.
    #[error("could not be called: {0}")]
    Host(String),
    /// The plugin failed again and again, so it is left alone for a while.
    #[error(
        "is not called since {since}: {failures} different requests in a row trapped or hit a limit; tried again within {retry_ms} ms"
    )]
    Suspended {
        /// Failures that led to it.
        failures: usize,
        /// When that was.
        since: Timestamp,
        /// The rest of the pause in milliseconds; then one call is let through.
        retry_ms: u128,
    },
}

/// Why a component file does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot be read")]
    Read(#[source] std::io::Error),
    /// The list of allowed components is there and cannot be used, so none is loaded.
    #[error("plugins.lock {0}; no plugin is loaded until it is whole")]
    Lock(String),
    /// There is a list of allowed components, and this one is not on it.
    #[error("is not named in plugins.lock")]
    Unpinned,
    /// The list of allowed components has another digest for this name.
    #[error("has the digest sha256:{found}, but plugins.lock has sha256:{pinned}")]
    OtherDigest {
        /// What the list has.
        pinned: String,
        /// What the file has.
        found: String,
    },
    /// The list of allowed components names OpenTofu providers, and not this one.
    #[error("declares the OpenTofu provider {provider}, which plugins.lock does not allow")]
    ProviderNotAllowed {
        /// Its source address.
        provider: String,
    },
    /// The list of allowed components grants rights, and not all that this one wants.
    #[error("wants more than plugins.lock grants, which lacks {}", listed(lines))]
    NotGranted {
        /// The lines that are missing.
        lines: Vec<String>,
    },
    /// Keys are asked for and cannot be used, so none is loaded.
    #[error("the file of keys {0}; no plugin is loaded until it is whole")]
    Keys(String),
    /// Signatures are asked for, and this one has none.
    #[error("is not signed: {file} is not there, and only signed plugins serve")]
    Unsigned {
        /// File that a signature would be in.
        file: String,
    },
    /// Its signature does not hold.
    #[error("has a signature that does not hold: {0}")]
    Signature(String),
    /// The file is larger than allowed.
    #[error("is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The text format, or anything else without the magic number.
    #[error("is not a binary WebAssembly component: it does not begin with the magic number")]
    NotWasm,
    /// Machine code made ahead of time is taken only from the host's own cache.
    #[error("is precompiled machine code, which is never accepted; give the .wasm component")]
    Precompiled,
    /// A core module.
    #[error("is a core WebAssembly module, not a component")]
    CoreModule,
    /// The bytes are damaged, or use what is switched off, or need more than the limits give.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It asks for something that no plugin gets.
    #[error("imports {import}, which no plugin gets")]
    ForbiddenImport {
        /// Full name of the import.
        import: String,
    },
    /// It is not written for `catalyst:provisioner`, or for a version that is not served.
    #[error("implements {found}; this host serves catalyst:provisioner {}", crate::bind::SERVED)]
    Interface {
        /// What was found.
        found: String,
    },
    /// It does not have the exports of the world, or with other types.
    #[error("does not fit the provisioner world: {0}")]
    World(String),
    /// Its `describe` gave no answer.
    #[error("cannot describe itself")]
    Describe(#[source] CallError),
    /// What it says about itself breaks a rule.
    #[error("describes itself wrongly: {0}")]
    Descriptor(String),
    /// Another file has the same provider id.
    #[error("has the provider id {id}, which {other} already has")]
    DuplicateId {
        /// The id.
        id: String,
        /// The file that serves it.
        other: String,
    },
    /// Several files have the same provider id, and none of them serves it.
    #[error("has the provider id {id}, and so has {others}: none of them serves it until the others are gone")]
    ClaimedTwice {
        /// The id.
        id: String,
        /// The other files.
        others: String,
    },
    /// There are more files than a folder of plugins has.
    #[error("comes after the first {limit} components of the folder")]
    TooMany {
        /// How many are looked at.
        limit: usize,
    },
}

fn listed(lines: &[String]) -> String {
    lines.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ")
}

impl LoadError {
    /// Whether the same file may come to more another time: a disk, a compiler or the machine had trouble of its own. Time on
    /// the clock is such trouble, for a busy machine makes it short.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Read(_) | Self::Compile(CompileError::Broken(_) | CompileError::Timeout { .. }) => true,
            Self::Describe(error) => error.passes(),
            _ => false,
        }
    }
}

/// A sandbox that could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Neither the pooling nor the plain allocator works on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The host's own functions could not be linked.
    #[error("the host functions for plugins cannot be linked: {0}")]
    Link(String),
    /// The engine's clock thread could not be started.
    #[error("the thread that bounds plugin calls cannot start")]
    Ticker(#[source] std::io::Error),
    /// The threads for long calls could not be started.
    #[error("the threads for long plugin calls cannot start")]
    Lanes(#[source] std::io::Error),
    /// The folder for compiled code cannot be used.
    #[error("the folder for compiled plugins cannot be used")]
    Cache(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_and_trouble_of_the_host_are_no_strike() {
        let suspended = CallFailure::Suspended { failures: 5, since: Timestamp::UNIX_EPOCH, retry_ms: 1 };
        assert!(!suspended.is_strike() && !CallFailure::Host("no slot is free".into()).is_strike());
        let faults = [CallFailure::Timeout { budget_ms: 1 }, CallFailure::Trap("t".into()), CallFailure::Exit];
        assert!(faults.iter().all(CallFailure::is_strike));
    }
}
