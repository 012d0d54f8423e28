//! Refused requests by peer: the first at once, the next ones together.

use super::line::Line;
use super::writer::{Job, Writer};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One line per peer, reason and subject in so much time.
const TELL: Duration = Duration::from_secs(60);
/// Kinds that are told apart; what comes beside them is counted as of one peer without a name.
const MOST: usize = 1_000;
/// The same for those who proved nothing: whoever has many addresses writes some 20 MB a day and no more.
const MOST_UNPROVED: usize = 100;
/// The reason that only who is known comes to.
const OF_THE_KNOWN: &str = "forbidden";
/// Stands for all who are not told apart.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

type Key = (IpAddr, &'static str, String);

/// What is still to be told.
pub struct Refusals {
    writer: Writer,
    stop: CancellationToken,
    untold: Mutex<HashMap<Key, Untold>>,
}

#[derive(Default)]
struct Untold {
    count: u64,
    action: &'static str,
}

impl Untold {
    fn line(&self, (peer, reason, subject): &Key) -> Line {
        let peer = if *peer == OTHERS { "others".to_owned() } else { peer.to_string() };
        Line::refused(peer, reason, subject.clone(), self.action, self.count)
    }
}

impl Refusals {
    pub fn new(writer: Writer, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { writer, stop, untold: Mutex::default() })
    }

    pub fn count(self: &Arc<Self>, peer: IpAddr, reason: &'static str, subject: Option<&str>, action: &'static str) {
        let mut key = (peer, reason, subject.unwrap_or_default().to_owned());
        let mut untold = self.untold();
        let most = if reason == OF_THE_KNOWN { MOST } else { MOST_UNPROVED };
        if untold.len() >= most && !untold.contains_key(&key) {
            key = (OTHERS, reason, String::new());
        }
        let telling = untold.contains_key(&key);
        let entry = untold.entry(key.clone()).or_default();
        entry.count = entry.count.saturating_add(1);
        entry.action = action;
        if !telling {
            let this = self.clone();
            tokio::spawn(async move { this.tell(&key).await });
        }
    }

    async fn tell(&self, key: &Key) {
        while let Some(line) = self.take(key) {
            self.writer.try_send(Job::Line(line.text(), None));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(TELL) => {}
            }
        }
    }

    /// Everything that is still to be told.
    pub fn take_all(&self) -> Vec<Line> {
        self.untold().drain().filter(|(_, untold)| untold.count > 0).map(|(key, untold)| untold.line(&key)).collect()
    }

    /// What there is to tell. When there is nothing, the kind is forgotten.
    fn take(&self, key: &Key) -> Option<Line> {
        let mut all = self.untold();
        match all.get_mut(key).map(std::mem::take) {
            Some(untold) if untold.count > 0 => Some(untold.line(key)),
            _ => {
                all.remove(key);
                None
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<Key, Untold>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
