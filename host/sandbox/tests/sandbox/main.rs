//! Hostile plugins, one for each fear, against the real engine. Each gets a clear error while other calls go on.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected by ending")]

mod answers;
mod bounds;
mod breaker;
mod cache;
mod determinism;
mod faced;
mod fears;
mod fixtures;
mod grants;
mod hostile;
mod loading;
mod measure;
mod memo;
mod pins;
mod recording;
mod signatures;
mod slow_loads;
mod swap;
mod versions;
