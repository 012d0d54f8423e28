//! One test for each status of the manager and each call.

use super::*;
use crate::test_server::{Reply, TestServer, nobody, outbound, say};

async fn client(replies: impl IntoIterator<Item = Reply>) -> (TestServer, PdmClient) {
    let server = TestServer::start(replies).await;
    let client = at(&format!("{}/", server.url()));
    (server, client)
}

fn at(base: &str) -> PdmClient {
    PdmClient::new(outbound(), base_url(base).expect("a base"))
}

fn name() -> PoolName {
    PoolName::new(" Pool.Example ", "ACME ")
}

fn commit_request() -> CommitRequest {
    CommitRequest {
        reservation_token: "tok".to_owned(),
        sovereign_fqdn: "acme.pool.example".to_owned(),
        load_balancer_ip: "192.0.2.7".to_owned(),
    }
}

#[tokio::test]
async fn check_asks_once_and_takes_the_verdict_as_it_is() {
    let body = r#"{"available":false,"reason":"reserved-state","detail":"held","fqdn":"acme.pool.example"}"#;
    let (server, client) = client([say(200, body)]).await;
    let verdict = client.check(&name()).await.expect("a verdict");
    assert_eq!(serde_json::to_string(&verdict).expect("JSON"), body);
    assert_eq!(server.lines(), ["GET /api/v1/pool/pool.example/check?sub=acme"]);
}

#[tokio::test]
async fn check_free() {
    let (_server, client) = client([say(200, r#"{"available":true,"fqdn":"acme.pool.example"}"#)]).await;
    let verdict = client.check(&name()).await.expect("a verdict");
    assert!(verdict.available && verdict.reason.is_empty());
}

#[tokio::test]
async fn b4_an_error_of_check_is_no_verdict() {
    use PdmFault::{NotFound, Refused, Unavailable, Unintelligible};
    let rows = [
        (500, Unavailable),
        (503, Unavailable),
        (429, Unavailable),
        (404, NotFound),
        (422, Refused),
        (400, Refused),
        (401, Unintelligible),
        (302, Unintelligible),
    ];
    for (status, fault) in rows {
        // A body that would read as "taken" must not be taken for one.
        let (_server, client) = client([say(status, r#"{"available":false,"error":"x"}"#)]).await;
        let error = client.check(&name()).await.expect_err("an error");
        assert_eq!((error.fault, error.status), (fault, Some(status)));
    }
}

#[tokio::test]
async fn b4_a_200_without_a_verdict_is_an_error() {
    for body in [r#"{"error":"x"}"#, "<html>", "", "[]", r#"{"available":"yes"}"#] {
        let (_server, client) = client([say(200, body)]).await;
        let error = client.check(&name()).await.expect_err("an error");
        assert_eq!(error.fault, PdmFault::Unintelligible, "{body}");
    }
}

#[tokio::test]
async fn check_has_five_seconds() {
    let (_server, client) = client([Reply::Hang]).await;
    let start = std::time::Instant::now();
    let error = client.check(&name()).await.expect_err("an error");
    assert_eq!((error.fault, error.status), (PdmFault::Unreachable, None));
    assert!((4900..6500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn no_connection_and_a_broken_one_are_unreachable() {
    let error = at(&nobody().await).check(&name()).await.expect_err("an error");
    assert_eq!(error.fault, PdmFault::Unreachable);
    assert!(error.to_string().contains("refused"), "{error}");
    let (_server, client) = client([Reply::BreakOff]).await;
    assert_eq!(client.check(&name()).await.expect_err("an error").fault, PdmFault::Unreachable);
}

#[tokio::test]
async fn reserve_sends_label_and_owner() {
    let body = r#"{"poolDomain":"pool.example","subdomain":"acme","state":"reserved","reservedAt":"2026-01-01T00:00:00Z",
        "expiresAt":"2026-01-01T00:10:00Z","reservationToken":"tok","createdBy":"me"}"#;
    let (server, client) = client([say(201, body)]).await;
    let reservation = client.reserve(&name(), "me").await.expect("a reservation");
    assert_eq!(reservation.reservation_token, "tok");
    assert_eq!(reservation.expires_at, "2026-01-01T00:10:00Z");
    let seen = server.seen();
    assert_eq!(seen[0].line(), "POST /api/v1/pool/pool.example/reserve");
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert_eq!(seen[0].json(), serde_json::json!({"subdomain": "acme", "createdBy": "me"}));
}

#[tokio::test]
async fn b4_reserve_maps_each_status() {
    use PdmFault::{Conflict, NotFound, Refused, Unavailable, Unintelligible};
    let rows = [
        (409, r#"{"error":"conflict"}"#, Conflict),
        (422, r#"{"error":"invalid-format"}"#, Refused),
        (422, r#"{"error":"unsupported-pool"}"#, Refused),
        (400, r#"{"error":"invalid JSON body"}"#, Refused),
        (500, r#"{"error":"db"}"#, Unavailable),
        (404, "404 page not found", NotFound),
        (200, r#"{"reservationToken":"tok"}"#, Unintelligible),
        (201, r#"{"reservationToken":""}"#, Unintelligible),
        (201, "{", Unintelligible),
    ];
    for (status, body, fault) in rows {
        let (_server, client) = client([say(status, body)]).await;
        let error = client.reserve(&name(), "me").await.expect_err("an error");
        assert_eq!(error.fault, fault, "{status} {body}");
        assert!(error.to_string().contains(&status.to_string()) && error.to_string().contains(body), "{error}");
    }
}

#[tokio::test]
async fn commit_sends_the_contract_s_four_keys() {
    let (server, client) = client([say(200, "{}")]).await;
    assert_eq!(client.commit(&name(), &commit_request()).await, Ok(Committed::Published));
    let seen = server.seen();
    assert_eq!(seen[0].line(), "POST /api/v1/pool/pool.example/commit");
    let expect = serde_json::json!({"subdomain": "acme", "reservationToken": "tok",
        "sovereignFQDN": "acme.pool.example", "loadBalancerIP": "192.0.2.7"});
    assert_eq!(seen[0].json(), expect);
}

#[tokio::test]
async fn b2_commit_202_is_not_success() {
    let (_server, client) = client([say(202, r#"{"warning":"DNS write failed"}"#)]).await;
    match client.commit(&name(), &commit_request()).await {
        Ok(Committed::DnsPending { said }) => assert!(said.contains("DNS write failed")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn b4_commit_maps_each_status() {
    use PdmFault::{AlreadyActive, Expired, NotFound, Refused, TokenMismatch, Unavailable, Unintelligible};
    let rows = [
        (404, "not-found", NotFound),
        (409, "already-active", AlreadyActive),
        (403, "token-mismatch", TokenMismatch),
        (410, "reservation-expired", Expired),
        (422, "invalid-format", Refused),
        (422, "missing-lb-ip", Refused),
        (422, "unsupported-pool", Refused),
        (500, "db", Unavailable),
        (502, "<html>", Unavailable),
        (401, "who", Unintelligible),
    ];
    for (status, body, fault) in rows {
        let (_server, client) = client([say(status, body)]).await;
        let error = client.commit(&name(), &commit_request()).await.expect_err("an error");
        assert_eq!((error.fault, error.said.as_str()), (fault, body), "{status}");
    }
}

#[tokio::test]
async fn release_deletes_with_a_body_and_takes_404_for_done() {
    let (server, client) = client([say(200, "{}"), say(202, "left"), say(404, ""), say(422, "x"), say(500, "y")]).await;
    assert_eq!(client.release(&name()).await, Ok(Released::Done));
    assert_eq!(client.release(&name()).await, Ok(Released::DnsLeft { said: "left".to_owned() }));
    assert_eq!(client.release(&name()).await, Ok(Released::Absent));
    assert_eq!(client.release(&name()).await.expect_err("422").fault, PdmFault::Refused);
    assert_eq!(client.release(&name()).await.expect_err("500").fault, PdmFault::Unavailable);
    let seen = server.seen();
    assert_eq!(seen[0].line(), "DELETE /api/v1/pool/pool.example/release");
    assert_eq!(seen[0].json(), serde_json::json!({"subdomain": "acme"}));
}

#[tokio::test]
async fn the_holder_is_read_from_the_listing() {
    let listing = r#"{"poolDomain":"pool.example","allocations":[
        {"subdomain":"other","state":"active","createdBy":"x"},
        {"subdomain":"acme","state":"reserved","createdBy":"me","reservationToken":"tok"}]}"#;
    let (server, client) = client([say(200, listing), say(200, r#"{"allocations":[]}"#), say(200, "{}")]).await;
    let holder = client.holder(&name()).await.expect("a listing").expect("a holder");
    assert_eq!((holder.state, holder.created_by.as_str()), (AllocationState::Reserved, "me"));
    assert_eq!(client.holder(&name()).await, Ok(None));
    assert_eq!(client.holder(&name()).await.expect_err("no listing").fault, PdmFault::Unintelligible);
    assert_eq!(server.lines()[0], "GET /api/v1/pool/pool.example/list");
}

#[tokio::test]
async fn an_error_repeats_at_most_256_bytes_on_one_line() {
    let (_server, client) = client([say(500, format!("a\nb{}", "é".repeat(50_000)))]).await;
    let error = client.check(&name()).await.expect_err("an error");
    assert!(error.said.len() <= 256 && error.said.len() > 250, "{}", error.said.len());
    assert!(error.said.starts_with("a b"));
}

#[tokio::test]
async fn odd_names_stay_one_segment_and_one_parameter() {
    let (server, client) = client([say(200, r#"{"available":true}"#)]).await;
    client.check(&PoolName::new("a/../b?c", "x&y=z#")).await.expect("a verdict");
    assert_eq!(server.lines(), ["GET /api/v1/pool/a%2F..%2Fb%3Fc/check?sub=x%26y%3Dz%23"]);
}

#[test]
fn a_base_url_may_have_a_path_and_a_slash_but_must_be_http() {
    assert_eq!(base_url(" http://pdm:8080/ ").expect("a base").as_str(), "http://pdm:8080/");
    assert_eq!(base_url("https://pdm/sub/").expect("a base").as_str(), "https://pdm/sub");
    for wrong in ["", "pdm:8080", "ftp://pdm", "unix:/x", "http://"] {
        assert_eq!(base_url(wrong), Err(InvalidBase), "{wrong}");
    }
}
