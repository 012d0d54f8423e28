//! The shape of the table.

use catalyst_sandbox::{CallFailure, Function};

/// One fear, its guest, and what becomes of it.
pub struct Fear {
    /// As in the list of fears.
    pub name: &'static str,
    pub guest: Guest,
    pub end: End,
    /// What a person reads, or, of a guest that is harmless, a part of its answer.
    pub words: &'static str,
}

/// Where a guest comes from, and how it is called.
pub enum Guest {
    /// Bytes that do not load.
    Made(fn() -> Vec<u8>),
    /// A guest in Rust that does not load.
    Built(&'static str),
    /// Bytes that load, and the export that is called.
    Called(fn() -> Vec<u8>, Function),
    /// `by_request`, asked to validate; the text says how it misbehaves.
    Asked(&'static str),
    /// `by_request`, asked to render: how, and a text for it.
    Rendering(&'static str, &'static str),
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It does not serve.
    Refused,
    Timeout,
    Memory,
    Trap,
    Exit,
    Handout,
    BadOutput,
    /// The host's own failure; no guest may bring it about.
    Host,
    /// It answers, and got nothing by it.
    Harmless,
}

impl End {
    pub fn of(failure: &CallFailure) -> Self {
        match failure {
            CallFailure::Timeout { .. } => Self::Timeout,
            CallFailure::Memory { .. } => Self::Memory,
            CallFailure::Trap(_) => Self::Trap,
            CallFailure::Exit => Self::Exit,
            CallFailure::HostcallLimit { .. } => Self::Handout,
            CallFailure::BadOutput(_) => Self::BadOutput,
            _ => Self::Host,
        }
    }
}

/// One entry.
pub const fn fear(name: &'static str, guest: Guest, end: End, words: &'static str) -> Fear {
    Fear { name, guest, end, words }
}
