//! Wrong bearers on the PUT of a kubeconfig.

use crate::kit::{BEARER, Server, id, kubeconfig, record};
use catalyst_domain::{Level, Status};

#[tokio::test(flavor = "multi_thread")]
async fn h9_wrong_bearers_are_limited_told_once_and_a_right_one_never_waits() {
    let server = Server::with(&[record(1, Status::Failed), record(2, Status::Failed)]).await;
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let reply = server.put(&id(1), Some("Bearer wrong"), "x").await;
        if reply.status == 429 {
            let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert_eq!(reply.refusal().1, "too-many-wrong-bearers");
        }
        statuses.push(reply.status);
    }
    assert!(statuses[..20].iter().all(|status| *status == 403), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 5, "{statuses:?}");
    // Another deployment has its own count, and a missing bearer is no wrong one.
    assert_eq!(server.put(&id(2), Some("Bearer wrong"), "x").await.status, 403);
    assert_eq!(server.put(&id(1), None, "x").await.status, 401);

    let accepted = server.put(&id(1), Some(&format!("Bearer {BEARER}")), &kubeconfig("right")).await;
    assert_eq!(accepted.status, 204, "a right bearer is never limited");
    let entries = server.store.read(&id(1), 0, 100).await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0].entry;
    assert_eq!((entry.phase.as_str(), entry.level), ("host", Level::Warn));
    assert!(entry.message.contains("wrong bearer") && entry.message.contains("127.0.0.1"), "{}", entry.message);
    assert!(!entry.message.contains("Bearer wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_are_neither_counted_nor_limited() {
    let server = Server::with(&[]).await;
    for _ in 0..30 {
        assert_eq!(server.put(&id(9), Some("Bearer wrong"), "x").await.status, 404);
    }
}
