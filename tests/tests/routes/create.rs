//! Before and around a create: previews, the digest that pins a render, a key that makes it once.

use crate::kit::*;
use catalyst_tests::api::Answer;
use catalyst_tests::world::{PULL_TOKEN, TOKEN};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_all_creates_nothing_and_its_digest_pins_the_render() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    let asked = request("preview.example");
    let answer = scene.api().post("/api/v1/previews", &asked.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let preview = answer.json();
    assert_eq!((&preview["valid"], &preview["provider"]["id"]), (&json!(true), &json!("rehearsal")));
    let render = &preview["render"];
    let files: Vec<&str> = render["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert!(files.contains(&"main.tf") && files.iter().any(|f| f.starts_with("cloudinit")), "{files:?}");
    assert_eq!(render["variables"]["sovereign_fqdn"], "preview.example");
    let holes: Vec<&Value> = render["secretVariables"].as_array().unwrap().iter().map(|h| &h["secret"]).collect();
    assert!(holes.contains(&&json!("rehearsal-token")) && holes.contains(&&json!("kubeconfig-bearer")), "{holes:?}");
    let size = &render["userData"][0];
    assert_eq!(size["left"].as_i64().unwrap(), size["limit"].as_i64().unwrap() - size["bytes"].as_i64().unwrap());
    assert_eq!(render["estimate"]["monthlyCents"], 0);
    assert!(!answer.body.contains(TOKEN) && !answer.body.contains(PULL_TOKEN), "a secret is in the preview");
    assert_eq!(scene.api().post("/api/v1/previews", &asked.to_string()).body, answer.body, "the same bytes again");
    assert!(scene.on_disk().is_empty() && !scene.host.trace().contains(TOKEN));
    assert_eq!(scene.api().get("/api/v1/deployments").json(), json!({"deployments": [], "next": null}));

    let mut pinned = asked.clone();
    pinned["expectedRenderDigest"] = json!("ab".repeat(32));
    let other = scene.api().post("/api/v1/deployments", &pinned.to_string());
    check(&other, 409, "render-digest-mismatch");
    assert_eq!(other.json()["rendered"], render["digest"]);
    pinned["expectedRenderDigest"] = json!("xyz");
    check(&scene.api().post("/api/v1/deployments", &pinned.to_string()), 400, "/expectedRenderDigest");
    assert!(scene.on_disk().is_empty());
    pinned["expectedRenderDigest"] = render["digest"].clone();
    let id = scene.create(&pinned);
    scene.until(&id, "flux-bootstrapping");
    assert_eq!(scene.record(&id)["renderDigest"], render["digest"]);
    compared(&scene, &id, asked);
}

/// A preview against what was just rendered from the same request.
fn compared(scene: &Scene, id: &str, mut asked: Value) {
    let against = format!("/api/v1/previews?against={id}");
    let same = scene.api().post(&against, &asked.to_string()).json();
    assert_eq!((&same["against"]["variables"], &same["against"]["servers"]), (&json!([]), &json!([])));
    assert_eq!(same["against"]["digest"], same["render"]["digest"]);
    asked["regions"][0]["cloudRegion"] = json!("local-2");
    asked["regions"][0]["workerCount"] = json!(3);
    let moved = scene.api().post(&against, &asked.to_string()).json();
    let effects: Vec<(&str, &str)> = moved["against"]["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["pointer"].as_str().unwrap(), s["effect"].as_str().unwrap()))
        .collect();
    assert_eq!(effects, [("/region", "replaces"), ("/workerCount", "adds"), ("", "keeps")], "{moved}");
    let user_data = moved["against"]["files"].as_array().unwrap().iter().find(|f| f["change"] == "changed").unwrap();
    let diff = user_data["diff"].as_str().unwrap();
    assert!(diff.starts_with("--- a/cloudinit-control-plane.tftpl\n+++ b/") && diff.contains("local-2"), "{diff}");
    let changed: Vec<&Value> = moved["against"]["variables"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
    assert_eq!(changed, [&json!("region"), &json!("worker_count")]);
    asked["orgName"] = json!("");
    let wrong = scene.api().post(&against, &asked.to_string()).json();
    assert_eq!((&wrong["valid"], &wrong["findings"][0]["pointer"]), (&json!(false), &json!("/orgName")));
    assert!(wrong.get("render").is_none());
    check(&scene.api().post("/api/v1/previews?against=nonsense", "{}"), 404, "deployment-not-found");
    check(&scene.api().post("/api/v1/previews?agianst=x", "{}"), 400, "?agianst");
    check(&scene.api().post("/api/v1/previews", "{"), 400, "malformed JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_sent_twice_makes_one_deployment() {
    const RACERS: usize = 50;
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    scene.close("init");
    let body = request("once.example").to_string();
    let send = |scene: &Scene, key: &str, body: &str| {
        scene.api().post_with("/api/v1/deployments", ("idempotency-key", key), body)
    };
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(|| send(&scene, "key-1", &body))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let bodies: BTreeSet<(u16, &str)> = answers.iter().map(|a| (a.status, a.body.as_str())).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!((answers[0].status, scene.on_disk().len()), (201, 1));
    let id = id_of(&answers[0]);

    scene.host.crash();
    scene.open("init");
    scene.host.up();
    scene.until(&id, "failed");
    let again = send(&scene, "key-1", &body);
    assert_eq!((again.status, &again.body), (201, &answers[0].body), "the same answer after a restart");
    // A token that was rotated in between is no other request.
    let mut rotated = request("once.example");
    rotated["rehearsalToken"] = json!("another");
    assert_eq!(send(&scene, "key-1", &rotated.to_string()).status, 201);
    let other = send(&scene, "key-1", &request("other.example").to_string());
    check(&other, 422, "idempotency-mismatch");
    assert_eq!(other.json()["owner"], id);
    check(&send(&scene, &"k".repeat(256), &body), 400, "invalid-idempotency-key");
    assert_eq!(scene.on_disk().len(), 1);
    let second = send(&scene, "key-2", &request("other.example").to_string());
    assert_eq!(second.status, 201, "{}", second.body);
    let record = scene.record(&id).to_string();
    assert!(!record.contains("key-1") && !record.contains(TOKEN), "{record}");
}
