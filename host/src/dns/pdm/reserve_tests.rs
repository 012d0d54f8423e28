//! A caller that goes away leaves nothing behind.

use super::*;
use crate::test_server::{Reply, TestServer, outbound, say};
use std::future::Future;
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const RESERVED: &str = r#"{"reservationToken":"tok"}"#;
const OURS: &str = r#"{"allocations":[{"subdomain":"acme","state":"reserved","createdBy":"me"}]}"#;
const FOREIGN: &str = r#"{"allocations":[{"subdomain":"acme","state":"reserved","createdBy":"you"}]}"#;

async fn client(replies: impl IntoIterator<Item = Reply>) -> (TestServer, PdmClient, PoolName) {
    let server = TestServer::start(replies).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    (server, client, PoolName::new("pool.example", "acme"))
}

/// One that is asked on behalf of a process that goes on.
async fn reserve(client: &PdmClient, name: &PoolName) -> Result<Reservation, PdmError> {
    client.reserve_detached(name, "me", &TaskTracker::new(), &CancellationToken::new()).await
}

async fn nothing_more(server: &TestServer, count: usize) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.seen().len(), count, "{:?}", server.lines());
}

#[tokio::test]
async fn b6_a_caller_that_stays_gets_its_reservation_and_keeps_it() {
    let (server, client, name) = client([say(201, RESERVED)]).await;
    assert_eq!(reserve(&client, &name).await.expect("reserved").reservation_token, "tok");
    nothing_more(&server, 1).await;
}

#[tokio::test]
async fn b6_a_caller_that_leaves_before_the_answer_has_it_released() {
    let late = Reply::Late(Duration::from_millis(200), 201, RESERVED.to_owned());
    let (server, client, name) = client([late, say(200, OURS), say(200, "{}")]).await;
    let gone = tokio::time::timeout(Duration::from_millis(50), reserve(&client, &name)).await;
    assert!(gone.is_err());
    let seen = server.wait_for(3).await;
    assert_eq!(seen[1].line(), "GET /api/v1/pool/pool.example/list");
    assert_eq!(seen[2].line(), "DELETE /api/v1/pool/pool.example/release");
}

#[tokio::test]
async fn b6_an_answer_that_nobody_reads_is_released_too() {
    let (server, client, name) = client([say(201, RESERVED), say(200, OURS), say(200, "{}")]).await;
    {
        let mut call = Box::pin(reserve(&client, &name));
        // Exactly one poll starts the call; the answer then comes while nobody polls.
        let first = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
        assert!(first);
        server.wait_for(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(server.seen().len(), 1, "the delivery is still possible");
    }
    assert_eq!(server.wait_for(3).await[2].method, "DELETE");
}

#[tokio::test]
async fn b6_a_lost_answer_is_looked_into_and_only_our_own_is_released() {
    let (server, mine, name) = client([Reply::BreakOff, say(200, OURS), say(200, "{}")]).await;
    assert_eq!(reserve(&mine, &name).await.expect_err("lost").fault, PdmFault::Unreachable);
    assert_eq!(server.wait_for(3).await[2].method, "DELETE");

    let (server, yours, name) = client([say(500, "x"), say(200, FOREIGN)]).await;
    assert_eq!(reserve(&yours, &name).await.expect_err("500").fault, PdmFault::Unavailable);
    server.wait_for(2).await;
    nothing_more(&server, 2).await;
}

#[tokio::test]
async fn b6_after_a_lost_answer_nothing_is_released_without_proof() {
    let (server, client, name) = client([say(500, "x"), say(404, "no such route")]).await;
    assert!(reserve(&client, &name).await.is_err());
    server.wait_for(2).await;
    nothing_more(&server, 2).await;
}

#[tokio::test]
async fn b6_a_clear_refusal_needs_no_release() {
    let (server, client, name) = client([say(409, "conflict")]).await;
    assert_eq!(reserve(&client, &name).await.expect_err("409").fault, PdmFault::Conflict);
    nothing_more(&server, 1).await;
}

#[tokio::test]
async fn b6_without_listings_our_own_reservation_is_released_as_the_contract_has_it() {
    let late = Reply::Late(Duration::from_millis(200), 201, RESERVED.to_owned());
    let (server, client, name) = client([late, say(404, ""), say(200, "{}")]).await;
    let gone = tokio::time::timeout(Duration::from_millis(50), reserve(&client, &name)).await;
    assert!(gone.is_err());
    assert_eq!(server.wait_for(3).await[2].method, "DELETE");
}

#[tokio::test]
async fn b3_a_release_that_is_still_tried_is_called_off_before_the_same_hand_reserves_again() {
    // A reserve whose outcome is unknown, and a listing that fails: the release is tried again after a second.
    let replies = [say(500, "{}"), say(503, "{}"), say(201, RESERVED), say(200, OURS), say(200, "{}")];
    let (server, client, name) = client(replies).await;
    assert!(reserve(&client, &name).await.is_err());
    server.wait_for(2).await;
    assert_eq!(reserve(&client, &name).await.expect("reserved").reservation_token, "tok");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.seen().len(), 3, "{:?}", server.lines());
}

#[tokio::test]
async fn b6_whoever_ends_the_process_waits_for_one_try_to_release_what_nobody_has() {
    let later = Reply::Late(Duration::from_millis(200), 200, OURS.to_owned());
    let (server, client, name) = client([Reply::BreakOff, later, say(503, "{}")]).await;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    stop.cancel();
    assert!(client.reserve_detached(&name, "me", &tasks, &stop).await.is_err());
    tasks.close();
    tasks.wait().await;
    assert_eq!(server.seen().len(), 3, "{:?}", server.lines());
    nothing_more(&server, 3).await;
}
