//! The whole way over a socket, in both orders where there are two.

use super::*;
use crate::dns::pdm::base_url;
use crate::dns::retry::Spread;
use crate::test_server::{Reply, TestServer, outbound, say};
use std::sync::Mutex;

const QUICK: RetryPolicy = RetryPolicy {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(4),
    give_up_after: Duration::from_secs(5),
    spread: Spread::Exact,
};
const RESERVED_ANEW: &str = r#"{"reservationToken":"new"}"#;
const OURS_ACTIVE: &str = r#"{"allocations":[{"subdomain":"acme","state":"active","createdBy":"me"}]}"#;
const OURS_RESERVED: &str =
    r#"{"allocations":[{"subdomain":"acme","state":"reserved","createdBy":"me","reservationToken":"kept"}]}"#;
const FOREIGN: &str = r#"{"allocations":[{"subdomain":"acme","state":"active","createdBy":"you"}]}"#;

struct Run {
    end: CommitEnd,
    calls: Vec<String>,
    tokens: Vec<String>,
    reserved: Vec<String>,
    waits: usize,
}

async fn run_from(token: &str, policy: RetryPolicy, replies: impl IntoIterator<Item = Reply>) -> Run {
    let server = TestServer::start(replies).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    let publication = publication(token);
    let (mut reserved, mut waits) = (Vec::new(), 0);
    let end = commit_until_done(&client, &publication, &policy, &CancellationToken::new(), |progress| match progress {
        Progress::Reserved(reservation) => reserved.push(reservation.reservation_token),
        Progress::Waiting { attempt, .. } => {
            waits += 1;
            assert_eq!(attempt as usize, waits);
        }
    })
    .await;
    let seen = server.seen();
    let calls = seen.iter().map(|s| s.uri.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    let commits = seen.iter().filter(|s| s.uri.ends_with("/commit"));
    let tokens = commits.map(|s| s.json()["reservationToken"].as_str().unwrap_or_default().to_owned()).collect();
    Run { end, calls, tokens, reserved, waits }
}

async fn run(replies: impl IntoIterator<Item = Reply>) -> Run {
    run_from("old", QUICK, replies).await
}

fn publication(token: &str) -> Publication {
    Publication {
        name: PoolName::new("pool.example", "acme"),
        load_balancer_ip: "192.0.2.7".to_owned(),
        created_by: "me".to_owned(),
        reservation_token: token.to_owned(),
    }
}

#[tokio::test]
async fn b1_a_200_is_done_at_once() {
    let run = run([say(200, "{}")]).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!((run.calls.as_slice(), run.waits), (["commit".to_owned()].as_slice(), 0));
}

#[tokio::test]
async fn b2_a_202_is_committed_again_until_200() {
    let run = run([say(202, "w"), say(202, "w"), say(200, "{}")]).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!((run.tokens.as_slice(), run.waits), (["old", "old", "old"].map(str::to_owned).as_slice(), 2));
}

#[tokio::test]
async fn b2_a_202_whose_repetition_is_409_is_released_and_published_anew() {
    let replies = [
        say(202, "w"),
        say(409, "already-active"),
        say(200, OURS_ACTIVE),
        say(200, "{}"),
        say(201, RESERVED_ANEW),
        say(200, "{}"),
    ];
    let run = run(replies).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!(run.calls, ["commit", "commit", "list", "release", "reserve", "commit"]);
    assert_eq!(run.tokens, ["old", "old", "new"]);
    assert_eq!(run.reserved, ["new"]);
}

#[tokio::test]
async fn b2_the_same_without_listings_trusts_the_202() {
    let replies = [say(202, "w"), say(409, ""), say(404, ""), say(200, "{}"), say(201, RESERVED_ANEW), say(200, "{}")];
    let run = run(replies).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!(run.calls, ["commit", "commit", "list", "release", "reserve", "commit"]);
}

#[tokio::test]
async fn b2_a_409_that_nothing_proves_ours_is_left_alone() {
    let without_listings = run([say(409, "already-active"), say(404, "")]).await;
    assert!(matches!(without_listings.end, CommitEnd::Refused(e) if e.said == "already-active"));
    let foreign = run([say(409, "already-active"), say(200, FOREIGN)]).await;
    assert_eq!(foreign.end, CommitEnd::Taken { by: "you".to_owned() });
    for calls in [without_listings.calls, foreign.calls] {
        assert_eq!(calls, ["commit", "list"], "nothing is released");
    }
}

#[tokio::test]
async fn b1_a_lapsed_reservation_is_made_anew() {
    for lapsed in [410, 404] {
        let run = run([say(lapsed, "gone"), say(201, RESERVED_ANEW), say(200, "{}")]).await;
        assert_eq!(run.end, CommitEnd::Published, "{lapsed}");
        assert_eq!(run.calls, ["commit", "reserve", "commit"]);
        assert_eq!((run.tokens.as_slice(), run.waits), (["old", "new"].map(str::to_owned).as_slice(), 0));
        assert_eq!(run.reserved, ["new"], "the record gets the new token");
    }
}

#[tokio::test]
async fn b1_a_lapsed_name_that_somebody_else_took_is_said() {
    let run = run([say(410, ""), say(409, "conflict"), say(200, FOREIGN)]).await;
    assert_eq!(run.end, CommitEnd::Taken { by: "you".to_owned() });
    assert_eq!(run.calls, ["commit", "reserve", "list"]);
}

#[tokio::test]
async fn b2_failures_that_pass_are_tried_again() {
    for failure in [say(500, "db"), say(503, ""), say(429, ""), Reply::BreakOff] {
        let run = run([failure, say(200, "{}")]).await;
        assert_eq!((run.end, run.waits), (CommitEnd::Published, 1));
    }
}

#[tokio::test]
async fn b2_202_and_a_lost_answer_in_both_orders() {
    for replies in [[say(202, ""), Reply::BreakOff, say(200, "")], [Reply::BreakOff, say(202, ""), say(200, "")]] {
        let run = run(replies).await;
        assert_eq!((run.end, run.waits), (CommitEnd::Published, 2));
    }
}

#[tokio::test]
async fn b1_410_after_an_outage_and_an_outage_after_410() {
    let after = run([say(503, ""), say(410, ""), say(201, RESERVED_ANEW), say(200, "")]).await;
    assert_eq!((after.end, after.calls.len()), (CommitEnd::Published, 4));
    let before = run([say(410, ""), say(503, ""), say(201, RESERVED_ANEW), say(503, ""), say(200, "")]).await;
    assert_eq!(before.end, CommitEnd::Published);
    assert_eq!(before.tokens, ["old", "new", "new"]);
}

#[tokio::test]
async fn b3_after_a_restart_a_lost_token_is_found_again() {
    // The reservation was made anew, then the host died before the token was written down.
    let run = run([say(403, "token-mismatch"), say(200, OURS_RESERVED), say(200, "{}")]).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!(run.tokens, ["old", "kept"]);
    assert_eq!(run.reserved, ["kept"]);
}

#[tokio::test]
async fn b3_a_record_without_a_token_reserves_first() {
    let run = run_from("", QUICK, [say(201, RESERVED_ANEW), say(200, "{}")]).await;
    assert_eq!((run.end, run.reserved), (CommitEnd::Published, vec!["new".to_owned()]));
}

#[tokio::test]
async fn b2_a_reserve_whose_answer_was_lost_is_taken_over() {
    let run = run([say(410, ""), Reply::BreakOff, say(409, ""), say(200, OURS_RESERVED), say(200, "")]).await;
    assert_eq!(run.end, CommitEnd::Published);
    assert_eq!(run.calls, ["commit", "reserve", "reserve", "list", "commit"]);
}

#[tokio::test]
async fn b4_what_will_never_do_ends_it() {
    for status in [400, 422] {
        let run = run([say(status, "missing-lb-ip")]).await;
        assert!(matches!(run.end, CommitEnd::Refused(e) if e.fault == crate::dns::pdm::PdmFault::Refused));
    }
}

#[tokio::test]
async fn b2_a_lasting_failure_ends_with_its_reason() {
    let policy = RetryPolicy { give_up_after: Duration::from_millis(8), ..QUICK };
    let run = run_from("old", policy, (0..20).map(|_| say(503, "down for repair"))).await;
    match run.end {
        CommitEnd::GaveUp { reason } => assert!(reason.contains("down for repair"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(run.waits >= 2 && run.calls.len() == run.waits + 1);
}

#[tokio::test]
async fn a_manager_that_leads_in_circles_is_asked_at_the_pace_of_the_policy() {
    let policy = RetryPolicy { give_up_after: Duration::from_millis(2), ..QUICK };
    let circle = (0..200).map(|i| if i % 2 == 0 { say(410, "") } else { say(201, RESERVED_ANEW) });
    let run = run_from("old", policy, circle).await;
    assert!(matches!(run.end, CommitEnd::GaveUp { .. }));
    assert!(run.calls.len() <= (run.waits + 1) * (MAX_IMMEDIATE as usize + 1), "{}", run.calls.len());
}

#[tokio::test]
async fn a_wait_is_called_off() {
    let server = TestServer::start([say(202, "w")]).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    let policy =
        RetryPolicy { first: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..RetryPolicy::default() };
    let (cancel, waits) = (CancellationToken::new(), Mutex::new(0));
    let publication = publication("old");
    let run = commit_until_done(&client, &publication, &policy, &cancel, |_| *waits.lock().expect("waits") += 1);
    let stop = async {
        while *waits.lock().expect("waits") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (end, ()) =
        tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(run, stop) }).await.expect("prompt");
    assert_eq!(end, CommitEnd::Cancelled);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn called_off_before_the_start_nothing_is_sent() {
    let server = TestServer::start([]).await;
    let client = PdmClient::new(outbound(), base_url(&server.url()).expect("a base"));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let end = commit_until_done(&client, &publication("old"), &QUICK, &cancel, |_| {}).await;
    assert_eq!((end, server.seen().len()), (CommitEnd::Cancelled, 0));
}
