//! Where a call runs, so that a plugin that burns time costs nobody else's.
//!
//! Guests run on threads that they share. One that spins holds its thread until the engine's next tick, and an answer that
//! takes 100 µs would wait 10 ms behind it, or behind sixty of them. So only what is short runs where the caller runs: the quick
//! lane. A call that has used up its slice there moves, as it is, to the slow lane: a few threads of the sandbox's own, which
//! the kernel runs when nobody else wants to. A plugin whose call was long or failed begins in the slow lane for a while, so
//! guests that trap or eat memory all day are kept there too. Part of the slots is out of the slow lane's reach: the quick lane
//! never waits for it.
//!
//! What counts is CPU time of the thread, never the clock: a starved machine makes nobody guilty. No result depends on the
//! lane. This room knows neither engine nor contract; it moves futures.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument::WithSubscriber;

use crate::limits::{CALLS_PER_PLUGIN, PROBATION, QUICK_SLICE, SLOW_CALLS_AT_ONCE};

/// The lowest priority there is. Lowering one's own needs no right.
const NICE: i32 = 19;

/// A call as the lanes see it.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

tokio::task_local! {
    /// What the call that runs here has used.
    static SPENT: Arc<Spent>;
}

/// Why a call came to no end in a lane. No plugin's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// It turned out to be long, and there are as many long calls as there may be.
    #[error("too many long calls are under way")]
    Busy,
    /// Its task ended without an answer.
    #[error("its task broke")]
    Broken,
}

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
    /// Waiting for the slow lane holds nothing that another plugin's call needs.
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

    /// Runs one call of a plugin in the lane that it has earned, and remembers how it went.
    pub(crate) async fn run<T: Send + 'static, E: Send + 'static>(
        &self,
        standing: &Standing,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
        is_fault: impl FnOnce(&E) -> bool,
    ) -> Result<Result<T, E>, Stopped> {
        let spent = Arc::new(Spent::default());
        let call = Metered { work: Box::pin(SPENT.scope(Arc::clone(&spent), call)), spent: Arc::clone(&spent) };
        let done = if standing.is_slow() {
            let _turn = standing.turns.acquire().await.map_err(|_| Stopped::Broken)?;
            self.slowly(call).await
        } else {
            match quickly(call).await {
                Ended::Here(answer) => Ok(answer),
                Ended::Long(call) => {
                    standing.strike();
                    let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Stopped::Busy)?;
                    self.in_slot(slot, call).await
                }
            }
        };
        if spent.is_long() || matches!(&done, Ok(Err(error)) if is_fault(error)) {
            standing.strike();
        }
        done
    }

    /// Runs in the slow lane what nobody waits for impatiently.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stopped> {
        let spent = Arc::new(Spent::default());
        self.slowly(Metered { work: Box::pin(SPENT.scope(Arc::clone(&spent), work)), spent }).await
    }

    async fn slowly<T: Send + 'static>(&self, call: Metered<T>) -> Result<T, Stopped> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Stopped::Broken)?;
        self.in_slot(slot, call).await
    }

    /// Who stops waiting ends the call.
    async fn in_slot<T: Send + 'static>(&self, slot: OwnedSemaphorePermit, call: Metered<T>) -> Result<T, Stopped> {
        let slow = self.slow.as_ref().ok_or(Stopped::Broken)?;
        let task = async move {
            let answer = call.await;
            drop(slot);
            answer
        };
        let task = AbortOnDropHandle::new(slow.spawn(task.with_current_subscriber()));
        task.await.map_err(|_| Stopped::Broken)
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

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let begun = thread_time();
        let polled = self.work.as_mut().poll(context);
        self.spent.add(thread_time().saturating_sub(begun));
        polled
    }
}

/// CPU time of one call so far, in nanoseconds.
#[derive(Default)]
struct Spent(AtomicU64);

impl Spent {
    fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_long(&self) -> bool {
        u128::from(self.0.load(Ordering::Relaxed)) > QUICK_SLICE.as_nanos()
    }
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
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let begun = thread_time();
        while thread_time().saturating_sub(begun) < time {
            std::hint::spin_loop();
        }
    }

    fn place() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    /// The names of the threads on which a call begins and ends, with this much work before it yields.
    async fn places(lanes: &Lanes, standing: &Standing, work: Duration, end: Result<(), ()>) -> [String; 2] {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let see = Arc::clone(&seen);
        let call = async move {
            see.lock().unwrap().push(place());
            burn(work);
            tokio::task::yield_now().await;
            see.lock().unwrap().push(place());
            end
        };
        assert_eq!(lanes.run(standing, call, |()| true).await, Ok(end));
        let seen = seen.lock().unwrap();
        [seen[0].clone(), seen[1].clone()]
    }

    #[tokio::test]
    async fn a_long_call_moves_and_the_next_one_begins_aside() {
        let (lanes, standing) = (Lanes::start().unwrap(), Standing::default());
        let here = place();
        let short = places(&lanes, &standing, Duration::ZERO, Ok(())).await;
        assert_eq!(short, [here.clone(), here.clone()]);
        let long = places(&lanes, &standing, QUICK_SLICE * 2, Ok(())).await;
        assert_eq!(long, [here.as_str(), "plugin-slow"]);
        assert!(standing.is_slow());
        assert_eq!(places(&lanes, &standing, Duration::ZERO, Ok(())).await, ["plugin-slow", "plugin-slow"]);
        // Another plugin's calls stay where they are.
        let other = Standing::default();
        assert_eq!(places(&lanes, &other, Duration::ZERO, Err(())).await[1], here, "it failed after it ran");
        assert!(other.is_slow(), "a failure counts too");
    }

    #[tokio::test]
    async fn waiting_is_no_work_and_work_elsewhere_is() {
        let (lanes, standing) = (Lanes::start().unwrap(), Standing::default());
        let waits = async {
            tokio::time::sleep(QUICK_SLICE * 4).await;
            Ok::<(), ()>(())
        };
        assert_eq!(lanes.run(&standing, waits, |()| true).await, Ok(Ok(())));
        assert!(!standing.is_slow());
        let reads = async {
            blocking(|| burn(QUICK_SLICE * 2)).await.unwrap();
            Ok::<(), ()>(())
        };
        assert_eq!(lanes.run(&standing, reads, |()| true).await, Ok(Ok(())));
        assert!(standing.is_slow());
    }

    #[tokio::test]
    async fn the_slow_lane_is_full_at_its_limit_and_who_leaves_makes_room() {
        let lanes = Lanes::start().unwrap();
        let forever = || async {
            burn(QUICK_SLICE * 2);
            tokio::task::yield_now().await;
            std::future::pending::<Result<(), ()>>().await
        };
        let standings: Vec<Standing> = (0..=SLOW_CALLS_AT_ONCE).map(|_| Standing::default()).collect();
        let mut waiting = Vec::new();
        for standing in &standings[1..] {
            let mut call = Box::pin(lanes.run(standing, forever(), |()| true));
            assert!(futures_poll(&mut call).await.is_none());
            waiting.push(call);
        }
        assert_eq!(lanes.run(&standings[0], forever(), |()| true).await, Err(Stopped::Busy));
        drop(waiting);
        let ended = lanes.run(&standings[0], async { Ok::<(), ()>(()) }, |()| true);
        assert_eq!(ended.await, Ok(Ok(())));
    }

    /// One poll.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| match Pin::new(&mut *future).poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
