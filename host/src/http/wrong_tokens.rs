//! Wrong tokens, limited by peer. Who comes here has shown a wrong one already, so a right one is never limited, whatever
//! others do from the same address.

use crate::auth::Standing;
use crate::limits::network;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens a minute from one peer: a few pages whose token has expired ask on until somebody looks.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
/// Peers that are remembered: under 1 MiB. When they are all in use, others count as limited and as suspect: so many at once
/// are one attacker with many addresses, and a token that was right a short while ago is right still.
const PEERS: usize = 10_000;
/// How often peers that are forgiven are looked for, when the memory is full.
const SWEEP: Duration = Duration::from_secs(1);

/// Everything that is remembered of wrong tokens.
pub struct WrongTokens {
    limiter: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, MonotonicClock, NoOpMiddleware<Instant>>,
    clock: MonotonicClock,
    swept: Mutex<Instant>,
    /// Peers that were limited, and until when.
    suspects: Mutex<HashMap<IpAddr, Instant>>,
}

impl Default for WrongTokens {
    fn default() -> Self {
        let clock = MonotonicClock;
        let limiter = RateLimiter::hashmap_with_clock(Quota::per_minute(BURST), clock.clone());
        Self { limiter, clock, swept: Mutex::new(Instant::now()), suspects: Mutex::default() }
    }
}

impl WrongTokens {
    /// Notes a wrong token: after how long the next one is worth an answer, if not at once.
    pub fn note(&self, peer: IpAddr) -> Option<Duration> {
        let peer = network(peer);
        if self.is_full() {
            return Some(SWEEP);
        }
        let wait = self.limiter.check_key(&peer).err()?.wait_time_from(self.clock.now());
        let mut suspects = self.suspects();
        if suspects.len() < PEERS || suspects.contains_key(&peer) {
            suspects.insert(peer, Instant::now() + wait);
        }
        Some(wait)
    }

    /// How a peer has behaved. Where the memory is full nobody can tell, and the limit must not end there.
    pub fn standing(&self, peer: IpAddr) -> Standing {
        if self.is_full() {
            return Standing::Suspect;
        }
        let mut suspects = self.suspects();
        let peer = network(peer);
        match suspects.get(&peer) {
            Some(until) if Instant::now() < *until => Standing::Suspect,
            Some(_) => {
                suspects.remove(&peer);
                Standing::Good
            }
            None => Standing::Good,
        }
    }

    fn is_full(&self) -> bool {
        if self.limiter.len() < PEERS {
            return false;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.limiter.retain_recent();
            let now = Instant::now();
            self.suspects().retain(|_, until| now < *until);
        }
        self.limiter.len() >= PEERS
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_then_its_peer_is_suspect_and_others_are_not() {
        let tokens = WrongTokens::default();
        let [bad, good]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|peer| peer.parse().unwrap());
        for _ in 0..BURST.get() {
            assert_eq!((tokens.note(bad), tokens.standing(bad)), (None, Standing::Good));
        }
        let wait = tokens.note(bad).unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!((tokens.standing(bad), tokens.standing(good)), (Standing::Suspect, Standing::Good));
        assert_eq!(tokens.note(good), None);
        std::thread::sleep(wait);
        assert_eq!(tokens.standing(bad), Standing::Good, "it is forgiven in time");
    }

    #[test]
    fn a_full_memory_does_not_switch_the_limit_off() {
        let tokens = WrongTokens::default();
        for n in 0..PEERS as u32 {
            tokens.note(IpAddr::from(n.to_be_bytes()));
        }
        let next: IpAddr = "203.0.113.9".parse().unwrap();
        for _ in 0..BURST.get() * 2 {
            assert_eq!((tokens.note(next), tokens.standing(next)), (Some(SWEEP), Standing::Suspect));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let tokens = WrongTokens::default();
        for n in 0..PEERS as u32 + 100 {
            for _ in 0..2 {
                tokens.note(IpAddr::from(n.to_be_bytes()));
            }
        }
        assert!(tokens.limiter.len() <= PEERS && tokens.suspects().len() <= PEERS);
    }
}
