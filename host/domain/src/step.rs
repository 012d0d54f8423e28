//! What has to be done next, read off a record alone. First run, retry and restart ask the same question.

use crate::{Record, Status};

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Render, stage, and run OpenTofu to its outputs.
    Provision,
    /// Wait, with a deadline, until the first node hands in its kubeconfig.
    AwaitKubeconfig,
    /// Watch the new cluster until it is ready or failed.
    Watch,
    /// Remove the infrastructure.
    Destroy,
}

/// The steps that are due now; several may go on side by side. Empty when nothing is left to do.
pub fn next_steps(record: &Record) -> Vec<Step> {
    match record.status {
        Status::Provisioning | Status::TofuApplying => vec![Step::Provision],
        Status::FluxBootstrapping => vec![Step::AwaitKubeconfig],
        Status::Phase1Watching if record.has_kubeconfig() => vec![Step::Watch],
        Status::Phase1Watching => vec![Step::AwaitKubeconfig],
        Status::Destroying => vec![Step::Destroy],
        Status::Pending | Status::Ready | Status::Failed | Status::Destroyed => Vec::new(),
    }
}
