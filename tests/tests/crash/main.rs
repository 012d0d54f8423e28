//! The end of the process, or a fault of the disk, at every system call with which the store writes. Nothing that was
//! acknowledged may be lost, nothing half may be served, and the next start must be clean.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod host;
mod kill;
mod store;
