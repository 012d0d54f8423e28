//! What has to be done next, read off a record alone. First run, retry and restart ask the same question.

use crate::{Record, Status, dns};

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
    /// Write the records of the pool name.
    PublishDns,
    /// Give the pool name back.
    ReleaseDns,
}

impl Step {
    /// Whether both would act on the same thing and undo each other, so that one must end before the other begins.
    pub fn excludes(self, other: Self) -> bool {
        let names = [Self::PublishDns, Self::ReleaseDns];
        self != other && names.contains(&self) && names.contains(&other)
    }
}

/// The steps that are due now; several may go on side by side. Empty when nothing is left to do.
pub fn next_steps(record: &Record) -> Vec<Step> {
    let mut steps = match record.status {
        Status::Provisioning | Status::TofuApplying => vec![Step::Provision],
        Status::FluxBootstrapping => vec![Step::AwaitKubeconfig],
        Status::Phase1Watching if record.has_kubeconfig() => vec![Step::Watch],
        Status::Phase1Watching => vec![Step::AwaitKubeconfig],
        Status::Destroying => vec![Step::Destroy],
        Status::Pending | Status::Ready | Status::Failed | Status::Destroyed => Vec::new(),
    };
    steps.extend(dns::due(record));
    steps
}
