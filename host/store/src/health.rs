//! Whether the store can be relied on.
//!
//! Two kinds of trouble: a write that failed and changed nothing (disk full, read-only), which heals; and something that
//! nobody knows (a sync failed, a record was not read at start), which only a new process can look into.

use crate::StorageError;
use crate::folder::WriteFault;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A full disk is looked at again this often, and only while somebody asks.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Good,
    Failing {
        error: StorageError,
        probed: Instant,
    },
    Shut(StorageError),
}

impl Health {
    /// Refuses every change after an unknown outcome.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match &*self.lock() {
            State::Shut(error) => Err(error.clone()),
            State::Good | State::Failing { .. } => Ok(()),
        }
    }

    /// Whether only a restart helps.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(*self.lock(), State::Shut(_))
    }

    /// Why the store is not to be relied on.
    pub(crate) fn trouble(&self) -> Option<StorageError> {
        match &*self.lock() {
            State::Good => None,
            State::Failing { error, .. } | State::Shut(error) => Some(error.clone()),
        }
    }

    /// Whether it is time to try a write again. True for one caller only.
    pub(crate) fn probe_is_due(&self) -> bool {
        match &mut *self.lock() {
            State::Failing { probed, .. } if probed.elapsed() >= PROBE_EVERY => {
                *probed = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// Remembers how a write ended and words its failure.
    pub(crate) fn judge<T>(&self, doing: &'static str, result: Result<T, WriteFault>) -> Result<T, StorageError> {
        let value = result.map_err(|fault| self.fault(doing, &fault))?;
        let mut state = self.lock();
        if matches!(*state, State::Failing { .. }) {
            tracing::info!("the store can be written again");
            *state = State::Good;
        }
        Ok(value)
    }

    /// Remembers and words a failure.
    pub(crate) fn fault(&self, doing: &'static str, fault: &WriteFault) -> StorageError {
        let mut state = self.lock();
        match fault {
            WriteFault::Unchanged(error) => {
                let error = failed(doing, error);
                if !matches!(*state, State::Shut(_)) {
                    *state = State::Failing { error: error.clone(), probed: Instant::now() };
                }
                error
            }
            WriteFault::Unknown(error) => {
                let why = format!(
                    "a sync failed ({error}): the system may have dropped what it did not write, and a second sync would not tell, so \
                     what is on disk is unknown; mend the disk and restart to look into it"
                );
                tracing::error!(doing, %error, "the store is shut: a sync failed and its outcome is unknown");
                let error = StorageError { doing, why };
                *state = State::Shut(error.clone());
                error
            }
        }
    }

    /// Refuses every change until a restart.
    pub(crate) fn shut(&self, doing: &'static str, why: String) {
        tracing::error!(doing, why, "the store is shut");
        *self.lock() = State::Shut(StorageError { doing, why });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Words a failure, with what helps where a person can help.
pub(crate) fn failed(doing: &'static str, error: &io::Error) -> StorageError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room on its disk",
        io::ErrorKind::ReadOnlyFilesystem => ": its disk must be writable",
        _ => "",
    };
    StorageError { doing, why: format!("{error}{advice}") }
}
