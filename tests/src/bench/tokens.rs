//! What wrong tokens cost right ones: the answer time of a caller with a right token, calm, beside ten thousand harmless requests
//! a second and beside as many with wrong tokens, in turns. Client and server share the machine, so the client's own work is
//! in the ratio to calm; in the ratio to harmless requests it is on both sides.
//!
//! Once with a file of tokens, where a wrong one is any word, and once with an OpenID provider, where each is another forged
//! one that only a check of its signature tells from a right one.

use crate::figure::{Figure, Goal, Unit, percentile};
use anyhow::{Context, ensure};
use catalyst_tests::host::Host;
use catalyst_tests::openid::{self, OpenId};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Wrong tokens a second; a tick of each connection is one of them.
const FLOOD: u32 = 10_000;
/// Connections that they come in by, and how often each asks: more of them than the host lets wait for a check, so that it
/// cannot slow the flood down by answering late. Their ticks are spread evenly: all at once would be a load of its own kind,
/// and the figure would be its length.
const CONNECTIONS: u32 = 1_000;
const TICK: Duration = Duration::from_millis(100);
/// Until all have asked a few times, and the host has seen what it has to do with.
const RISE: Duration = Duration::from_millis(500);
/// One slice of the caller with the right token, who asks this often.
const SLICE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(4);
const SLICES: usize = 5;
/// How many times as long a right one may take at most.
const MOST: f64 = 2.0;
const _: () = assert!(FLOOD as u128 * TICK.as_millis() == CONNECTIONS as u128 * 1_000);

/// A way to know callers, and what it takes for right and wrong.
struct Way {
    name: &'static str,
    env: Vec<(&'static str, String)>,
    right: String,
    wrong: Arc<dyn Fn(u64) -> String + Send + Sync>,
}

/// Requests of a flood, and how each answer's status begins.
#[derive(Clone)]
struct Load {
    request: Arc<dyn Fn(u64) -> String + Send + Sync>,
    expect: &'static str,
}

/// Right ones in a flood of wrong ones, in each way.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let provider = OpenId::start();
    let mut figures = among_wrong(listed(&folder.path().join("tokens"))?).await?;
    figures.extend(among_wrong(signed(&provider)).await?);
    Ok(figures)
}

/// By a file with one token.
fn listed(file: &std::path::Path) -> anyhow::Result<Way> {
    let made = Command::new(catalyst_tests::host::built("release/catalyst"))
        .args(["token", "new", "--name", "bench", "--scope", "read"])
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(file, &made.stdout)?;
    Ok(Way {
        name: "token",
        env: vec![("CATALYST_AUTH_TOKENS", file.display().to_string())],
        right: String::from_utf8(made.stderr)?.trim().to_owned(),
        wrong: Arc::new(|n| format!("catalyst_wrong{n}")),
    })
}

/// By an OpenID provider.
fn signed(provider: &OpenId) -> Way {
    let forgery = provider.forgery("bench");
    Way {
        name: "oidc",
        env: vec![
            ("CATALYST_OIDC_ISSUER", provider.issuer()),
            ("CATALYST_OIDC_AUDIENCE", openid::AUDIENCE.to_owned()),
            ("CATALYST_AUTH_SCOPES", "user:bench=read".to_owned()),
        ],
        right: provider.token("bench"),
        wrong: Arc::new(move |n| forgery.token(n)),
    }
}

async fn among_wrong(way: Way) -> anyhow::Result<Vec<Figure>> {
    let mut env = vec![crate::process::QUIET, ("CATALYST_AUTH", way.name)];
    env.extend(way.env.iter().map(|(name, value)| (*name, value.as_str())));
    let mut host = Host::prepare(&env);
    crate::disk::records(host.folder(), 100).await?;
    host.up();
    let state = format!("/api/v1/deployments/{:016x}", 7);
    let address = host.address().to_owned();
    let ask = move |path: &str, token: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n")
    };
    let right = ask(&state, &way.right);
    let calm_one = ask("/healthz", &way.right);
    let harmless = Load { request: Arc::new(move |_| calm_one.clone()), expect: "200" };
    let wrong = Load { request: Arc::new(move |n| ask(&state, &(way.wrong)(n))), expect: "4" };
    let (mut calm, mut busy, mut flooded) = (Vec::new(), Vec::new(), Vec::new());
    let mut rates = Vec::new();
    // The first slice of each warms up.
    for slice in 0..=SLICES {
        let alone = answers(host.address(), &right).await?;
        let (among_harmless, _) = beside(host.address(), &right, &harmless).await?;
        let (among_wrong, rate) = beside(host.address(), &right, &wrong).await?;
        if slice > 0 {
            calm.extend(alone);
            busy.extend(among_harmless);
            flooded.extend(among_wrong);
            rates.push(rate);
        }
    }
    for times in [&mut calm, &mut busy, &mut flooded] {
        times.sort_by(f64::total_cmp);
    }
    let rate = rates.iter().sum::<f64>() / rates.len() as f64;
    let figure = |percent, base: &str, times: &[f64]| {
        let name = format!("{}: a right token among {FLOOD} wrong ones a second, p{percent}", way.name);
        let goal = Goal::RatioAtMost(MOST);
        Figure::new(name, Unit::Seconds, percentile(&flooded, percent))
            .against(base, percentile(times, percent))
            .goal(goal)
    };
    Ok(vec![
        Figure::new(format!("{}: wrong tokens that were answered", way.name), Unit::PerSecond, rate)
            .against("offered", f64::from(FLOOD))
            .goal(Goal::RatioAtLeast(0.99)),
        figure(50, "calm", &calm),
        figure(99, "calm", &calm),
        figure(50, "as many harmless ones", &busy),
        figure(99, "as many harmless ones", &busy),
    ])
}

/// Answer times of the right request beside the load of another, and how many of that were answered a second.
async fn beside(address: &str, right: &str, load: &Load) -> anyhow::Result<(Vec<f64>, f64)> {
    let (stop, count) = (CancellationToken::new(), Arc::new(Count::default()));
    // One after the other before the first tick: connections that wait to be accepted would ask in bursts later.
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(connect(address).await?);
    }
    let begin = tokio::time::Instant::now();
    let one = |(n, stream)| {
        let begin = begin + TICK * n / CONNECTIONS;
        tokio::spawn(flood(stream, load.clone(), begin, count.clone(), stop.clone()))
    };
    let floods: Vec<_> = (0..CONNECTIONS).zip(streams).map(one).collect();
    tokio::time::sleep(RISE).await;
    let (begun, before) = (Instant::now(), count.answered.load(Ordering::Relaxed));
    let times = answers(address, right).await?;
    let answered = count.answered.load(Ordering::Relaxed) - before;
    let rate = answered as f64 / begun.elapsed().as_secs_f64();
    stop.cancel();
    for flood in floods {
        flood.await??;
    }
    Ok((times, rate))
}

#[derive(Default)]
struct Count {
    asked: AtomicU64,
    answered: AtomicU64,
}

async fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Answer times in seconds.
async fn answers(address: &str, request: &str) -> anyhow::Result<Vec<f64>> {
    let mut stream = connect(address).await?;
    let (until, mut times, mut rest) = (Instant::now() + SLICE, Vec::new(), Vec::new());
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let head = answer(&mut stream, &mut rest).await?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        times.push(begun.elapsed().as_secs_f64());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

/// Asks once at each tick; what falls behind is sent as soon as it can be.
async fn flood(
    mut stream: TcpStream,
    load: Load,
    begin: tokio::time::Instant,
    count: Arc<Count>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (mut ticks, mut rest) = (tokio::time::interval_at(begin, TICK), Vec::new());
    while !stop.is_cancelled() {
        ticks.tick().await;
        let request = (load.request)(count.asked.fetch_add(1, Ordering::Relaxed));
        stream.write_all(request.as_bytes()).await?;
        let head = answer(&mut stream, &mut rest).await?;
        ensure!(head["HTTP/1.1 ".len()..].starts_with(load.expect), "{head}");
        count.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes one whole answer and gives its head; what came behind it stays in `rest`.
async fn answer(stream: &mut TcpStream, rest: &mut Vec<u8>) -> anyhow::Result<String> {
    loop {
        if let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(rest[..end].to_vec())?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
            let whole = end + 4 + length.parse::<usize>()?;
            if rest.len() >= whole {
                rest.drain(..whole);
                return Ok(head);
            }
        }
        ensure!(stream.read_buf(rest).await? > 0, "the server closed");
    }
}
