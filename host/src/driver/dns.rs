//! The pool name of a deployment: reserved before it is created, published right after the outputs, given back when no
//! cluster came to be. The decisions stand in `dns` and in the domain's table; here calls become facts and entries.

use super::{Driver, Hand};
use crate::dns::commit::{CommitEnd, Progress, Publication, commit_until_done};
use crate::dns::pdm::{PdmError, PdmFault, PoolName, Reservation};
use crate::dns::release::{Proof, ReleaseEnd, release};
use crate::dns::retry::{RetryPolicy, Spread};
use catalyst_domain::dns::{DnsFact, DnsState, PoolReservation};
use catalyst_domain::request::DomainMode;
use catalyst_domain::{DeploymentId, Fact, Finding, Level, Record, Request, phase};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A reservation that nobody needs lapses after ten minutes by itself; trying longer than half of that is of no use.
const GIVE_BACK: RetryPolicy = RetryPolicy {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
    give_up_after: Duration::from_secs(5 * 60),
    spread: Spread::Random,
};

/// Why a name is not held for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolFault {
    /// Somebody else has it.
    Conflict(String),
    /// The manager could not be asked.
    Unavailable(String),
    /// The manager will never give out such a name [B-4].
    Refused(Vec<Finding>),
}

/// The words by which the manager knows whose a name is.
fn created_by(id: &DeploymentId) -> String {
    format!("catalyst-api/deployment-{id}")
}

impl Driver {
    /// Holds the name of a request in pool mode; nothing to do in any other mode, or for a pool that is not ours.
    pub(super) async fn reserve(
        &self,
        id: &DeploymentId,
        request: &Request,
    ) -> Result<Option<PoolReservation>, PoolFault> {
        let pooled = request.domain_mode() == DomainMode::Pool;
        if !pooled || !self.names.managed.contains(&request.sovereign_pool_domain) {
            return Ok(None);
        }
        let name = PoolName::new(&request.sovereign_pool_domain, &request.sovereign_subdomain);
        match self.names.pdm.reserve_detached(&name, &created_by(id), &self.tasks, &self.stop).await {
            Ok(Reservation { reservation_token, .. }) => Ok(Some(held(&name, reservation_token))),
            Err(error) => {
                tracing::warn!(deployment.id = %id, dns.name = %name.fqdn(), %error, "a pool name was not reserved");
                Err(fault(&error))
            }
        }
    }

    /// As [`Driver::reserve`], for a retry. A name that this deployment still has is taken over, and one that is published
    /// stays as it is.
    pub(super) async fn reserve_again(&self, record: &Record) -> Result<Option<PoolReservation>, PoolFault> {
        let state = record.dns.as_ref().map(|dns| dns.state);
        let held_name = !record.pdm_pool_domain.is_empty();
        if held_name && matches!(state, Some(DnsState::Publishing | DnsState::Published)) {
            return Ok(None);
        }
        match self.reserve(&record.id, &record.request).await {
            Err(PoolFault::Conflict(text)) => {
                let request = &record.request;
                let name = PoolName::new(&request.sovereign_pool_domain, &request.sovereign_subdomain);
                let holder = self.names.pdm.holder(&name).await.ok().flatten();
                let ours = holder.filter(|holder| holder.created_by == created_by(&record.id));
                ours.map(|holder| Some(held(&name, holder.reservation_token))).ok_or(PoolFault::Conflict(text))
            }
            other => other,
        }
    }

    /// Releases a name whose deployment did not come to be; the caller does not wait.
    pub(super) fn give_back(self: &Arc<Self>, id: &DeploymentId, reservation: PoolReservation) {
        let (driver, created_by) = (self.clone(), created_by(id));
        self.tasks.spawn(async move {
            let name = PoolName::new(&reservation.domain, &reservation.label);
            let pdm = &driver.names.pdm;
            let end = pdm.release_unless_wanted(&name, &created_by, Proof::WhereListed, &GIVE_BACK, &driver.stop).await;
            if let ReleaseEnd::Failed(error) = end {
                tracing::warn!(dns.name = %name.fqdn(), %error, "a reservation that nobody needs was not released");
            }
        });
    }
}

impl Hand {
    /// Publishes the name, beside the wait for the node and the watch.
    pub(super) async fn publish_dns(&self) {
        let Some(record) = self.record() else { return };
        let name = PoolName::new(&record.pdm_pool_domain, &record.pdm_subdomain);
        let fqdn = name.fqdn();
        let address = record.result.as_ref().map(|result| result.load_balancer_ip.clone()).unwrap_or_default();
        if address.is_empty() {
            return self.not_published(&fqdn, "the outputs name no address of a load balancer").await;
        }
        let publication = Publication {
            name,
            load_balancer_ip: address.clone(),
            created_by: created_by(&self.id),
            reservation_token: record.pdm_reservation_token.clone(),
        };
        let (out, seen) = mpsc::unbounded_channel();
        let scribe = tokio::spawn(self.clone().tell_progress(fqdn.clone(), seen));
        let report = move |progress| drop(out.send(progress));
        let pdm = &self.driver.names.pdm;
        let ended = commit_until_done(pdm, &publication, &RetryPolicy::default(), &self.stop, report).await;
        if let Err(error) = scribe.await {
            tracing::error!(deployment.id = %self.id, %error, "the scribe of a pool name broke");
        }
        match ended {
            CommitEnd::Published => {
                self.say(phase::DNS, Level::Info, format!("{fqdn} is published and points at {address}")).await;
                self.fact(Fact::Dns(DnsFact::Published)).await;
            }
            // The record says that it is due; it goes on when it is due again.
            CommitEnd::Cancelled => {}
            CommitEnd::Taken { by } if by.is_empty() => self.not_published(&fqdn, "somebody else has the name").await,
            CommitEnd::Taken { by } => self.not_published(&fqdn, &format!("{by} has the name")).await,
            CommitEnd::Refused(error) => self.not_published(&fqdn, &error.to_string()).await,
            CommitEnd::GaveUp { reason } => self.not_published(&fqdn, &format!("given up: {reason}")).await,
        }
    }

    async fn tell_progress(self, fqdn: String, mut seen: mpsc::UnboundedReceiver<Progress>) {
        while let Some(progress) = seen.recv().await {
            match progress {
                Progress::Reserved(reservation) => {
                    self.say(phase::DNS, Level::Info, format!("{fqdn} is reserved anew")).await;
                    self.fact(Fact::Dns(DnsFact::Reserved { token: reservation.reservation_token })).await;
                }
                Progress::Waiting { reason, attempt, wait } => {
                    let seconds = wait.as_secs().max(1);
                    let text = format!("{fqdn} is not published yet: {reason}; try {} in {seconds} s", attempt + 1);
                    self.say(phase::DNS, Level::Warn, text).await;
                    self.fact(Fact::Dns(DnsFact::Waiting { detail: reason })).await;
                }
            }
        }
    }

    async fn not_published(&self, fqdn: &str, why: &str) {
        let detail = format!("{fqdn} is not published: {why}");
        tracing::warn!(deployment.id = %self.id, dns.name = fqdn, error = why, "a pool name is not published");
        self.say(phase::DNS, Level::Error, detail.clone()).await;
        self.fact(Fact::Dns(DnsFact::Failed { detail })).await;
    }

    /// Gives the name back: the run failed before it was published, or the infrastructure is removed.
    pub(super) async fn release_dns(&self) {
        let Some(record) = self.record() else { return };
        let name = PoolName::new(&record.pdm_pool_domain, &record.pdm_subdomain);
        let fqdn = name.fqdn();
        // After a failure the name may be another's by now, so the manager has to say that it is ours.
        let failed = record.dns.as_ref().is_some_and(|dns| dns.state == DnsState::Failed);
        let proof = if failed { Proof::Required } else { Proof::WhereListed };
        let pdm = &self.driver.names.pdm;
        let (policy, owner) = (RetryPolicy::default(), created_by(&self.id));
        let ended = release(pdm, &name, &owner, proof, &policy, &self.stop, |retry| {
            tracing::warn!(deployment.id = %self.id, dns.name = fqdn, error = retry.reason, "a release is tried again");
        });
        let left = match ended.await {
            ReleaseEnd::Cancelled => return,
            ReleaseEnd::Freed => {
                self.say(phase::DNS, Level::Info, format!("{fqdn} is released")).await;
                None
            }
            ReleaseEnd::Foreign => None,
            ReleaseEnd::Failed(error) => {
                let text = format!("{fqdn} could not be released: {error}");
                self.say(phase::DNS, Level::Warn, text.clone()).await;
                Some(text)
            }
        };
        self.fact(Fact::Dns(DnsFact::LetGo { left })).await;
    }
}

fn held(name: &PoolName, token: String) -> PoolReservation {
    PoolReservation { token, domain: name.domain.clone(), label: name.label.clone() }
}

fn fault(error: &PdmError) -> PoolFault {
    match error.fault {
        PdmFault::Conflict => PoolFault::Conflict(error.to_string()),
        PdmFault::Refused => {
            let message = format!("sovereignSubdomain: {error}");
            PoolFault::Refused(vec![Finding::error("/sovereignSubdomain", "refused-by-pool", message)])
        }
        _ => PoolFault::Unavailable(error.to_string()),
    }
}
