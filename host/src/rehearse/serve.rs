//! How the double answers: discovery, lists, watches and one pod's log, as far as clients of Kubernetes ask.
//!
//! It only reads. Source: the Kubernetes API reference (list, watch, bookmarks, `Status`).

use super::cluster::World;
use super::objects::{Kind, NAMESPACE};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use futures::stream;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, rustls};

/// Connections at once: a host, a person with kubectl, and their retries.
const MAX_CONNECTIONS: usize = 64;
/// Longest TLS handshake and longest wait for a request's headers.
const GREETING: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which is mostly a lack of file descriptors.
const BREATH: Duration = Duration::from_millis(100);
/// Length of a watch whose client says nothing, and the longest.
const WATCH: Duration = Duration::from_secs(300);
const MAX_WATCH: Duration = Duration::from_secs(3600);
/// A quiet watch tells its place that often.
const BOOKMARK: Duration = Duration::from_secs(10);

/// Accepts connections until it is aborted.
pub(super) async fn accept(listener: TcpListener, tls: Arc<rustls::ServerConfig>, world: Arc<World>) {
    let acceptor = TlsAcceptor::from(tls);
    let app = Router::new().fallback(answer).with_state(world);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropped with this task, and every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(app.clone()));
        connections.spawn(async move {
            let _slot = slot;
            let Ok(Ok(stream)) = timeout(GREETING, acceptor.accept(stream)).await else { return };
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(GREETING);
            // A client that goes away in the middle is no event here.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|token| token.strip_prefix("Bearer ")).unwrap_or_default();
    if !bool::from(token.as_bytes().ct_eq(world.token.as_bytes())) {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    }
    if request.method() != Method::GET {
        let message = "this is the double of a cluster; it only answers questions";
        return status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
    }
    let query = Query::read(request.uri().query().unwrap_or_default());
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match path.as_slice() {
        ["healthz" | "livez" | "readyz"] => "ok".into_response(),
        ["version"] => Json(version()).into_response(),
        ["api"] => {
            Json(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})).into_response()
        }
        ["apis"] => Json(groups()).into_response(),
        ["api", rest @ ..] => api("", rest, &query, world),
        ["apis", group, rest @ ..] => api(group, rest, &query, world),
        _ => not_found(),
    }
}

fn api(group: &str, path: &[&str], query: &Query, world: Arc<World>) -> Response {
    let Some((version, rest)) = path.split_first() else { return not_found() };
    let api_version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
    let find = |plural: &str| Kind::ALL.into_iter().find(|k| k.api_version() == api_version && k.plural() == plural);
    match rest {
        [] => resources(&api_version),
        [plural] | ["namespaces", NAMESPACE, plural] => match find(plural) {
            Some(kind) => many(kind, query, world),
            None => not_found(),
        },
        // Another namespace is there and empty, as on a real cluster.
        ["namespaces", _, plural] => match find(plural) {
            Some(kind) => Json(list(kind, Vec::new(), 0)).into_response(),
            None => not_found(),
        },
        ["namespaces", NAMESPACE, plural, name] => {
            let Some(kind) = find(plural) else { return not_found() };
            let (objects, _) = world.list(kind);
            let found = objects.into_iter().find(|object| object["metadata"]["name"] == *name);
            found.map_or_else(not_found, |object| Json(object).into_response())
        }
        ["namespaces", NAMESPACE, "pods", _, "log"] if find("pods").is_some() => log(query, world),
        _ => not_found(),
    }
}

fn many(kind: Kind, query: &Query, world: Arc<World>) -> Response {
    if kind == Kind::HelmRelease {
        world.watched.notify_one();
    }
    if query.is("watch", "true") || query.is("watch", "1") {
        return watch(kind, query, world);
    }
    let (objects, version) = world.list(kind);
    let objects = objects.into_iter().filter(|object| query.selects(object)).collect();
    Json(list(kind, objects, version)).into_response()
}

fn list(kind: Kind, items: Vec<Value>, version: u64) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": format!("{}List", kind.name()),
        "metadata": {"resourceVersion": version.to_string()}, "items": items})
}

/// The place of one watch.
struct Watch {
    world: Arc<World>,
    changes: tokio::sync::watch::Receiver<u64>,
    query: Query,
    kind: Kind,
    version: u64,
    pending: VecDeque<Value>,
    bookmarks: bool,
    deadline: Instant,
}

fn watch(kind: Kind, query: &Query, world: Arc<World>) -> Response {
    let seconds = query.get("timeoutSeconds").and_then(|text| text.parse().ok()).map_or(WATCH, Duration::from_secs);
    let bookmarks = query.is("allowWatchBookmarks", "true");
    let from = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut pending = VecDeque::new();
    let changes = world.changes();
    let initial = query.is("sendInitialEvents", "true");
    let mut version = from;
    if from == 0 || initial {
        let (objects, now) = world.list(kind);
        version = now;
        let added = objects.into_iter().filter(|object| query.selects(object));
        pending.extend(added.map(|object| json!({"type": "ADDED", "object": object})));
        if initial {
            let mut mark = bookmark(kind, version);
            mark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            pending.push_back(mark);
        }
    }
    let deadline = Instant::now() + seconds.min(MAX_WATCH);
    let watch = Watch { world, changes, query: query.clone(), kind, version, pending, bookmarks, deadline };
    chunks(
        "application/json",
        stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            Some((format!("{event}\n"), watch))
        }),
    )
}

impl Watch {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            self.changes.mark_unchanged();
            let (events, version) = self.world.since(self.kind, self.version);
            self.version = version.max(self.version);
            let selected = events.into_iter().filter(|event| self.query.selects(&event.object));
            self.pending.extend(selected.map(|event| json!({"type": event.what, "object": event.object})));
            if !self.pending.is_empty() {
                continue;
            }
            let quiet = (Instant::now() + BOOKMARK).min(self.deadline);
            match timeout_at(quiet, self.changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) if Instant::now() >= self.deadline => return None,
                Err(_) if self.bookmarks => return Some(bookmark(self.kind, self.version)),
                Err(_) => {}
            }
        }
    }
}

fn bookmark(kind: Kind, version: u64) -> Value {
    json!({"type": "BOOKMARK", "object": {"apiVersion": kind.api_version(), "kind": kind.name(),
        "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}}})
}

fn log(query: &Query, world: Arc<World>) -> Response {
    let follow = query.is("follow", "true");
    let stamps = query.is("timestamps", "true");
    let since: Option<Timestamp> = query.get("sinceTime").and_then(|text| text.parse().ok());
    let all = world.log_since(0).len();
    let tail: usize = query.get("tailLines").and_then(|text| text.parse().ok()).unwrap_or(all);
    let seen = all.saturating_sub(tail);
    let changes = world.changes();
    let print = move |(time, line): &(Timestamp, String)| match since {
        Some(since) if *time < since => String::new(),
        _ if stamps => format!("{time} {line}\n"),
        _ => format!("{line}\n"),
    };
    chunks(
        "text/plain",
        stream::unfold((world, changes, seen), move |(world, mut changes, seen)| async move {
            loop {
                changes.mark_unchanged();
                let lines = world.log_since(seen);
                if !lines.is_empty() {
                    let text: String = lines.iter().map(print).collect();
                    return Some((text, (world, changes, seen + lines.len())));
                }
                if !follow || changes.changed().await.is_err() {
                    return None;
                }
            }
        }),
    )
}

fn chunks(kind: &'static str, parts: impl futures::Stream<Item = String> + Send + 'static) -> Response {
    use futures::StreamExt as _;
    let body = Body::from_stream(parts.map(|part| Ok::<_, Infallible>(Bytes::from(part))));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0+double", "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "double"})
}

fn groups() -> Value {
    let named: Vec<Value> = Kind::ALL
        .iter()
        .filter_map(|kind| kind.api_version().split_once('/'))
        .map(|(group, version)| {
            let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
            json!({"name": group, "versions": [version], "preferredVersion": version})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named})
}

fn resources(api_version: &str) -> Response {
    let found: Vec<Value> = Kind::ALL
        .iter()
        .filter(|kind| kind.api_version() == api_version)
        .map(|kind| {
            json!({"name": kind.plural(), "singularName": kind.name().to_lowercase(), "kind": kind.name(),
                "shortNames": kind.short_names(), "namespaced": true, "verbs": ["get", "list", "watch"]})
        })
        .collect();
    if found.is_empty() {
        return not_found();
    }
    Json(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": found}))
        .into_response()
}

fn not_found() -> Response {
    status(StatusCode::NOT_FOUND, "NotFound", "the double of the cluster has no such thing")
}

fn status(code: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    (code, Json(body)).into_response()
}

/// The query of a URL, and the selectors in it.
#[derive(Debug, Clone, Default)]
struct Query(BTreeMap<String, String>);

impl Query {
    fn read(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Equality of names, phases and labels is what anybody asks of these objects; any other selector matches nothing.
    fn selects(&self, object: &Value) -> bool {
        let rules = |key| self.get(key).into_iter().flat_map(|text| text.split(',')).filter(|rule| !rule.is_empty());
        let holds = |rule: &str, prefix: &str| {
            let Some((path, value)) = rule.split_once('=') else { return false };
            let value = value.trim_start_matches('=');
            let found = match prefix {
                "" => path.split('.').try_fold(object, |at, key| at.get(key)),
                _ => object.pointer(prefix).and_then(|labels| labels.get(path)),
            };
            found.and_then(Value::as_str) == Some(value)
        };
        rules("fieldSelector").all(|rule| holds(rule, ""))
            && rules("labelSelector").all(|rule| holds(rule, "/metadata/labels"))
    }
}
