//! What the store does, one blocking piece each. The caller holds the lock of the deployment where one is needed.

use crate::deployment::Deployment;
use crate::folder::{Folder, WriteFault};
use crate::health::{Health, failed};
use crate::kubeconfigs::{self, Kubeconfigs};
use crate::names::{Names, Owner, normal};
use crate::run_secrets::SecretsFolder;
use crate::sealing::Sealer;
use crate::states::States;
use crate::{AcceptError, CreateError, Numbered, RecordError, Settings, StorageError, load};
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::{BearerFault, BearerOf, Kubeconfig, authorise, sha256_hex};
use catalyst_domain::record::ServerFault;
use catalyst_domain::transition::apply;
use catalyst_domain::{DeploymentId, Fact, Record, Status, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

const WRITE_RECORD: &str = "write the record";

/// What the blocking pieces share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) records: Folder,
    states: Folder,
    pub(crate) kubeconfigs: Kubeconfigs,
    pub(crate) health: Health,
    pub(crate) log_cap_bytes: u64,
    sealer: Sealer,
    names: Names,
    all: RwLock<HashMap<DeploymentId, Arc<Deployment>>>,
    /// Deployments whose record could not be read at the start.
    pub(crate) left_out: HashSet<DeploymentId>,
}

impl Inner {
    pub(crate) fn new(
        records: Folder,
        states: Folder,
        kubeconfigs: Kubeconfigs,
        health: Health,
        settings: &Settings,
        loaded: Vec<Record>,
        left_out: HashSet<DeploymentId>,
    ) -> Self {
        let all = loaded.into_iter().map(|record| (record.id.clone(), Arc::new(Deployment::new(record)))).collect();
        let (names, all) = (Names::default(), RwLock::new(all));
        let (log_cap_bytes, sealer) = (settings.log_cap_bytes, Sealer::new(settings));
        Self { records, states, kubeconfigs, health, log_cap_bytes, sealer, names, all, left_out }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn find(&self, id: &DeploymentId) -> Option<Arc<Deployment>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn every(&self) -> Vec<Arc<Record>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().map(|found| found.record()).collect()
    }

    pub(crate) fn states<'a>(&'a self, id: &'a DeploymentId) -> States<'a> {
        States::new(&self.states, id, &self.health, &self.sealer)
    }

    pub(crate) fn run_secrets(&self) -> SecretsFolder<'_> {
        SecretsFolder::new(&self.states, &self.health, &self.sealer)
    }

    /// Whether kubeconfigs and bundles are to be sealed.
    pub(crate) fn seals_all(&self) -> bool {
        self.sealer.key_for_all().is_some()
    }

    fn write_record(&self, record: &Record) -> Result<(), StorageError> {
        self.health.check()?;
        let text =
            load::encode(record).map_err(|error| StorageError { doing: WRITE_RECORD, why: error.to_string() })?;
        self.health.judge(WRITE_RECORD, self.records.replace(&load::file_name(&record.id), &text))
    }

    // The deployment that a name belongs to.
    fn owner(&self, name: &str, except: &DeploymentId) -> Option<Owner> {
        let owns = |record: &Arc<Record>| {
            record.id != *except && normal(&record.request.sovereign_fqdn) == name && self.keeps_name(record)
        };
        self.every().into_iter().find(owns).map(|record| Owner { id: record.id.clone(), status: record.status })
    }

    // A failed deployment keeps its name as long as it may have left something: also what no state has, and one of the earlier
    // service, whose state is not here. A state that cannot be read is not an empty one.
    fn keeps_name(&self, record: &Record) -> bool {
        match record.status {
            Status::Destroyed => false,
            Status::Failed if !record.left.is_empty() => true,
            Status::Failed => record.phase0_done() || !self.states(&record.id).is_empty().unwrap_or(false),
            _ => true,
        }
    }

    pub(crate) fn create(&self, record: Record) -> Result<Arc<Record>, CreateError> {
        let id = record.id.clone();
        let fqdn = record.request.sovereign_fqdn.clone();
        let claim = self.names.claim(&fqdn, &id, |name| self.owner(name, &id));
        let _claim = claim.map_err(|owner| CreateError::NameTaken { fqdn, owner: owner.id, status: owner.status })?;
        // A file that was left out at start has no deployment in memory, and must not be overwritten.
        if self.find(&id).is_some() || self.records.dir().exists(load::file_name(&id)) {
            return Err(CreateError::IdTaken(id));
        }
        self.write_record(&record).map_err(CreateError::Storage)?;
        let deployment = Arc::new(Deployment::new(record));
        let record = deployment.record();
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(id, deployment);
        Ok(record)
    }

    pub(crate) fn record(
        &self,
        deployment: &Deployment,
        fact: &Fact,
        at: Timestamp,
    ) -> Result<Arc<Record>, RecordError> {
        let before = deployment.record();
        let next = Arc::new(apply(&before, fact, at).map_err(RecordError::Refused)?);
        let id = &next.id;
        let fqdn = &next.request.sovereign_fqdn;
        let applied_again = before.status == Status::Failed && next.status == Status::Provisioning;
        let claim = applied_again.then(|| self.names.claim(fqdn, id, |name| self.owner(name, id))).transpose();
        let _claim = claim.map_err(|owner| RecordError::NameTaken {
            fqdn: fqdn.clone(),
            owner: owner.id,
            status: owner.status,
        })?;
        if next.status == Status::Destroyed {
            // Before the record: what a crash leaves here goes with the next destroy.
            self.states(id).forget_older().map_err(RecordError::Storage)?;
        }
        self.write_record(&next).map_err(RecordError::Storage)?;
        deployment.publish(next.clone());
        if before.has_kubeconfig() && !next.has_kubeconfig() {
            // After the record that no longer names it; what a crash leaves here is swept at the next start.
            self.kubeconfigs.discard(&before);
        }
        if next.status == Status::Destroyed {
            self.kubeconfigs.discard_refused(id);
            if next.left.is_empty() {
                self.states(id).discard_aside();
            }
        }
        Ok(next)
    }

    pub(crate) fn accept(&self, deployment: &Deployment, put: &Put) -> Result<Arc<Record>, AcceptError> {
        let mut record = deployment.record();
        if authorise(&record, &put.bearer).map_err(AcceptError::Bearer)? == BearerOf::Replacement {
            // What the server before it handed in goes first, whatever this one hands in.
            let fact = Fact::CalledWithNewBearer;
            record = self.record(deployment, &fact, put.at).map_err(|error| match error {
                RecordError::Storage(error) => AcceptError::Storage(error),
                RecordError::Refused(_) | RecordError::Unknown | RecordError::NameTaken { .. } => {
                    AcceptError::Bearer(BearerFault::NoHash)
                }
            })?;
        }
        let sha256 = sha256_hex(&put.body);
        if record.has_kubeconfig() {
            return Err(AcceptError::AlreadySet { same: self.is_stored(&record, &sha256) });
        }
        let config = Kubeconfig::parse(&put.body).map_err(AcceptError::Body)?;
        if let Err(ServerFault::Foreign(fault)) = record.check_server(&config.server) {
            return Err(AcceptError::Body(fault));
        }
        let file = kubeconfigs::name_of(&record.id);
        let server = config.server.url().to_owned();
        let fact = Fact::KubeconfigReceived { file: file.clone(), sha256, server };
        let next = Arc::new(apply(&record, &fact, put.at).map_err(|refused| match refused {
            Refused::AlreadySet => AcceptError::AlreadySet { same: false },
            _ => AcceptError::Bearer(BearerFault::NoHash),
        })?);
        let folder = self
            .kubeconfigs
            .open()
            .map_err(|fault| AcceptError::Folder(self.kubeconfig_fault("open the folder of kubeconfigs", &fault)))?;
        self.health.check().map_err(AcceptError::Storage)?;
        self.kubeconfigs
            .write(&folder, &record.id, &config.stored(&put.body))
            .map_err(|fault| AcceptError::Storage(self.kubeconfig_fault("write the kubeconfig", &fault)))?;
        if let Err(error) = self.write_record(&next) {
            // After an unknown outcome the record on disk may name the file already.
            if self.health.check().is_ok() {
                folder.discard(&file);
            }
            return Err(AcceptError::Storage(error));
        }
        deployment.publish(next.clone());
        Ok(next)
    }

    // Kubeconfigs may lie on a volume of their own: that it is full says nothing about the records.
    pub(crate) fn kubeconfig_fault(&self, doing: &'static str, fault: &WriteFault) -> StorageError {
        match fault {
            WriteFault::Unchanged(error) => failed(doing, error),
            WriteFault::Unknown(_) => self.health.fault(doing, fault),
        }
    }

    // The earlier service kept no digest.
    fn is_stored(&self, record: &Record, sha256: &str) -> bool {
        if !record.kubeconfig_sha256.is_empty() {
            return record.kubeconfig_sha256 == sha256;
        }
        matches!(self.kubeconfigs.read(record), Ok(Some(stored)) if sha256_hex(&stored) == sha256)
    }

    pub(crate) fn read(
        &self,
        deployment: &Deployment,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Numbered>, StorageError> {
        let (inside, span) = deployment.log.span(self, after, limit as u64)?;
        let mut entries = deployment.inside(after, inside);
        if let Some(span) = span {
            let file = deployment.log.open(self)?.ok_or_else(crate::index::changed)?;
            entries.extend(span.read(file)?);
        }
        Ok(entries)
    }
}

/// A kubeconfig that was handed in.
pub(crate) struct Put {
    pub(crate) bearer: String,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Timestamp,
}
