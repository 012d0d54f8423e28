//! A real Kubernetes API: etcd and kube-apiserver on loopback, with TLS and client certificates as k3s has them.
//!
//! No kubelet, no controllers: objects do only what a test makes them do, through [`crate::flux`].

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long etcd and the API server may take; about 4 s alone, more while a build runs beside it.
const START: Duration = Duration::from_secs(120);

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Further names and addresses in the serving certificate, beside 127.0.0.1 and localhost.
    pub sans: Vec<String>,
    /// Address to listen on; any of 127.0.0.0/8.
    pub address: Ipv4Addr,
    /// Port; a free one by default.
    pub port: Option<u16>,
    /// Whether Flux's kinds are there from the start.
    pub kinds: Kinds,
}

/// Which kinds of Flux a fresh cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// HelmRelease and Kustomization.
    Flux,
    /// None, as before Flux is installed.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self { sans: Vec::new(), address: Ipv4Addr::LOCALHOST, port: None, kinds: Kinds::Flux }
    }
}

/// A running cluster; stopped and removed when dropped.
pub struct Cluster {
    address: SocketAddr,
    etcd_port: u16,
    identity: Identity,
    api: Option<Process>,
    _etcd: Process,
    folder: tempfile::TempDir,
    client: kube::Client,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready, with the namespace `flux-system` in it.
    ///
    /// # Errors
    /// When a tool is missing or something does not come up; the end of its log is in the error.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        // A free port may be taken by another test between finding and using it.
        let mut last = None;
        for _ in 0..3 {
            match Self::start_once(&options).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no attempt was made")))
    }

    async fn start_once(options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("catalyst-kube-").tempdir()?;
        let identity = Identity::make(folder.path(), &options.sans, options.address)?;
        let [etcd_port, peer_port] = [free_port(Ipv4Addr::LOCALHOST)?, free_port(Ipv4Addr::LOCALHOST)?];
        let etcd = start_etcd(folder.path(), etcd_port, peer_port)?;
        let port = match options.port {
            Some(port) => port,
            None => free_port(options.address)?,
        };
        let address = SocketAddr::from((options.address, port));
        let client = client(&identity.kubeconfig(&format!("https://{address}"))).await?;
        let mut cluster = Self { address, etcd_port, identity, api: None, _etcd: etcd, folder, client };
        cluster.start_api().await?;
        cluster.create_namespace("flux-system").await?;
        if options.kinds == Kinds::Flux {
            cluster.install_flux_kinds().await?;
        }
        Ok(cluster)
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An admin's kubeconfig with embedded certificates.
    pub fn kubeconfig(&self) -> String {
        self.identity.kubeconfig(&format!("https://{}", self.address))
    }

    /// The same as k3s writes it on a node: the server is `https://127.0.0.1:6443`, whatever the node's address is.
    pub fn k3s_kubeconfig(&self) -> String {
        self.identity.kubeconfig("https://127.0.0.1:6443")
    }

    /// The certificate of its authority, as PEM.
    pub fn authority(&self) -> &str {
        &self.identity.ca
    }

    /// An admin's client.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Kills the API server; its data stays.
    pub fn stop_api(&mut self) {
        self.api = None;
    }

    /// Starts the API server at its old address and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_api(&mut self) -> anyhow::Result<()> {
        ensure!(self.api.is_none(), "the API server runs already");
        let tool = crate::tools::path("kube-apiserver")?;
        let mut command = Command::new(tool);
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        for (flag, value) in [
            ("bind-address", self.address.ip().to_string()),
            ("secure-port", self.address.port().to_string()),
            // Loopback may not be advertised; nobody reads it here.
            ("advertise-address", "192.0.2.10".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("etcd-servers", format!("http://127.0.0.1:{}", self.etcd_port)),
            ("cert-dir", file("certs")),
            ("client-ca-file", file("ca.crt")),
            ("tls-cert-file", file("serving.crt")),
            ("tls-private-key-file", file("serving.key")),
            ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
            ("service-account-key-file", file("account.pub")),
            ("service-account-signing-key-file", file("account.key")),
            ("service-cluster-ip-range", "10.43.0.0/16".to_owned()),
            ("authorization-mode", "RBAC".to_owned()),
            ("profiling", "false".to_owned()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        let mut api = Process::spawn("kube-apiserver", command, self.folder.path())?;
        let until = Instant::now() + START;
        loop {
            api.check()?;
            if self.is_ready().await {
                break;
            }
            if Instant::now() > until {
                bail!("kube-apiserver is not ready after {START:?}:\n{}", api.log_end());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.api = Some(api);
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let api: Api<Namespace> = Api::all(self.client());
        tokio::time::timeout(Duration::from_secs(5), api.get("default")).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Creates a namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": name}}))?;
        let api: Api<Namespace> = Api::all(self.client());
        api.create(&PostParams::default(), &namespace).await.with_context(|| format!("creating namespace {name}"))?;
        Ok(())
    }
}

async fn client(kubeconfig: &str) -> anyhow::Result<kube::Client> {
    let parsed = kube::config::Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(parsed, &Default::default()).await?;
    // The cluster is on loopback; kube would take a proxy of the environment.
    config.proxy_url = None;
    Ok(kube::Client::try_from(config)?)
}

fn start_etcd(folder: &Path, port: u16, peer_port: u16) -> anyhow::Result<Process> {
    let (url, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut command = Command::new(crate::tools::path("etcd")?);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}"), "--logger", "zap"]);
    Process::spawn("etcd", command, folder)
}

fn free_port(address: Ipv4Addr) -> anyhow::Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}

/// The certificate authority and what it signed.
struct Identity {
    ca: String,
    client_cert: String,
    client_key: String,
}

impl Identity {
    /// Writes what the API server reads into the folder.
    fn make(folder: &Path, sans: &[String], address: Ipv4Addr) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "catalyst-tests-ca");
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), address.to_string()];
        names.extend(sans.iter().cloned());
        names.sort();
        names.dedup();
        let (serving_cert, serving_key) =
            sign(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth, "kube-apiserver", &issuer)?;

        let mut params = CertificateParams::default();
        // The group that the API server itself binds to cluster-admin.
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let (client_cert, client_key) = sign(params, ExtendedKeyUsagePurpose::ClientAuth, "admin", &issuer)?;

        let account = KeyPair::generate()?;
        for (name, text) in [
            ("ca.crt", &ca),
            ("serving.crt", &serving_cert),
            ("serving.key", &serving_key),
            ("account.key", &account.serialize_pem()),
            ("account.pub", &account.public_key_pem()),
        ] {
            fs::write(folder.join(name), text)?;
        }
        Ok(Self { ca, client_cert, client_key })
    }

    fn kubeconfig(&self, server: &str) -> String {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let (ca, cert, key) = (encode(&self.ca), encode(&self.client_cert), encode(&self.client_key));
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: {server}\n  name: \
             default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: \
             default\nkind: Config\npreferences: {{}}\nusers:\n- name: default\n  user:\n    client-certificate-data: \
             {cert}\n    client-key-data: {key}\n"
        )
    }
}

fn sign(
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    name: &str,
    issuer: &Issuer<'_, KeyPair>,
) -> anyhow::Result<(String, String)> {
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages.push(usage);
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

/// A child in its own process group, killed with the group when dropped.
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn spawn(name: &'static str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = fs::File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.log_end());
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _gone = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _status = self.child.wait();
    }
}
