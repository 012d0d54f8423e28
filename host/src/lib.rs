//! Creates Kubernetes clusters on any cloud through sandboxed provider plugins.

pub mod dns;
pub mod outbound;

#[cfg(test)]
mod test_server;
