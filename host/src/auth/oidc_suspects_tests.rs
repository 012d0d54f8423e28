//! What comes from peers with many wrong tokens.

use super::*;

async fn from_suspect(scene: Arc<Scene>, token: String) -> Result<Caller, Fault> {
    scene.oidc.identify(&SecretValue::new(token), Standing::Suspect).await
}

#[tokio::test]
async fn forged_tokens_of_suspect_peers_are_checked_a_few_at_a_time_and_hold_nobody_up() {
    let (signer, forger) = (Signer::new("k1"), Signer::new("k1"));
    let scene = Arc::new(scene(&[vec![signer.jwk()]]).await);
    let [known, new] = [1, 2].map(|n| signer.token(&scene.claims(json!({"n": n}))));
    assert!(scene.ask(&known).await.is_ok());
    let offered = SUSPECT_WAITING + 200;
    let forged: Vec<_> = (0..offered).map(|n| forger.token(&scene.claims(json!({"n": n})))).collect();
    let begun = Instant::now();
    let forged: Vec<_> = forged.into_iter().map(|token| tokio::spawn(from_suspect(scene.clone(), token))).collect();
    tokio::task::yield_now().await;
    assert!(scene.ask(&new).await.is_ok(), "a good peer goes past them");
    assert!(from_suspect(scene.clone(), known).await.is_ok(), "a token that is known goes past them from anywhere");
    assert!(scene.oidc.suspects.room() < SUSPECT_WAITING, "they wait on");
    let (mut busy, mut wrong) = (0, 0);
    for answer in forged {
        match answer.await.unwrap() {
            Err(Fault::Busy) => busy += 1,
            Err(Fault::Wrong("its signature is wrong")) => wrong += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(busy > 0 && wrong >= SUSPECT_WAITING, "{busy} were told to come again, {wrong} were wrong");
    let least = LEAST_REST * u32::try_from(wrong / SUSPECT_AT_ONCE - 1).unwrap();
    assert!(begun.elapsed() >= least, "{wrong} checks in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_right_token_that_nobody_has_seen_gets_through_a_flood_of_its_own_address() {
    let (signer, forger) = (Signer::new("k1"), Signer::new("k1"));
    let scene = Arc::new(scene(&[vec![signer.jwk()]]).await);
    let claims = scene.claims(json!({}));
    assert!(scene.ask(&signer.token(&claims)).await.is_ok());
    // Each connection of a flood asks again as soon as it is answered.
    let connection = |_| {
        let (scene, forged) = (scene.clone(), forger.token(&claims));
        tokio::spawn(async move {
            loop {
                let answer = from_suspect(scene.clone(), forged.clone()).await;
                assert_eq!(answer, Err(Fault::Wrong("its signature is wrong")));
            }
        })
    };
    let flood: Vec<_> = (0..SUSPECT_WAITING / 2).map(connection).collect();
    for n in 0..5 {
        let right = from_suspect(scene.clone(), signer.token(&scene.claims(json!({"n": n}))));
        let answer = tokio::time::timeout(Duration::from_secs(5), right).await;
        assert!(answer.expect("it waits for the line and no longer").is_ok());
    }
    assert!(flood.iter().all(|connection| !connection.is_finished()), "the flood went on");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_token_that_was_right_and_is_no_more_goes_past_the_line_once() {
    let (signer, forger) = (Signer::new("k1"), Signer::new("k1"));
    let scene = scene(&[vec![signer.jwk()]]).await;
    let token = SecretValue::new(forger.token(&scene.claims(json!({}))));
    scene.oidc.known.put(digest(&token), Caller::anybody(), Instant::now(), Duration::ZERO);
    let recall = || scene.oidc.known.recall(&digest(&token), Instant::now());
    assert_eq!(recall(), Recall::Stale);
    assert!(matches!(scene.oidc.identify(&token, Standing::Suspect).await, Err(Fault::Wrong(_))));
    assert_eq!(recall(), Recall::Nothing);
}
