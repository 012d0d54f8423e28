//! Limits, proxy and trust over real sockets.

use super::*;
use crate::test_server::{Reply, TestServer, nobody, outbound, say};

fn get(url: &str) -> Call {
    Call {
        named_by: NamedBy::Operator,
        method: Method::GET,
        url: Url::parse(url).expect("a URL"),
        headers: HeaderMap::new(),
        body: None,
        timeout: Duration::from_secs(5),
        body_limit: 1000,
    }
}

fn with(settings: Settings) -> Outbound {
    Outbound::new(&settings).expect("a client")
}

#[tokio::test]
async fn a_body_is_kept_up_to_its_limit() {
    for (sent, kept, truncated) in [(0, 0, false), (1000, 1000, false), (1001, 1000, true), (5_000_000, 1000, true)] {
        let server = TestServer::start([say(200, "x".repeat(sent))]).await;
        let answer = outbound().send(get(&server.url())).await.expect("an answer");
        assert_eq!((answer.body.len(), answer.truncated), (kept, truncated));
    }
}

#[tokio::test]
async fn a_header_that_was_asked_for_is_not_shown() {
    let server = TestServer::start([say(200, "abc")]).await;
    let wanted = HeaderName::from_static("content-length");
    let (_, value) = outbound().send_for_header(get(&server.url()), Some(&wanted)).await.expect("an answer");
    let value = value.expect("the header");
    assert!(value.is_sensitive() && value == "3", "{value:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = TestServer::start([say(200, "")]).await;
    let server = TestServer::start([Reply::Redirect(elsewhere.url())]).await;
    assert_eq!(outbound().send(get(&server.url())).await.expect("an answer").status, 302);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn the_budget_is_kept_and_nothing_is_sent_twice() {
    let server = TestServer::start([Reply::Hang, say(200, "")]).await;
    let call = Call { timeout: Duration::from_millis(200), ..get(&server.url()) };
    assert_eq!(outbound().send(call).await, Err(SendError::Timeout(Duration::from_millis(200))));
    let server = TestServer::start([Reply::BreakOff, say(200, "")]).await;
    assert!(matches!(outbound().send(get(&server.url())).await, Err(SendError::Unreachable(_))));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_error_names_its_cause_but_not_the_query() {
    let url = format!("{}/path?secret=sentinel", nobody().await);
    let error = outbound().send(get(&url)).await.expect_err("refused").to_string();
    assert!(error.to_lowercase().contains("refused"), "{error}");
    assert!(!error.contains("sentinel") && !error.contains("/path"), "{error}");
}

#[tokio::test]
async fn https_goes_through_the_proxy_and_http_does_not() {
    let proxy = TestServer::start([say(403, ""), say(403, "")]).await;
    let direct = TestServer::start([say(200, "")]).await;
    let client = with(Settings { https_proxy: Some(proxy.url()), ..Settings::default() });
    let refused = client.send(get("https://cloud.example/x?q=sentinel")).await.expect_err("no tunnel");
    assert_eq!(proxy.lines(), ["CONNECT cloud.example:443"]);
    assert!(!refused.to_string().contains("sentinel"));
    assert_eq!(client.send(get(&direct.url())).await.expect("direct").status, 200);
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn what_no_proxy_names_is_called_directly() {
    for no_proxy in ["cloud.test", ".test", "other.example, cloud.test", "*"] {
        let proxy = TestServer::start([]).await;
        let (server, _folder, trust) = TestServer::start_tls("cloud.test", [say(200, "")]).await;
        let client = with(Settings {
            https_proxy: Some(proxy.url()),
            no_proxy: Some(no_proxy.to_owned()),
            trust_store: Some(trust),
            addresses: vec![("cloud.test".to_owned(), server.address)],
            ..Settings::default()
        });
        assert_eq!(client.send(get("https://cloud.test/")).await.expect(no_proxy).status, 200);
        assert!(proxy.seen().is_empty(), "{no_proxy}");
    }
}

#[tokio::test]
async fn only_the_configured_trust_store_counts() {
    let (server, _folder, trust) = TestServer::start_tls("cloud.test", [say(200, ""), say(200, "")]).await;
    let addresses = vec![("cloud.test".to_owned(), server.address), ("other.test".to_owned(), server.address)];
    let trusting = with(Settings { trust_store: Some(trust), addresses: addresses.clone(), ..Settings::default() });
    assert_eq!(trusting.send(get("https://cloud.test/")).await.expect("trusted").status, 200);
    let wrong_name = trusting.send(get("https://other.test/")).await.expect_err("another name").to_string();
    assert!(wrong_name.contains("certificate"), "{wrong_name}");
    let system = with(Settings { addresses, ..Settings::default() });
    let unknown = system.send(get("https://cloud.test/")).await.expect_err("an unknown issuer").to_string();
    assert!(unknown.contains("certificate"), "{unknown}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_failed_is_typed_beside_its_words() {
    async fn cause(client: &Outbound, url: &str) -> Option<UnreachableCause> {
        match client.send(get(url)).await {
            Err(SendError::Unreachable(unreachable)) => Some(unreachable.cause),
            _ => None,
        }
    }
    assert_eq!(cause(&outbound(), &nobody().await).await, Some(UnreachableCause::Connection));
    let by = |proxy: String| with(Settings { https_proxy: Some(proxy), ..Settings::default() });
    let proxy = TestServer::start([say(403, ""), say(407, "")]).await;
    let refused = by(proxy.url());
    for status in [None, Some(407)] {
        let found = cause(&refused, "https://cloud.example/").await;
        assert_eq!(found, Some(UnreachableCause::ProxyRefused(status)));
    }
    let absent = by(nobody().await);
    assert_eq!(cause(&absent, "https://cloud.example/").await, Some(UnreachableCause::Proxy));
    let (server, _folder, trust) = TestServer::start_tls("cloud.test", []).await;
    let addresses = vec![("cloud.test".to_owned(), server.address), ("other.test".to_owned(), server.address)];
    let system = with(Settings { addresses: addresses.clone(), ..Settings::default() });
    assert_eq!(cause(&system, "https://cloud.test/").await, Some(UnreachableCause::Certificate));
    let trusting = with(Settings { trust_store: Some(trust), addresses, ..Settings::default() });
    assert_eq!(cause(&trusting, "https://other.test/").await, Some(UnreachableCause::Certificate));
}

#[test]
fn settings_that_cannot_work_are_told_at_start() {
    let wrong_proxy = Settings { https_proxy: Some("http://user:sentinel@[".to_owned()), ..Settings::default() };
    let error = Outbound::new(&wrong_proxy).expect_err("no URL");
    assert!(matches!(error, SetupError::Proxy) && !format!("{error:?}").contains("sentinel"));
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").expect("a file");
    for path in [empty, folder.path().join("absent.pem")] {
        let error = Outbound::new(&Settings { trust_store: Some(path), ..Settings::default() }).expect_err("no trust");
        assert!(matches!(error, SetupError::TrustStore { .. }), "{error}");
        assert!(error.to_string().contains(".pem"));
    }
}

#[test]
fn a_blank_proxy_is_none() {
    assert!(Outbound::new(&Settings { https_proxy: Some("  ".to_owned()), ..Settings::default() }).is_ok());
}

#[test]
fn an_excerpt_is_one_line_within_its_limit() {
    assert_eq!(excerpt(b" a\r\n\x1b[31mb ", 100), "a   [31mb");
    assert_eq!(excerpt("ééé".as_bytes(), 5), "éé");
    assert_eq!(excerpt(b"\xff\xfe", 100), "\u{fffd}\u{fffd}");
    assert_eq!(excerpt(b"abc", 0), "");
}

#[tokio::test]
async fn the_environment_is_not_read() {
    let dead = nobody().await;
    let own = std::env::current_exe().expect("this test");
    // The same test once more, in a process whose environment would lead every call astray.
    let mut child = tokio::process::Command::new(own);
    child.args(["--exact", "outbound::tests::a_redirect_is_an_answer"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, &dead);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let output = child.output().await.expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
