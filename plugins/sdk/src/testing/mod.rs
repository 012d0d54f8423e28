//! For a plugin's own tests: golden bundles, generated requests, and the real tools as judges.
//!
//! | what it shows | with |
//! |---|---|
//! | no request makes a render fail, or two renders differ | [`requests`]: valid in form, hostile in every text that is free |
//! | what changed in a bundle, as a diff | [`check_golden`]; `CATALYST_UPDATE_GOLDENS=1` writes the folder anew |
//! | a staged template gives the original's bytes | [`templatefile`]: the real `tofu console` |
//! | plugin and module refuse the same | [`bounds::Judge`]: values on both sides of every bound, and the real `tofu plan` |
//! | a node can read its user data | [`check_user_data`]: cloud-init's own schema, and shellcheck on each script |
//!
//! The last three need `tofu` (or `CATALYST_TOFU_BIN`), `cloud-init` and `shellcheck` on the machine, and fail without them.
//!
//! ```
//! use catalyst_plugin_sdk::testing::requests;
//! use catalyst_plugin_sdk::{DeploymentRequest, RegionSlot};
//!
//! let base = DeploymentRequest { regions: vec![RegionSlot::default()], ..DeploymentRequest::default() };
//! let made = requests(&base, 50);
//! assert_eq!(made.len(), 50);
//! assert_eq!(made, requests(&base, 50), "the same ones on every run and machine");
//! assert!(made.iter().any(|request| request.org_name.contains("${")));
//! ```

pub mod bounds;
mod cloud_init;
mod console;
mod generate;
mod golden;
mod module;

pub use cloud_init::{UserData, check_all_user_data, check_user_data};
pub use console::{Case, templatefile, tofu_binary};
pub use generate::{hostile_text, requests};
pub use golden::{check_golden, check_golden_text};
pub use module::{Module, quoted};
