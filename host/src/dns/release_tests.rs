//! A name is freed for its owner only.

use super::*;
use crate::dns::pdm::base_url;
use crate::dns::retry::Spread;
use crate::test_server::{Reply, TestServer, outbound, say};

const OURS: &str = r#"{"allocations":[{"subdomain":"acme","state":"active","createdBy":"me"}]}"#;
const FOREIGN: &str = r#"{"allocations":[{"subdomain":"acme","state":"active","createdBy":"you"}]}"#;
const FREE: &str = r#"{"allocations":[]}"#;

async fn run(proof: Proof, replies: impl IntoIterator<Item = Reply>) -> (ReleaseEnd, Vec<String>, usize) {
    let server = TestServer::start(replies).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    let policy = RetryPolicy {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(1),
        give_up_after: Duration::from_millis(5),
        spread: Spread::Exact,
    };
    let (name, mut tries) = (PoolName::new("pool.example", "acme"), 0);
    let never = CancellationToken::new();
    let end = release(&client, &name, "me", proof, &policy, &never, |_| tries += 1).await;
    (end, server.seen().into_iter().map(|s| s.method).collect(), tries)
}

#[tokio::test]
async fn our_own_name_is_released() {
    let (end, calls, _) = run(Proof::Required, [say(200, OURS), say(200, "{}")]).await;
    assert_eq!((end, calls), (ReleaseEnd::Freed, vec!["GET".to_owned(), "DELETE".to_owned()]));
}

#[tokio::test]
async fn b3_a_name_that_lapsed_and_went_to_somebody_else_is_left_alone() {
    for proof in [Proof::Required, Proof::WhereListed] {
        let (end, calls, _) = run(proof, [say(200, FOREIGN)]).await;
        assert_eq!((end, calls), (ReleaseEnd::Foreign, vec!["GET".to_owned()]));
    }
}

#[tokio::test]
async fn a_free_name_needs_no_release() {
    let (end, calls, _) = run(Proof::WhereListed, [say(200, FREE)]).await;
    assert_eq!((end, calls.len()), (ReleaseEnd::Freed, 1));
}

#[tokio::test]
async fn a_404_is_done() {
    let (end, _, _) = run(Proof::WhereListed, [say(200, OURS), say(404, "")]).await;
    assert_eq!(end, ReleaseEnd::Freed);
}

#[tokio::test]
async fn b2_failures_that_pass_are_tried_again_and_reported() {
    let (end, _, tries) =
        run(Proof::WhereListed, [say(503, ""), say(200, OURS), say(500, ""), say(200, OURS), say(200, "")]).await;
    assert_eq!((end, tries), (ReleaseEnd::Freed, 2));
}

#[tokio::test]
async fn b2_a_202_is_asked_again_although_the_name_is_free() {
    let (end, calls, tries) =
        run(Proof::Required, [say(200, OURS), say(202, "left"), say(200, FREE), say(404, "")]).await;
    assert_eq!((end, tries), (ReleaseEnd::Freed, 1));
    assert_eq!(calls, ["GET", "DELETE", "GET", "DELETE"]);
}

#[tokio::test]
async fn without_listings_only_a_name_that_was_ours_is_released() {
    let (end, calls, _) = run(Proof::WhereListed, [say(404, ""), say(200, "")]).await;
    assert_eq!((end, calls.len()), (ReleaseEnd::Freed, 2));
    let (end, calls, _) = run(Proof::Required, [say(404, ""), say(200, "")]).await;
    assert!(matches!(end, ReleaseEnd::Failed(e) if e.fault == PdmFault::NotFound));
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn a_lasting_failure_is_told() {
    let (end, _, tries) = run(Proof::WhereListed, (0..40).map(|_| say(500, "db"))).await;
    assert!(matches!(end, ReleaseEnd::Failed(e) if e.said == "db") && tries > 1);
}

#[tokio::test]
async fn a_wait_is_called_off() {
    let server = TestServer::start([say(500, "")]).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    let name = PoolName::new("pool.example", "acme");
    let cancel = CancellationToken::new();
    let policy = RetryPolicy { first: Duration::from_secs(3600), ..RetryPolicy::default() };
    let run = release(&client, &name, "me", Proof::WhereListed, &policy, &cancel, |_| cancel.cancel());
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), run).await, Ok(ReleaseEnd::Cancelled));
}

#[tokio::test]
async fn b3_a_listing_that_is_refused_is_no_leave_to_release() {
    for status in [401, 403, 418] {
        let (end, calls, _) = run(Proof::WhereListed, [say(status, "{}"), say(200, "{}")]).await;
        assert!(matches!(end, ReleaseEnd::Failed(_)), "{status}: {end:?}");
        assert_eq!(calls, ["GET"], "{status}");
    }
}
