//! Where a call runs, so that a plugin that burns time costs nobody else's.
//!
//! Guests run on threads that they share. One that spins holds its thread until the engine's next tick, and an answer that
//! takes 100 µs would wait 10 ms behind it, or behind sixty of them. So only what is short runs where the caller runs: the quick
//! lane. A call that has used up its slice there moves, as it is, to the slow lane: a few threads of the sandbox's own, which
//! the kernel runs when nobody else wants to. Where that lane is full, the call is dropped and begins again in its turn. A plugin whose call was long or failed begins in the slow lane for a while, so
//! guests that trap or eat memory all day are kept there too. Part of the slots is out of the slow lane's reach: the quick lane
//! never waits for it.
//!
//! What counts is CPU time of the thread, never the clock: a starved machine makes nobody guilty. No result depends on the
//! lane. This room knows neither engine nor contract; it moves futures.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument::WithSubscriber;

use crate::limits::{CALLS_PER_PLUGIN, PROBATION, QUICK_SLICE, SLOW_CALLS_AT_ONCE};

/// A tenth of the usual weight: enough to make way at once, and not so little that a busy machine starves a plugin that is
/// merely slow. Lowering one's own priority needs no right.
const NICE: i32 = 10;

/// A call as the lanes see it.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

tokio::task_local! {
    /// What the call that runs here has used.
    static SPENT: Arc<Spent>;
}

thread_local! {
    /// The thread's time when it took up the call that runs here.
    static BEGUN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A call's task ended without an answer. No plugin's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its task broke")]
pub(crate) struct Stopped;

/// The slow lane's threads and slots. The quick lane is wherever the caller is.
pub(crate) struct Lanes {
    /// There until it is dropped.
    slow: Option<Runtime>,
    slots: Arc<Semaphore>,
}

/// What is known of one plugin's manners.
pub(crate) struct Standing {
    known_since: Instant,
    /// End of the time in the slow lane, in milliseconds after `known_since`.
    slow_until: AtomicU64,
    /// Who waits for a turn in the slow lane holds nothing that another plugin's call needs.
    turns: Semaphore,
}

impl Default for Standing {
    fn default() -> Self {
        let turns = Semaphore::new(CALLS_PER_PLUGIN);
        Self { known_since: Instant::now(), slow_until: AtomicU64::new(0), turns }
    }
}

impl Standing {
    fn now(&self) -> u64 {
        u64::try_from(self.known_since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_slow(&self) -> bool {
        self.now() < self.slow_until.load(Ordering::Relaxed)
    }

    /// Lets the plugin's next calls begin in the slow lane.
    fn strike(&self) {
        let probation = u64::try_from(PROBATION.as_millis()).unwrap_or(u64::MAX);
        self.slow_until.fetch_max(self.now().saturating_add(probation), Ordering::Relaxed);
    }
}

impl Lanes {
    /// Starts the slow lane on half of the cores, so that a quota of CPU time is never spent on it alone.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / 2).max(1);
        let slow = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads)
            .thread_name("plugin-slow")
            .on_thread_start(step_back)
            .enable_time()
            .build()?;
        Ok(Self { slow: Some(slow), slots: Arc::new(Semaphore::new(SLOW_CALLS_AT_ONCE)) })
    }

    /// Runs one call of a plugin in the lane that it has earned, and remembers how it went. `call` begins it; that is done
    /// twice when it was long and had to make way, which a call without effects allows.
    pub(crate) async fn run<T: Send + 'static, E: Send + 'static, F>(
        &self,
        standing: &Arc<Standing>,
        call: impl Fn() -> F,
        is_fault: impl FnOnce(&E) -> bool,
    ) -> Result<Result<T, E>, Stopped>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let begin = || Metered::new(call(), standing);
        let done = if standing.is_slow() {
            self.slowly(standing, begin).await?
        } else {
            match quickly(begin()).await {
                Ended::Here(answer) => answer,
                Ended::Long(call) => {
                    match (standing.turns.try_acquire(), Arc::clone(&self.slots).try_acquire_owned()) {
                        (Ok(_turn), Ok(slot)) => self.in_slot(slot, call).await?,
                        // It gives back all that it holds before it waits.
                        no_room => {
                            drop((call, no_room));
                            self.slowly(standing, begin).await?
                        }
                    }
                }
            }
        };
        if done.as_ref().is_err_and(is_fault) {
            standing.strike();
        }
        Ok(done)
    }

    async fn slowly<T: Send + 'static>(
        &self,
        standing: &Standing,
        begin: impl FnOnce() -> Metered<T>,
    ) -> Result<T, Stopped> {
        let _turn = standing.turns.acquire().await.map_err(|_| Stopped)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Stopped)?;
        self.in_slot(slot, begin()).await
    }

    /// Who stops waiting ends the call.
    async fn in_slot<T: Send + 'static>(&self, slot: OwnedSemaphorePermit, call: Metered<T>) -> Result<T, Stopped> {
        let slow = self.slow.as_ref().ok_or(Stopped)?;
        call.spent.hold(slot);
        let task = AbortOnDropHandle::new(slow.spawn(call.with_current_subscriber()));
        task.await.map_err(|_| Stopped)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed where the last plugin may be dropped: in a task.
        if let Some(slow) = self.slow.take() {
            slow.shutdown_background();
        }
    }
}

enum Ended<T> {
    Here(T),
    Long(Metered<T>),
}

/// Polls a call where the caller is, until it ends or turns out to be long.
async fn quickly<T>(call: Metered<T>) -> Ended<T> {
    let mut held = Some(call);
    std::future::poll_fn(move |context| {
        let Some(call) = &mut held else { return Poll::Pending };
        match Pin::new(call).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Ended::Here(answer)),
            Poll::Pending => match held.take_if(|call| call.spent.is_long()) {
                Some(call) => Poll::Ready(Ended::Long(call)),
                None => Poll::Pending,
            },
        }
    })
    .await
}

/// A call whose CPU time is counted, on whichever thread it runs.
struct Metered<T> {
    work: Work<T>,
    spent: Arc<Spent>,
}

impl<T: 'static> Metered<T> {
    fn new(call: impl Future<Output = T> + Send + 'static, standing: &Arc<Standing>) -> Self {
        let spent =
            Arc::new(Spent { nanos: AtomicU64::new(0), standing: Arc::clone(standing), slot: Mutex::default() });
        Self { work: Box::pin(SPENT.scope(Arc::clone(&spent), call)), spent }
    }
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let begun = thread_time();
        BEGUN.set(begun);
        let polled = self.work.as_mut().poll(context);
        self.spent.add(thread_time().saturating_sub(begun));
        polled
    }
}

/// CPU time of one call so far, and whose it is: work that goes on when nobody waits for it any more counts as well.
struct Spent {
    nanos: AtomicU64,
    standing: Arc<Standing>,
    /// The slot in the slow lane, which is free when the last of the work has ended.
    slot: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Spent {
    fn add(&self, time: Duration) {
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.is_long() {
            self.standing.strike();
        }
    }

    fn hold(&self, slot: OwnedSemaphorePermit) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
    }

    fn is_long(&self) -> bool {
        u128::from(self.nanos.load(Ordering::Relaxed)) > QUICK_SLICE.as_nanos()
    }
}

/// CPU time of the call that runs on this thread, up to now; `None` outside of the lanes.
pub(crate) fn spent() -> Option<Duration> {
    let before = SPENT.try_with(|spent| Duration::from_nanos(spent.nanos.load(Ordering::Relaxed))).ok()?;
    Some(before + thread_time().saturating_sub(BEGUN.get()))
}

/// Does work on a thread where waiting is allowed, and counts it as the work of the call that asks for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let spent = SPENT.try_with(Arc::clone).ok();
    let counted = move || {
        let begun = thread_time();
        let done = work();
        if let Some(spent) = spent {
            spent.add(thread_time().saturating_sub(begun));
        }
        done
    };
    tokio::task::spawn_blocking(counted).await
}

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// On Linux a thread has a priority of its own. Where that cannot be lowered, the lane is only narrow.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "threads for long plugin calls keep their priority");
    }
}

#[cfg(test)]
mod tests;
