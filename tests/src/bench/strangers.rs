//! What strangers cost everybody else: 4,300 half requests of one address, slow bodies of another and 10,000 creates of a third,
//! while a fourth hands in kubeconfigs and reads states. Beside it, in turns, the same load on a server that only accepts and
//! reads, on the same cores, while the host serves the same calls: what client and system take is on both sides.
//!
//! The load is offered evenly and whatever the answers are, so a server cannot make it smaller by answering late or closing.

use crate::figure::{Figure, Goal, Unit, percentile};
use crate::requests::ended;
use anyhow::{Context, ensure};
use catalyst_domain::kubeconfig::sha256_hex;
use catalyst_tests::host::{Host, wait_for};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Half requests that are open at once, and how long each is left open before it is opened anew.
const HALVES: usize = 4_300;
const HALF_OPEN: Duration = Duration::from_secs(2);
/// Bodies that come a byte a second.
const SLOW_BODIES: usize = 200;
/// Creates in all, over the slices under attack, and connections that they come in by.
const CREATES: usize = 10_000;
const CREATORS: usize = 50;
/// Calls of each kind, in all, and the pause between two calls.
const CALLS: usize = 2_000;
const PAUSE: Duration = Duration::from_millis(4);
/// Slices of each side; a first pair warms up, with fewer calls.
const SLICES: usize = 4;
const WARM_UP: usize = 50;
/// Time for the load to stand before the first call.
const RISE: Duration = Duration::from_secs(1);
/// Longest wait for one call; what takes longer counts as so long.
const LIMIT: Duration = Duration::from_secs(10);
/// How many times as long a call may take at most.
const MOST: f64 = 2.0;

const HALVES_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BODIES_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CREATES_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const GOOD_FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const BEARER: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

/// Answer times in seconds.
#[derive(Default)]
struct Times {
    puts: Vec<f64>,
    gets: Vec<f64>,
}

/// PUT and GET of a fourth address among them, against the same beside a sink.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    room_for_connections()?;
    let per_slice = CALLS / SLICES;
    let mut host = Host::prepare(&[crate::process::QUIET]);
    plant(&host, 2 * (per_slice * SLICES + WARM_UP))?;
    host.up();
    let sink = Sink::start()?;
    let address: SocketAddr = host.address().parse()?;
    let (mut attacked, mut calm) = (Times::default(), Times::default());
    let (next, made) = (AtomicUsize::new(1), Arc::new(AtomicUsize::new(0)));
    let answers = Arc::new(Answers::default());
    for slice in 0..=SLICES {
        eprintln!("  slice {slice} of {SLICES}");
        for (target, times) in [(sink.address, &mut calm), (address, &mut attacked)] {
            let load = Load::begin(target, made.clone(), (target == address).then(|| answers.clone()));
            tokio::time::sleep(RISE).await;
            let seen = calls(address, &next, if slice == 0 { WARM_UP } else { per_slice }).await?;
            load.end().await;
            if slice > 0 {
                times.puts.extend(seen.puts);
                times.gets.extend(seen.gets);
            }
        }
    }
    // Else the load would not be what it is called.
    let (made, limited) = (answers.made.load(Ordering::Relaxed), answers.limited.load(Ordering::Relaxed));
    ensure!(made > 0 && limited > 0, "of the creates {made} got 201 and {limited} got 429");
    for times in [&mut attacked.puts, &mut attacked.gets, &mut calm.puts, &mut calm.gets] {
        times.sort_by(f64::total_cmp);
    }
    let figure = |name: &str, percent, attacked: &[f64], calm: &[f64]| {
        Figure::new(
            format!("{name} of one address among strangers, p{percent}"),
            Unit::Seconds,
            percentile(attacked, percent),
        )
        .against("the same load on a sink", percentile(calm, percent))
    };
    Ok(vec![
        figure("PUT", 50, &attacked.puts, &calm.puts),
        figure("PUT", 99, &attacked.puts, &calm.puts).goal(Goal::RatioAtMost(MOST)),
        figure("GET", 50, &attacked.gets, &calm.gets),
        figure("GET", 99, &attacked.gets, &calm.gets).goal(Goal::RatioAtMost(MOST)),
    ])
}

/// What the host answered to the creates.
#[derive(Default)]
struct Answers {
    made: AtomicUsize,
    limited: AtomicUsize,
}

impl Answers {
    fn count(&self, head: &str) {
        match head.get(9..12) {
            Some("201") => self.made.fetch_add(1, Ordering::Relaxed),
            Some("429") => self.limited.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Records that each take one kubeconfig.
fn plant(host: &Host, count: usize) -> anyhow::Result<()> {
    let folder = host.folder().join("deployments");
    std::fs::create_dir_all(&folder)?;
    let mut record = ended(1)?;
    record.kubeconfig_bearer_hash = sha256_hex(BEARER.as_bytes());
    let text = serde_json::to_string_pretty(&record)?;
    for number in 1..=count {
        let text = text.replace(record.id.as_str(), &format!("{number:016x}"));
        std::fs::write(folder.join(format!("{number:016x}.json")), text)?;
    }
    Ok(())
}

/// PUTs and GETs by turns, offered evenly.
async fn calls(address: SocketAddr, next: &AtomicUsize, count: usize) -> anyhow::Result<Times> {
    let mut times = Times::default();
    let mut stream = connect(GOOD_FROM, address).await?;
    let mut ticks = interval_at(Instant::now(), PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..count {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = kubeconfig(number);
        let path = format!("/api/v1/deployments/{number:016x}");
        let put = format!(
            "PUT {path}/kubeconfig HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {BEARER}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let get = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        for (request, status, seen) in [(put, "204", &mut times.puts), (get, "200", &mut times.gets)] {
            ticks.tick().await;
            let begun = Instant::now();
            stream.write_all(request.as_bytes()).await?;
            let answer =
                tokio::time::timeout(LIMIT, answer(&mut stream)).await.context("a call was not answered")??;
            ensure!(answer[9..].starts_with(status), "{answer}");
            seen.push(begun.elapsed().as_secs_f64());
        }
    }
    Ok(times)
}

/// Everything that strangers do at once.
struct Load {
    tasks: JoinSet<()>,
}

impl Load {
    fn begin(target: SocketAddr, made: Arc<AtomicUsize>, answers: Option<Arc<Answers>>) -> Self {
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        for n in 0..HALVES {
            // Spread over the whole time that each is open, so that as many come in every moment.
            let first = begin + spread(HALF_OPEN, n, HALVES);
            tasks.spawn(half_requests(target, first));
        }
        for n in 0..SLOW_BODIES {
            tasks.spawn(slow_bodies(target, begin + spread(RISE, n, SLOW_BODIES)));
        }
        let slices = u32::try_from(SLICES).unwrap_or(u32::MAX);
        let slice = RISE + PAUSE * u32::try_from(2 * CALLS / SLICES).unwrap_or(u32::MAX);
        let pause =
            slice * slices * u32::try_from(CREATORS).unwrap_or(u32::MAX) / u32::try_from(CREATES).unwrap_or(u32::MAX);
        for n in 0..CREATORS {
            let first = begin + spread(pause, n, CREATORS);
            tasks.spawn(creates(target, first, pause, made.clone(), answers.clone()));
        }
        Self { tasks }
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

fn spread(over: Duration, n: usize, of: usize) -> Duration {
    over.mul_f64(n as f64 / of as f64)
}

/// Opens a connection, sends half a head, and opens the next one when its time is over, whatever became of it.
async fn half_requests(target: SocketAddr, first: Instant) {
    let mut ticks = interval_at(first, HALF_OPEN);
    let mut held = None;
    loop {
        ticks.tick().await;
        drop(held.take());
        if let Ok(mut stream) = connect(HALVES_FROM, target).await {
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ").await;
            held = Some(stream);
        }
    }
}

/// Sends a body a byte a second, and begins anew where it is cut off.
async fn slow_bodies(target: SocketAddr, first: Instant) {
    let mut ticks = interval_at(first, Duration::from_secs(1));
    let mut held: Option<TcpStream> = None;
    loop {
        ticks.tick().await;
        let sent = match &mut held {
            Some(stream) => stream.write_all(b" ").await.is_ok(),
            None => false,
        };
        if !sent {
            held = connect(BODIES_FROM, target).await.ok();
            if let Some(stream) = &mut held {
                let head = b"POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n{";
                let _ = stream.write_all(head).await;
            }
        }
    }
}

/// Creates, one at each tick; a tick that comes while an answer is out is sent as soon as it is there.
async fn creates(
    target: SocketAddr,
    first: Instant,
    pause: Duration,
    made: Arc<AtomicUsize>,
    answers: Option<Arc<Answers>>,
) {
    let mut ticks = interval_at(first, pause);
    let mut held: Option<TcpStream> = None;
    loop {
        ticks.tick().await;
        let stream = match held.take() {
            Some(stream) => Ok(stream),
            None => connect(CREATES_FROM, target).await,
        };
        let Ok(mut stream) = stream else { continue };
        let body = create_body(made.fetch_add(1, Ordering::Relaxed));
        let length = body.len();
        let request =
            format!("POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(request.as_bytes()).await.is_ok()
            && let Ok(head) = answer(&mut stream).await
        {
            answers.iter().for_each(|answers| answers.count(&head));
            held = Some(stream);
        }
    }
}

fn create_body(number: usize) -> String {
    let text = include_str!("../../../scripts/rehearsal.json");
    let named = text.replace("one.rehearsal.example.test", &format!("n{number}.rehearsal.example.test"));
    named.replacen('{', "{\"rehearsalToken\": \"a-token-of-nobody\",", 1)
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    // Else the ports of thousands of closed connections a second would rest for a minute each, and run out.
    stream.set_zero_linger()?;
    Ok(stream)
}

/// Takes one whole answer and gives its head. One request is out at a time, so nothing comes behind it.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut whole = Vec::new();
    loop {
        if let Some(end) = whole.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(whole[..end].to_vec())?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if whole.len() >= end + 4 + length.parse::<usize>()? {
                return Ok(head);
            }
        }
        ensure!(stream.read_buf(&mut whole).await? > 0, "the server closed");
    }
}

fn kubeconfig(number: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: d\n  cluster:\n    server: https://192.0.2.7:6443\ncontexts:\n\
         - name: d\n  context: {{cluster: d, user: d}}\ncurrent-context: d\nusers:\n- name: d\n  user:\n    token: t{number}\n"
    )
}

/// Room for both ends of the load.
fn room_for_connections() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = 16_384;
    let most = now.maximum.map_or(wanted, |hard| hard.min(wanted));
    ensure!(most >= 2 * HALVES as u64, "the hard limit of open files must be {} at least", 2 * HALVES);
    setrlimit(Resource::Nofile, Rlimit { current: now.current.map(|soft| soft.max(most)), maximum: now.maximum })?;
    Ok(())
}

/// The sink as a process of its own, ended when dropped.
struct Sink {
    child: Child,
    address: SocketAddr,
}

impl Sink {
    fn start() -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, catalyst_tests::host::free_port()));
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args(["--sink", &address.to_string()]).stdin(Stdio::null()).spawn()?;
        let sink = Self { child, address };
        wait_for("the sink", LIMIT, || std::net::TcpStream::connect(address).ok());
        Ok(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Accepts and reads, and gives each whole request the same short answer.
pub async fn sink(address: &str) -> anyhow::Result<()> {
    room_for_connections()?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(swallow(stream));
    }
}

async fn swallow(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut seen).await? > 0, "the client closed");
        let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&seen[..end])?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let whole = end + 4 + length.parse::<usize>()?;
        if seen.len() >= whole {
            seen.drain(..whole);
            stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}").await?;
        }
    }
}
