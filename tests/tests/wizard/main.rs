//! What the wizard asks before a create, row by row, and the pool name of a deployment (B-1 to B-6),
//! through the real binary with real plugins; only the manager and the cloud's API are doubles.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ingress;
mod pool;
mod questions;
