//! The routes beyond the contract, on the real binary and the real OpenTofu: destroy, list, providers, previews, and a
//! create that is sent twice.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod create;
mod damaged;
mod destroy;
mod destroy_cluster;
mod kit;
mod leftovers;
mod list;
mod replace;
