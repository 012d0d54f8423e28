//! For authors of provider plugins: the contract as Rust types, typed findings, the template engine, golden tests.
//!
//! A plugin implements [`Provisioner`] and calls [`export!`]. It is pure: requests in, answers out. Build it for
//! `wasm32-wasip2`. Everything here also runs natively, so a plugin is tested with plain `cargo test`.
//!
//! | where | what is there |
//! |---|---|
//! | [`Provisioner`] | what a cloud answers, function by function |
//! | [`Findings`], [`Pointer`] | remarks on a request, each at the place where a person wrote it |
//! | [`Placement`], [`Settings`], [`checks`], [`text`] | reading a request, and the rules that all clouds share |
//! | [`bundle`], [`template`] | the module and its cloud-init, filled in as far as is known |
//! | [`sovereign`] | what clouds share that build the same k3s cluster from the same templates: names, settings, secrets, values |
//! | [`Outputs`] | `tofu output -json`, with errors in words |
//! | [`diagnosis`] | diagnostics of OpenTofu that are of no cloud: disk, memory, clock, proxy, names, registry |
//! | `build` (feature `compile`) | for a build script: compiles the templates |
//! | `testing` (feature `testing`) | for tests: generated requests, golden bundles, the real tools as judges |
//!
//! Knows no cloud.
//!
#![doc = include_str!("../EXAMPLE.md")]

#[doc(hidden)]
pub mod bindings;
mod blank;
pub mod bundle;
pub mod checks;
mod component;
pub mod diagnosis;
mod findings;
mod left_out;
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
#[cfg(feature = "contract-1-1")]
pub use bindings::catalyst::provisioner::descriptor::{ProviderSetting, SettingSource};
pub use bindings::catalyst::provisioner::findings::{Finding, Severity};
pub use bindings::catalyst::provisioner::outcome::{
    Advice, Alternative, Asked, CostLine, Diagnostic, DiagnosticKind, Endpoints, Estimate,
};
#[cfg(feature = "contract-1-1")]
pub use bindings::catalyst::provisioner::outcome::{Node, NodeRole};
pub use bindings::catalyst::provisioner::request::{DeploymentRequest, DomainMode, RegionSlot};
#[cfg(feature = "contract-1-1")]
pub use bindings::exports::catalyst::provisioner::leftovers::{
    CloudService, Leftover, LeftoverQuery, LeftoverSearch, MadeResource,
};
pub use component::{Component, Provisioner, log};
pub use findings::{Findings, Pointer};
pub use left_out::LeftOut;
pub use outputs::Outputs;
pub use placement::{Choice, Placement};
pub use settings::Settings;

/// What a header of a search's probe has for the token of the session with the cloud (`wit/`, `leftover-probe`).
#[cfg(feature = "contract-1-1")]
pub const SESSION_TOKEN_PLACEHOLDER: &str = "{{secret:session.token}}";

/// Severity of a log line.
pub use bindings::catalyst::provisioner::log::Level;
