//! `POST …/phases/{phase}/retry`.

use crate::client::Reply;
use crate::kit::{Server, id, record};
use catalyst_domain::Status;
use serde_json::json;

async fn retry(server: &Server, n: u8, phase: &str) -> Reply {
    server.ask("POST", &format!("/api/v1/deployments/{}/phases/{phase}/retry", id(n)), &[], b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_whatever_runs_cannot_be_retried_and_that_is_said_before_the_phase() {
    let running = [
        Status::Provisioning,
        Status::TofuApplying,
        Status::FluxBootstrapping,
        Status::Phase1Watching,
        Status::Destroying,
    ];
    let records: Vec<_> = (1..).zip(running).map(|(n, status)| record(n, status)).collect();
    let server = Server::with(&records).await;
    for record in &records {
        let n = record.id.as_str()[..2].parse().unwrap();
        for phase in ["tofu-apply", "cilium", "nonsense"] {
            let reply = retry(&server, n, phase).await;
            assert_eq!(reply.status, 409, "{} {phase}: {}", record.status, reply.text());
            assert!(reply.json()["error"].is_string());
        }
        assert_eq!(server.on_disk(&record.id), *record, "nothing changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_phase_has_its_answer() {
    let server = Server::with(&[record(1, Status::Failed), record(2, Status::Ready)]).await;
    let unknown = retry(&server, 1, "nonsense").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.json()["error"].as_str().unwrap().contains("nonsense"));
    for n in [1, 2] {
        for phase in ["cilium", "jetstream", "gitea", "bp-catalyst-platform"] {
            let answer = retry(&server, n, phase).await.json();
            assert_eq!(answer["status"], "manual-retry-required", "{n} {phase}");
            assert_eq!(answer["runbook"], "docs/RUNBOOK-PROVISIONING.md#rollback-procedures-per-phase");
            assert_eq!(answer["streamURL"], format!("/api/v1/deployments/{}/logs", id(n)));
            assert_eq!((&answer["id"], &answer["phase"]), (&json!(id(n).to_string()), &json!(phase)));
        }
    }
}

const PHASE_0: [&str; 5] = ["tofu-init", "tofu-plan", "tofu-apply", "tofu-output", "flux-bootstrap"];

#[tokio::test(flavor = "multi_thread")]
async fn a12_a_healthy_cluster_is_not_applied_again() {
    let server = Server::with(&[record(1, Status::Ready)]).await;
    for phase in PHASE_0 {
        let reply = retry(&server, 1, phase).await;
        assert_eq!(reply.status, 409, "{phase}: {}", reply.text());
        assert_eq!(server.on_disk(&id(1)), record(1, Status::Ready), "nothing changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_retry_whose_secrets_are_gone_asks_for_them() {
    let mut needy = record(1, Status::Failed);
    needy.provider.as_mut().unwrap().id = "hetzner".to_owned();
    // As the earlier service left it on disk.
    needy.request.extra.insert("hetznerToken".to_owned(), json!("<redacted>"));
    let server = Server::with(&[needy]).await;
    for phase in PHASE_0 {
        let lost = retry(&server, 1, phase).await;
        assert_eq!(lost.refusal(), (409, "credentials-needed".into()), "{phase}");
        assert_eq!(lost.json()["keys"], json!(["hetznerToken"]));
    }
    let path = format!("/api/v1/deployments/{}/phases/tofu-apply/retry", id(1));
    let placeholder = server.post(&path, &json!({"hetznerToken": "<redacted>"})).await;
    assert_eq!(placeholder.status, 400, "{}", placeholder.text());
    assert_eq!(server.on_disk(&id(1)).status, Status::Failed, "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_of_two_retries_one_wins() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let path = format!("/api/v1/deployments/{}/phases/tofu-apply/retry", id(1));
    let body = json!({"rehearsalToken": "sentinel-of-the-retry"});
    let (a, b) = tokio::join!(server.post(&path, &body), server.post(&path, &body));
    let (won, lost) = if a.status == 200 { (a, b) } else { (b, a) };
    assert_eq!((won.status, lost.status), (200, 409), "{} {}", won.text(), lost.text());
    assert_eq!(won.json()["status"], "provisioning");
    server.down().await;
}
