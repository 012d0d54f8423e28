//! Tokens that were found right a short while ago, by their digests: a page that asks every few seconds does not make its
//! cluster or a signature check work each time. Wrong ones are never remembered, so nobody can fill it from outside.

use super::Caller;
use super::token::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tokens that are remembered: some 3 MiB. Past it, right ones are asked about each time.
const MOST: usize = 10_000;
/// How long a token whose time is over is still told from one that was never right.
const SEEN: Duration = Duration::from_secs(3600);

/// What is remembered.
#[derive(Default)]
pub struct Known(Mutex<HashMap<Digest, Entry>>);

struct Entry {
    caller: Caller,
    fresh_until: Instant,
}

/// What is known of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Recall {
    /// Whose it is.
    Fresh(Caller),
    /// It was right not long ago.
    Stale,
    /// Nothing.
    Nothing,
}

impl Known {
    /// Looks a token up.
    pub fn recall(&self, digest: &Digest, now: Instant) -> Recall {
        match self.entries().get(digest) {
            Some(entry) if now < entry.fresh_until => Recall::Fresh(entry.caller.clone()),
            Some(entry) if now < entry.fresh_until + SEEN => Recall::Stale,
            _ => Recall::Nothing,
        }
    }

    /// Remembers a right one.
    pub fn put(&self, digest: Digest, caller: Caller, now: Instant, time: Duration) {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, entry| now < entry.fresh_until);
        }
        if entries.len() < MOST {
            entries.insert(digest, Entry { caller, fresh_until: now + time });
        }
    }

    /// Forgets one that is right no more.
    pub fn forget(&self, digest: &Digest) {
        self.entries().remove(digest);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_fresh_then_stale_then_forgotten_and_the_memory_is_bounded() {
        let (known, now, minute) = (Known::default(), Instant::now(), Duration::from_secs(60));
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            digest
        };
        known.put(digest(0), Caller::anybody(), now, minute);
        assert_eq!(known.recall(&digest(0), now), Recall::Fresh(Caller::anybody()));
        assert_eq!(known.recall(&digest(0), now + minute), Recall::Stale);
        assert_eq!(known.recall(&digest(0), now + minute + SEEN), Recall::Nothing);
        assert_eq!(known.recall(&digest(1), now), Recall::Nothing);
        for n in 0..MOST + 9 {
            known.put(digest(n), Caller::anybody(), now, minute);
        }
        assert_eq!(known.entries().len(), MOST);
        known.put(digest(MOST + 1), Caller::anybody(), now + minute, minute);
        assert_eq!(known.entries().len(), 1, "what is over makes room");
        known.forget(&digest(MOST + 1));
        assert_eq!(known.recall(&digest(MOST + 1), now + minute), Recall::Nothing);
    }
}
