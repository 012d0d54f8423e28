//! Who may use an FQDN while nothing about it is on disk yet.
//!
//! Ownership follows from the records. A claim only bridges the moment between the check and the written record, so that
//! two requests for one name cannot both pass.

use catalyst_domain::{DeploymentId, Status};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Claims that are being written.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<String, DeploymentId>>);

/// A name that nobody else gets as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    names: &'a Names,
    name: String,
}

/// A deployment that owns a name.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) id: DeploymentId,
    pub(crate) status: Status,
}

impl Names {
    /// Claims a name, unless `owner` finds an owner or another claim is being written.
    pub(crate) fn claim(
        &self,
        fqdn: &str,
        id: &DeploymentId,
        owner: impl FnOnce(&str) -> Option<Owner>,
    ) -> Result<Claim<'_>, Owner> {
        let name = normal(fqdn);
        let mut claims = self.lock();
        if let Some(rival) = claims.get(&name) {
            return Err(Owner { id: rival.clone(), status: Status::Provisioning });
        }
        if let Some(owner) = owner(&name) {
            return Err(owner);
        }
        claims.insert(name.clone(), id.clone());
        Ok(Claim { names: self, name })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, DeploymentId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}

/// DNS names are equal without regard to case and to the dot of the root.
pub(crate) fn normal(fqdn: &str) -> String {
    fqdn.trim().trim_end_matches('.').to_ascii_lowercase()
}
