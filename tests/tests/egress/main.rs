//! Runs of the real OpenTofu with the real providers, whose clouds are met by name through the proxy of the run: what they reach,
//! what they do not, and what a person reads then.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;
mod clouds;
mod cost;
mod kit;
mod ways;
