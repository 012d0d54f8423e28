//! Reviews of tokens, by a double of the Kubernetes API.

use super::*;
use crate::auth::{ScopeMap, Scopes};
use crate::test_server::{Reply, TestServer, say};

struct Scene {
    api: TestServer,
    reviewer: Kubernetes,
    account: tempfile::TempDir,
}

async fn scene(audience: Option<&str>, replies: impl IntoIterator<Item = Reply>) -> Scene {
    let api = TestServer::start(replies).await;
    let account = tempfile::tempdir().unwrap();
    std::fs::write(account.path().join("token"), "own-token\n").unwrap();
    let settings = ReviewSettings {
        api: api.url().parse().unwrap(),
        account: account.path().to_owned(),
        audience: audience.map(str::to_owned),
        scopes: ScopeMap::parse("group:ops=admin; user:ci=create").unwrap(),
    };
    let reviewer = Kubernetes::new(settings, &outbound::Settings::default()).unwrap();
    Scene { api, reviewer, account }
}

fn yes(user: &str, groups: &[&str], audiences: &[&str]) -> Reply {
    let user = json!({"username": user, "groups": groups});
    say(201, json!({"status": {"authenticated": true, "user": user, "audiences": audiences}}).to_string())
}

fn no() -> Reply {
    say(201, json!({"status": {"user": {}, "error": "who?"}}).to_string())
}

async fn ask(scene: &Scene, token: &str) -> Result<Caller, Fault> {
    scene.reviewer.identify(&SecretValue::new(token), Standing::Good).await
}

#[tokio::test]
async fn a_review_names_the_caller_and_is_asked_for_once_a_minute() {
    let scene = scene(None, [yes("ci", &["system:authenticated"], &[]), yes("anna", &["ops"], &[])]).await;
    for _ in 0..3 {
        let caller = ask(&scene, "a.b.c").await.unwrap();
        assert_eq!((caller.subject.as_str(), caller.mode), ("ci", Mode::Kubernetes));
        assert_eq!(caller.scopes, Scopes::parse("create").unwrap());
    }
    assert_eq!(ask(&scene, "d.e.f").await.unwrap().scopes, Scopes::of(&[crate::auth::Scope::Admin]));
    let seen = scene.api.seen();
    assert_eq!(scene.api.lines(), ["POST /apis/authentication.k8s.io/v1/tokenreviews"; 2]);
    assert_eq!(seen[0].header("authorization"), "Bearer own-token");
    assert_eq!(seen[0].json()["spec"], json!({"token": "a.b.c", "audiences": []}));
}

#[tokio::test]
async fn a_token_that_the_cluster_does_not_know_or_that_is_for_others_is_wrong_each_time() {
    let refused = scene(Some("catalyst"), [no(), no(), yes("ci", &[], &["other"]), yes("ci", &[], &[])]).await;
    for _ in 0..4 {
        assert!(matches!(ask(&refused, "a.b.c").await, Err(Fault::Wrong(_))));
    }
    assert_eq!(refused.api.seen().len(), 4);
    assert_eq!(refused.api.seen()[0].json()["spec"]["audiences"], json!(["catalyst"]));
    let meant = scene(Some("catalyst"), [yes("ci", &[], &["catalyst"])]).await;
    assert!(ask(&meant, "a.b.c").await.is_ok());
    for nonsense in ["a b", "\u{e9}", &"x".repeat(20_000)] {
        assert!(matches!(ask(&meant, nonsense).await, Err(Fault::Wrong(_))));
    }
    assert_eq!(meant.api.seen().len(), 1, "nonsense is sent nowhere");
}

#[tokio::test]
async fn an_api_that_does_not_review_is_no_verdict_and_nothing_of_its_answer_is_told() {
    let scene = scene(None, [say(403, "sentinel"), say(200, "sentinel"), Reply::BreakOff, yes("ci", &[], &[])]).await;
    for _ in 0..3 {
        let Err(Fault::Unavailable(why)) = ask(&scene, "a.b.c").await else { panic!("a verdict") };
        assert!(!why.contains("sentinel") && !why.contains("a.b.c") && !why.contains("own-token"), "{why}");
    }
    assert!(ask(&scene, "a.b.c").await.is_ok());
}

#[tokio::test]
async fn suspect_peers_wait_in_a_short_line_of_their_own_and_hold_nobody_up() {
    let hang = (0..SUSPECT_AT_ONCE).map(|_| Reply::Hang);
    let scene = std::sync::Arc::new(scene(None, hang.chain([yes("ci", &[], &[])])).await);
    let suspects: Vec<_> = (0..SUSPECT_WAITING + 10)
        .map(|n| {
            let scene = scene.clone();
            let ask = async move {
                scene.reviewer.identify(&SecretValue::new(format!("wrong.{n}")), Standing::Suspect).await
            };
            tokio::spawn(ask)
        })
        .collect();
    scene.api.wait_for(SUSPECT_AT_ONCE).await;
    assert!(ask(&scene, "right").await.is_ok(), "a good peer goes past them");
    let again = scene.reviewer.identify(&SecretValue::new("right"), Standing::Suspect).await;
    assert!(again.is_ok(), "a token that is known goes past them from anywhere");
    let mut busy = 0;
    for suspect in &suspects {
        busy += usize::from(suspect.is_finished());
    }
    assert!(busy >= 8, "{busy} were told to come again");
    assert_eq!(scene.api.seen().len(), SUSPECT_AT_ONCE + 1);
}

#[tokio::test]
async fn the_line_for_reviews_has_an_end_for_everybody() {
    let hang = (0..AT_ONCE).map(|_| Reply::Hang);
    let scene = std::sync::Arc::new(scene(None, hang).await);
    let asked: Vec<_> = (0..AT_ONCE + WAITING)
        .map(|n| {
            let scene = scene.clone();
            tokio::spawn(async move { ask(&scene, &format!("unknown.{n}")).await })
        })
        .collect();
    scene.api.wait_for(AT_ONCE).await;
    while scene.reviewer.line.room() > 0 {
        tokio::task::yield_now().await;
    }
    let next = ask(&scene, "one.more").await;
    assert!(matches!(&next, Err(Fault::Unavailable(why)) if why.contains("too many")), "{next:?}");
    assert!(asked.iter().all(|one| !one.is_finished()), "those in the line wait on");
}

#[tokio::test]
async fn who_reviews_well_is_known_by_a_token_that_was_made_up() {
    let refused = say(403, String::new());
    let scene =
        scene(Some("catalyst"), [no(), refused, yes("ci", &[], &["catalyst"]), yes("ci", &[], &["other"])]).await;
    scene.reviewer.prove().await.unwrap();
    assert!(matches!(scene.reviewer.prove().await, Err(Fault::Unavailable(why)) if why.contains("it answered 403")));
    for _ in 0..2 {
        assert!(matches!(scene.reviewer.prove().await, Err(Fault::Blind(_))));
    }
    std::fs::remove_file(scene.account.path().join("token")).unwrap();
    assert!(
        matches!(scene.reviewer.prove().await, Err(Fault::Unavailable(why)) if why.contains("no token of our own"))
    );
}
