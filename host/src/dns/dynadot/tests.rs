//! The hook against a stand-in for Dynadot.

use super::*;
use crate::outbound::Settings;
use crate::test_server::{Reply, TestServer, nobody, outbound, say};

const OK: &str = r#"{"SetDns2Response":{"ResponseHeader":{"ResponseCode":"0","Status":"success"}}}"#;
const KEY: &str = "sentinel-key+/&é";
const SECRET: &str = "sentinel-secret%=\"x";

fn map(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let good = [
        ("DYNADOT_API_KEY", KEY),
        ("DYNADOT_API_SECRET", SECRET),
        ("DOMAIN", "Omani.Works"),
        ("SUBDOMAIN", "acme"),
        ("LB_IP", "192.0.2.7"),
    ];
    good.iter().chain(changes).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn inputs(endpoint: &str) -> Inputs {
    Inputs::from_map(&map(&[])).expect("inputs").with_endpoint(endpoint)
}

async fn run_with(replies: impl IntoIterator<Item = Reply>) -> (TestServer, Result<Vec<String>, DnsError>) {
    let server = TestServer::start(replies).await;
    let outcome = run(inputs(&format!("{}/api3.json", server.url())), &outbound()).await;
    (server, outcome)
}

/// Neither plain, nor as a query holds them, nor a recognisable part.
fn without_secrets(error: &DnsError) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("sentinel"), "{text}");
}

fn query(uri: &str) -> BTreeMap<String, String> {
    Url::parse(&format!("http://x{uri}")).expect("a URL").query_pairs().into_owned().collect()
}

#[tokio::test]
async fn six_a_records_in_order_each_appended() {
    let (server, outcome) = run_with((0..6).map(|_| say(200, OK))).await;
    let hosts = ["*.acme", "console.acme", "gitea.acme", "harbor.acme", "admin.acme", "api.acme"];
    assert_eq!(outcome.expect("written"), hosts.map(|h| format!("{h}.omani.works A 192.0.2.7")));
    let seen = server.seen();
    assert_eq!(seen.len(), 6);
    for (request, host) in seen.iter().zip(hosts) {
        assert!(request.line().starts_with("GET /api3.json?"), "{}", request.line());
        let expect = [
            ("key", KEY),
            ("secret", SECRET),
            ("command", "set_dns2"),
            ("domain", "omani.works"),
            ("add_dns_to_current_setting", "yes"),
            ("subdomain0", host),
            ("sub_record_type0", "a"),
            ("sub_record0", "192.0.2.7"),
            ("sub_recordx0", "300"),
        ];
        assert_eq!(query(&request.uri), expect.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}

#[test]
fn the_domain_itself_is_a_main_record() {
    for apex in ["", "@"] {
        let url = record_url(&inputs("http://x/api3.json"), apex).expect("a URL");
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["main_record_type0"], "a");
        assert_eq!(query["main_record0"], "192.0.2.7");
        assert_eq!(query["main_recordx0"], "300");
        assert_eq!(query["add_dns_to_current_setting"], "yes");
        assert!(!query.contains_key("subdomain0"));
    }
}

#[tokio::test]
async fn the_forms_of_success() {
    for header in [r#"{"Status":"SUCCESS"}"#, r#"{"ResponseCode":"0"}"#, r#"{"ResponseCode":0}"#] {
        let body = format!(r#"{{"SetDns2Response":{{"ResponseHeader":{header}}}}}"#);
        let (_server, outcome) = run_with((0..6).map(|_| say(200, body.clone()))).await;
        assert!(outcome.is_ok(), "{header}");
    }
}

#[tokio::test]
async fn the_first_refusal_ends_it() {
    let refusal =
        r#"{"SetDns2Response":{"ResponseHeader":{"ResponseCode":"-1","Status":"error","Error":"no such domain"}}}"#;
    let (server, outcome) = run_with([say(200, refusal), say(200, OK)]).await;
    let error = outcome.expect_err("refused").to_string();
    for part in ["*.acme.omani.works", "-1", "error", "no such domain", "0 of 6"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(server.seen().len(), 1);

    let (server, outcome) = run_with([say(200, OK), say(200, OK), say(500, "oops"), say(200, OK)]).await;
    let error = outcome.expect_err("500").to_string();
    assert!(error.contains("gitea.acme.omani.works") && error.contains("500") && error.contains("2 of 6"), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn what_is_no_answer_of_dynadot_is_an_error() {
    for body in ["<html>", "{}", "null", r#"{"SetDns2Response":{}}"#, r#"{"SetDns2Response":{"ResponseHeader":{}}}"#] {
        let (server, outcome) = run_with([say(200, body)]).await;
        assert!(matches!(outcome, Err(DnsError::Record { written: 0, .. })), "{body}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn h18_no_transport_error_holds_key_or_secret() {
    let refused = run(inputs(&nobody().await), &outbound()).await.expect_err("refused");
    let proxy = Settings { https_proxy: Some(nobody().await), ..Settings::default() };
    let proxy = Outbound::new(&proxy).expect("a client");
    let no_proxy = run(inputs("https://dynadot.example/api3.json"), &proxy).await.expect_err("no proxy");
    let (server, broken) = run_with([Reply::BreakOff]).await;
    let no_tls = inputs(&format!("https://{}/api3.json", server.address));
    let no_tls = run(no_tls, &outbound()).await.expect_err("no TLS");
    let no_url = run(inputs("no url"), &outbound()).await.expect_err("no URL");
    for error in [refused, no_proxy, broken.expect_err("broken off"), no_tls, no_url] {
        without_secrets(&error);
    }
}

#[tokio::test]
async fn h18_no_echo_of_the_request_holds_key_or_secret() {
    let encoded = |v: &str| url_form(v);
    let echo = format!("{} and {KEY}&{SECRET} and {}", encoded(KEY), encoded(SECRET));
    let json = serde_json::json!({"SetDns2Response": {"ResponseHeader": {"ResponseCode": "-1", "Error": echo}}});
    // The last two put a secret across the place where an error is cut.
    let bodies = [
        say(500, echo.clone()),
        say(200, echo.clone()),
        say(200, json.to_string()),
        say(500, format!("{}{KEY}", "x".repeat(250))),
        say(200, format!(r#"{{"x":"{}{KEY}"}}"#, "x".repeat(240))),
    ];
    for body in bodies {
        let (_server, outcome) = run_with([body]).await;
        without_secrets(&outcome.expect_err("refused"));
    }
}

#[tokio::test]
async fn h18_a_redirect_takes_key_and_secret_nowhere() {
    let elsewhere = TestServer::start([say(200, OK)]).await;
    let (_server, outcome) = run_with([Reply::Redirect(elsewhere.url())]).await;
    let error = outcome.expect_err("no answer of Dynadot");
    assert!(error.to_string().contains("302"), "{error}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn the_budget_ends_it_and_says_how_far_it_came() {
    let server = TestServer::start([say(200, OK), Reply::Hang]).await;
    let inputs = Inputs { budget: Duration::from_millis(300), ..inputs(&server.url()) };
    let error = run(inputs, &outbound()).await.expect_err("over");
    assert_eq!(error, DnsError::Budget(Duration::from_millis(300), 1));
    assert!(error.to_string().contains("1 of 6"), "{error}");
    assert_eq!((BUDGET, CALL_BUDGET), (Duration::from_secs(120), Duration::from_secs(30)));
}

#[test]
fn wrong_inputs_are_told_by_their_names() {
    let rows = [
        (("DYNADOT_API_KEY", ""), "DYNADOT_API_KEY"),
        (("DYNADOT_API_SECRET", "  "), "DYNADOT_API_SECRET"),
        (("DOMAIN", ""), "DOMAIN"),
        (("SUBDOMAIN", ""), "SUBDOMAIN"),
        (("SUBDOMAIN", "a b"), "SUBDOMAIN"),
        (("SUBDOMAIN", "a..b"), "SUBDOMAIN"),
        (("LB_IP", ""), "LB_IP"),
        (("LB_IP", "load-balancer"), "LB_IP"),
        (("LB_IP", "2001:db8::1"), "LB_IP"),
        (("DOMAIN", "other.example"), "managed-domain allowlist"),
        (("DYNADOT_MANAGED_DOMAINS", "a.example"), "managed-domain allowlist"),
        (("DYNADOT_DOMAIN", "a.example"), "managed-domain allowlist"),
    ];
    for (change, part) in rows {
        let error = Inputs::from_map(&map(&[change])).expect_err(part);
        assert!(error.to_string().contains(part), "{change:?}: {error}");
        without_secrets(&error);
    }
    assert_eq!(Inputs::from_map(&BTreeMap::new()).expect_err("empty"), DnsError::Missing("DYNADOT_API_KEY"));
}

#[test]
fn inputs_cannot_be_printed() {
    assert!(!format!("{:?}", inputs("http://x")).contains("sentinel"));
}
