//! What neighbours' misbehaviour costs: every hostile guest that can be loaded is called again and again, each ends as its
//! entry says, and the 99th percentile of a well-behaved plugin's calls is compared with the same percentile alone.
//!
//! Windows alone and windows beside the crowd take turns, so that both see the same machine, and this test has a process of its
//! own, so that no other test is noise. A round pools its windows; most rounds must hold what was promised.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected by ending")]
#![allow(dead_code, reason = "what is not needed here serves the tests that share these tables")]

#[path = "../sandbox/fixtures.rs"]
mod fixtures;
#[path = "../sandbox/hostile/mod.rs"]
mod hostile;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catalyst_sandbox::{CallError, CallFailure, Limits, Provider, Sandbox, Settings};

use fixtures::{asks, edited, folder, guest};
use hostile::kinds::{End, Fear, Guest};
use hostile::raw::Raw;
use hostile::{all, bytes_of, call};

/// Guests that the crowd has at least.
const GUESTS: usize = 25;

/// Windows of each kind in one round, and calls of a window.
const WINDOWS: usize = 4;
const CALLS: usize = 250;

/// A pause between calls, as between requests: a caller who waits is who wakes behind others.
const PAUSE: Duration = Duration::from_micros(300);

/// A pause of a hostile caller, who is a client and no part of a guest.
const HOSTILE_PAUSE: Duration = Duration::from_millis(10);

/// How long the crowd goes on before it counts.
const WARM_UP: Duration = Duration::from_millis(100);

const ROUNDS: usize = 5;

/// What was promised.
const BOUND: f64 = 2.0;

/// A fear and the plugin that stands for it.
#[derive(Clone)]
struct Neighbour {
    fear: &'static Fear,
    plugin: Arc<Provider>,
}

/// Loads the guests that can be loaded, each under an id of its own, but those that are one guest under that guest's.
async fn load(good: &[u8]) -> (Arc<Sandbox>, Arc<Provider>, Vec<Neighbour>) {
    let limits = Limits { call_timeout: Duration::from_millis(700), ..Limits::default() };
    let sandbox = Sandbox::new(Settings { limits: limits.into(), ..Settings::default() }).expect("a sandbox");
    let mut files =
        BTreeMap::from([("good.wasm".to_owned(), good.to_vec()), ("hostile.wasm".to_owned(), guest("by_request"))]);
    let mut ids = Vec::new();
    for (number, fear) in all().filter(|fear| fear.end != End::Refused).enumerate() {
        let mut id = "hostile".to_owned();
        if matches!(fear.guest, Guest::Called(..)) {
            id = format!("guest{number:02}");
            files.insert(format!("{id}.wasm"), edited(&bytes_of(&fear.guest), "hostile", &id));
        }
        ids.push((fear, id));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let report = sandbox.load_folder(folder(&files).path()).await;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let plugin = |id: &str| sandbox.provider(id).expect("the guest serves");
    let neighbours = ids.iter().map(|(fear, id)| Neighbour { fear, plugin: plugin(id) }).collect();
    (Arc::clone(&sandbox), plugin("neighbour"), neighbours)
}

/// Callers who ask for the worst, again and again.
struct Crowd {
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn gather(neighbours: &[Neighbour]) -> Self {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let one = |neighbour: &Neighbour| {
            let (neighbour, stop, ended) = (neighbour.clone(), Arc::clone(&stop), Arc::clone(&ended));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let (_, answer) = call(&neighbour.plugin, &neighbour.fear.guest).await;
                    ended.fetch_add(u64::from(as_told(neighbour.fear, answer)), Ordering::Relaxed);
                    tokio::time::sleep(HOSTILE_PAUSE).await;
                }
            })
        };
        let tasks = neighbours.iter().map(one).collect();
        Self { stop, ended, tasks }
    }

    /// How many hostile calls came to their end. What is under way may go on for a tick.
    async fn part(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.abort();
            if let Err(error) = task.await {
                assert!(error.is_cancelled(), "a hostile caller: {error}");
            }
        }
        tokio::time::sleep(WARM_UP).await;
        self.ended.load(Ordering::Relaxed)
    }
}

/// Whether a call ended as its entry says; else it was not made to its end, for the crowd is large.
fn as_told(fear: &Fear, answer: Result<String, CallError>) -> bool {
    match answer {
        Ok(answer) => assert_eq!(fear.end, End::Harmless, "{}: {answer}", fear.name),
        Err(CallError { reason: CallFailure::Suspended { .. } | CallFailure::Host(_), .. }) => return false,
        Err(error) => {
            assert_eq!(End::of(&error.reason), fear.end, "{}: {error}", fear.name);
            assert!(error.to_string().contains(fear.words), "{}: {error}", fear.name);
        }
    }
    true
}

/// Calls on a worker of the runtime, where requests run.
async fn window(good: &Arc<Provider>, mut times: Vec<Duration>) -> Vec<Duration> {
    let good = Arc::clone(good);
    let calls = async move {
        for _ in 0..CALLS {
            tokio::time::sleep(PAUSE).await;
            let begun = Instant::now();
            good.validate(&asks("behave")).await.expect("the well-behaved one answers");
            times.push(begun.elapsed());
        }
        times
    };
    tokio::spawn(calls).await.expect("the calls end")
}

fn p99(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbours_calls_stay_quick_while_guests_misbehave() {
    let (_sandbox, good, neighbours) = load(&Raw::called("neighbour").build()).await;
    assert!(neighbours.len() >= GUESTS, "{}", neighbours.len());
    window(&good, Vec::new()).await;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (mut alone, mut beside, mut ended) = (Vec::new(), Vec::new(), 0);
        for _ in 0..WINDOWS {
            alone = window(&good, alone).await;
            let crowd = Crowd::gather(&neighbours);
            tokio::time::sleep(WARM_UP).await;
            beside = window(&good, beside).await;
            ended += crowd.part().await;
        }
        assert!(ended > GUESTS as u64, "only {ended} hostile calls went on");
        let (alone, beside) = (p99(&mut alone), p99(&mut beside));
        println!(
            "round {round}: p99 alone {:.0} µs, beside {} hostile guests {:.0} µs, {ended} of their calls ended",
            alone * 1e6,
            neighbours.len(),
            beside * 1e6
        );
        ratios.push(beside / alone);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    assert!(median <= BOUND, "beside hostile guests the p99 is {median:.2} times the p99 alone, of {ratios:.2?}");
}
