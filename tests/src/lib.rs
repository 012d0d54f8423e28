//! End-to-end, hostile-guest, crash and convention tests on real parts.

pub mod flux;
pub mod kube;
pub mod tools;
