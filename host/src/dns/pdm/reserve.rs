//! A reserve that outlives its caller. A browser that goes away must not leave a name locked that nobody knows of, so the
//! call runs in a task of its own, and what nobody took delivery of is released. No record knows of such a name, so whoever ends
//! the process waits for that as well.

use super::{PdmClient, PdmError, PdmFault, PoolName, Reservation};
use crate::dns::release::{Proof, ReleaseEnd};
use crate::dns::retry::{RetryPolicy, Spread};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A reservation lapses after ten minutes by itself; trying longer than that is of no use.
const COMPENSATION: RetryPolicy = RetryPolicy {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
    give_up_after: Duration::from_secs(5 * 60),
    spread: Spread::Random,
};

/// Given along with the outcome; dropped unseen, it tells that nobody took delivery.
type Receipt = oneshot::Sender<()>;

impl PdmClient {
    /// Reserves a name, within 10 s. When the returned future is dropped, the call goes on, and a reservation that it brings
    /// is released. So is one that was made although no clear answer came. `created_by` must be the deployment's own, for it
    /// proves whose a name is; what is still being released by the same hand is called off first. All of it is one of `tasks`,
    /// and after `stop` a release is tried once and not again.
    ///
    /// # Errors
    /// As [`PdmClient::reserve`].
    pub async fn reserve_detached(
        &self,
        name: &PoolName,
        created_by: &str,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Reservation, PdmError> {
        self.call_off(created_by).await;
        let (deliver, delivery) = oneshot::channel();
        tasks.spawn(carry(self.clone(), name.clone(), created_by.to_owned(), deliver, stop.clone()));
        let Ok((outcome, receipt)) = delivery.await else {
            let said = "the call was broken off by the host".to_owned();
            return Err(PdmError { fault: PdmFault::Unreachable, call: "reserve", status: None, said });
        };
        // No await between delivery and receipt: a caller that is gone by now dropped both unseen.
        let _ = Receipt::send(receipt, ());
        outcome
    }
}

async fn carry(
    client: PdmClient,
    name: PoolName,
    created_by: String,
    deliver: oneshot::Sender<(Result<Reservation, PdmError>, Receipt)>,
    stop: CancellationToken,
) {
    let outcome = client.reserve(&name, &created_by).await;
    let (reserved, unknown) = (outcome.is_ok(), outcome.as_ref().is_err_and(PdmError::outcome_unknown));
    let (receipt, received) = oneshot::channel();
    // An undeliverable message comes back and is dropped here with its receipt.
    drop(deliver.send((outcome, receipt)));
    let taken = received.await.is_ok();
    if unknown {
        compensate(&client, &name, &created_by, Proof::Required, &stop).await;
    } else if reserved && !taken {
        compensate(&client, &name, &created_by, Proof::WhereListed, &stop).await;
    }
}

async fn compensate(client: &PdmClient, name: &PoolName, created_by: &str, proof: Proof, stop: &CancellationToken) {
    match client.release_unless_wanted(name, created_by, proof, &COMPENSATION, stop).await {
        ReleaseEnd::Freed | ReleaseEnd::Cancelled => {}
        end @ (ReleaseEnd::Foreign | ReleaseEnd::Failed(_)) => {
            let fqdn = name.fqdn();
            tracing::warn!(dns.name = %fqdn, end = ?end, "a reservation that nobody waits for was not released");
        }
    }
}
