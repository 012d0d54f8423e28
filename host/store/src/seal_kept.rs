//! What was kept in plain before all was to be sealed. It is sealed after the start, one deployment after the other and each
//! under its locks, while the host serves: a process that is killed meanwhile goes on with the rest at its next start.

use crate::inner::Inner;
use catalyst_domain::DeploymentId;
use std::io;
use std::sync::{Arc, Weak};

impl Inner {
    fn seal_kept(&self, id: &DeploymentId) -> io::Result<usize> {
        let Some(deployment) = self.find(id) else { return Ok(0) };
        let states = {
            let _locked = deployment.state.blocking_lock();
            self.health.check().map_err(io::Error::other)?;
            self.states(id).seal_kept()?
        };
        let _locked = deployment.facts.blocking_lock();
        let kubeconfigs = self.kubeconfigs.seal_kept(&deployment.record());
        let sealed =
            kubeconfigs.map_err(|fault| io::Error::other(self.kubeconfig_fault("seal the kubeconfig", &fault)))?;
        Ok(states + sealed)
    }
}

/// Begins to seal what is plain, where all is to be sealed.
pub(crate) fn begin(inner: &Arc<Inner>) {
    if !inner.seals_all() {
        return;
    }
    let ids: Vec<DeploymentId> = inner.every().iter().map(|record| record.id.clone()).collect();
    let inner = Arc::downgrade(inner);
    let started = std::thread::Builder::new().name("seal-kept".to_owned()).spawn(move || seal(&inner, &ids));
    if let Err(error) = started {
        tracing::error!(%error, "what is kept in plain is not sealed: restart to try it again");
    }
}

// The store may be closed meanwhile.
fn seal(inner: &Weak<Inner>, ids: &[DeploymentId]) {
    let (mut sealed, mut failed) = (0, 0);
    for id in ids {
        let Some(inner) = inner.upgrade() else { return };
        match inner.seal_kept(id) {
            Ok(0) => {}
            Ok(files) => {
                if sealed == 0 {
                    tracing::info!("kubeconfigs, bundles and states that are kept in plain are being sealed");
                }
                sealed += files;
            }
            Err(error) => {
                failed += 1;
                tracing::error!(deployment.id = %id, %error, "what is kept of it in plain is not sealed: the next start tries again");
            }
        }
    }
    if sealed + failed > 0 {
        tracing::info!(files = sealed, deployments.failed = failed, "what was kept in plain is sealed");
    }
}
