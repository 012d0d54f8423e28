//! Kubeconfigs that an earlier release stored as they came. They are read anew, by the rules of today: what is safe is written as it
//! would be today, what is not is set aside, and nobody watches with it or gives it out.

use crate::StorageError;
use crate::deployment::Deployment;
use crate::inner::Inner;
use crate::kubeconfigs::{ReadFault, refused_name_of};
use catalyst_domain::kubeconfig::{Kubeconfig, sha256_hex};
use catalyst_domain::record::ServerFault;
use catalyst_domain::transition::apply;
use catalyst_domain::{Entry, Fact, Level, Record, Timestamp, phase};
use std::sync::Arc;

pub(crate) const READ: &str = "read the kubeconfig";

impl Inner {
    /// Reads all of them. One that cannot be read now is read when somebody asks for it.
    pub(crate) fn reread_kubeconfigs(&self) {
        for record in self.every().into_iter().filter(|record| must_be_reread(record)) {
            let Some(deployment) = self.find(&record.id) else { continue };
            if let Err(error) = self.reread_kubeconfig(&deployment) {
                tracing::warn!(deployment.id = %record.id, %error, "a kubeconfig of an earlier release is not read anew yet");
            }
        }
    }

    /// Reads that of a deployment, whose lock the caller holds, and gives the record after it. A record without a file is left
    /// as it is.
    pub(crate) fn reread_kubeconfig(&self, deployment: &Deployment) -> Result<Arc<Record>, StorageError> {
        let record = deployment.record();
        if !must_be_reread(&record) {
            return Ok(record);
        }
        let fault = |error: ReadFault| StorageError { doing: READ, why: error.to_string() };
        let (body, is_aside) = match self.kubeconfigs.read(&record).map_err(fault)? {
            Some(body) => (body, false),
            // A crash came between the file and the record.
            None => match self.kubeconfigs.read_refused(&record.id).map_err(fault)? {
                Some(body) => (body, true),
                None => return Ok(record),
            },
        };
        match judged(&record, &body) {
            Ok(config) if !is_aside => self.keep(deployment, &record, &body, &config),
            Ok(_) => self.refuse(deployment, &record, "it was set aside", is_aside),
            Err(why) => self.refuse(deployment, &record, &why, is_aside),
        }
    }

    fn keep(
        &self,
        deployment: &Deployment,
        record: &Record,
        body: &[u8],
        config: &Kubeconfig,
    ) -> Result<Arc<Record>, StorageError> {
        let stored = config.stored(body);
        let fact = Fact::KubeconfigReread { sha256: sha256_hex(body), server: config.server.url().to_owned() };
        if *stored == *body {
            // Nothing on disk changes, so nothing has to be synced: a folder of thousands of records opens as fast as before. The
            // next fact writes it, or the next start reads it again.
            let next = Arc::new(apply(record, &fact, Timestamp::now()).map_err(not_noted)?);
            deployment.publish(next.clone());
            return Ok(next);
        }
        self.kubeconfigs
            .rewrite(record, &stored)
            .map_err(|fault| self.kubeconfig_fault("write the kubeconfig", &fault))?;
        self.note(deployment, &fact)
    }

    fn refuse(
        &self,
        deployment: &Deployment,
        record: &Record,
        why: &str,
        is_aside: bool,
    ) -> Result<Arc<Record>, StorageError> {
        if !is_aside {
            self.kubeconfigs
                .set_aside(record)
                .map_err(|fault| self.kubeconfig_fault("set the kubeconfig aside", &fault))?;
        }
        let file = refused_name_of(&record.id);
        tracing::warn!(deployment.id = %record.id, why, file, "the kubeconfig that an earlier release stored is set aside");
        let text = format!(
            "the kubeconfig that an earlier release stored is set aside as {file} in the folder of kubeconfigs: {why}; the node \
             may hand in another one with its bearer"
        );
        let (_not_waited_for, first) =
            deployment.log.enqueue(vec![Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text)]);
        if first {
            deployment.log.drain(self, |last| deployment.shown(last));
        }
        self.note(deployment, &Fact::KubeconfigRefused { why: why.to_owned() })
    }

    fn note(&self, deployment: &Deployment, fact: &Fact) -> Result<Arc<Record>, StorageError> {
        self.record(deployment, fact, Timestamp::now()).map_err(not_noted)
    }
}

fn not_noted(error: impl std::fmt::Display) -> StorageError {
    StorageError { doing: "note what a kubeconfig is", why: error.to_string() }
}

fn must_be_reread(record: &Record) -> bool {
    record.has_kubeconfig() && record.kubeconfig_server.is_empty()
}

/// A safe one that names no server of another cluster.
fn judged(record: &Record, body: &[u8]) -> Result<Kubeconfig, String> {
    let config = Kubeconfig::parse(body).map_err(|fault| fault.to_string())?;
    match record.check_server(&config.server) {
        Err(ServerFault::Foreign(fault)) => Err(fault.to_string()),
        _ => Ok(config),
    }
}
