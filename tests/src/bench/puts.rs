//! PUTs of kubeconfigs, against the same system calls for the same two files without a server: kubeconfig and record are
//! each written beside their place, synced and renamed, and their folder is synced.

use crate::figure::{Figure, Goal, Unit, percentile};
use crate::requests::{ended, fqdn};
use anyhow::{Context, ensure};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::Host;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
/// Connections, or threads, of a round; with the PUTs of each.
const ROUNDS: [(usize, usize); 2] = [(1, 50), (32, 20)];
/// Rounds of each kind. Server and bare calls take turns, so that both see the same disk.
const TURNS: usize = 15;
/// Length of a kubeconfig that k3s writes.
const LENGTH: usize = 2_950;

/// One by one, and 32 at once.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let each: usize = ROUNDS.iter().map(|(threads, puts)| threads * puts).sum();
    let mut host = Host::prepare(&[crate::process::QUIET]);
    // The first turn of each kind warms up.
    let count = each * (TURNS + 1);
    let bare = Bare::beside(host.folder(), count)?;
    host.up();
    let mut figures = Vec::new();
    let mut next = 1;
    for (threads, puts) in ROUNDS {
        let mut turns = Vec::new();
        for turn in 0..=TURNS {
            let numbers = next..next + threads * puts;
            next = numbers.end;
            let requests: Vec<String> = numbers.clone().map(|number| request(host.address(), number)).collect();
            let first = numbers.start;
            let one = rate(threads, numbers.clone(), |numbers| {
                put_all(host.address(), &requests[numbers.start - first..numbers.end - first])
            })?;
            // What the server wrote is written again, byte for byte.
            let records = host.folder().join("deployments");
            let files = numbers.clone().map(|number| Ok(std::fs::read(record_file(&records, number))?));
            let files: Vec<Vec<u8>> = files.collect::<anyhow::Result<_>>()?;
            let other = rate(threads, numbers, |numbers| bare.write_all(numbers, first, &files))?;
            if turn > 0 {
                turns.push((one, other));
            }
        }
        // A shared disk changes its speed from second to second: the two halves of one turn are compared, and the turn in
        // the middle is shown.
        turns.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (served, bare) = percentile(&turns, 50);
        let how = if threads == 1 { "one by one".to_owned() } else { format!("{threads} at once") };
        figures.push(
            Figure::new(format!("PUT of a kubeconfig, {how}"), Unit::PerSecond, served)
                .against("the same system calls without a server", bare)
                .goal(Goal::RatioAtLeast(0.8)),
        );
    }
    Ok(figures)
}

/// Pieces of work a second, shared by so many threads.
fn rate(
    threads: usize,
    numbers: Range<usize>,
    work: impl Fn(Range<usize>) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<f64> {
    let (all, share) = (numbers.len(), numbers.len() / threads);
    let (begun, work) = (Instant::now(), &work);
    std::thread::scope(|scope| {
        let starts = numbers.step_by(share);
        let running: Vec<_> = starts.map(|start| scope.spawn(move || work(start..start + share))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(all as f64 / begun.elapsed().as_secs_f64())
}

/// PUTs over one kept connection.
fn put_all(address: &str, requests: &[String]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    for request in requests {
        stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        // 204 has no body.
        while !buffer[..filled].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer[filled..])?;
            ensure!(read > 0, "the server closed: {}", String::from_utf8_lossy(&buffer[..filled]));
            filled += read;
            ensure!(buffer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        }
    }
    Ok(())
}

fn request(address: &str, number: usize) -> String {
    let body = kubeconfig(number);
    let length = body.len();
    format!(
        "PUT /api/v1/deployments/{number:016x}/kubeconfig HTTP/1.1\r\nhost: {address}\r\n\
         authorization: Bearer {BEARER}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The two folders once more, without a server.
struct Bare {
    kubeconfigs: PathBuf,
    records: PathBuf,
}

impl Bare {
    /// Fills the host's folder of records, and this one's with the same files: a PUT replaces a record.
    fn beside(folder: &Path, count: usize) -> anyhow::Result<Self> {
        let bare = folder.join("bare");
        let (served, records, kubeconfigs) =
            (folder.join("deployments"), bare.join("deployments"), bare.join("kubeconfigs"));
        for folder in [&served, &records, &kubeconfigs] {
            std::fs::create_dir_all(folder)?;
        }
        let mut record = ended(1)?;
        record.kubeconfig_bearer_hash = sha256_hex(BEARER.as_bytes());
        let text = serde_json::to_string_pretty(&record)?;
        ensure!(text.contains(&fqdn(1)), "the record does not name its deployment");
        for number in 1..=count {
            // The name holds the id, so this renames both.
            let text = text.replace(record.id.as_str(), &format!("{number:016x}"));
            for folder in [&served, &records] {
                std::fs::write(record_file(folder, number), &text)?;
            }
        }
        rustix::fs::syncfs(File::open(folder)?).context("syncing what was prepared")?;
        Ok(Self { kubeconfigs, records })
    }

    fn write_all(&self, numbers: Range<usize>, first: usize, records: &[Vec<u8>]) -> anyhow::Result<()> {
        for number in numbers {
            let file = self.kubeconfigs.join(format!("{number:016x}.yaml"));
            replace(&self.kubeconfigs, &file, kubeconfig(number).as_bytes())?;
            replace(&self.records, &record_file(&self.records, number), &records[number - first])?;
        }
        Ok(())
    }
}

fn replace(folder: &Path, file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temp = file.with_extension("tmp");
    let mut written = File::options().write(true).create_new(true).mode(0o600).open(&temp)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&temp, file)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn record_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:016x}.json"))
}

fn kubeconfig(number: usize) -> String {
    let head = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: d\n  cluster:\n    server: https://192.0.2.7:6443\ncontexts:\n\
         - name: d\n  context: {{cluster: d, user: d}}\ncurrent-context: d\nusers:\n- name: d\n  user:\n    token: t{number}-"
    );
    let filler = "x".repeat(LENGTH - 1 - head.len());
    head + &filler + "\n"
}
