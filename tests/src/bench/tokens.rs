//! What wrong tokens cost right ones: the answer time of a caller with a right token, calm, beside ten thousand harmless requests
//! a second and beside as many with wrong tokens, in turns. Client and server share the machine, so the client's own work is
//! in the ratio to calm; in the ratio to harmless requests it is on both sides.

use crate::figure::{Figure, Goal, Unit, percentile};
use anyhow::{Context, ensure};
use catalyst_tests::host::Host;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Wrong tokens a second; a tick of each connection is one of them.
const FLOOD: u32 = 10_000;
/// Connections that they come in by, and how often each asks. Their ticks are spread evenly: all at once would be a load of
/// its own kind, and the figure would be its length.
const CONNECTIONS: u32 = 20;
const TICK: Duration = Duration::from_millis(2);
/// One slice of the caller with the right token, who asks this often.
const SLICE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(4);
const SLICES: usize = 5;
/// How many times as long a right one may take at most.
const MOST: f64 = 2.0;
const _: () = assert!(FLOOD as u128 * TICK.as_millis() == CONNECTIONS as u128 * 1_000);

/// Right ones in a flood of wrong ones.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tokens");
    let made = Command::new(catalyst_tests::host::built("release/catalyst"))
        .args(["token", "new", "--name", "bench", "--scope", "read"])
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(&file, &made.stdout)?;
    let token = String::from_utf8(made.stderr)?.trim().to_owned();
    let file = file.display().to_string();
    let mut host = Host::prepare(&[crate::process::QUIET, ("CATALYST_AUTH", "token"), ("CATALYST_AUTH_TOKENS", &file)]);
    crate::disk::records(host.folder(), 100).await?;
    host.up();
    let state = format!("/api/v1/deployments/{:016x}", 7);
    let ask = |path: &str, token: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", host.address())
    };
    let right = ask(&state, &token);
    let (harmless, wrong) = ((ask("/healthz", &token), "200"), (ask(&state, "catalyst_wrong"), "4"));
    let (mut calm, mut busy, mut flooded) = (Vec::new(), Vec::new(), Vec::new());
    let mut sent = 0;
    // The first slice of each warms up.
    for slice in 0..=SLICES {
        let alone = answers(host.address(), &right).await?;
        let (among_harmless, _) = beside(host.address(), &right, &harmless).await?;
        let (among_wrong, count) = beside(host.address(), &right, &wrong).await?;
        if slice > 0 {
            calm.extend(alone);
            busy.extend(among_harmless);
            flooded.extend(among_wrong);
            sent += count;
        }
    }
    for times in [&mut calm, &mut busy, &mut flooded] {
        times.sort_by(f64::total_cmp);
    }
    let rate = sent as f64 / (SLICE * u32::try_from(SLICES)?).as_secs_f64();
    let figure = |percent, base: &str, times: &[f64]| {
        let name = format!("a right token among {FLOOD} wrong ones a second, p{percent}");
        let goal = Goal::RatioAtMost(MOST);
        Figure::new(name, Unit::Seconds, percentile(&flooded, percent))
            .against(base, percentile(times, percent))
            .goal(goal)
    };
    Ok(vec![
        Figure::new("wrong tokens that were answered", Unit::PerSecond, rate)
            .against("offered", f64::from(FLOOD))
            .goal(Goal::RatioAtLeast(0.99)),
        figure(50, "calm", &calm),
        figure(99, "calm", &calm),
        figure(99, "as many harmless ones", &busy),
    ])
}

/// Answer times of the right request beside the load of another, and how often that was answered.
async fn beside(address: &str, right: &str, load: &(String, &'static str)) -> anyhow::Result<(Vec<f64>, u64)> {
    let (stop, count) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let one = |n: u32| {
        let begin = tokio::time::Instant::now() + TICK * n / CONNECTIONS;
        tokio::spawn(flood(address.to_owned(), load.clone(), begin, count.clone(), stop.clone()))
    };
    let floods: Vec<_> = (0..CONNECTIONS).map(one).collect();
    let times = answers(address, right).await?;
    let answered = count.load(Ordering::Relaxed);
    stop.cancel();
    for flood in floods {
        flood.await??;
    }
    Ok((times, answered))
}

/// Answer times in seconds.
async fn answers(address: &str, request: &str) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
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
    address: String,
    (request, expect): (String, &'static str),
    begin: tokio::time::Instant,
    count: Arc<AtomicU64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut ticks, mut rest) = (tokio::time::interval_at(begin, TICK), Vec::new());
    while !stop.is_cancelled() {
        ticks.tick().await;
        stream.write_all(request.as_bytes()).await?;
        let head = answer(&mut stream, &mut rest).await?;
        ensure!(head["HTTP/1.1 ".len()..].starts_with(expect), "{head}");
        count.fetch_add(1, Ordering::Relaxed);
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
