//! A run's proxy on real sockets: what it lets through, what it refuses and how, and what ends with a step or a run.

use super::*;
use crate::outbound::{NamedBy, UnreachableCause};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const PLAN: StepReach = StepReach { step: Cow::Borrowed("plan"), reach: Reach::Cloud };
const APPLY: StepReach = StepReach { step: Cow::Borrowed("apply"), reach: Reach::Cloud };
const INIT: StepReach = StepReach { step: Cow::Borrowed("init"), reach: Reach::Install };

/// A proxy with what it told.
struct Bench {
    proxy: RunProxy,
    told: Arc<Mutex<Vec<Refusal>>>,
}

fn loopback() -> std::net::TcpListener {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn grant(text: &str, address: Option<SocketAddr>) -> HostGrant {
    HostGrant { address, ..HostGrant::parse(text, NamedBy::Stranger).unwrap() }
}

impl Bench {
    fn new(settings: &Settings, hosts: RunHosts) -> Self {
        let egress = Egress::new(settings).unwrap();
        let told: Arc<Mutex<Vec<Refusal>>> = Arc::default();
        let heard = told.clone();
        let tell = move |refusal: &Refusal| heard.lock().unwrap().push(refusal.clone());
        let proxy = egress.serve(loopback(), hosts, tell).unwrap();
        proxy.begin(PLAN);
        Self { proxy, told }
    }

    /// `cloud.test` stands for this address.
    fn with_cloud(address: SocketAddr) -> Self {
        let hosts = RunHosts { cloud: vec![grant("cloud.test", Some(address))], ..RunHosts::default() };
        Self::new(&Settings::default(), hosts)
    }

    /// `user:password` and `host:port` of the variables.
    fn url(&self) -> (String, String) {
        let url = self.proxy.environment().into_iter().find(|(name, _)| name == "HTTPS_PROXY").unwrap().1;
        let url = url.into_string().unwrap();
        let (user, address) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
        (user.to_owned(), address.to_owned())
    }

    /// Sends a head with the password and gives the head of the answer.
    async fn ask(&self, request: &str) -> (String, TcpStream) {
        let basic = STANDARD.encode(self.url().0);
        self.send(&format!("{request} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {basic}\r\n\r\n")).await
    }

    async fn send(&self, head: &str) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(self.url().1).await.unwrap();
        // One that finds no place may be closed before this.
        let _ = stream.write_all(head.as_bytes()).await;
        (read_head(&mut stream).await, stream)
    }

    fn causes(&self) -> Vec<Option<UnreachableCause>> {
        self.told.lock().unwrap().iter().map(|refusal| refusal.cause).collect()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().iter().map(|refusal| format!("{}: {refusal}", refusal.step)).collect()
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, stream.read_u8()).await.unwrap() {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn status(head: &str) -> &str {
    head.get(9..12).unwrap_or(head)
}

/// Whether the other side ended the connection.
async fn is_cut(stream: &mut TcpStream) -> bool {
    timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap().unwrap_or(0) == 0
}

/// A server that gives back what it gets, and counts its connections.
async fn echo() -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count: Arc<Mutex<usize>> = Arc::default();
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    (address, count)
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"hello");
}

#[tokio::test]
async fn a_granted_host_is_reached_by_name_and_every_other_is_refused_in_words() {
    let (address, count) = echo().await;
    let bench = Bench::with_cloud(address);
    let (head, mut stream) = bench.ask("CONNECT cloud.test:443").await;
    assert_eq!(status(&head), "200", "{head}");
    echoes(&mut stream).await;
    for _ in 0..3 {
        let (head, _) = bench.ask("CONNECT evil.example:443").await;
        let first = head.lines().next().unwrap();
        assert_eq!(
            first,
            "HTTP/1.1 403 evil.example:443 was not let through: it is none of the hosts that this run may reach (cloud.test:443)"
        );
    }
    assert_eq!(bench.proxy.end_step(), [(RefusalRule::Host, 3)]);
    bench.proxy.begin(APPLY);
    let (head, _) = bench.ask(&format!("CONNECT {address}")).await;
    assert_eq!(status(&head), "403", "an address is no name: {head}");
    bench.ask("CONNECT evil.example:443").await;
    let told = bench.told();
    assert_eq!(told.len(), 3, "once for each host and step: {told:?}");
    assert!(
        told[0].starts_with("plan: evil.example:443") && told[2].starts_with("apply: evil.example:443"),
        "{told:?}"
    );
    assert_eq!(bench.proxy.end_step(), [(RefusalRule::Host, 2)]);
    assert_eq!(*count.lock().unwrap(), 1);
}

#[tokio::test]
async fn without_the_password_of_the_run_nothing_is_reached_or_told() {
    let (address, count) = echo().await;
    let (bench, other) = (Bench::with_cloud(address), Bench::with_cloud(address));
    let others = STANDARD.encode(other.url().0);
    for line in
        [String::new(), format!("Proxy-Authorization: Basic {others}\r\n"), "Proxy-Authorization: Basic %%\r\n".into()]
    {
        let (head, _) = bench.send(&format!("CONNECT cloud.test:443 HTTP/1.1\r\nHost: x\r\n{line}\r\n")).await;
        assert_eq!(status(&head), "407", "{head}");
        assert!(!head.contains("cloud.test"), "{head}");
    }
    assert_eq!((*count.lock().unwrap(), bench.told(), bench.proxy.end_step()), (0, Vec::new(), Vec::new()));
}

#[tokio::test]
async fn only_connect_in_its_strict_form_is_answered() {
    let (address, count) = echo().await;
    let bench = Bench::with_cloud(address);
    let (head, _) = bench.ask("GET http://cloud.test/v1?token=hidden").await;
    assert!(head.starts_with("HTTP/1.1 405 cloud.test was not let through: it was asked for without TLS"), "{head}");
    for form in
        ["cloud.test", "cloud.test:0", "cloud.test:00443", "user@cloud.test:443", "0x7f.1:443", "[127.0.0.1]:443"]
    {
        let (head, _) = bench.ask(&format!("CONNECT {form}")).await;
        assert_eq!(status(&head), "400", "{form}: {head}");
    }
    let (head, _) = bench.ask("CONNECT cloud.test:80").await;
    assert!(head.contains("may be reached on other ports only (cloud.test:443)"), "{head}");
    let told = bench.told().join("\n");
    assert!(!told.contains("hidden") && !told.contains("/v1"), "{told}");
    assert_eq!(*count.lock().unwrap(), 0);
    let long = format!("CONNECT cloud.test:443 HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let mut stream = TcpStream::connect(bench.url().1).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let head = read_head(&mut stream).await;
    assert!(head.is_empty() || status(&head) == "431", "{head}");
}

#[tokio::test]
async fn each_step_has_its_hosts_and_its_connections_end_with_it() {
    let (address, _) = echo().await;
    let hosts = RunHosts {
        install: vec![grant("registry.test", Some(address))],
        cloud: vec![grant("cloud.test", Some(address))],
    };
    let bench = Bench::new(&Settings::default(), hosts);
    bench.proxy.begin(INIT);
    let (head, mut installing) = bench.ask("CONNECT registry.test:443").await;
    assert_eq!(status(&head), "200");
    let (head, _) = bench.ask("CONNECT cloud.test:443").await;
    assert!(head.contains("may be reached in plan, apply and destroy"), "{head}");
    bench.proxy.begin(PLAN);
    assert!(is_cut(&mut installing).await, "what init opened is cut when it is over");
    let (head, _) = bench.ask("CONNECT registry.test:443").await;
    assert!(head.contains("may be reached in init only"), "{head}");
    let (head, mut planning) = bench.ask("CONNECT cloud.test:443").await;
    assert_eq!(status(&head), "200");
    echoes(&mut planning).await;
    let place = bench.url().1;
    drop(bench);
    assert!(is_cut(&mut planning).await, "nothing is relayed past the run");
    while let Ok(mut stream) = TcpStream::connect(&place).await {
        assert!(is_cut(&mut stream).await);
    }
}

#[tokio::test]
async fn before_the_first_step_nothing_is_reached() {
    let (address, count) = echo().await;
    let egress = Egress::new(&Settings::default()).unwrap();
    let hosts = RunHosts { cloud: vec![grant("cloud.test", Some(address))], ..RunHosts::default() };
    let proxy = egress.serve(loopback(), hosts, |_| ()).unwrap();
    let bench = Bench { proxy, told: Arc::default() };
    let (head, _) = bench.ask("CONNECT cloud.test:443").await;
    assert_eq!((status(&head), *count.lock().unwrap()), ("403", 0));
}

#[tokio::test]
async fn a_run_has_a_number_of_connections_and_gets_them_back() {
    let (address, _) = echo().await;
    let bench = Bench::with_cloud(address);
    let mut open = Vec::new();
    loop {
        let (head, stream) = bench.ask("CONNECT cloud.test:443").await;
        if head.is_empty() {
            break;
        }
        assert_eq!(status(&head), "200");
        open.push(stream);
        assert!(open.len() <= 1_000, "there is no bound");
    }
    drop(open);
    let again = async {
        while bench.ask("CONNECT cloud.test:443").await.0.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn what_strangers_name_leads_to_no_address_inside_and_the_operators_word_does() {
    let (address, count) = echo().await;
    let port = address.port();
    let hosts = |named_by| {
        let grant = |text: String| HostGrant::parse(&text, named_by).unwrap();
        RunHosts {
            cloud: vec![grant(format!("localhost:{port}")), grant(format!("127.0.0.1:{port}"))],
            ..RunHosts::default()
        }
    };
    for (named_by, list, expect) in [
        (NamedBy::Stranger, "", "403"),
        (NamedBy::Stranger, "localhost, 127.0.0.0/8", "200"),
        (NamedBy::Operator, "", "200"),
    ] {
        let settings = Settings { allowed_clouds: AllowedClouds::parse(list).unwrap(), ..Settings::default() };
        let bench = Bench::new(&settings, hosts(named_by));
        for host in ["localhost", "127.0.0.1"] {
            let (head, _) = bench.ask(&format!("CONNECT {host}:{port}")).await;
            assert_eq!(status(&head), expect, "{named_by:?} {list:?} {host}: {head}");
            assert_eq!(expect == "403", head.contains("CATALYST_ALLOWED_CLOUDS"), "{head}");
        }
    }
    assert_eq!(*count.lock().unwrap(), 4);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_told_as_such() {
    let closed = loopback();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let bench = Bench::with_cloud(address);
    let (head, _) = bench.ask("CONNECT cloud.test:443").await;
    assert!(head.starts_with("HTTP/1.1 502 cloud.test:443 could not be reached: 127.0.0.1: "), "{head}");
    assert_eq!(bench.proxy.end_step(), [(RefusalRule::Unreachable, 1)]);
    assert_eq!(bench.causes(), [Some(UnreachableCause::Connection)]);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_from_an_address_that_does_not_answer() {
    // No name below it exists anywhere (RFC 6761): whoever resolves it says so, or does not answer.
    let hosts = RunHosts { cloud: vec![grant("cloud.invalid", None)], ..RunHosts::default() };
    let bench = Bench::new(&Settings::default(), hosts);
    let (head, _) = bench.ask("CONNECT cloud.invalid:443").await;
    assert!(
        head.starts_with("HTTP/1.1 502 cloud.invalid:443 could not be reached: its name cannot be resolved"),
        "{head}"
    );
    let causes = bench.causes();
    assert!(matches!(causes[..], [Some(UnreachableCause::UnknownName | UnreachableCause::Resolver)]), "{causes:?}");
}

/// An operator's proxy: takes one password, and leads every name to this address.
async fn upstream(leads_to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_head(&mut stream).await;
            heads.lock().unwrap().push(head.clone());
            let is_known = head.contains(&format!("proxy-authorization: Basic {}", STANDARD.encode("op:s3cret")));
            if !is_known || head.contains("blocked") {
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect(leads_to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn an_operators_proxy_is_the_way_out_but_for_what_it_is_not_for() {
    let (behind, _) = echo().await;
    let (proxy, seen) = upstream(behind).await;
    let (direct, direct_count) = echo().await;
    let settings = Settings {
        proxy: ProxyConfig {
            https_proxy: format!("http://op:s3cret@{proxy}"),
            no_proxy: "localhost,.inside.example".to_owned(),
        },
        allowed_clouds: AllowedClouds::parse("localhost").unwrap(),
        ..Settings::default()
    };
    let names = ["api.cloud.example", "blocked.example", "keystone.svc", "10.1.2.3:443"];
    let mut cloud: Vec<HostGrant> = names.iter().map(|name| grant(name, None)).collect();
    cloud.push(grant(&format!("localhost:{}", direct.port()), None));
    let bench = Bench::new(&settings, RunHosts { cloud, ..RunHosts::default() });
    let (head, mut stream) = bench.ask("CONNECT api.cloud.example:443").await;
    assert_eq!(status(&head), "200", "only the operator's proxy knows that name: {head}");
    echoes(&mut stream).await;
    let (head, _) = bench.ask("CONNECT blocked.example:443").await;
    assert!(head.starts_with("HTTP/1.1 502") && head.contains("the proxy of this host: it answered 403"), "{head}");
    let (head, mut stream) = bench.ask(&format!("CONNECT localhost:{}", direct.port())).await;
    assert_eq!(status(&head), "200");
    echoes(&mut stream).await;
    assert_eq!(*direct_count.lock().unwrap(), 1, "NO_PROXY is reached directly");
    for inside in ["keystone.svc:443", "10.1.2.3:443"] {
        let (head, _) = bench.ask(&format!("CONNECT {inside}")).await;
        assert_eq!(status(&head), "403", "{inside}: {head}");
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "what is refused here is not asked for there: {seen:?}");
    assert_eq!(bench.causes(), [Some(UnreachableCause::ProxyRefused(Some(403))), None, None]);
    let told = bench.told().join("\n");
    assert!(!told.contains("s3cret") && !told.contains(&STANDARD.encode("op:s3cret")), "{told}");
}
