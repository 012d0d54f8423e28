//! What hostile guests cost a well-behaved plugin: its 99th percentile while they burn, eat, trap and flood without end, against
//! the same percentile alone. Windows of both kinds take turns, so that both see the same machine.

use crate::figure::{Figure, Goal, percentile};
use crate::requests::{context, distinct, to_host};
use anyhow::{Context, ensure};
use catalyst_domain::Request;
use catalyst_sandbox::{Provider, Sandbox, Settings};
use catalyst_tests::host::{built, hostile_guests};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What callers ask of every hostile plugin; each is asked by one caller without a pause, which fills all of its slots.
const MISBEHAVIOURS: [&str; 8] = ["loop", "loop in log", "memory", "trap", "recurse", "huge", "log", "many findings"];
/// Ids of the hostile plugins: one guest under names of one length.
const HOSTILE: [&str; 3] = ["hostile", "hostil1", "hostil2"];
/// Windows of each kind.
const WINDOWS: usize = 8;
/// Calls of one window; a percent of all windows' is some fifty.
const CALLS: usize = 600;
/// A pause between calls, as between requests: who waits is who wakes behind others.
const PAUSE: Duration = Duration::from_micros(200);
/// How long guests go on before it counts.
const WARM_UP: Duration = Duration::from_millis(100);
/// What was promised.
const GOAL: f64 = 2.0;

/// The two kinds of calls that are timed.
#[derive(Default)]
struct Times {
    trivial: Vec<Duration>,
    renders: Vec<Duration>,
}

impl Times {
    fn p99(mut self) -> [Duration; 2] {
        [&mut self.trivial, &mut self.renders].map(|times| {
            times.sort();
            percentile(times, 99)
        })
    }
}

/// Percentiles beside hostile guests, against those alone.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(built("plugins/hetzner.wasm"), folder.path().join("good.wasm"))?;
    let guest = std::fs::read(hostile_guests().join("by_request.wasm")).context("the hostile guest")?;
    for id in HOSTILE {
        std::fs::write(folder.path().join(format!("{id}.wasm")), renamed(&guest, HOSTILE[0], id))?;
    }
    let sandbox = Sandbox::new(Settings::default())?;
    let report = sandbox.load_folder(folder.path()).await;
    ensure!(report.failures.is_empty(), "{:?}", report.failures);
    let good = sandbox.provider("hetzner").context("the well-behaved plugin")?;
    let hostile = HOSTILE.map(|id| sandbox.provider(id));

    let inputs: Vec<Request> = distinct(CALLS).iter().map(to_host).collect::<anyhow::Result<_>>()?;
    let inputs = Arc::new(inputs);
    window(&good, &inputs, Times::default()).await?;
    let (mut alone, mut beside) = (Times::default(), Times::default());
    let mut ended = 0;
    for _ in 0..WINDOWS {
        alone = window(&good, &inputs, alone).await?;
        let crowd = Crowd::gather(hostile.iter().flatten());
        tokio::time::sleep(WARM_UP).await;
        beside = window(&good, &inputs, beside).await?;
        ended += crowd.part().await;
    }
    ensure!(ended > 0, "no hostile call went on meanwhile");
    let (alone, beside) = (alone.p99(), beside.p99());
    let figure = |what: &str, at: usize| {
        let name = format!("{what} p99 beside {} hostile callers", MISBEHAVIOURS.len() * HOSTILE.len());
        Figure::time(name, beside[at]).against("alone p99", alone[at].as_secs_f64()).goal(Goal::RatioAtMost(GOAL))
    };
    Ok(vec![figure("call", 0), figure("render", 1)])
}

/// The same guest under another id of the same length.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut renamed = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    for at in places {
        renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    renamed
}

/// Calls on a worker of the runtime, where requests run.
async fn window(good: &Arc<Provider>, inputs: &Arc<Vec<Request>>, mut times: Times) -> anyhow::Result<Times> {
    let (good, inputs) = (Arc::clone(good), Arc::clone(inputs));
    let task = tokio::spawn(async move {
        let context = context();
        for (index, request) in inputs.iter().enumerate() {
            tokio::time::sleep(PAUSE).await;
            let begun = Instant::now();
            let probes = good.credential_probe(&serde_json::Map::new()).await?;
            times.trivial.push(begun.elapsed());
            ensure!(probes.is_ok(), "{probes:?}");
            // A render is some ten trivial calls.
            if index % 4 == 0 {
                let begun = Instant::now();
                let bundle = good.render(request, &context).await?;
                times.renders.push(begun.elapsed());
                ensure!(bundle.is_ok(), "{bundle:?}");
            }
        }
        Ok(times)
    });
    task.await?
}

/// Callers who ask for the worst, again and again.
struct Crowd {
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn gather<'a>(plugins: impl Iterator<Item = &'a Arc<Provider>>) -> Self {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let one = |plugin: &Arc<Provider>, behaviour: &'static str| {
            let (plugin, stop, ended) = (Arc::clone(plugin), Arc::clone(&stop), Arc::clone(&ended));
            tokio::spawn(async move {
                let request = Request { org_name: behaviour.into(), ..Request::default() };
                while !stop.load(Ordering::Relaxed) {
                    // Where a plugin is not even called any more, its caller comes back soon.
                    if plugin.validate(&request).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let tasks = plugins.flat_map(|plugin| MISBEHAVIOURS.map(|behaviour| one(plugin, behaviour))).collect();
        Self { stop, ended, tasks }
    }

    /// How many hostile calls came to their end.
    async fn part(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.abort();
            // Its end is what is waited for, not its answer.
            let _ = task.await;
        }
        self.ended.load(Ordering::Relaxed)
    }
}
