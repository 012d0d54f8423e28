//! One test for each answer that is decided here.

use super::*;
use crate::dns::pdm::base_url;
use crate::test_server::{Reply, TestServer, nobody, outbound, say};

const BODY: &[u8] = br#"{ "domain":"a.example",  "token":"sentinel-token","extra":[1] } "#;

async fn forwarded(action: Action, reply: Reply) -> (TestServer, Result<PassedOn, ForwardError>) {
    let server = TestServer::start([reply]).await;
    let base = base_url(&server.url()).expect("a base");
    let outcome = forward(&outbound(), &base, Registrar::Godaddy, action, BODY.to_vec()).await;
    (server, outcome)
}

#[test]
fn five_registrars_in_any_case() {
    for registrar in Registrar::ALL {
        assert_eq!(format!(" {} ", registrar.as_str().to_uppercase()).parse(), Ok(registrar));
    }
    for other in ["", "gandi", "cloudflare/../x", "god addy"] {
        assert_eq!(other.parse::<Registrar>(), Err(UnsupportedRegistrar), "{other}");
    }
}

#[test]
fn the_body_of_a_validate_is_checked_in_order() {
    use BodyFault::{InvalidBody, MissingDomain, MissingToken};
    let rows: [(&str, Result<&str, BodyFault>); 16] = [
        (r#"{"domain":" a.example ","token":"t"}"#, Ok("a.example")),
        (r#"{"DOMAIN":"a.example","Token":" "}"#, Ok("a.example")),
        (r#"{"domain":"a.example","token":"t"} trailing"#, Ok("a.example")),
        ("", Err(InvalidBody)),
        ("{", Err(InvalidBody)),
        ("[]", Err(InvalidBody)),
        ("\"x\"", Err(InvalidBody)),
        (r#"{"domain":1,"token":"t"}"#, Err(InvalidBody)),
        (r#"{"domain":"a.example","token":{}}"#, Err(InvalidBody)),
        ("null", Err(MissingDomain)),
        ("{}", Err(MissingDomain)),
        (r#"{"domain":"  ","token":"t"}"#, Err(MissingDomain)),
        (r#"{"domain":null,"token":null}"#, Err(MissingDomain)),
        (r#"{"domain":"a.example"}"#, Err(MissingToken)),
        (r#"{"domain":"a.example","token":""}"#, Err(MissingToken)),
        (r#"{"domain":"a.example","token":null}"#, Err(MissingToken)),
    ];
    for (body, expect) in rows {
        assert_eq!(domain_to_validate(body.as_bytes()), expect.map(str::to_owned), "{body}");
    }
    assert_eq!(
        [InvalidBody, MissingDomain, MissingToken].map(|fault| fault.code()),
        ["invalid-body", "missing-domain", "missing-token"]
    );
}

#[test]
fn a_body_that_two_readers_take_differently_goes_no_further() {
    for body in [
        r#"{"domain":"a.example","domain":"b.example","token":"t"}"#,
        r#"{"domain":"a.example","token":"t","TOKEN":"sentinel"}"#,
        r#"{"domain":"a.example","token":"t","nameservers":[{"a":1,"\u0061":2}]}"#,
    ] {
        let fault = domain_to_validate(body.as_bytes()).unwrap_err();
        assert_eq!((&fault, fault.code()), (&refuse_duplicates(body.as_bytes()).unwrap_err(), "invalid-body"));
        assert!(fault.to_string().contains("more than once") && !fault.to_string().contains("sentinel"), "{fault}");
    }
    assert_eq!(refuse_duplicates(b"what the manager judges"), Ok(()));
}

#[tokio::test]
async fn the_bytes_go_through_as_they_are() {
    for (action, path) in [(Action::Validate, "validate"), (Action::SetNameservers, "set-ns")] {
        let (server, outcome) = forwarded(action, say(200, r#"{"valid":true}"#)).await;
        let passed = outcome.expect("an answer");
        assert_eq!((passed.status, passed.body.as_slice()), (200, br#"{"valid":true}"#.as_slice()));
        let seen = server.seen();
        assert_eq!(seen[0].line(), format!("POST /api/v1/registrar/godaddy/{path}"));
        assert_eq!(seen[0].header("content-type"), "application/json");
        assert_eq!(seen[0].body.as_bytes(), BODY);
    }
}

#[tokio::test]
async fn every_status_is_passed_on_with_its_body() {
    for status in [400, 401, 403, 404, 422, 429, 500, 502, 503] {
        let body = format!(r#"{{"error":"e{status}","registrar":"godaddy"}}"#);
        let (_server, outcome) = forwarded(Action::Validate, say(status, body.clone())).await;
        assert_eq!(outcome, Ok(PassedOn { status, body: body.into_bytes() }));
    }
}

#[tokio::test]
async fn no_answer_is_unreachable() {
    let base = base_url(&nobody().await).expect("a base");
    let refused = forward(&outbound(), &base, Registrar::Ovh, Action::Validate, BODY.to_vec()).await;
    let (_server, broken) = forwarded(Action::SetNameservers, Reply::BreakOff).await;
    for outcome in [refused, broken] {
        let error = outcome.expect_err("no answer");
        assert!(matches!(error, ForwardError::Unreachable(_)));
        assert!(!format!("{error} {error:?}").contains("sentinel-token"));
    }
}

#[tokio::test]
async fn an_answer_over_64_kib_is_not_cut_but_refused() {
    let (_server, fits) = forwarded(Action::Validate, say(200, "x".repeat(64 * 1024))).await;
    assert_eq!(fits.expect("fits").body.len(), 64 * 1024);
    let (_server, outcome) = forwarded(Action::Validate, say(200, "x".repeat(64 * 1024 + 1))).await;
    assert_eq!(outcome, Err(ForwardError::TooLarge));
}

#[test]
fn the_budgets_are_the_contract_s() {
    assert_eq!(Action::Validate.timeout(), Duration::from_secs(15));
    assert_eq!(Action::SetNameservers.timeout(), Duration::from_secs(30));
}

#[test]
fn an_answer_that_echoes_the_token_is_not_printed() {
    let passed = PassedOn { status: 200, body: b"sentinel-token".to_vec() };
    assert!(!format!("{passed:?}").contains("sentinel"));
}
