//! Wrong bearers: counted, limited by deployment and peer, and told to the deployment's viewers. Who comes here has shown a
//! wrong bearer already, so a right one is never limited, whatever others do from the same address.

use crate::limits::network;
use catalyst_domain::{DeploymentId, Entry, Level, Timestamp, phase};
use catalyst_store::Store;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Wrong bearers a minute, from one peer for one deployment: a node with a stale file tries every few seconds; nobody types.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// Pairs of deployment and peer that are remembered: about 1 MiB. When they are all in use, others count as limited.
const PAIRS: usize = 10_000;
/// How often pairs that are forgiven are looked for, when the memory is full.
const SWEEP: Duration = Duration::from_secs(1);
/// One entry in a deployment's log per so much time.
const TELL: Duration = Duration::from_secs(60);

type Key = (DeploymentId, IpAddr);

/// Everything that is remembered of wrong bearers.
pub struct WrongBearers {
    limiter: RateLimiter<Key, HashMapStateStore<Key>, MonotonicClock, NoOpMiddleware<Instant>>,
    clock: MonotonicClock,
    swept: Mutex<Instant>,
    /// Deployments that were told of a wrong bearer within the last [`TELL`], and how many came since.
    untold: Mutex<HashMap<DeploymentId, Untold>>,
    tell: Duration,
}

#[derive(Default)]
struct Untold {
    count: u64,
    last: Option<IpAddr>,
}

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// That its bearer is wrong.
    Wrong,
    /// That it tried too often.
    Limited {
        /// When it may try again.
        retry_after: Duration,
    },
}

impl Default for WrongBearers {
    fn default() -> Self {
        Self::telling_every(TELL)
    }
}

impl WrongBearers {
    fn telling_every(tell: Duration) -> Self {
        let clock = MonotonicClock;
        let limiter = RateLimiter::hashmap_with_clock(Quota::per_minute(BURST), clock.clone());
        Self { limiter, clock, swept: Mutex::new(Instant::now()), untold: Mutex::default(), tell }
    }

    /// Notes one wrong bearer.
    pub fn note(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        id: &DeploymentId,
        peer: IpAddr,
        stop: &CancellationToken,
    ) -> Verdict {
        self.count(store, id, peer, stop);
        self.limit((id.clone(), network(peer)))
    }

    fn limit(&self, key: Key) -> Verdict {
        if self.is_full() {
            return Verdict::Limited { retry_after: SWEEP };
        }
        match self.limiter.check_key(&key) {
            Ok(()) => Verdict::Wrong,
            Err(not_until) => Verdict::Limited { retry_after: not_until.wait_time_from(self.clock.now()) },
        }
    }

    fn is_full(&self) -> bool {
        if self.limiter.len() < PAIRS {
            return false;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.limiter.retain_recent();
        }
        self.limiter.len() >= PAIRS
    }

    /// The first one is told at once, the next ones together when the time is over.
    fn count(self: &Arc<Self>, store: &Arc<dyn Store>, id: &DeploymentId, peer: IpAddr, stop: &CancellationToken) {
        let mut untold = self.untold();
        let telling = untold.contains_key(id);
        let entry = untold.entry(id.clone()).or_default();
        entry.count = entry.count.saturating_add(1);
        entry.last = Some(peer);
        if !telling {
            let (this, store, id, stop) = (self.clone(), store.clone(), id.clone(), stop.clone());
            tokio::spawn(async move { this.tell(&*store, &id, &stop).await });
        }
    }

    async fn tell(&self, store: &dyn Store, id: &DeploymentId, stop: &CancellationToken) {
        while let Some(text) = self.take(id) {
            let entry = Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text);
            if let Err(error) = store.append(id, vec![entry]).await {
                tracing::warn!(deployment.id = %id, %error, "cannot log wrong bearers");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.tell) => {}
            }
        }
    }

    /// What there is to tell. When there is nothing, the deployment is forgotten.
    fn take(&self, id: &DeploymentId) -> Option<String> {
        let mut all = self.untold();
        match all.get_mut(id).map(std::mem::take) {
            Some(Untold { count, last: Some(peer) }) if count > 0 => {
                Some(format!("refused {count} kubeconfig upload(s) with a wrong bearer, the last one from {peer}"))
            }
            _ => {
                all.remove(id);
                None
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<DeploymentId, Untold>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "wrong_bearers_tests.rs"]
mod tests;
