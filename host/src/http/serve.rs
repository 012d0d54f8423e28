//! The accept loop: what a connection may cost before, between and after its requests, and how all of them end. It knows
//! sockets and hyper; what a request means is the router's.

use super::error::ApiError;
use super::places::{Exempt, Full, HasBody, Place, Places};
use super::rest::Rest;
use super::sender::TrustedProxies;
use super::too_many::TooMany;
use super::tracked::{Tracked, TrackedStream};
use super::whole_answer::whole_answer;
use crate::metrics::Metrics;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// What all connections together may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Of those, connections of one address (IPv6: of one /64), or requests in flight of one client of a trusted proxy.
    pub per_address: usize,
    /// Time for the whole head of a request, and for a connection to stay idle between two.
    pub head: Duration,
    /// Time for requests in flight to end, from the moment at which the process is asked to go down.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A viewer is one connection and some 30 KiB; many times what one wizard's users open.
            connections: 4_096,
            // Whoever has one address leaves as many to all others.
            per_address: 2_048,
            // A head is one packet or two; who needs longer holds a place that others want.
            head: Duration::from_secs(10),
            // As long as OpenTofu gets to stop: nobody waits for us then.
            drain: Duration::from_secs(20),
        }
    }
}

/// Largest head of a request in bytes; browsers and proxies send under 16 KiB.
const HEAD_BYTES: usize = 64 * 1024;
/// Connections that are being told that there is no place; past it they are closed without a word, which costs nothing.
const REFUSALS: usize = 64;
/// How long a refused client may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// Time for a head to come whole once the process goes down: a client that has just connected sends it at once, and whoever
/// does not would hold the end up for the whole time of a head.
const LAST_HEADS: Duration = Duration::from_secs(1);
/// Time for the last answers once everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long to wait when the system has no file descriptor left: until some request has ended.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

/// How often it is traced that connections are refused.
const TELL: Duration = Duration::from_secs(10);

/// How the serving ends.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The process goes down: each connection gets the answer it waits for and no other.
    pub stop: CancellationToken,
    /// Nothing is worth an answer any more: no connection is taken.
    pub close: CancellationToken,
}

/// What decides who gets in.
#[derive(Clone)]
pub struct Door {
    /// What connections may cost.
    pub limits: Limits,
    /// Peers whose connections are not counted as one client's.
    pub proxies: Arc<TrustedProxies>,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
}

/// Answers that the kernel keeps for a client that has not read them, in bytes; it takes twice as much. A page gets megabytes a
/// second across a continent with it, and 4,096 clients that read nothing hold 512 MiB at most.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client may read nothing of what was sent, in milliseconds: longer than a network is away that comes back.
const UNREAD_MILLIS: u32 = 30_000;

/// Serves until `stop` is cancelled; tells whoever comes then how it stands, one answer a connection, until `close` is; then
/// lets the requests in flight end, for a bounded time.
///
/// # Errors
/// The listener cannot be asked for its address.
pub async fn serve(listener: TcpListener, router: Router, door: Door, ends: Ends) -> io::Result<()> {
    listener.local_addr()?;
    let (Ends { stop, close }, limits) = (ends, door.limits);
    let mut stopped_at: Option<Instant> = None;
    let places = Places::new(limits.connections, limits.per_address);
    let mut refusals = Refusals::new(limits.per_address, door.metrics.clone());
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => break,
            () = stop.cancelled(), if stopped_at.is_none() => {
                stopped_at = Some(Instant::now());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let exempt = if door.proxies.trusts(peer.ip()) { Exempt::Yes } else { Exempt::No };
        match places.enter(peer.ip(), exempt) {
            Ok(place) => {
                let place = Arc::new(place);
                let connection = connection(stream, peer, place.clone(), router.clone(), limits, stop.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = place.told_to_leave() => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
            Err(full) => {
                if let Some(refusal) = refusals.of(full, stream) {
                    connections.spawn(refusal);
                }
            }
        }
    }
    drop(listener);
    connections.close();
    // Whoever had time while the rest of the process ended has had it.
    let gone = stopped_at.map(|at| at.elapsed()).unwrap_or_default();
    let left = limits.drain.saturating_sub(gone).max(LAST_ANSWERS);
    if tokio::time::timeout(left, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not end in time and are cut");
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: Arc<Place>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    // Frames of a stream are small, and each should leave at once.
    let _ = stream.set_nodelay(true);
    // A client that reads nothing must not hold the kernel's memory, nor its place.
    let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
    let _ = sockopt::set_tcp_user_timeout(&stream, UNREAD_MILLIS);
    let stream = TrackedStream::new(stream, place.clone());
    let came_late = stop.is_cancelled();
    let of_service = place.clone();
    let service = service_fn(move |request| answer(request, peer, of_service.clone(), router.clone()));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who comes while the process goes down gets one answer.
        .keep_alive(!came_late)
        .header_read_timeout(if came_late { LAST_HEADS } else { limits.head })
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled(), if !came_late => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = sent_no_head(&place) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer.addr = %peer, %error, "a connection broke off");
    }
}

/// Returns after the time for last heads where none came; else never.
async fn sent_no_head(place: &Place) {
    tokio::time::sleep(LAST_HEADS).await;
    if !place.waits_for_a_head() {
        std::future::pending::<()>().await;
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    place: Arc<Place>,
    router: Router,
) -> Result<Response<Tracked>, Infallible> {
    let (mut head, body) = request.into_parts();
    let has_body = if body.is_end_stream() { HasBody::No } else { HasBody::Yes };
    if !place.begins(has_body) {
        // The connection ends where it was told to leave, and nothing is begun on it.
        std::future::pending::<()>().await;
    }
    head.extensions.insert(ConnectInfo(peer));
    head.extensions.insert(place.clone());
    let body = Body::new(Rest::new(body, &head.headers, place.clone()));
    let response = router.oneshot(Request::from_parts(head, body)).await?;
    let (mut head, body) = response.into_parts();
    if place.is_on_probation() {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let in_flight = head.extensions.remove();
    Ok(Response::from_parts(head, Tracked::new(body, place, in_flight)))
}

async fn accept_failed(error: &io::Error) {
    use io::ErrorKind as K;
    // The client went away before we came to it.
    if matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused) {
        return;
    }
    tracing::error!(%error, "cannot accept a connection");
    tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
}

/// Refused at once rather than left waiting: a load balancer or a node then tries elsewhere or later, and an operator sees it
/// in the trace. A connection in the backlog only looks like a host that hangs.
struct Refusals {
    /// For addresses at their share, and for all; apart, so that one address does not keep the others from their word.
    turns: [Arc<Semaphore>; 2],
    answers: [Arc<str>; 2],
    metrics: Arc<Metrics>,
    untold: u64,
    told: Option<Instant>,
}

impl Refusals {
    fn new(per_address: usize, metrics: Arc<Metrics>) -> Self {
        let turns = [(); 2].map(|()| Arc::new(Semaphore::new(REFUSALS)));
        let answers = [ApiError::TooMany(TooMany::InFlight(per_address)), ApiError::NoPlace];
        Self { turns, answers: answers.map(|error| whole_answer(error).into()), metrics, untold: 0, told: None }
    }

    /// What is to be done with a connection that gets no place; nothing where too many are being told already.
    fn of(&mut self, full: Full, stream: TcpStream) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (which, reason) = match full {
            Full::Address => (0, "address"),
            Full::All => (1, "all"),
        };
        self.metrics.connection_refused(reason);
        self.untold += 1;
        if self.told.is_none_or(|at| at.elapsed() >= TELL) {
            tracing::warn!(reason, count = self.untold, "no place for more connections");
            (self.untold, self.told) = (0, Some(Instant::now()));
        }
        let turn = self.turns[which].clone().try_acquire_owned().ok()?;
        let answer = self.answers[which].clone();
        Some(async move {
            let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream, &answer)).await;
            drop(turn);
        })
    }
}

/// Says that there is no place. What the client sent is read on: an unread byte would make the system reset the
/// connection, and the answer would be lost.
async fn refuse(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
