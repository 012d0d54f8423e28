//! What the start of the process means for a record. It depends on the record alone, never on the number of restarts.

use crate::{Fact, Record, Status};

/// Whether the file that a record points to is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeconfigFile {
    /// It can be read.
    Present,
    /// It is gone, or the record names none.
    Absent,
}

/// The fact to apply at start, if any; a record without one simply goes on.
pub fn on_start(record: &Record, file: KubeconfigFile) -> Option<Fact> {
    match record.status {
        Status::Pending | Status::Provisioning | Status::TofuApplying => Some(interrupted(record)),
        Status::FluxBootstrapping if !record.phase0_done() => Some(interrupted(record)),
        // No run of OpenTofu has begun: each step before it can be repeated, so the destroy goes on by itself.
        Status::Destroying if record.child.is_none() => None,
        Status::Destroying => Some(Fact::Interrupted {
            error: format!(
                "catalyst-api restarted during the destroy of deployment {}; destroy it again to go on from the kept state",
                record.id
            ),
        }),
        Status::Ready | Status::Failed => {
            let unwatched = record.has_kubeconfig() && record.phase0_done() && !record.phase1_finished();
            (unwatched && file == KubeconfigFile::Present).then_some(Fact::WatchResumed)
        }
        Status::FluxBootstrapping | Status::Phase1Watching | Status::Destroyed => None,
    }
}

// The words are those that the contract's clients look for.
fn interrupted(record: &Record) -> Fact {
    Fact::Interrupted {
        error: format!(
            "catalyst-api restarted during provisioning of deployment {}; resources may be orphaned in the cloud: retry to go \
             on from the kept state, or find them in the cloud by a label or a tag with the value {}",
            record.id, record.id
        ),
    }
}
