//! The accept loop: what a connection may cost before, between and after its requests, and how all of them end. It knows
//! sockets and hyper; what a request means is the router's.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
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

use super::rest::Rest;

/// What all connections together may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
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
/// Time for the last answers once everything else has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long to wait when the system has no file descriptor left: until some request has ended.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

// Refused at once rather than left waiting: a load balancer or a node then tries elsewhere or later, and an operator sees
// it in the trace. A connection in the backlog only looks like a host that hangs.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\n\
                       connection: close\r\ncontent-length: 76\r\n\r\n\
                       {\"error\":\"too-many-connections\",\"detail\":\"no place is free; try again soon\"}";

/// How the serving ends.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The process goes down: each connection gets the answer it waits for and no other.
    pub stop: CancellationToken,
    /// Nothing is worth an answer any more: no connection is taken.
    pub close: CancellationToken,
}

/// Serves until `stop` is cancelled; tells whoever comes then how it stands, one answer a connection, until `close` is; then
/// lets the requests in flight end, for a bounded time.
///
/// # Errors
/// The listener cannot be asked for its address.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, ends: Ends) -> io::Result<()> {
    listener.local_addr()?;
    let Ends { stop, close } = ends;
    let mut stopped_at: Option<Instant> = None;
    let places = Arc::new(Semaphore::new(limits.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
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
        if let Ok(place) = places.clone().try_acquire_owned() {
            let connection = connection(stream, peer, router.clone(), limits, stop.clone());
            let cut = cut.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = connection => {}
                    () = cut.cancelled() => {}
                }
                drop(place);
            });
        } else if let Ok(turn) = refusals.clone().try_acquire_owned() {
            tracing::warn!(peer.addr = %peer, limit = limits.connections, "no place for another connection");
            connections.spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                drop(turn);
            });
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, limits: Limits, stop: CancellationToken) {
    // Frames of a stream are small, and each should leave at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(ConnectInfo(peer));
        let body = Body::new(Rest::new(body, &head.headers));
        router.clone().oneshot(Request::from_parts(head, body))
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who comes while the process goes down gets one answer.
        .keep_alive(!stop.is_cancelled())
        .header_read_timeout(limits.head)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let came_late = stop.is_cancelled();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled(), if !came_late => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer.addr = %peer, %error, "a connection broke off");
    }
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

/// Says that there is no place. What the client sent is read on: an unread byte would make the system reset the
/// connection, and the answer would be lost.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_says_its_true_length() {
        let (head, body) = super::REFUSAL.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
