//! The proxy of one run: answers CONNECT to whoever has its password, for the step that goes on.

use super::policy::{Reach, StepReach};
use super::refusal::{Refusal, RefusalRule};
use super::relay::{Stream, relay};
use super::target::Target;
use super::{Egress, RunHosts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

/// Connections of one run. OpenTofu works on ten resources at once, and a provider keeps a few connections for each.
const CONNECTIONS: usize = 128;
/// A CONNECT has some hundred bytes and arrives at once: the client is on the same machine.
const HEAD_LIMIT: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Longest silence of a connection. Clients keep idle ones for a minute or two, and clouds answer slow calls within minutes.
const IDLE: Duration = Duration::from_secs(600);
/// Refusals of one run that are logged, each host once for each step; all are counted.
const LOGGED_REFUSALS: usize = 64;
/// Longest text of a refusal in an answer and in the log, in bytes.
const WORDS: usize = 1_024;
/// How long a listener that the system refuses (too many open files) rests.
const PAUSE: Duration = Duration::from_millis(100);
/// User of the proxy's URL; its password is what counts.
const USER: &str = "run";
/// What every client reaches without a proxy: the run's own loopback, where its state backend is.
const DIRECT: &str = "127.0.0.1,localhost,::1";

type Told = Box<dyn Fn(&Refusal) + Send + Sync>;

/// A run's proxy. Dropped, it takes no connection any more and cuts those that are open.
pub struct RunProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _end: DropGuard,
}

struct Shared {
    egress: Arc<Egress>,
    hosts: RunHosts,
    password: Zeroizing<String>,
    step: Mutex<Step>,
    seen: Mutex<Seen>,
    told: Told,
    places: Arc<Semaphore>,
    end: CancellationToken,
}

/// The step that goes on, and the end of its connections.
#[derive(Clone)]
struct Step {
    of: StepReach,
    end: CancellationToken,
}

/// Refusals so far.
#[derive(Default)]
struct Seen {
    /// Those that were told: each host once for each step.
    known: BTreeSet<(String, String)>,
    /// How many there were in the step that goes on.
    counts: BTreeMap<RefusalRule, u64>,
}

impl RunProxy {
    pub(super) fn start(
        egress: Arc<Egress>,
        listener: std::net::TcpListener,
        hosts: RunHosts,
        told: Told,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|why| io::Error::other(why.to_string()))?;
        let end = CancellationToken::new();
        // Nothing may be reached before the first step.
        let none = StepReach { step: "start".into(), reach: Reach::Cloud };
        let stopped = end.child_token();
        stopped.cancel();
        let shared = Arc::new(Shared {
            egress,
            hosts,
            password: Zeroizing::new(hex::encode(*bytes)),
            step: Mutex::new(Step { of: none, end: stopped }),
            seen: Mutex::default(),
            told,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            end: end.clone(),
        });
        tokio::spawn(accept(shared.clone(), listener));
        Ok(Self { shared, address, _end: end.drop_guard() })
    }

    /// A step begins: what the one before it opened is cut.
    pub fn begin(&self, step: StepReach) {
        let mut current = self.shared.step();
        current.end.cancel();
        *current = Step { of: step, end: self.shared.end.child_token() };
    }

    /// The step has ended: what it opened is cut, and nothing more is let through. How often each rule refused in it.
    pub fn end_step(&self) -> Vec<(RefusalRule, u64)> {
        self.shared.step().end.cancel();
        std::mem::take(&mut self.shared.seen().counts).into_iter().collect()
    }

    /// The variables that lead a client here, and past it to its own loopback. One of them holds the password.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let url = format!("http://{USER}:{}@{}", self.shared.password.as_str(), self.address);
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].map(|name| (name, url.clone()));
        let direct = ["NO_PROXY", "no_proxy"].map(|name| (name, DIRECT.to_owned()));
        proxies.into_iter().chain(direct).map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The password, for whoever keeps it out of texts.
    pub fn password(&self) -> &str {
        &self.shared.password
    }
}

impl Shared {
    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has the password. Without it nothing is said of hosts or steps.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::PROXY_AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Basic ")) else { return false };
        let Ok(given) = STANDARD.decode(given).map(Zeroizing::new) else { return false };
        let right = Zeroizing::new(format!("{USER}:{}", self.password.as_str()));
        given.as_slice().ct_eq(right.as_bytes()).into()
    }

    /// Counts a refusal, and tells of it where it is the first of its host and step.
    fn refused(&self, refusal: &Refusal) {
        {
            let mut seen = self.seen();
            *seen.counts.entry(refusal.rule).or_default() += 1;
            let key = (refusal.step.to_string(), refusal.target.clone());
            if seen.known.len() >= LOGGED_REFUSALS || !seen.known.insert(key) {
                return;
            }
        }
        (self.told)(refusal);
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One that finds no place is closed: its client comes again.
        let Ok(place) = shared.places.clone().try_acquire_owned() else { continue };
        tokio::spawn(serve(shared.clone(), stream, Arc::new(place)));
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, place: Arc<OwnedSemaphorePermit>) {
    // Without it the connection works and is slower.
    let _ = stream.set_nodelay(true);
    let end = shared.end.clone();
    let service = service_fn(move |request| {
        let (shared, place) = (shared.clone(), place.clone());
        async move { Ok::<_, Infallible>(answer(&shared, place, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEAD_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        _ = serving => {}
        () = end.cancelled() => {}
    }
}

async fn answer(
    shared: &Arc<Shared>,
    place: Arc<OwnedSemaphorePermit>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if !shared.admits(request.headers()) {
        let mut response = said(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "this proxy is for one run alone");
        let basic = header::HeaderValue::from_static("Basic realm=\"run\"");
        response.headers_mut().insert(header::PROXY_AUTHENTICATE, basic);
        return response;
    }
    let step = shared.step().clone();
    match open(shared, &step, &request).await {
        Ok(server) => {
            tokio::spawn(tunnel(step.end, place, request, server));
            Response::new(Full::default())
        }
        Err((status, refusal)) => {
            let refusal = Refusal { target: cut(&refusal.target), why: cut(&refusal.why), ..refusal };
            shared.refused(&refusal);
            said(status, &refusal.to_string())
        }
    }
}

/// The other side of what is asked for; or the answer, and what is told of it.
async fn open(
    shared: &Shared,
    step: &Step,
    request: &Request<Incoming>,
) -> Result<Box<dyn Stream>, (StatusCode, Refusal)> {
    let refused = |status, rule, target: String, why: String| {
        (status, Refusal { step: step.of.step.clone(), target, rule, cause: None, why })
    };
    if request.method() != Method::CONNECT {
        // Never the path or the query, which may hold a secret.
        let host = request.uri().host().unwrap_or("a request without a host").to_owned();
        let why = "was asked for without TLS, and only connections by CONNECT are let through: use https".to_owned();
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, RefusalRule::Form, host, why));
    }
    let target = Target::read(request.uri()).map_err(|why| {
        refused(StatusCode::BAD_REQUEST, RefusalRule::Form, "a connection".to_owned(), why.to_owned())
    })?;
    let opened = tokio::select! {
        biased;
        () = step.end.cancelled() => {
            let why = "was asked for while no step of the run went on".to_owned();
            return Err(refused(StatusCode::FORBIDDEN, RefusalRule::Step, target.to_string(), why));
        }
        opened = shared.egress.policy.open(&shared.hosts, &step.of, &target) => opened,
    };
    opened.map_err(|denied| {
        let unreachable = denied.rule == RefusalRule::Unreachable;
        let status = if unreachable { StatusCode::BAD_GATEWAY } else { StatusCode::FORBIDDEN };
        let (status, refusal) = refused(status, denied.rule, target.to_string(), denied.why);
        (status, Refusal { cause: denied.cause, ..refusal })
    })
}

/// Relays until the step ends.
async fn tunnel(
    end: CancellationToken,
    _place: Arc<OwnedSemaphorePermit>,
    request: Request<Incoming>,
    server: Box<dyn Stream>,
) {
    let relaying = async {
        if let Ok(client) = hyper::upgrade::on(request).await {
            relay(TokioIo::new(client), server, IDLE).await;
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = relaying => {}
    }
}

/// An answer whose words stand in its first line, too: that line is all that Go's clients show of it.
fn said(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{words}\n")));
    *response.status_mut() = status;
    let plain: String = words.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    if let Ok(reason) = ReasonPhrase::try_from(plain.into_bytes()) {
        response.extensions_mut().insert(reason);
    }
    response
}

fn cut(text: &str) -> String {
    crate::outbound::excerpt(text.as_bytes(), WORDS)
}
