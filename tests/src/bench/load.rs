//! Requests a second over kept connections, with `/healthz` of the same process as the ceiling. Client and server share the
//! machine, so only the ratio says something.

use crate::figure::{Figure, Goal, Unit, percentile};
use anyhow::{Context, bail, ensure};
use catalyst_tests::host::Host;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 64;
/// One slice of load; the two routes take turns, so that both see the same machine.
const SLICE: Duration = Duration::from_secs(1);
const SLICES: usize = 7;
/// Most requests of one connection in one slice: a bound, never reached by a real server.
const REQUESTS: usize = 100_000;

/// `GET …/{id}` against `GET /healthz`.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut host = Host::prepare(&[crate::process::QUIET]);
    crate::disk::records(host.folder(), 100).await?;
    host.up();
    let state = format!("/api/v1/deployments/{:016x}", 7);
    let (mut states, mut ceilings) = (Vec::new(), Vec::new());
    // The first slice of each warms up.
    for slice in 0..=SLICES {
        let ceiling = rate(host.address(), "/healthz").await?;
        let given = rate(host.address(), &state).await?;
        if slice > 0 {
            ceilings.push(ceiling);
            states.push(given);
        }
    }
    states.sort_by(f64::total_cmp);
    ceilings.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("GET a deployment, 64 connections", Unit::PerSecond, percentile(&states, 50))
            .against("/healthz", percentile(&ceilings, 50))
            .goal(Goal::RatioAtLeast(0.8)),
    ])
}

/// Requests a second in one slice.
async fn rate(address: &str, path: &str) -> anyhow::Result<f64> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let begun = Instant::now();
    let connections: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(ask(address.to_owned(), request.clone(), begun + SLICE))).collect();
    let mut requests = 0;
    for connection in connections {
        requests += connection.await??;
    }
    Ok(requests as f64 / begun.elapsed().as_secs_f64())
}

async fn ask(address: String, request: String, until: Instant) -> anyhow::Result<usize> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut requests = 0;
    while requests < REQUESTS && Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut buffer).await?;
        requests += 1;
    }
    Ok(requests)
}

/// Reads one whole answer with a known length.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the server closed, or its answer is longer than the buffer");
        filled += read;
        let text = &buffer[..filled];
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        ensure!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(text));
        let length = length(&text[..end])?;
        match filled.cmp(&(end + 4 + length)) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => bail!("more than was asked for"),
        }
    }
}

fn length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    let value = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no content-length")?;
    Ok(value.parse()?)
}
