//! End-to-end, hostile-guest, crash and convention tests on real parts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness fails a test by panicking")]

pub mod api;
pub mod boot_faults;
pub mod cloud_controller;
pub mod components;
pub mod double;
pub mod downloads;
pub mod flux;
pub mod full_disk;
pub mod fuzz;
pub mod hetzner;
pub mod host;
pub mod ingress;
pub mod kube;
pub mod node;
pub mod openid;
pub mod openstack;
pub mod pause;
pub mod pdm;
pub mod scene;
pub mod spans;
pub mod storage;
pub mod strace;
pub mod tls_front;
pub mod tofu;
pub mod tools;
pub mod viewer;
pub mod world;
