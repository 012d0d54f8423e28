//! OpenTofu's `http` state backend on loopback: a thin wire over the store's state methods.
//!
//! Each run has its own credentials, which die with it. Knows no process and no file.
//! Wire: the `http` backend of OpenTofu 1.12 (GET, POST, LOCK, UNLOCK; 423 with the holder's info for a held lock).

use super::EngineError;
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
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// Largest state that is taken. A cluster's state is some hundred KiB; this is far above and still fits in memory.
pub(super) const STATE_LIMIT: usize = 32 * 1024 * 1024;

/// The listening backend.
pub(super) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// A listener of one run alone.
struct OwnListener(JoinHandle<()>);

impl Drop for OwnListener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shared {
    store: Arc<dyn Store>,
    open: Mutex<HashMap<DeploymentId, Open>>,
}

struct Open {
    password: Zeroizing<String>,
    failure: Option<String>,
}

/// One run's way to its state; closed when dropped.
pub(super) struct Access {
    id: DeploymentId,
    address: SocketAddr,
    shared: Arc<Shared>,
    own: Option<OwnListener>,
}

impl Backend {
    /// Listens on a free port of 127.0.0.1.
    pub(super) async fn start(store: Arc<dyn Store>) -> Result<Self, EngineError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(EngineError::Backend)?;
        let address = listener.local_addr().map_err(EngineError::Backend)?;
        let shared = Arc::new(Shared { store, open: Mutex::default() });
        let server = answer_at(listener, shared.clone());
        Ok(Self { address, shared, server })
    }

    /// Opens the state of one deployment under fresh credentials.
    pub(super) fn open(&self, id: &DeploymentId) -> Result<Access, String> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|why| format!("no randomness for the state's credentials: {why}"))?;
        let password = Zeroizing::new(hex::encode(*bytes));
        self.shared.lock().insert(id.clone(), Open { password, failure: None });
        Ok(Access { id: id.clone(), address: self.address, shared: self.shared.clone(), own: None })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn answer_at(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let router = Router::new().route("/state/{id}", any(serve)).with_state(shared);
    tokio::spawn(async move {
        if let Err(why) = axum::serve(listener, router).await {
            tracing::error!(error = %why, "OpenTofu's state backend stopped");
        }
    })
}

impl Access {
    /// Answers at this listener as well, which becomes the way of this run.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn listen(&mut self, listener: std::net::TcpListener) -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        self.address = listener.local_addr()?;
        self.own = Some(OwnListener(answer_at(TcpListener::from_std(listener)?, self.shared.clone())));
        Ok(())
    }

    /// The variables that configure the backend block of the work folder.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let address = format!("http://{}/state/{}", self.address, self.id);
        let password = self.shared.lock().get(&self.id).map(|open| open.password.to_string()).unwrap_or_default();
        [
            ("TF_HTTP_ADDRESS", address.clone()),
            ("TF_HTTP_LOCK_ADDRESS", address.clone()),
            ("TF_HTTP_UNLOCK_ADDRESS", address),
            ("TF_HTTP_LOCK_METHOD", "LOCK".to_owned()),
            ("TF_HTTP_UNLOCK_METHOD", "UNLOCK".to_owned()),
            ("TF_HTTP_USERNAME", self.id.to_string()),
            ("TF_HTTP_PASSWORD", password),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    /// What the store last refused to do in this run, if anything.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.lock().get(&self.id).and_then(|open| open.failure.clone())
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DeploymentId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, id: &DeploymentId, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Basic ")) else { return false };
        let Ok(given) = STANDARD.decode(given).map(Zeroizing::new) else { return false };
        let open = self.lock();
        let Some(open) = open.get(id) else { return false };
        let right = Zeroizing::new(format!("{id}:{}", open.password.as_str()));
        given.as_slice().ct_eq(right.as_bytes()).into()
    }

    fn answer(&self, id: &DeploymentId, result: Result<Response, StateError>) -> Response {
        match result {
            Ok(response) => response,
            Err(StateError::Locked { info }) => (StatusCode::LOCKED, info).into_response(),
            Err(why @ StateError::NotLocked) => (StatusCode::CONFLICT, why.to_string()).into_response(),
            Err(StateError::Storage(why)) => {
                tracing::error!(deployment.id = %id, error = %why, "OpenTofu's state was not kept or read");
                if let Some(open) = self.lock().get_mut(id) {
                    open.failure = Some(why.to_string());
                }
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
    let body = match axum::body::to_bytes(body, STATE_LIMIT).await {
        Ok(body) => body,
        Err(why) => return (StatusCode::PAYLOAD_TOO_LARGE, why.to_string()).into_response(),
    };
    let lock = query.get("ID").map(String::as_str);
    let result = match method.as_str() {
        "GET" => read(&shared, &id).await,
        "POST" => shared.store.put_state(&id, &body, lock).await.map(done),
        "LOCK" => shared.store.lock_state(&id, &body).await.map(done),
        "UNLOCK" => shared.store.unlock_state(&id, holder(&body).as_deref()).await.map(done),
        // DELETE is sent when a workspace is deleted, which no command of a run does; the store never forgets a state.
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    shared.answer(&id, result)
}

fn done((): ()) -> Response {
    StatusCode::OK.into_response()
}

async fn read(shared: &Shared, id: &DeploymentId) -> Result<Response, StateError> {
    Ok(match shared.store.state(id).await? {
        Some(state) => ([(header::CONTENT_TYPE, "application/json")], state).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The id in a lock's info; `tofu force-unlock` sends none.
fn holder(info: &Bytes) -> Option<String> {
    let info: serde_json::Value = serde_json::from_slice(info).ok()?;
    info.get("ID")?.as_str().map(str::to_owned)
}
