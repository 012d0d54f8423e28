//! Places for connections: who gets one, who has to leave for another, and who is refused. It knows addresses and what each
//! connection does just now, never bytes or requests.
//!
//! An address has a share of the places. The last ones are kept for nodes and known callers: a stranger that comes when all
//! others are taken is judged in one of these and may stay only when its first request shows a right credential. Before
//! anybody is refused, connections that do nothing leave, oldest first: those that never sent a whole head, then those idle
//! between two requests, then slow bodies. A request in work and a stream never leave.

use crate::limits::network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Milliseconds since the places were made.
type Millis = u64;

/// How long a connection may be without a head or idle before it leaves for another of its own address: a head is one packet
/// or two.
const OWN_PATIENCE: Millis = 1_000;
/// The same where it leaves for another address: sooner, because that one did nothing to fill the places.
const OTHERS_PATIENCE: Millis = 200;
/// How long a body may take before it counts as slow: requests are a few KiB, and a slow line sends those in a second.
const BODY_PATIENCE: Millis = 5_000;
/// How long it is not looked again for connections that could leave, after none was found: a look reads every place.
const LOOK_PAUSE: Millis = 20;
/// Connections that were told to leave and have not closed yet, at most: they close as soon as their task runs.
const LEAVING: usize = 256;
/// Networks that are remembered for a right credential: under 1 MiB.
const KNOWN: usize = 10_000;
/// How long they are remembered: a node comes again within minutes, a page within its session.
const KNOWN_FOR: Millis = 60 * 60 * 1_000;
/// A connection that shows right credentials all the time renews that this often.
const RENEW: Millis = 60 * 1_000;
/// Of so many places one is kept for nodes and known callers: 512 of 4,096, more than nodes boot at once.
const KEPT_SHARE: usize = 8;

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Activity {
    /// It never sent a whole head.
    Headless = 0,
    /// It waits between two requests.
    Idle = 1,
    /// The body of its request comes in.
    Body = 2,
    /// Its request is in work, or its answer goes out.
    Work = 3,
    /// It was told to leave.
    Leaving = 4,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The address has its share.
    Address,
    /// All places are taken.
    All,
}

/// All places.
pub struct Places {
    most: usize,
    per_address: usize,
    kept: usize,
    begun: Instant,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    connections: HashMap<u64, Arc<Connection>>,
    addresses: HashMap<IpAddr, usize>,
    /// Connections that are nobody's that is known.
    strangers: usize,
    leaving: usize,
    next: u64,
    /// Addresses for which nobody could leave, and when; [`None`] is for all.
    looked: HashMap<Option<IpAddr>, Millis>,
    known: HashMap<IpAddr, Millis>,
}

/// One connection that has a place.
pub struct Connection {
    id: u64,
    /// Its network; `None` for a trusted proxy, whose clients are counted instead.
    network: Option<IpAddr>,
    is_known: AtomicBool,
    on_probation: AtomicBool,
    /// An [`Activity`] and since when: `millis << 3 | activity`.
    activity: AtomicU64,
    /// Its answer is made, and not all of it may have been written yet.
    is_answered: AtomicBool,
    renewed: AtomicU64,
    leave: Notify,
}

/// A place, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    connection: Arc<Connection>,
}

/// Who may be asked to leave.
#[derive(Clone, Copy)]
struct Asked {
    of: Option<IpAddr>,
    strangers_only: bool,
    patience: Millis,
}

impl Places {
    /// So many places, and so many of them for one address at most.
    pub fn new(most: usize, per_address: usize) -> Arc<Self> {
        let (kept, begun) = (most / KEPT_SHARE, Instant::now());
        Arc::new(Self { most, per_address, kept, begun, table: Mutex::default() })
    }

    /// A place for a connection from this address. A trusted proxy has no share: `exempt`.
    ///
    /// # Errors
    /// [`Full`]: nobody could leave for it.
    pub fn enter(self: &Arc<Self>, peer: IpAddr, exempt: Exempt) -> Result<Place, Full> {
        self.enter_at(peer, exempt, self.now())
    }

    fn enter_at(self: &Arc<Self>, peer: IpAddr, exempt: Exempt, now: Millis) -> Result<Place, Full> {
        let network = (exempt == Exempt::No).then(|| network(peer));
        let mut table = self.table();
        if let Some(own) = network {
            let has = table.addresses.get(&own).copied().unwrap_or_default();
            let asked = Asked { of: network, strangers_only: false, patience: OWN_PATIENCE };
            if has >= self.per_address && !self.make_room(&mut table, asked, now) {
                return Err(Full::Address);
            }
        }
        let is_known = network.is_none_or(|own| table.knows(own, now));
        let on_probation = self.find_place(&mut table, is_known, now)?;
        let id = table.next;
        table.next += 1;
        let connection = Arc::new(Connection {
            id,
            network,
            is_known: AtomicBool::new(is_known),
            on_probation: AtomicBool::new(on_probation),
            activity: AtomicU64::new(packed(Activity::Headless, now)),
            is_answered: AtomicBool::new(false),
            renewed: AtomicU64::new(0),
            leave: Notify::new(),
        });
        table.connections.insert(id, connection.clone());
        table.strangers += usize::from(!is_known);
        if let Some(own) = network {
            *table.addresses.entry(own).or_default() += 1;
        }
        drop(table);
        Ok(Place { places: self.clone(), connection })
    }

    /// Whether the newcomer is there on probation.
    fn find_place(&self, table: &mut Table, is_known: bool, now: Millis) -> Result<bool, Full> {
        let room_for_strangers = self.most - self.kept;
        let is_full = |table: &Table| table.connections.len() >= self.most;
        let crowded = |table: &Table| !is_known && table.strangers >= room_for_strangers;
        if !is_full(table) && !crowded(table) {
            return Ok(false);
        }
        let asked = Asked { of: None, strangers_only: !is_known, patience: OTHERS_PATIENCE };
        if self.make_room(table, asked, now) && !is_full(table) && !crowded(table) {
            return Ok(false);
        }
        if is_full(table) { Err(Full::All) } else { Ok(true) }
    }

    /// Tells some that do nothing to leave; whether there was one.
    fn make_room(&self, table: &mut Table, asked: Asked, now: Millis) -> bool {
        let lately = table.looked.get(&asked.of).is_some_and(|at| now < at + LOOK_PAUSE);
        if lately || table.leaving >= LEAVING {
            return false;
        }
        let mut idle: Vec<_> = table
            .connections
            .values()
            .filter(|one| asked.of.is_none() || one.network == asked.of)
            .filter_map(|one| {
                let (is_known, seen) = (one.is_known(), one.activity.load(Ordering::Acquire));
                let may = !(asked.strangers_only && is_known) && is_idle(seen, asked.patience, now);
                may.then(|| (is_known, activity(seen), seen, one.clone()))
            })
            .collect();
        // A few at a time, so that a flood does not make each of its connections a look at all places.
        let among = if asked.of.is_some() { self.per_address } else { self.most };
        let some = (among / 128).clamp(1, 16).min(idle.len());
        if some > 0 && some < idle.len() {
            idle.select_nth_unstable_by_key(some - 1, |(known, activity, seen, _)| (*known, *activity, *seen));
        }
        let mut made = false;
        for (.., seen, one) in idle.into_iter().take(some) {
            // Its head may have come meanwhile.
            if one.change(seen, packed(Activity::Leaving, now)) {
                table.remove(&one);
                table.leaving += 1;
                one.leave.notify_one();
                made = true;
            }
        }
        if !made {
            // Addresses at their share are few: each takes a good part of all places.
            table.looked.retain(|_, at| now < *at + LOOK_PAUSE);
            table.looked.insert(asked.of, now);
        }
        made
    }

    fn now(&self) -> Millis {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX >> 3)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_known_at(&self, connection: &Connection, now: Millis) {
        connection.on_probation.store(false, Ordering::Release);
        let renewed = connection.renewed.load(Ordering::Acquire);
        if connection.is_known() && renewed > 0 && now < renewed + RENEW {
            return;
        }
        connection.renewed.store(now.max(1), Ordering::Release);
        let mut table = self.table();
        if !connection.is_known.swap(true, Ordering::AcqRel) && table.connections.contains_key(&connection.id) {
            table.strangers = table.strangers.saturating_sub(1);
        }
        if let Some(own) = connection.network {
            table.remember(own, now);
        }
    }
}

/// Whether a connection has no share of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exempt {
    /// It is a trusted proxy's.
    Yes,
    /// Any other.
    No,
}

impl Table {
    fn knows(&self, own: IpAddr, now: Millis) -> bool {
        self.known.get(&own).is_some_and(|at| now < at + KNOWN_FOR)
    }

    fn remember(&mut self, own: IpAddr, now: Millis) {
        if self.known.len() >= KNOWN {
            self.known.retain(|_, at| now < *at + KNOWN_FOR);
        }
        if self.known.len() < KNOWN || self.known.contains_key(&own) {
            self.known.insert(own, now);
        }
    }

    fn remove(&mut self, connection: &Connection) -> bool {
        if self.connections.remove(&connection.id).is_none() {
            return false;
        }
        self.strangers -= usize::from(!connection.is_known()).min(self.strangers);
        if let Some(own) = connection.network
            && let Some(count) = self.addresses.get_mut(&own)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&own);
            }
        }
        true
    }
}

impl Place {
    /// A whole head came: its request may be worked on unless the connection was told to leave just before.
    pub fn begins(&self, body: HasBody) -> bool {
        let next = if body == HasBody::Yes { Activity::Body } else { Activity::Work };
        self.connection.is_answered.store(false, Ordering::Release);
        let seen = self.connection.activity.load(Ordering::Acquire);
        activity(seen) != Activity::Leaving && self.connection.change(seen, packed(next, self.places.now()))
    }

    /// The body of its request came whole, or nobody reads on.
    pub fn body_received(&self) {
        let seen = self.connection.activity.load(Ordering::Acquire);
        if activity(seen) == Activity::Body {
            self.connection.change(seen, packed(Activity::Work, self.places.now()));
        }
    }

    /// Its answer is made. It is in work until that is written as well.
    pub fn answered(&self) {
        self.connection.is_answered.store(true, Ordering::Release);
    }

    /// All that was made is written.
    pub fn flushed(&self) {
        if !self.connection.is_answered.swap(false, Ordering::AcqRel) {
            return;
        }
        let seen = self.connection.activity.load(Ordering::Acquire);
        if activity(seen) != Activity::Leaving {
            self.connection.change(seen, packed(Activity::Idle, self.places.now()));
        }
    }

    /// Its caller showed a right credential.
    pub fn mark_known(&self) {
        self.places.mark_known_at(&self.connection, self.places.now());
    }

    /// Whether it is in a place that is kept for others, until it shows a right credential.
    pub fn is_on_probation(&self) -> bool {
        self.connection.on_probation.load(Ordering::Acquire)
    }

    /// Whether no request of it is in work: it sent no whole head since its last answer.
    pub fn waits_for_a_head(&self) -> bool {
        matches!(activity(self.connection.activity.load(Ordering::Acquire)), Activity::Headless | Activity::Idle)
    }

    /// Returns when it has to leave.
    pub async fn told_to_leave(&self) {
        self.connection.leave.notified().await;
    }
}

/// Whether a request has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HasBody {
    /// It has, or may have.
    Yes,
    /// It has none.
    No,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        if !table.remove(&self.connection) {
            table.leaving = table.leaving.saturating_sub(1);
        }
    }
}

impl Connection {
    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    fn change(&self, seen: u64, next: u64) -> bool {
        self.activity.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

fn packed(activity: Activity, now: Millis) -> u64 {
    now << 3 | activity as u64
}

fn activity(packed: u64) -> Activity {
    match packed & 7 {
        0 => Activity::Headless,
        1 => Activity::Idle,
        2 => Activity::Body,
        3 => Activity::Work,
        _ => Activity::Leaving,
    }
}

fn is_idle(packed: u64, patience: Millis, now: Millis) -> bool {
    let since = packed >> 3;
    match activity(packed) {
        Activity::Headless | Activity::Idle => now >= since + patience,
        Activity::Body => now >= since + patience.max(BODY_PATIENCE),
        Activity::Work | Activity::Leaving => false,
    }
}

/// When to come again where there is no place: something has left or ended by then.
pub const COME_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
