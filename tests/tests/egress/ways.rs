//! The ways out that sites have: none but a mirror, and a proxy of the operator.

use crate::clouds::{TOKEN, address_of, hetzner_bundle, hetzner_setup};
use crate::kit::{Bench, cloud, grant};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst::egress::{HostGrant, RunHosts};
use catalyst::outbound::{NamedBy, ProxyConfig};
use catalyst_tests::hetzner::Project;
use catalyst_tests::hetzner::module::TOKEN as CLOUD_TOKEN;
use catalyst_tests::tls_front::TlsFront;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An operator's proxy. It knows every name, takes one password, and keeps what it was asked for.
async fn proxy(leads_to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                asked.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
                if !head.contains(&STANDARD.encode("op:s3cret")) {
                    let _ = stream.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n").await;
                    return;
                }
                let Ok(mut server) = TcpStream::connect(leads_to).await else { return };
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_own_proxy_is_the_way_out_of_a_run() {
    let project = Project::start(CLOUD_TOKEN);
    let front = TlsFront::start(&["cloud.test"], address_of(&project.endpoint())).await;
    let (address, seen) = proxy(front.address()).await;
    let url = format!("http://op:s3cret@{address}");
    let mut setup = hetzner_setup(front.trust());
    setup.proxy = ProxyConfig { https_proxy: url.clone(), no_proxy: "127.0.0.1".to_owned() };
    // As the host itself is told.
    setup.pass.extend([("HTTPS_PROXY", url), ("NO_PROXY", "127.0.0.1".to_owned())]);
    let bench = Bench::new(setup).await;
    // Only that proxy knows where the name leads.
    let granted = HostGrant::parse("cloud.test", NamedBy::Stranger).unwrap();
    let run = bench.run(&hetzner_bundle(), &[TOKEN], cloud(vec![granted]));
    let (result, lines) = bench.apply(run).await;
    result.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
    assert_eq!(project.all("servers").len(), 1);
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.is_empty() && seen.iter().all(|line| line == "CONNECT cloud.test:443 HTTP/1.1"), "{seen:?}");
    assert!(!format!("{lines:?}").contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_with_a_mirror_needs_no_registry_and_reaches_none() {
    let project = Project::start(CLOUD_TOKEN);
    let front = TlsFront::start(&["cloud.test"], address_of(&project.endpoint())).await;
    let bench = Bench::new(hetzner_setup(front.trust())).await;
    let hosts = RunHosts { cloud: vec![grant("cloud.test", front.address())], ..RunHosts::default() };
    let mut run = bench.run(&hetzner_bundle(), &[TOKEN], hosts.clone());
    bench.apply(run.clone()).await.0.unwrap();
    assert!(bench.refused().is_empty(), "init asked for something: {:?}", bench.refused());
    // What asks for a provider that the mirror has not is told so by OpenTofu, and nothing is asked for outside.
    let more = "terraform {\n  required_providers {\n    other = { source = \"acme/other\" }\n  }\n}\n";
    let file = catalyst_domain::provider::BundleFile { path: "other.tf".into(), mode: 0o600, content: more.into() };
    run.bundle.files = vec![file];
    let error = bench.apply(run).await.0.unwrap_err();
    assert!(error.reason.contains("acme/other"), "{error}");
    assert!(bench.refused().is_empty(), "{:?}", bench.refused());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_itself_resolves_names_beside_a_process_namespace_of_its_run() {
    let project = Project::start(CLOUD_TOKEN);
    let front = TlsFront::start(&["cloud.test"], address_of(&project.endpoint())).await;
    let mut setup = hetzner_setup(front.trust());
    setup.pass = vec![("HCLOUD_ENDPOINT", "https://cloud.invalid/v1".to_owned())];
    let bench = Bench::new(setup).await;
    // No name below it exists anywhere (RFC 6761), which the resolver of this machine has to say.
    let granted = HostGrant::parse("cloud.invalid", NamedBy::Stranger).unwrap();
    let run = bench.run(&hetzner_bundle(), &[TOKEN], cloud(vec![granted]));
    let (result, lines) = bench.apply(run).await;
    let error = result.unwrap_err();
    let words = "cloud.invalid:443 could not be reached: its name cannot be resolved";
    assert!(error.reason.contains(words), "{error}: {lines:#?}");
    assert!(bench.refused().iter().any(|(_, rule, _)| *rule == "unreachable"), "{:?}", bench.refused());
}
