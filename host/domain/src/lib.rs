//! What a deployment is and what may happen to it.
//!
//! Facts go in, state comes out: [`transition::apply`] takes a record and one fact and gives the new record or refuses;
//! [`step::next_steps`] takes a record and says what has to be done. Nobody else decides. This crate knows no clock, no
//! file, no socket, no runtime, and no cloud.

pub mod bearer;
pub mod compare;
mod creator;
pub mod dns;
pub mod event;
pub mod fact;
pub mod finding;
pub mod host_name;
pub mod id;
pub mod json;
pub mod kubeconfig;
mod left;
pub mod phase;
pub mod provider;
pub mod read_token;
pub mod record;
mod refused;
pub mod remaining;
pub mod replace;
pub mod request;
pub mod restart;
pub mod secrets;
pub mod status;
pub mod step;
pub mod tofu_provider;
pub mod tofu_state;
pub mod transition;

pub use creator::{Creator, MOST_GROUPS};
pub use event::{Entry, Level, LogReserve};
pub use fact::{Fact, Outcome};
pub use finding::{Finding, Severity};
pub use id::DeploymentId;
pub use jiff::Timestamp;
pub use left::LeftResource;
pub use record::{Record, ResultInfo};
pub use refused::Refused;
pub use remaining::RemainingResource;
pub use request::Request;
pub use secrets::{SecretValue, Secrets};
pub use status::Status;
pub use step::Step;
