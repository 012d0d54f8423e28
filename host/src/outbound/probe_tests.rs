//! What a plugin may cause to be sent, and what it gets to see.

use super::probe::*;
use super::*;
use crate::test_server::{Reply, TestServer, say};
use catalyst_domain::provider::{Probe, ProbeResponse};
use catalyst_domain::{SecretValue, Secrets};

const HOST: &str = "api.cloud.test";
const TOKEN: &str = "sentinel-token-0123456789";

struct Cloud {
    server: TestServer,
    outbound: Outbound,
    _folder: tempfile::TempDir,
}

async fn cloud(replies: impl IntoIterator<Item = Reply>) -> Cloud {
    let (server, folder, trust) = TestServer::start_tls(HOST, replies).await;
    let addresses = vec![(HOST.to_owned(), server.address)];
    let allowed_clouds = AllowedClouds::parse("127.0.0.0/8").expect("a list");
    let settings = Settings { trust_store: Some(trust), addresses, allowed_clouds, ..Settings::default() };
    Cloud { outbound: Outbound::new(&settings).expect("a client"), server, _folder: folder }
}

impl Cloud {
    async fn probe(&self, probes: &[Probe]) -> Result<Vec<ProbeResponse>, ProbeError> {
        probe(&self.outbound, probes, &[HOST.to_owned()], &secrets()).await
    }
}

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("token", SecretValue::new(TOKEN));
    secrets.insert("tricky", SecretValue::new("{{secret:token}}"));
    secrets.insert("broken", SecretValue::new("sentinel\nline"));
    secrets
}

fn get(path: &str) -> Probe {
    let url = format!("https://{HOST}{path}");
    let headers = vec![("Authorization".to_owned(), "Bearer {{secret:token}}".to_owned())];
    Probe { method: "GET".to_owned(), url, headers, body: None }
}

#[tokio::test]
async fn placeholders_are_filled_and_the_answers_keep_their_order() {
    let cloud = cloud([say(200, "one"), say(401, "two")]).await;
    let post = Probe {
        method: "POST".to_owned(),
        body: Some(br#"{"t":"{{secret:token}}","u":"{{secret:tricky}}","v":"{{secret"}"#.to_vec()),
        ..get("/b")
    };
    let answers = cloud.probe(&[get("/a?x=1"), post]).await.expect("answers");
    let expect = [(200, b"one".to_vec()), (401, b"two".to_vec())].map(|(status, body)| ProbeResponse { status, body });
    assert_eq!(answers, expect);
    let seen = cloud.server.seen();
    assert_eq!(seen[0].line(), "GET /a?x=1");
    assert_eq!(seen[0].header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(seen[1].body, format!(r#"{{"t":"{TOKEN}","u":"{{{{secret:token}}}}","v":"{{{{secret"}}"#));
}

#[tokio::test]
async fn h8_nothing_is_sent_to_a_host_that_is_not_declared() {
    let refused = [
        "https://other.test/",
        "https://api.cloud.test.evil.test/",
        "https://evil.api.cloud.test/",
        "https://api.cloud.test:8443/",
        "https://127.0.0.1/",
        "http://api.cloud.test/",
        "file:///etc/passwd",
        "https://user:pw@api.cloud.test/",
        "https://api.cloud.test@other.test/",
        "https://api.cloud.test/?t={{secret:token}}",
        "no url",
        "",
    ];
    for url in refused {
        let cloud = cloud([say(200, "")]).await;
        // The good one goes first: all are checked before any is sent.
        let bad = Probe { url: url.to_owned(), ..get("/") };
        let error = cloud.probe(&[get("/"), bad]).await.expect_err(url);
        assert!(matches!(error, ProbeError::Refused { index: 1, .. }), "{url}: {error}");
        assert!(cloud.server.seen().is_empty(), "{url}");
    }
}

#[tokio::test]
async fn a_declared_port_and_any_case_of_the_host_are_taken() {
    let cloud = cloud([say(200, "")]).await;
    let port = cloud.server.address.port();
    let probe_it = Probe { url: format!("https://API.cloud.test:{port}/"), ..get("/") };
    let hosts = [format!("Api.Cloud.Test:{port}")];
    let answers = probe(&cloud.outbound, std::slice::from_ref(&probe_it), &hosts, &secrets()).await;
    assert_eq!(answers.expect("an answer")[0].status, 200);
    let none: [String; 0] = [];
    assert!(probe(&cloud.outbound, &[probe_it], &none, &secrets()).await.is_err());
}

#[tokio::test]
async fn a_probe_may_not_decide_framing_or_method() {
    let cloud = cloud([]).await;
    for header in ["Host", "content-length", "Transfer-Encoding", "Connection", "bad name", ""] {
        let bad = Probe { headers: vec![(header.to_owned(), "x".to_owned())], ..get("/") };
        assert!(matches!(cloud.probe(&[bad]).await, Err(ProbeError::Refused { index: 0, .. })), "{header}");
    }
    for method in ["DELETE", "PUT", "CONNECT", "get", ""] {
        let bad = Probe { method: method.to_owned(), ..get("/") };
        assert!(matches!(cloud.probe(&[bad]).await, Err(ProbeError::Refused { .. })), "{method}");
    }
    let large = Probe { body: Some(vec![b'x'; 64 * 1024 + 1]), ..get("/") };
    assert!(matches!(cloud.probe(&[large]).await, Err(ProbeError::Refused { .. })));
    assert!(matches!(cloud.probe(&vec![get("/"); 9]).await, Err(ProbeError::Refused { .. })));
    assert!(cloud.server.seen().is_empty());
}

#[tokio::test]
async fn a_search_only_reads_and_one_that_would_do_more_sends_nothing() {
    let cloud = cloud([say(200, "a"), say(200, "b")]).await;
    let search = async |probes: &[Probe]| {
        probe_within(&cloud.outbound, probes, &[HOST.to_owned()], &secrets(), LEFTOVER_SEARCH).await
    };
    for method in ["POST", "DELETE", "PUT", "PATCH", "get", "GET ", ""] {
        let other = Probe { method: method.to_owned(), ..get("/v1/volumes/41") };
        let refused = search(&[get("/v1/volumes"), other]).await;
        let Err(ProbeError::Refused { index: 1, rule }) = refused else { panic!("{method}: {refused:?}") };
        assert!(rule.contains("GET, HEAD") && !rule.contains("POST"), "{rule}");
    }
    assert!(cloud.server.seen().is_empty(), "what comes before it is not sent either");
    let head = Probe { method: "HEAD".to_owned(), ..get("/v1/volumes") };
    assert_eq!(search(&[get("/v1/volumes"), head]).await.expect("answers").len(), 2);
    assert!(matches!(search(&vec![get("/"); 17]).await, Err(ProbeError::Refused { index: 16, .. })));
}

#[tokio::test]
async fn a_secret_that_is_missing_or_unfit_is_named_not_shown() {
    let cloud = cloud([]).await;
    for (name, problem) in [("absent", "has no value"), ("broken", "can't stand in a header")] {
        let bad = Probe { headers: vec![("X-Token".to_owned(), format!("{{{{secret:{name}}}}}"))], ..get("/") };
        let error = cloud.probe(&[bad]).await.expect_err(name);
        let text = format!("{error} {error:?}");
        assert!(text.contains(name) && text.contains(problem) && !text.contains("sentinel"), "{text}");
    }
}

#[tokio::test]
async fn h8_an_answer_that_echoes_the_secret_is_masked_before_the_plugin_sees_it() {
    let edge = 64 * 1024 - 5;
    let replies = [say(200, format!("a{TOKEN}b{TOKEN}")), say(200, format!("{}{TOKEN}", "x".repeat(edge)))];
    let cloud = cloud(replies).await;
    let answers = cloud.probe(&[get("/"), get("/")]).await.expect("answers");
    assert_eq!(answers[0].body, b"a<redacted>b<redacted>");
    assert_eq!(answers[1].body.len(), 64 * 1024);
    assert!(answers[1].body.ends_with(b"x<reda"), "no part of the secret at the cut");
}

#[tokio::test]
async fn an_answer_is_cut_to_64_kib() {
    let cloud = cloud([say(200, "x".repeat(200_000))]).await;
    assert_eq!(cloud.probe(&[get("/")]).await.expect("an answer")[0].body.len(), 64 * 1024);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_the_secret_stays() {
    let elsewhere = TestServer::start([say(200, "")]).await;
    let cloud = cloud([Reply::Redirect(elsewhere.url())]).await;
    assert_eq!(cloud.probe(&[get("/")]).await.expect("an answer")[0].status, 302);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn no_answer_is_unreachable_and_ends_the_round() {
    let cloud = cloud([Reply::BreakOff, say(200, "")]).await;
    let error = cloud.probe(&[get("/"), get("/")]).await.expect_err("broken off");
    assert!(matches!(&error, ProbeError::Unreachable { host, .. } if host == HOST));
    assert!(!format!("{error} {error:?}").contains("sentinel"));
    assert_eq!(cloud.server.seen().len(), 1);
}

#[tokio::test]
async fn in_a_search_a_host_that_does_not_answer_or_is_refused_takes_no_other_list_along() {
    let silent = cloud([Reply::BreakOff, Reply::BreakOff, say(200, "too late")]).await;
    let cloud = cloud([Reply::BreakOff, say(200, "two")]).await;
    let hosts = [HOST.to_owned(), "10.0.0.1".to_owned()];
    let search = async |cloud: &Cloud, probes: &[Probe]| {
        probe_within(&cloud.outbound, probes, &hosts, &secrets(), LEFTOVER_SEARCH).await
    };
    let refused = || Probe { url: "https://10.0.0.1/".to_owned(), ..get("/") };
    let answers = search(&cloud, &[get("/a"), refused(), get("/b")]).await.expect("answers");
    let expect = [(0, ""), (0, ""), (200, "two")];
    assert_eq!(answers, expect.map(|(status, body)| ProbeResponse { status, body: body.as_bytes().to_vec() }));
    // Where nothing was answered, the reason of the first is told.
    let error = search(&silent, &[get("/c"), get("/d"), get("/e"), refused()]).await.expect_err("no answer at all");
    assert!(matches!(&error, ProbeError::Unreachable { host, .. } if host == HOST), "{error}");
    assert_eq!(silent.server.seen().len(), 2, "it is not asked for ever");
    assert_eq!(search(&cloud, &[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn all_probes_share_ten_seconds() {
    let cloud = cloud([Reply::Late(Duration::from_secs(6), 200, String::new()), Reply::Hang]).await;
    let start = std::time::Instant::now();
    let error = cloud.probe(&[get("/"), get("/")]).await.expect_err("over");
    assert!(matches!(error, ProbeError::Unreachable { .. }));
    assert!((9_500..12_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}
