//! Fan-out: many viewers of one deployment while OpenTofu talks. A program in OpenTofu's place says numbered lines with the
//! time in them; each viewer notes how old a line is when it comes. All of the host is on the way: pipe, masking, log on
//! disk, stream.

use crate::figure::{Figure, Goal, Unit, percentile};
use anyhow::{Context, ensure};
use catalyst_tests::host::Host;
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const VIEWERS: usize = 1_000;
const LINES: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(50);
/// Lines take 50 s; the rest is for a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
/// Viewers that connect at the same time: below the backlog of a listener.
const CONNECT_TOGETHER: usize = 100;

/// All of 1,000 viewers get each of 1,000 lines once; p99 of a line's age against that with one viewer.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let alone = watch(1, LINES / 10).await?;
    let crowd = watch(VIEWERS, LINES).await?;
    Ok(vec![
        Figure::time("delay p99 of a line, 1,000 viewers at 20 lines/s", percentile(&crowd, 99))
            .against("p99 of 1 viewer", percentile(&alone, 99).as_secs_f64())
            .goal(Goal::AtMost(0.2)),
        Figure::time("delay p50 of a line, 1,000 viewers at 20 lines/s", percentile(&crowd, 50))
            .against("p50 of 1 viewer", percentile(&alone, 50).as_secs_f64()),
        Figure::new("lines seen once by 1,000 viewers", Unit::Count, crowd.len() as f64)
            .against("lines said to them", (VIEWERS * LINES) as f64)
            .goal(Goal::RatioAtLeast(1.0)),
    ])
}

/// Ages of all lines at all viewers, sorted.
async fn watch(viewers: usize, lines: usize) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let gate = folder.path().join("open");
    let tofu = stand_in(folder.path(), &gate, lines)?;
    // The stand-in starts this program, which a confined OpenTofu could not.
    let settings = [crate::process::QUIET, ("CATALYST_TOFU_BIN", tofu.as_str()), ("CATALYST_TOFU_CONFINE", "off")];
    let host = Host::start(&settings);
    let mut body: serde_json::Value = serde_json::from_str(include_str!("../../../scripts/rehearsal.json"))?;
    body["rehearsalToken"] = json!("a-token-of-nobody");
    let created = host.api.post("/api/v1/deployments", &body.to_string());
    ensure!(created.status == 201, "{} {}", created.status, created.body);
    let created = created.json();
    let id = created["id"].as_str().context("no id")?;
    let mut tasks = Vec::with_capacity(viewers);
    while tasks.len() < viewers {
        let mut opened = Vec::new();
        for _ in 0..CONNECT_TOGETHER.min(viewers - tasks.len()) {
            opened.push(connect(host.address(), id).await?);
        }
        for stream in opened {
            tasks.push(tokio::spawn(tokio::time::timeout(LIMIT, view(stream, lines))));
        }
    }
    std::fs::write(&gate, "")?;
    let mut ages = Vec::with_capacity(viewers * lines);
    for task in tasks {
        ages.extend(task.await?.context("a viewer waited too long")??);
    }
    ages.sort();
    Ok(ages)
}

async fn connect(address: &str, id: &str) -> anyhow::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0, so that the stream comes without chunk marks and the viewer costs little.
    stream
        .write_all(format!("GET /api/v1/deployments/{id}/logs HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())
        .await?;
    let mut reader = BufReader::with_capacity(4 * 1024, stream);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    ensure!(line.contains(" 200 "), "{line}");
    Ok(reader)
}

/// Follows the stream to its end. Every line must come once and in order.
async fn view(mut stream: BufReader<TcpStream>, lines: usize) -> anyhow::Result<Vec<Duration>> {
    let mut ages = Vec::with_capacity(lines);
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the stream ended after {} lines", ages.len());
        if line.starts_with("event: done") {
            ensure!(ages.len() == lines, "{} of {lines} lines came", ages.len());
            return Ok(ages);
        }
        let Some((_, said)) = line.split_once("bench line ") else { continue };
        let mut words = said.split([' ', '"']);
        let mut next = || words.next().and_then(|word| word.parse::<u64>().ok()).context("not a line of ours");
        let (number, at) = (next()?, next()?);
        ensure!(number == ages.len() as u64, "line {number} came in place of {}", ages.len());
        ages.push(Duration::from_nanos(now_nanos()?.saturating_sub(at)));
    }
}

/// A script in OpenTofu's place, whose apply is [`say`]. It leaves no outputs, so the run ends as failed, and the streams
/// with it.
fn stand_in(folder: &Path, gate: &Path, lines: usize) -> anyhow::Result<String> {
    let script = format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"terraform_version\":\"1.12.6\"}}' ;;\n\
         apply) exec '{}' --say '{}' {lines} ;;\noutput) echo '{{}}' ;;\nesac\n",
        std::env::current_exe()?.display(),
        gate.display()
    );
    let path = folder.join("tofu");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// Waits for the gate, then says the lines as OpenTofu would, 20 a second.
pub fn say(gate: &Path, lines: usize) -> anyhow::Result<()> {
    let until = Instant::now() + LIMIT;
    while !gate.exists() {
        ensure!(Instant::now() < until, "the gate stayed closed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    for number in 0..lines {
        let due = begun + PAUSE * u32::try_from(number)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let message = format!("bench line {number} {}", now_nanos()?);
        writeln!(std::io::stdout(), "{}", json!({"@level": "info", "@message": message, "type": "log"}))?;
    }
    Ok(())
}

fn now_nanos() -> anyhow::Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}
