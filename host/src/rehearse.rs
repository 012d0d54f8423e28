//! Plays the first node of a deployment on this machine, so that a newcomer sees the whole film without a cloud.
//!
//! A guest of the house: it uses the host only from outside, as a node does. It reads OpenTofu's state without the
//! host's lock, boots the user data that stands in it, and lets that user data's own script hand in the kubeconfig over
//! HTTP. It knows no record, no driver and no plugin, and nobody but the command line and the tests knows it.

pub mod cloud_config;
pub mod cluster;
mod follow;
pub mod kit;
mod machine;
pub mod node;
mod objects;
pub mod play;
mod serve;
pub mod state;
mod stubs;
mod units;
