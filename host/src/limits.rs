//! What one subject may ask of the host: requests in a time, deployments that are live, and runs that wait. It counts, and
//! must not know routes, records' contents or sockets.

mod lanes;
mod live;
mod rates;
mod subject;

pub use lanes::Lanes;
pub use live::{Ledger, LiveFault, RunGoing, Slot};
pub use rates::{BadRate, Rate, Rates};
pub use subject::{Subject, network};

use std::num::NonZeroU32;
use std::time::Duration;

/// Creates of one subject that are worked on at once, and as many previews; the others of that subject wait. Two of them keep a plugin and
/// the disk busy while two more wait for a name server or the pool-domain manager; more would only make others wait.
pub const CREATES_AT_ONCE: usize = 4;

/// The limits of each subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Creates; and, counted apart, retries and destroys.
    pub creates: Rate,
    /// Previews, checks and other questions that cost a plugin call, a key or a call to the outside.
    pub questions: Rate,
    /// Deployments that have not come to their end.
    pub live: usize,
    /// Deployments whose run waits for a free place.
    pub waiting: usize,
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

impl Default for Settings {
    fn default() -> Self {
        let in_ten_minutes =
            |thousands: u32| Rate { count: NonZeroU32::MIN.saturating_add(thousands * 1_000 - 1), period: TEN_MINUTES };
        Self {
            // A thousand at once is what one team ever does, and each may be sent again.
            creates: in_ten_minutes(3),
            // Pages ask at each key that is typed.
            questions: in_ten_minutes(6),
            // Each has a task, a log and a bundle: some 100 KiB.
            live: 2_000,
            waiting: 2_000,
        }
    }
}
