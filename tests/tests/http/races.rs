//! A thousand nodes at once, each with the right bearer and a kubeconfig of its own.

use crate::kit::{BEARER, Server, id, kubeconfig, record};
use catalyst_domain::Status;
use catalyst_domain::kubeconfig::sha256_hex;
use std::sync::Arc;
use tokio::task::JoinSet;

const RACERS: usize = 1_000;
/// Enough to meet the ways in which two of them can overlap.
const ROUNDS: u8 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn h3_1000_racing_puts_have_one_winner_and_the_file_is_its() {
    let records: Vec<_> = (1..=ROUNDS).map(|n| record(n, Status::Failed)).collect();
    let server = Arc::new(Server::with(&records).await);
    for round in 1..=ROUNDS {
        let start = Arc::new(tokio::sync::Barrier::new(RACERS));
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let (server, start) = (server.clone(), start.clone());
            racers.spawn(async move {
                let body = kubeconfig(&format!("racer-{racer}"));
                start.wait().await;
                let reply = server.put(&id(round), Some(&format!("Bearer {BEARER}")), &body).await;
                (reply, body)
            });
        }
        let all = racers.join_all().await;
        let (winners, losers): (Vec<_>, Vec<_>) = all.into_iter().partition(|(reply, _)| reply.status == 204);
        assert_eq!(winners.len(), 1, "round {round}");
        for (reply, _) in losers {
            assert_eq!(reply.refusal(), (403, "already-set".into()));
            assert_eq!(reply.json()["same"], false);
        }
        let body = &winners[0].1;
        assert_eq!(&std::fs::read_to_string(server.kubeconfig_file(&id(round))).unwrap(), body);
        assert_eq!(server.on_disk(&id(round)).kubeconfig_sha256, sha256_hex(body.as_bytes()));
    }
}
