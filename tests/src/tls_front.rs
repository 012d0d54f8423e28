//! TLS in front of a double that speaks plain HTTP, under a name of its own: as a cloud is met in the field, by `https` and a
//! certificate. It must not know what goes through it.

use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A front that lasts as long as this value.
pub struct TlsFront {
    address: SocketAddr,
    folder: tempfile::TempDir,
    count: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// Serves these names with one certificate; what comes is passed on to `behind`. Needs a runtime.
    pub async fn start(names: &[&str], behind: SocketAddr) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trust.pem"), key.cert.pem()).unwrap();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count: Arc<AtomicUsize> = Arc::default();
        let counted = count.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass(acceptor.clone(), stream, behind));
            }
        });
        Self { address, folder, count, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// PEM file that trusts it.
    pub fn trust(&self) -> PathBuf {
        self.folder.path().join("trust.pem")
    }

    /// Folder of that file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, behind: SocketAddr) {
    // A peer that goes away ends its own connection and nothing else.
    let Ok(mut client) = acceptor.accept(stream).await else { return };
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
