//! Hostile plugins, one for each fear, against the real engine. Each gets a clear error while other calls go on.

mod answers;
mod bounds;
mod cache;
mod determinism;
mod fixtures;
mod loading;
