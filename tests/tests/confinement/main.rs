//! What a run of OpenTofu can reach: a provider that attacks, behind all layers and with each of them taken away; and what becomes
//! of a run whose host is killed or stopped.
//!
//! On a kernel that lacks a layer these fail and say which: there is nothing to show there, and a silent pass would be a lie.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells figures"
)]

mod attempts;
mod first_process;
mod hosts;
mod kit;
mod modes;
mod stops;
mod targets;
