//! The API through its socket: the real router over a real store, the real plugins and the real OpenTofu, one test per row
//! of the contract, and what hostile or slow clients may cost. A name begins with the defect that the test keeps out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod abuse;
mod access;
mod addresses;
mod audit;
mod authority;
mod basics;
mod bearers;
mod bodies;
mod browsers;
mod callers;
mod client;
mod cors;
mod create;
mod creates;
mod defects;
mod findings;
mod kit;
mod kubeconfig;
mod metrics;
mod places;
mod proxies;
mod races;
mod reading;
mod retry;
mod review;
mod slow_readers;
mod times;
mod watched;
