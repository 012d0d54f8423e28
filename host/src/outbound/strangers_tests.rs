//! Calls whose target a stranger named: what is judged, and that nothing is connected to but what was judged.

use super::resolver::Lookup;
use super::*;
use crate::test_server::{TestServer, say};
use async_trait::async_trait;
use std::sync::Mutex;

/// Answers look-ups one after the other; the last one again and again.
struct Script {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn new(answers: Vec<Vec<SocketAddr>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() };
        if next.is_empty() { Err(std::io::Error::other("no such name")) } else { Ok(next) }
    }
}

fn get(url: &str, named_by: NamedBy) -> Call {
    Call {
        named_by,
        method: Method::GET,
        url: Url::parse(url).expect("a URL"),
        headers: HeaderMap::new(),
        body: None,
        timeout: Duration::from_secs(5),
        body_limit: 1000,
    }
}

fn with(settings: Settings, script: &Arc<Script>) -> Outbound {
    Outbound::with_lookup(&settings, script.clone()).expect("a client")
}

fn allowing(text: &str) -> Settings {
    Settings { allowed_clouds: AllowedClouds::parse(text).expect("a list"), ..Settings::default() }
}

#[tokio::test]
async fn the_operators_address_of_a_host_wins_over_resolver_and_proxy_and_its_certificate_counts() {
    let proxy = TestServer::start([]).await;
    let (server, _folder, trust) = TestServer::start_tls("cloud.test", [say(200, ""), say(200, "")]).await;
    let script = Script::new(vec![vec!["192.0.2.1:443".parse().unwrap()]]);
    let settings = Settings { trust_store: Some(trust), https_proxy: Some(proxy.url()), ..Settings::default() };
    let outbound = with(settings, &script);
    let fixed = outbound
        .with_fixed([("cloud.test", server.address), ("other.test", server.address)].map(|(n, a)| (n.to_owned(), a)));
    for url in ["https://cloud.test/a", "https://cloud.test:5000/b"] {
        assert_eq!(fixed.send(get(url, NamedBy::Stranger)).await.expect(url).status, 200);
    }
    let hosts: Vec<String> = server.seen().iter().map(|seen| seen.header("host").to_owned()).collect();
    assert_eq!(hosts, ["cloud.test", "cloud.test:5000"], "the other side learns what was asked for");
    let wrong_name = fixed.send(get("https://other.test/", NamedBy::Stranger)).await.expect_err("its certificate");
    assert!(wrong_name.to_string().contains("certificate"), "{wrong_name}");
    assert!(proxy.seen().is_empty() && script.asked().is_empty());
    // Neither a name below it nor the client from which it was made is led there.
    for (client, url) in [(&fixed, "https://a.cloud.test/"), (&outbound, "https://cloud.test/")] {
        assert!(client.send(get(url, NamedBy::Stranger)).await.is_err(), "{url}");
    }
    assert_eq!((proxy.seen().len(), server.seen().len()), (2, 2));
}

#[tokio::test]
async fn addresses_in_every_spelling_and_inside_names_are_refused_before_anything_is_sent() {
    let server = TestServer::start([say(200, "")]).await;
    let port = server.address.port();
    let script = Script::new(vec![vec![server.address]]);
    let outbound = with(Settings::default(), &script);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "%31%32%37.0.0.1",
        "user:pw@127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "kubernetes.default.svc",
        "keystone",
    ] {
        let refused = outbound.send(get(&format!("http://{host}:{port}/"), NamedBy::Stranger)).await.expect_err(host);
        assert!(matches!(refused, SendError::NotAllowed(_)), "{host}: {refused}");
    }
    assert!(server.seen().is_empty());
    let own = outbound.send(get(&server.url(), NamedBy::Operator)).await;
    assert_eq!(own.expect("the operator may name anything").status, 200);
}

#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_connected_to_where_it_was_judged_or_not_at_all() {
    let (first, second) = (TestServer::start([say(200, "first")]).await, TestServer::start([say(200, "second")]).await);
    // Both are on loopback, so one of the two addresses is made the public one.
    let inside = SocketAddr::from(([127, 0, 0, 2], second.address.port()));
    let script = Script::new(vec![vec![first.address], vec![inside], vec![first.address, inside]]);
    let outbound = with(allowing("127.0.0.1"), &script);
    let call = || get("http://rebind.example/", NamedBy::Stranger);
    let answer = outbound.send(call()).await.expect("the address that was judged");
    assert_eq!(
        (answer.body.as_slice(), script.asked().len()),
        (b"first".as_slice(), 1),
        "one look-up, and no second one"
    );
    // A new client has no connection to go on with.
    let outbound = with(allowing("127.0.0.1"), &script);
    for _ in 0..2 {
        let refused = outbound.send(call()).await.expect_err("another address").to_string();
        assert!(refused.contains("rebind.example leads to 127.0.0.2, which is a loopback address"), "{refused}");
    }
    assert!(second.seen().is_empty());
}

#[tokio::test]
async fn a_listed_name_may_lead_anywhere_and_an_unknown_one_is_unreachable() {
    let server = TestServer::start([say(200, "")]).await;
    let script = Script::new(vec![vec![server.address]]);
    let listed = with(allowing(".svc"), &script);
    let answer = listed.send(get("http://keystone.cloud.svc/", NamedBy::Stranger)).await;
    assert_eq!(answer.expect("listed").status, 200);
    let unknown = with(Settings::default(), &Script::new(Vec::new()));
    let error = unknown.send(get("http://cloud.example/", NamedBy::Stranger)).await.expect_err("no such name");
    assert!(matches!(error, SendError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_to_the_inside_is_an_answer_and_not_followed() {
    let inside = TestServer::start([say(200, "")]).await;
    let server = TestServer::start([crate::test_server::Reply::Redirect(inside.url())]).await;
    let script = Script::new(vec![vec![server.address]]);
    let outbound = with(allowing("127.0.0.1"), &script);
    let answer = outbound.send(get("http://cloud.example/", NamedBy::Stranger)).await.expect("an answer");
    assert_eq!(answer.status, 302);
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn with_a_proxy_its_own_name_is_the_operators_word_and_literals_and_inside_names_are_still_judged() {
    let proxy = TestServer::start([say(403, "")]).await;
    let script = Script::new(vec![vec![proxy.address]]);
    let settings = Settings {
        https_proxy: Some(format!("http://proxy.corp.internal:{}", proxy.address.port())),
        ..Settings::default()
    };
    let outbound = with(settings, &script);
    for url in ["https://10.0.0.1/", "https://vault.internal/", "https://proxy.corp.internal/"] {
        let refused = outbound.send(get(url, NamedBy::Stranger)).await.expect_err(url);
        assert!(matches!(refused, SendError::NotAllowed(_)), "{url}: {refused}");
    }
    assert!(proxy.seen().is_empty());
    assert!(outbound.send(get("https://cloud.example/", NamedBy::Stranger)).await.is_err(), "no tunnel");
    assert_eq!(
        (proxy.lines(), script.asked()),
        (vec!["CONNECT cloud.example:443".to_owned()], vec!["proxy.corp.internal".to_owned()])
    );
}
