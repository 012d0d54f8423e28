//! The plugin as the host and the module meet it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod common;
mod findings;
mod parity;
mod readme;
mod refusals;
