//! Catalyst: creates Kubernetes clusters on any cloud through sandboxed provider plugins.
//!
//! `ARCHITECTURE.md` is the map. No word of any cloud stands here.

pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod compile;
pub mod config;
pub mod dns;
pub mod driver;
pub mod egress;
pub mod engine;
pub mod fault_origin;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod outbound;
pub mod rehearse;
pub mod telemetry;
pub mod yaml;

#[cfg(test)]
mod test_server;
