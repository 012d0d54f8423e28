//! A double of a new cluster's API on loopback: over TLS, with a token, and with the releases of the bootstrap kit.
//!
//! It is no Kubernetes: it holds thirteen objects and only answers questions. What it shows is decided in [`super::kit`];
//! how it answers stands in `serve`. The film begins when a client first asks for the releases.

use super::kit::{Film, KIT, Look};
use super::objects::{self, Kind, KitLook};
use super::serve;
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::rustls;

/// How often the film moves on.
const FRAME: Duration = Duration::from_millis(100);
/// Bytes of the token, as k3s makes it.
const TOKEN_BYTES: usize = 32;

/// Why the double cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Its port is taken or forbidden.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its certificates.
    #[error("cannot make the certificates of the double")]
    Certificate(#[source] rcgen::Error),
    /// TLS.
    #[error("cannot set up TLS for the double")]
    Tls(#[source] rustls::Error),
    /// The operating system.
    #[error("cannot get random bytes")]
    Random,
}

/// What the double shows at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// Since when somebody watches.
    pub began: Option<Instant>,
    /// Name of the release and its look, in the kit's order.
    pub looks: Vec<(&'static str, Look)>,
}

impl Screen {
    /// Whether nothing will change any more: each release is final or waits for one that never comes.
    pub fn is_over(&self) -> bool {
        let failed = self.looks.iter().any(|(_, look)| *look == Look::Failed);
        self.looks.iter().all(|(_, look)| look.is_final() || (failed && matches!(look, Look::Waits(_))))
    }

    /// Whether every release is there.
    pub fn is_installed(&self) -> bool {
        self.looks.iter().all(|(_, look)| *look == Look::Installed)
    }
}

/// A running double; it ends when this is dropped.
pub struct Cluster {
    address: SocketAddr,
    token: String,
    authority_pem: String,
    screen: watch::Receiver<Screen>,
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// Starts a double on loopback; port 0 takes any.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn start(port: u16, film: Film) -> Result<Self, ClusterError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ClusterError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| ClusterError::Listen { address, source })?;
        let mut token = [0_u8; TOKEN_BYTES];
        getrandom::fill(&mut token).map_err(|_| ClusterError::Random)?;
        let token = hex::encode(token);
        let (authority_pem, tls) = identity()?;
        let looks = KIT.iter().map(|release| (release.name, Look::Absent)).collect();
        let (show, screen) = watch::channel(Screen { began: None, looks });
        let world = Arc::new(World::new(token.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::accept(listener, tls, world.clone()));
        tasks.spawn(play(world, film, show));
        Ok(Self { address, token, authority_pem, screen, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows.
    pub fn screen(&self) -> watch::Receiver<Screen> {
        self.screen.clone()
    }

    /// A kubeconfig with that server, laid out as k3s does. It opens the double: a secret, as short-lived as the double.
    pub fn kubeconfig(&self, server: &str) -> String {
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority_pem);
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n  \
             name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n\
             current-context: default\nkind: Config\nusers:\n- name: default\n  user:\n    token: {}\n",
            self.token
        )
    }
}

/// An authority of its own for each double, and a certificate for loopback.
fn identity() -> Result<(String, Arc<rustls::ServerConfig>), ClusterError> {
    let made = || {
        let mut authority = rcgen::CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(rcgen::DnType::CommonName, "catalyst-double-ca");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
        let authority_key = rcgen::KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let mut server = rcgen::CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        server.distinguished_name.push(rcgen::DnType::CommonName, "catalyst-double");
        server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;
        Ok((authority_pem, certificate.der().clone(), key.serialize_der()))
    };
    let (authority_pem, certificate, key) = made().map_err(ClusterError::Certificate)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(ClusterError::Tls)?;
    Ok((authority_pem, Arc::new(config)))
}

/// Moves the film on, frame by frame, from the first question for the releases.
async fn play(world: Arc<World>, film: Film, show: watch::Sender<Screen>) {
    world.put(Kind::Pod, objects::POD, Some(objects::pod()));
    world.put(Kind::Kustomization, "bootstrap-kit", Some(objects::kustomization(KitLook::Coming, Timestamp::now())));
    world.watched.notified().await;
    let began = Instant::now();
    let mut kit = KitLook::Coming;
    let mut looks = vec![Look::Absent; KIT.len()];
    show.send_modify(|screen| screen.began = Some(began));
    loop {
        let now = Timestamp::now();
        for ((release, look), old) in film.at(began.elapsed()).into_iter().zip(&mut looks) {
            if look != *old {
                *old = look;
                world.put(Kind::HelmRelease, release.name, objects::release(release, look, now));
                if let Some(line) = objects::log_line(release, look, now) {
                    world.log(now, line);
                }
            }
        }
        let kit_now = KitLook::of(&looks);
        if kit_now != kit {
            kit = kit_now;
            world.put(Kind::Kustomization, "bootstrap-kit", Some(objects::kustomization(kit, now)));
        }
        show.send_if_modified(|screen| {
            let mut changed = false;
            for ((_, shown), look) in screen.looks.iter_mut().zip(&looks) {
                changed |= shown != look;
                *shown = *look;
            }
            changed
        });
        if show.borrow().is_over() {
            return;
        }
        tokio::time::sleep(FRAME).await;
    }
}

/// The objects and everything that ever happened to them: a film is short, so no version ever expires.
pub(super) struct World {
    pub(super) token: String,
    /// Told when a client asks for the releases.
    pub(super) watched: Notify,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<(Kind, String), Value>,
    events: Vec<Event>,
    log: Vec<(Timestamp, String)>,
}

/// One change. Its place in the row, from 1, is the `resourceVersion` of the object.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) kind: Kind,
    /// `ADDED` or `MODIFIED`.
    pub(super) what: &'static str,
    pub(super) object: Value,
}

impl World {
    fn new(token: String) -> Self {
        Self { token, watched: Notify::new(), state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    fn put(&self, kind: Kind, name: &str, object: Option<Value>) {
        let Some(mut object) = object else { return };
        let mut state = self.lock();
        let version = state.events.len() as u64 + 1;
        let old = state.objects.get(&(kind, name.to_owned()));
        let created = old
            .map_or_else(|| json!(objects::seconds(Timestamp::now())), |o| o["metadata"]["creationTimestamp"].clone());
        let what = if old.is_some() { "MODIFIED" } else { "ADDED" };
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["creationTimestamp"] = created;
        object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", name_number(kind, name)));
        state.objects.insert((kind, name.to_owned()), object.clone());
        state.events.push(Event { kind, what, object });
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    fn log(&self, now: Timestamp, line: String) {
        self.lock().log.push((now, line));
        self.changed.send_modify(|count| *count += 1);
    }

    /// All objects of a kind, and the version of the whole.
    pub(super) fn list(&self, kind: Kind) -> (Vec<Value>, u64) {
        let state = self.lock();
        let objects = state.objects.iter().filter(|((of, _), _)| *of == kind).map(|(_, object)| object.clone());
        (objects.collect(), state.events.len() as u64)
    }

    /// What happened to a kind after that version.
    pub(super) fn since(&self, kind: Kind, version: u64) -> (Vec<Event>, u64) {
        let state = self.lock();
        let from = usize::try_from(version).unwrap_or(usize::MAX).min(state.events.len());
        let events = state.events.iter().skip(from).filter(|event| event.kind == kind).cloned().collect();
        (events, state.events.len() as u64)
    }

    /// Lines of helm-controller after the first `seen`.
    pub(super) fn log_since(&self, seen: usize) -> Vec<(Timestamp, String)> {
        self.lock().log.iter().skip(seen).cloned().collect()
    }

    /// Told at each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that stays the same for an object: uids must not change between versions.
fn name_number(kind: Kind, name: &str) -> u64 {
    let bytes = kind.plural().bytes().chain(name.bytes());
    bytes.fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)) & 0xffff_ffff_ffff)
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
