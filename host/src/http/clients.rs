//! Requests in flight of each client behind a trusted proxy, streams among them. The proxy's connections are its own and say
//! nothing of its clients, so these are counted instead.

use crate::limits::network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts. Memory is bounded by the requests in flight.
pub struct Clients {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A request, until its answer is out.
pub struct InFlight {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// So many for each client.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// The most that a client may have.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Counts a request; `None` when its client has as many as it may.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<InFlight> {
        let client = network(client);
        let mut counts = self.counts();
        let count = counts.entry(client).or_default();
        // An entry is there only while its count is above zero, or it is this one's.
        if *count >= self.most.max(1) {
            return None;
        }
        *count += 1;
        Some(InFlight { clients: self.clone(), client })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut counts = self.clients.counts();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_count_and_nothing_is_left_of_it() {
        let clients = Clients::new(2);
        let from = |text: &str| clients.enter(text.parse().unwrap());
        let held = [from("203.0.113.1").unwrap(), from("::ffff:203.0.113.1").unwrap()];
        assert!(from("203.0.113.1").is_none() && from("203.0.113.2").is_some());
        drop(held);
        assert!(from("203.0.113.1").is_some());
        let _six = [from("2001:db8::1").unwrap(), from("2001:db8::2").unwrap()];
        assert!(from("2001:db8::3").is_none());
        drop(_six);
        assert!(clients.counts().is_empty());
    }
}
