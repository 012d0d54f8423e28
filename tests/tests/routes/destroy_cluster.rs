//! `DELETE` of a deployment whose cluster made things in its cloud by itself: on the real binary, a real API server whose cloud the test
//! plays, and the real OpenTofu.

use crate::kit::*;
use catalyst_tests::api::Answer;
use catalyst_tests::double::{Double, Seen};
use catalyst_tests::host::wait_for;
use catalyst_tests::world::{LIMIT, World};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A world with a cluster that is ready, with a namespace of its own.
async fn ready(fqdn: &str) -> (World, String) {
    let world = World::start().await;
    let id = world.create(&world.request(fqdn));
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.install_releases().await;
    world.until(&id, "ready");
    world.cluster.create_namespace("shop").await.unwrap();
    (world, id)
}

fn destroy(world: &World, id: &str, body: &str) -> Answer {
    world.host.api.delete(&format!("/api/v1/deployments/{id}"), body)
}

fn said(world: &World, id: &str, words: &str) -> bool {
    world.events(id).iter().any(|entry| {
        entry["phase"] == "tofu-destroy" && entry["message"].as_str().is_some_and(|message| message.contains(words))
    })
}

/// Waits until the cluster shows it.
async fn until_seen(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !seen().await {
        assert!(begun.elapsed() < LIMIT, "never saw {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_the_cluster_removes_its_load_balancers_before_opentofu_runs_and_the_last_words_name_what_stays() {
    let _some = SOME.acquire().await.unwrap();
    let (world, id) = ready("leaving.example").await;
    world.cluster.balanced_service("shop", "web").await.unwrap();
    world.cluster.cloud_volume("shop", "data", "pvc-1", "vol-42").await.unwrap();
    world.close("destroy");
    check(&destroy(&world, &id, "{}"), 202, "destroying");
    until_seen("the deletion", async || world.cluster.service_is_leaving("shop", "web").await.unwrap()).await;
    assert!(world.cluster.flux_is_suspended().await.unwrap(), "Flux would make it again");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!world.waits_at("destroy"), "OpenTofu runs before the load balancer is gone");
    world.cluster.remove_load_balancer("shop", "web").await.unwrap();
    wait_for("the run", LIMIT, || world.waits_at("destroy").then_some(()));
    world.open("destroy");
    let state = world.until(&id, "destroyed");
    let volume = r#"volume pvc-1 (claim shop/data, 10Gi) (vol-42): "deleteVolumes": true was not given"#;
    let last = world.events(&id).pop().unwrap();
    assert_eq!(
        last["message"],
        format!("what this deployment made is removed. Still in the cloud: {volume}; remove it there")
    );
    assert_eq!((&state["remaining"][0]["kind"], &state["remaining"][0]["id"]), (&json!("volume"), &json!("vol-42")));
    assert!(said(&world, &id, "shop/web (203.0.113.7)") && said(&world, &id, "Flux is suspended"));
    assert_eq!(world.tofu_state(&id)["resources"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_host_that_is_killed_while_the_cluster_removes_its_own_goes_on_with_the_same_yes() {
    let _some = SOME.acquire().await.unwrap();
    let (mut world, id) = ready("killed-leaving.example").await;
    world.cluster.balanced_service("shop", "web").await.unwrap();
    world.cluster.cloud_volume("shop", "data", "pvc-1", "vol-42").await.unwrap();
    check(&destroy(&world, &id, r#"{"deleteVolumes": true}"#), 202, "destroying");
    until_seen("the deletion", async || world.cluster.service_is_leaving("shop", "web").await.unwrap()).await;
    world.host.crash();
    world.host.up();
    assert_eq!(world.state(&id)["status"], "destroying", "nothing of OpenTofu has begun");
    world.cluster.remove_load_balancer("shop", "web").await.unwrap();
    until_seen("claim and Pod go", async || {
        world.cluster.volume("shop", "data", "pvc-1").await.unwrap() == ("Delete".to_owned(), true, false)
    })
    .await;
    world.host.crash();
    world.cluster.remove_volume("shop", "data", "pvc-1").await.unwrap();
    world.host.up();
    let state = world.until(&id, "destroyed");
    assert!(state.get("remaining").is_none(), "{state}");
    assert_eq!(world.events(&id).pop().unwrap()["message"], "what this deployment made is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_what_a_destroy_suspended_that_did_not_come_to_its_end_goes_on_after_a_retry() {
    let _some = SOME.acquire().await.unwrap();
    let (mut world, id) = ready("goes-on.example").await;
    world.close("destroy");
    check(&destroy(&world, &id, ""), 202, "destroying");
    wait_for("the run", LIMIT, || world.waits_at("destroy").then_some(()));
    assert!(world.cluster.flux_is_suspended().await.unwrap());
    world.host.crash();
    world.open("destroy");
    world.host.up();
    world.until(&id, "failed");
    let retry = format!("/api/v1/deployments/{id}/phases/tofu-apply/retry");
    let given = json!({"rehearsalToken": "given"}).to_string();
    check(&world.host.api.post(&retry, &given), 200, "provisioning");
    until_seen("Flux resumed", async || !world.cluster.flux_is_suspended().await.unwrap()).await;
    // As Flux does with what is resumed.
    world.install_releases().await;
    world.until(&id, "ready");
    let is_said = |words: &str| {
        let events = world.events(&id);
        events.iter().any(|entry| entry["message"].as_str().is_some_and(|message| message.contains(words)))
    };
    assert!(
        is_said("what has its mark is resumed")
            && is_said("Flux is resumed, which the destroy before this had suspended")
    );
    let record = world.host.folder().join("deployments").join(format!("{id}.json"));
    assert!(!std::fs::read_to_string(record).unwrap().contains("resumeFlux"));
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_dead_cluster_holds_a_destroy_up_for_a_bounded_time_and_the_last_words_say_what_was_not_looked_at() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    let id = scene.create(&request("dead-cluster.example"));
    scene.until(&id, "flux-bootstrapping");
    let bearer = format!("Bearer {}", scene.bearer(&id));
    let (path, dead) = (format!("/api/v1/deployments/{id}/kubeconfig"), kubeconfig("https://127.0.0.1:6443"));
    assert_eq!(scene.api().put(&path, Some(&bearer), &dead).status, 204);
    scene.until(&id, "phase1-watching");
    check(&scene.destroy(&id, "null"), 202, "destroying");
    scene.until(&id, "destroyed");
    let events = scene.api().get(&format!("/api/v1/deployments/{id}/events")).json()["events"].clone();
    let of_destroy = |entry: &&Value| entry["phase"] == "tofu-destroy";
    let messages: Vec<&str> =
        events.as_array().unwrap().iter().filter(of_destroy).filter_map(|entry| entry["message"].as_str()).collect();
    let line =
        "what the cluster itself made (load balancers, volumes) is not looked for in it: the connection was refused";
    assert_eq!(messages.iter().filter(|message| **message == line).count(), 1, "{messages:#?}");
    assert_eq!(
        *messages.last().unwrap(),
        "what this deployment made is removed. Not looked at: what the cluster made by itself, in the cluster (the connection was \
         refused)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_destroy_has_a_budget_of_its_own_and_names_it_when_it_is_spent() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[("CATALYST_APPLY_TIMEOUT", "1h"), ("CATALYST_DESTROY_TIMEOUT", "4s")]);
    let id = scene.create(&request("slow-destroy.example"));
    scene.until(&id, "flux-bootstrapping");
    scene.close("destroy");
    check(&scene.destroy(&id, ""), 202, "destroying");
    let state = scene.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.contains("not done within") && error.contains("Still there: "), "{error}");
    scene.open("destroy");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_what_is_wrong_with_the_body_of_a_destroy_is_told_with_field_and_rule_and_nothing_is_begun() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    let id = scene.create(&failing("body.example", "plan"));
    scene.until(&id, "failed");
    for (body, pointer, code, words) in [
        (r#"{"deleteVolumes": "yes"}"#, "/deleteVolumes", "wrong-type", "deleteVolumes must be true or false"),
        (r#"{"deleteVolume": true}"#, "/deleteVolume", "unknown-key", "the nearest one is deleteVolumes"),
        (r#"{"force": true}"#, "/force", "unknown-key", "force is not a known key"),
        ("[true]", "", "invalid-json", "it must be a JSON object"),
        (r#"{"deleteVolumes": true, "DeleteVolumes": false}"#, "/DeleteVolumes", "duplicate-key", "more than once"),
    ] {
        let answer = scene.destroy(&id, body);
        check(&answer, 400, words);
        let finding = &answer.json()["findings"][0];
        assert_eq!((&finding["pointer"], &finding["code"]), (&json!(pointer), &json!(code)), "{body}: {}", answer.body);
    }
    assert_eq!(scene.state(&id)["status"], "failed", "nothing was begun");
    check(
        &scene.destroy(&id, &json!({"rehearsalToken": "given", "deleteVolumes": true}).to_string()),
        202,
        "destroying",
    );
    scene.until(&id, "destroyed");
}

/// The API of a project in which a load balancer is attached to the network that the deployment made.
fn project(seen: &Seen) -> Value {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let kind = path.rsplit('/').next().unwrap();
    match kind {
        "11" => json!({"network": {"id": 11, "servers": [21], "load_balancers": [32]}}),
        "load_balancers" if !query.contains("label_selector") => {
            let net = json!([{"network": 11, "ip": "10.0.1.9"}]);
            json!({"load_balancers": [{"id": 32, "name": "of-a-service", "labels": {}, "private_net": net, "targets": []}]})
        }
        kind => json!({kind: []}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_what_is_attached_in_the_cloud_is_searched_for_with_the_token_alone_and_named_by_a_destroy_that_fails() {
    let _some = SOME.acquire().await.unwrap();
    let (cloud, _folder, trust) = Double::https("api.hetzner.cloud", |seen| Some((200, project(seen).to_string())));
    let nowhere = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(&[
        ("CATALYST_PROVIDER_MIRROR", nowhere.path().to_str().unwrap()),
        ("HTTPS_PROXY", &cloud.url()),
        ("SSL_CERT_FILE", trust.to_str().unwrap()),
    ]);
    let id = scene.create(&json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "cloud.example",
        "regions": [{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx32", "workerCount": 0}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "hetznerToken": "t".repeat(64), "hetznerProjectID": "p",
    }));
    scene.until(&id, "failed");
    scene.host.down();
    let made = |kind: &str, name: &str, id: &str| {
        json!({"mode": "managed", "type": kind, "name": name, "instances": [{"attributes": {"id": id}}],
            "provider": "provider[\"registry.opentofu.org/hetznercloud/hcloud\"]"})
    };
    let resources = [made("hcloud_network", "main", "11"), made("hcloud_server", "control_plane", "21")];
    let state = json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {}, "resources": resources});
    scene.plant(&format!("state/{id}"), "00000001.tfstate", &state);
    scene.host.up();
    check(&scene.destroy(&id, &json!({"hetznerToken": "u".repeat(64)}).to_string()), 202, "destroying");
    let state = scene.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    let found = "load balancer of-a-service (32): it is attached to the network of this deployment";
    assert!(error.contains(&format!("Still in the cloud: {found}")), "{error}");
    assert!(error.contains("Still there: hcloud_network.main, hcloud_server.control_plane"), "{error}");
    assert_eq!(
        state["remaining"],
        json!([{"kind": "load balancer", "name": "of-a-service", "id": "32",
        "reason": "it is attached to the network of this deployment"}])
    );
    let events = scene.api().get(&format!("/api/v1/deployments/{id}/events")).body;
    assert_eq!(events.matches("found in the cloud, and not OpenTofu's to remove").count(), 1, "{events}");
    let seen = cloud.seen();
    let searches: Vec<&Seen> = seen.iter().filter(|seen| seen.path.starts_with("/v1/")).collect();
    assert_eq!(searches.len(), 28, "before the run and after it: {:?}", searches);
    let bearer = format!("Bearer {}", "u".repeat(64));
    assert!(
        searches.iter().all(|seen| seen.method == "GET" && seen.headers.iter().any(|line| line.ends_with(&bearer)))
    );
    assert!(!scene.host.trace().contains(&"u".repeat(64)));
}
