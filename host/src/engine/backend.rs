//! OpenTofu's `http` state backend: a thin wire over the store's state methods, for one run.
//!
//! Each run has a listener and credentials of its own, which end with it: what another run learnt of them leads nowhere. Knows no
//! process and no file.
//!
//! A state is acknowledged when it is on disk. One that the disk does not take is held in memory and written again while OpenTofu
//! waits for its answer, for a bounded time of each outage; then OpenTofu is told that it failed, and what is held is written when
//! the disk is well ([`super::held`]).
//!
//! Wire: the `http` backend of OpenTofu 1.12 (GET, POST, LOCK, UNLOCK; 423 with the holder's info for a held lock).

mod outage;

use super::held::{HeldStates, STATE_LIMIT};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst_domain::DeploymentId;
use catalyst_store::{StateError, Store};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use outage::Outage;
pub(super) use outage::{LONGEST_WAIT, MAKE_ROOM, Patience};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

/// Longest time for a body: its sender is on this machine.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Longest time for a head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a listener that the system refuses rests.
const PAUSE: Duration = Duration::from_millis(100);
/// First pause between two tries to write a state, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Connections of one run: OpenTofu has one or two. A run that holds all of them holds its own state up alone.
const CONNECTIONS: usize = 16;

/// One run's way to its state. Dropped, it takes no connection any more and answers nobody.
pub(super) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

struct Shared {
    store: Arc<dyn Store>,
    held: Arc<HeldStates>,
    id: DeploymentId,
    password: Zeroizing<String>,
    outage: Outage,
    end: CancellationToken,
    /// Bodies are read one after the other: a run has one state.
    reading: tokio::sync::Mutex<()>,
}

impl Backend {
    /// Serves the state of one deployment on a listener, under fresh credentials.
    ///
    /// # Errors
    /// The listener cannot be used, or the system gives no randomness.
    pub(super) fn serve(
        store: Arc<dyn Store>,
        held: Arc<HeldStates>,
        id: &DeploymentId,
        listener: std::net::TcpListener,
        patience: Patience,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|why| io::Error::other(why.to_string()))?;
        let password = Zeroizing::new(hex::encode(*bytes));
        let (end, outage) = (CancellationToken::new(), Outage::new(patience));
        let (id, reading) = (id.clone(), tokio::sync::Mutex::default());
        let shared = Arc::new(Shared { store, held, id, password, outage, end: end.clone(), reading });
        let router = Router::new().route("/state/{id}", any(serve)).with_state(shared.clone());
        tokio::spawn(answer_all(listener, router, end.clone()));
        Ok(Self { address, shared, _end: end.drop_guard() })
    }

    /// The variables that configure the backend block of the work folder.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let address = format!("http://{}/state/{}", self.address, self.shared.id);
        [
            ("TF_HTTP_ADDRESS", address.clone()),
            ("TF_HTTP_LOCK_ADDRESS", address.clone()),
            ("TF_HTTP_UNLOCK_ADDRESS", address),
            ("TF_HTTP_LOCK_METHOD", "LOCK".to_owned()),
            ("TF_HTTP_UNLOCK_METHOD", "UNLOCK".to_owned()),
            ("TF_HTTP_USERNAME", self.shared.id.to_string()),
            ("TF_HTTP_PASSWORD", self.shared.password.to_string()),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    /// What the store refused to do in this run and did not do since, if anything.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.outage.failure()
    }

    /// The password, for whoever keeps it out of texts.
    pub(super) fn password(&self) -> &str {
        &self.shared.password
    }
}

/// Takes connections until the run ends, a bounded number at a time.
async fn answer_all(listener: TcpListener, router: Router, end: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, place)) => drop(tokio::spawn(answer(stream, place, router.clone(), end.clone()))),
            // Too many open files, for one.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(stream: TcpStream, _place: OwnedSemaphorePermit, router: Router, end: CancellationToken) {
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    tokio::select! {
        // How it ended is OpenTofu's business.
        _ = serving.as_mut() => {}
        () = end.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

impl Shared {
    fn admits(&self, id: &DeploymentId, headers: &HeaderMap) -> bool {
        if *id != self.id || self.end.is_cancelled() {
            return false;
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Basic ")) else { return false };
        let Ok(given) = STANDARD.decode(given).map(Zeroizing::new) else { return false };
        let right = Zeroizing::new(format!("{id}:{}", self.password.as_str()));
        given.as_slice().ct_eq(right.as_bytes()).into()
    }

    /// The kept state. OpenTofu asks for it before it hands over the first one, so a disk that cannot be read is waited for as well.
    async fn get(&self) -> Result<Option<Vec<u8>>, StateError> {
        let (mut pause, until) = (PAUSES.0, self.outage.wait_until(Instant::now()));
        loop {
            let error = match self.store.state(&self.id).await {
                Err(StateError::Storage(error)) if !self.store.is_shut() => error,
                other => return other,
            };
            let Some(until) = until else { return Err(StateError::Storage(error)) };
            tokio::select! {
                () = self.end.cancelled() => return Err(StateError::Storage(error)),
                () = self.outage.over(until) => return Err(StateError::Storage(error)),
                () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    /// Keeps a state, waiting for a disk that does not take it as long as this run has patience.
    async fn put(&self, state: Bytes, lock: Option<&str>) -> Result<(), StateError> {
        let mut pause = PAUSES.0;
        loop {
            let mut error = match self.store.put_state(&self.id, &state, lock).await {
                Ok(()) => {
                    self.held.forget(&self.id);
                    return Ok(());
                }
                Err(StateError::Storage(error)) => error,
                Err(other) => return Err(other),
            };
            if let Err(fault) = self.held.hold(&self.id, state.clone()) {
                // OpenTofu writes a copy of its own, and the run's error says why there is none here.
                error.why = format!("{}; {fault}", error.why);
                return Err(StateError::Storage(error));
            }
            let until = self.outage.began(&error).filter(|_| !self.store.is_shut());
            let Some(until) = until else { return Err(StateError::Storage(error)) };
            tokio::select! {
                () = self.end.cancelled() => return Err(StateError::Storage(error)),
                () = self.outage.over(until) => return Err(StateError::Storage(error)),
                () = sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    fn answer(&self, method: &Method, result: Result<Response, StateError>) -> Response {
        match result {
            Ok(response) => {
                self.outage.ended(method);
                response
            }
            Err(StateError::Locked { info }) => (StatusCode::LOCKED, info).into_response(),
            Err(why @ StateError::NotLocked) => (StatusCode::CONFLICT, why.to_string()).into_response(),
            Err(StateError::Storage(why)) => {
                tracing::error!(deployment.id = %self.id, error = %why, "OpenTofu's state was not kept or read");
                self.outage.failed(method, &why);
                (StatusCode::SERVICE_UNAVAILABLE, why.to_string()).into_response()
            }
        }
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(id) = DeploymentId::parse(&id) else { return StatusCode::NOT_FOUND.into_response() };
    if !shared.admits(&id, &headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")]).into_response();
    }
    if body.size_hint().lower() > STATE_LIMIT as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    // Read only now, so that nobody without credentials makes us hold a body.
    let _reading = shared.reading.lock().await;
    let body = match timeout(BODY_TIME, axum::body::to_bytes(body, STATE_LIMIT)).await {
        Ok(Ok(body)) => body,
        Ok(Err(why)) => return (StatusCode::PAYLOAD_TOO_LARGE, why.to_string()).into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let lock = query.get("ID").map(String::as_str);
    let result = match method.as_str() {
        "GET" => read(&shared).await,
        "POST" => shared.put(body, lock).await.map(done),
        "LOCK" => shared.store.lock_state(&id, &body).await.map(done),
        "UNLOCK" => shared.store.unlock_state(&id, holder(&body).as_deref()).await.map(done),
        // DELETE is sent when a workspace is deleted, which no command of a run does; the store never forgets a state.
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    shared.answer(&method, result)
}

fn done((): ()) -> Response {
    StatusCode::OK.into_response()
}

async fn read(shared: &Shared) -> Result<Response, StateError> {
    Ok(match shared.get().await? {
        Some(state) => ([(header::CONTENT_TYPE, "application/json")], state).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The id in a lock's info; `tofu force-unlock` sends none.
fn holder(info: &Bytes) -> Option<String> {
    #[derive(Deserialize)]
    struct LockInfo {
        #[serde(rename = "ID")]
        id: String,
    }
    serde_json::from_slice(info).ok().map(|LockInfo { id }| id)
}
