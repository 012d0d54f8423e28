//! A real HTTP server on loopback that answers from a script, in order of arrival, and keeps what it was sent.

use crate::outbound::{Outbound, Settings};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// One scripted answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status and body.
    Say(u16, String),
    /// The same after a time.
    Late(Duration, u16, String),
    /// A redirect to there.
    Redirect(String),
    /// The connection is closed without an answer.
    BreakOff,
    /// Never.
    Hang,
}

/// What came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

#[derive(Clone)]
pub struct TestServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

pub fn say(status: u16, body: impl Into<String>) -> Reply {
    Reply::Say(status, body.into())
}

impl TestServer {
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let (server, listener) = Self::listen(replies).await;
        let handle = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle.clone().serve(stream));
            }
        });
        server
    }

    /// The same behind TLS, for `name`; also gives a PEM file that trusts it, which lives as long as its folder.
    pub async fn start_tls(name: &str, replies: impl IntoIterator<Item = Reply>) -> (Self, tempfile::TempDir, PathBuf) {
        let key = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("trust.pem");
        std::fs::write(&file, key.cert.pem()).expect("a trust store");
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("a server");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (server, listener) = Self::listen(replies).await;
        let handle = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, handle) = (acceptor.clone(), handle.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        handle.serve(stream).await;
                    }
                });
            }
        });
        (server, folder, file)
    }

    async fn listen(replies: impl IntoIterator<Item = Reply>) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        (Self { address, seen: Arc::default(), replies }, listener)
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.clone().answer(request));
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let text = |v: &hyper::header::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        self.seen.lock().expect("seen").push(Seen {
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            headers: parts.headers.iter().map(|(n, v)| (n.to_string(), text(v))).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let reply = self.replies.lock().expect("replies").pop_front();
        let respond = |status: u16, body: String| {
            hyper::Response::builder().status(status).body(Full::new(Bytes::from(body))).map_err(Into::into)
        };
        match reply {
            Some(Reply::Say(status, body)) => respond(status, body),
            Some(Reply::Late(time, status, body)) => {
                tokio::time::sleep(time).await;
                respond(status, body)
            }
            Some(Reply::Redirect(to)) => {
                Ok(hyper::Response::builder().status(302).header("location", to).body(Full::default())?)
            }
            Some(Reply::BreakOff) => Err("broken off".into()),
            Some(Reply::Hang) => std::future::pending().await,
            None => respond(599, "the script is over".to_owned()),
        }
    }

    /// More of the script.
    pub fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().expect("replies").extend(replies);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("seen").clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// Waits until `count` requests have come in.
    pub async fn wait_for(&self, count: usize) -> Vec<Seen> {
        for _ in 0..500 {
            if self.seen().len() >= count {
                return self.seen();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {:?}", self.lines());
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A client with nothing configured.
pub fn outbound() -> Outbound {
    Outbound::new(&Settings::default()).expect("a client")
}

/// A base URL at which nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}
