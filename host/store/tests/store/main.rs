//! The store as its callers see it: one suite that every form must pass, and what is particular to files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod conformance;
mod damage;
mod files;
mod kit;
mod log;
mod races;
mod sealing;
mod sealing_all;
mod trouble;
