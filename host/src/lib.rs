//! Creates Kubernetes clusters on any cloud through sandboxed provider plugins.

pub mod cluster;
