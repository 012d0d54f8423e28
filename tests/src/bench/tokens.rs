//! What wrong tokens cost right ones: the answer time of a caller with a right token, calm and while ten thousand wrong ones
//! come in each second, in turns. Client and server share the machine, so the flood's own cost is in the ratio too.

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

/// Wrong tokens a second.
const FLOOD: u64 = 10_000;
/// Connections that they come in by, and how often each sends a handful.
const CONNECTIONS: u64 = 20;
const TICK: Duration = Duration::from_millis(20);
/// One slice of the caller with the right token, who asks this often.
const SLICE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(4);
const SLICES: usize = 5;

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
    let request = |token: &str| {
        format!("GET {state} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", host.address())
    };
    let (right, wrong) = (request(&token), request("catalyst_wrong"));
    let (mut calm, mut flooded, mut sent) = (Vec::new(), Vec::new(), 0);
    // The first slice of each warms up.
    for slice in 0..=SLICES {
        let alone = answers(host.address(), &right).await?;
        let (stop, count) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let one = || tokio::spawn(flood(host.address().to_owned(), wrong.clone(), count.clone(), stop.clone()));
        let floods: Vec<_> = (0..CONNECTIONS).map(|_| one()).collect();
        let beside = answers(host.address(), &right).await?;
        stop.cancel();
        for flood in floods {
            flood.await??;
        }
        if slice > 0 {
            calm.extend(alone);
            flooded.extend(beside);
            sent += count.load(Ordering::Relaxed);
        }
    }
    calm.sort_by(f64::total_cmp);
    flooded.sort_by(f64::total_cmp);
    let rate = sent as f64 / (SLICE * u32::try_from(SLICES)?).as_secs_f64();
    let figure = |percent| {
        Figure::new(
            format!("a right token among {FLOOD} wrong ones a second, p{percent}"),
            Unit::Seconds,
            percentile(&flooded, percent),
        )
        .against("calm", percentile(&calm, percent))
    };
    Ok(vec![
        Figure::new("wrong tokens that were answered", Unit::PerSecond, rate).against("offered", FLOOD as f64),
        figure(50).goal(Goal::RatioAtMost(2.0)),
        figure(99),
    ])
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

/// Sends a handful at each tick and reads the refusals; what falls behind is sent at the next one.
async fn flood(address: String, request: String, count: Arc<AtomicU64>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let handful = usize::try_from(FLOOD / CONNECTIONS * TICK.as_millis() as u64 / 1_000)?;
    let (all, mut rest) = (request.repeat(handful), Vec::new());
    let mut ticks = tokio::time::interval(TICK);
    while !stop.is_cancelled() {
        ticks.tick().await;
        stream.write_all(all.as_bytes()).await?;
        for _ in 0..handful {
            let head = answer(&mut stream, &mut rest).await?;
            ensure!(head.starts_with("HTTP/1.1 4"), "{head}");
            count.fetch_add(1, Ordering::Relaxed);
        }
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
