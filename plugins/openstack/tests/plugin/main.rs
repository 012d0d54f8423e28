//! The plugin for OpenStack, natively.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bundle;
mod common;
mod findings;
mod parity;
mod readme;
mod refusals;
