//! A process that is asked to end, in each phase of what it does: it says so at once, takes nothing new, sends its viewers off
//! with a word on when to come back, gives OpenTofu its time, and loses nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod disk;
mod going;
mod phases;
mod pool;
mod starts;
mod viewers;
