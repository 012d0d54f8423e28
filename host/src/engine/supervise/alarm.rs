//! A clock that goes on while a machine sleeps, and waiting for a point of it.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tokio::time::sleep;

/// How long a sleep of the machine may go unnoticed: the runtime's own clock stands still in it.
const LOOK: Duration = Duration::from_secs(1);

/// Now, in milliseconds of `CLOCK_BOOTTIME`.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let whole = u64::try_from(now.tv_sec).unwrap_or_default().saturating_mul(1_000);
    whole + u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default()
}

/// Returns when this point of the clock has come; never without one.
pub(super) async fn until(at_ms: Option<u64>) {
    loop {
        match at_ms.map(|at| at.saturating_sub(now_ms())) {
            Some(0) => return,
            Some(left) => sleep(Duration::from_millis(left).min(LOOK)).await,
            None => std::future::pending().await,
        }
    }
}
