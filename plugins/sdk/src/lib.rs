//! For authors of provider plugins: the contract as Rust types, typed findings, the template engine, golden tests.
//!
//! A plugin implements [`Provisioner`] and calls [`export!`]. It is pure: requests in, answers out. Build it for
//! `wasm32-wasip2`. Everything here also runs natively, so a plugin is tested with plain `cargo test`.
//!
//! Knows no cloud.

#[doc(hidden)]
pub mod bindings;
pub mod bundle;
pub mod checks;
mod component;
mod findings;
mod outputs;
mod placement;
mod settings;
pub mod sovereign;
pub mod template;
pub mod text;

#[cfg(feature = "compile")]
pub mod build;
#[cfg(feature = "testing")]
pub mod testing;

pub use bindings::catalyst::provisioner::bundle::{File, RenderContext, Rendered, SecretVariable, UserDataSize};
pub use bindings::catalyst::provisioner::credentials::{Header, Probe, ProbeResponse, Verdict};
pub use bindings::catalyst::provisioner::descriptor::{
    Catalogue, MachineType, Provider, Region, Secret, SecretRole, SecretSource, TofuProvider,
};
pub use bindings::catalyst::provisioner::findings::{Finding, Severity};
pub use bindings::catalyst::provisioner::outcome::{
    Advice, Alternative, CostLine, Diagnostic, DiagnosticKind, Endpoints, Estimate,
};
pub use bindings::catalyst::provisioner::request::{DeploymentRequest, DomainMode, RegionSlot};
pub use component::{Component, Provisioner, log};
pub use findings::{Findings, Pointer};
pub use outputs::Outputs;
pub use placement::{Choice, Placement};
pub use settings::Settings;

/// Severity of a log line.
pub use bindings::catalyst::provisioner::log::Level;
