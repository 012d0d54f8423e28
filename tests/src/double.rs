//! Small servers that stand in for what the host calls: plain HTTP, or a proxy that plays the one https host behind it. They
//! keep what they were sent, so that a test can say what went where.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A silent peer must not hold a test for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// By which a caller of such a service could have its call found; the same for every answer.
pub const CORRELATION_ID: &str = "1d1d17e504e28a4c";

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Header lines, as they came.
    pub headers: Vec<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Status and body of an answer; `None` breaks the connection off.
pub type Reply = Option<(u16, String)>;

/// A server with a rule for its answers.
pub struct Double {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Double {
    /// Plain HTTP on loopback.
    pub fn http(rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("", rule, |stream, serve| serve(&mut &stream))
    }

    /// The same with a header line in every answer.
    pub fn http_with(header: &'static str, rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(header, rule, |stream, serve| serve(&mut &stream))
    }

    /// A proxy that answers CONNECT for `host:443` and then plays that host behind TLS. Also gives the PEM file that trusts
    /// it, and its folder.
    pub fn https(
        host: &str,
        rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> (Self, tempfile::TempDir, PathBuf) {
        let key = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trust.pem");
        std::fs::write(&file, key.cert.pem()).unwrap();
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let (config, target) = (Arc::new(config), format!("{host}:443"));
        let double = Self::listen("", rule, move |stream, serve| {
            let connect = read(&mut &stream)?;
            if connect.method != "CONNECT" || connect.path != target {
                return (&stream).write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
            }
            (&stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            let tls = rustls::ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            serve(&mut rustls::StreamOwned::new(tls, stream))
        });
        (double, folder, file)
    }

    fn listen(
        header: &'static str,
        rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        open: impl Fn(TcpStream, &dyn Fn(&mut dyn Stream) -> std::io::Result<()>) -> std::io::Result<()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let shared = Arc::new((rule, open, seen.clone()));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let (rule, open, seen) = &*shared;
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    // A peer that goes away ends its own thread and nothing else.
                    let _ = open(stream, &|stream| answer(stream, header, rule, seen));
                });
            }
        });
        Self { address, seen }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was sent, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often a method and the end of a path were called.
    pub fn count(&self, method: &str, path_end: &str) -> usize {
        let path = |seen: &Seen| seen.path.split('?').next().unwrap_or_default().to_owned();
        self.seen().iter().filter(|seen| seen.method == method && path(seen).ends_with(path_end)).count()
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn answer(
    stream: &mut dyn Stream,
    header: &str,
    rule: &(impl Fn(&Seen) -> Reply + ?Sized),
    all: &Mutex<Vec<Seen>>,
) -> std::io::Result<()> {
    let seen = read(stream)?;
    all.lock().unwrap().push(seen.clone());
    let Some((status, body)) = rule(&seen) else { return Ok(()) };
    let length = body.len();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let head = format!(
        "HTTP/1.1 {status} Double\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\
         X-Correlation-Id: {CORRELATION_ID}\r\n{header}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// One byte at a time up to the body: nothing of what follows a CONNECT may be swallowed.
fn read(stream: &mut (impl Read + ?Sized)) -> std::io::Result<Seen> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let first = lines.remove(0);
    let mut words = first.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap_or(0))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Seen { method, path, headers: lines, body })
}
