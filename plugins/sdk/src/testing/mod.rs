//! For a plugin's own tests: golden bundles, generated requests, and the real tools as judges.

mod cloud_init;
mod console;
mod generate;
mod golden;
mod module;

pub use cloud_init::{UserData, check_all_user_data, check_user_data};
pub use console::{Case, templatefile, tofu_binary};
pub use generate::{hostile_text, requests};
pub use golden::check_golden;
pub use module::{Module, quoted};
