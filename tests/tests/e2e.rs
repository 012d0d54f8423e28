//! The main job, from POST to `done`, on real parts: both orders of kubeconfig and apply, a crash in every phase, a release
//! that fails for good, and no secret anywhere on the way.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_tests::api::Api;
use catalyst_tests::flux::Stage;
use catalyst_tests::host::wait_for;
use catalyst_tests::ingress::Ingress;
use catalyst_tests::viewer::{Seen, Viewer};
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN, World};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Kube-apiserver, etcd, host and OpenTofu at once are much for a small machine: two such worlds at a time.
static WORLDS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

fn follow(world: &World, id: &str) -> Viewer {
    Viewer::follow(world.host.address(), id, Duration::from_secs(240))
}

/// Both viewers saw all of `/events`, each entry once, in order, and one `done`.
fn saw_everything_once(world: &World, id: &str, seen: &[Seen]) {
    let events = world.events(id);
    for seen in seen {
        let numbers: Vec<u64> = seen.entries.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
        let entries: Vec<Value> = seen.entries.iter().map(|(_, entry)| entry.clone()).collect();
        assert_eq!(entries, events);
        assert_eq!(seen.done, Some(world.state(id)));
    }
}

fn phases(events: &[Value]) -> Vec<&str> {
    let mut phases: Vec<&str> = events.iter().map(|e| e["phase"].as_str().unwrap()).collect();
    phases.dedup();
    phases
}

fn ended_ready(world: &World, id: &str) {
    let state = world.state(id);
    assert_eq!(state["status"], "ready", "{state}");
    assert!(state.get("error").is_none(), "{state}");
    let states = json!({"cilium": "installed", "cert-manager": "installed", "flux": "installed"});
    assert_eq!(state["componentStates"], states);
    assert_eq!(state["result"]["kubeconfigPath"], format!("{id}.yaml"));
    assert!(state["phase1FinishedAt"].is_string());
    let events = world.events(id);
    let order = ["tofu-init", "tofu-plan", "tofu-apply", "tofu-output", "flux-bootstrap", "component"];
    let mut rest = order.iter();
    let mut wanted = rest.next();
    for phase in phases(&events) {
        if wanted == Some(&phase) {
            wanted = rest.next();
        }
    }
    assert_eq!(wanted, None, "markers are missing or out of order: {:?}", phases(&events));
    let kubeconfig = world.host.api.get(&format!("/api/v1/deployments/{id}/kubeconfig"));
    assert_eq!(kubeconfig.status, 200);
    assert!(kubeconfig.body.contains(&format!("https://127.0.0.1:{}", world.cluster.address().port())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_the_kubeconfig_comes_after_the_apply_and_all_ends_ready_without_a_secret_anywhere() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    let id = world.create(&world.request("late.example"));
    let viewers = [follow(&world, &id), follow(&world, &id)];
    world.until(&id, "flux-bootstrapping");
    let not_yet = world.host.api.get(&format!("/api/v1/deployments/{id}/kubeconfig"));
    assert_eq!((not_yet.status, not_yet.json()["error"].clone()), (409, json!("not-implemented")));

    let report = world.boot_first_node(&id).await;
    assert!(report.calls.iter().any(|call| call.contains("systemctl")), "{:?}", report.calls);
    world.until(&id, "phase1-watching");
    world.install_releases().await;
    world.until(&id, "ready");
    let seen = viewers.map(Viewer::finish);
    ended_ready(&world, &id);
    saw_everything_once(&world, &id, &seen);
    bearer_works_once(&world, &id);
    no_secret_is_anywhere(&world, &id, &report.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_the_kubeconfig_comes_before_the_apply_has_ended_and_all_ends_ready() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    world.close("applied");
    let id = world.create(&world.request("early.example"));
    let viewers = [follow(&world, &id), follow(&world, &id)];
    wait_for("the real apply", LIMIT, || world.waits_at("applied").then_some(()));
    assert_eq!(world.state(&id)["status"], "tofu-applying");
    world.boot_first_node(&id).await;
    let state = world.state(&id);
    assert_eq!(state["status"], "tofu-applying");
    assert_eq!(state["result"]["kubeconfigPath"], format!("{id}.yaml"));
    world.install_releases().await;
    world.open("applied");
    world.until(&id, "ready");
    let seen = viewers.map(Viewer::finish);
    ended_ready(&world, &id);
    saw_everything_once(&world, &id, &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_film_plays_behind_an_ingress_that_authenticates() {
    let _one = WORLDS.acquire().await.unwrap();
    let ingress = Ingress::start();
    let world = World::behind(&ingress).await;
    let straight = Api::new(world.host.address());
    assert_eq!(straight.get("/api/v1/deployments").status, 401, "nobody comes past the ingress");
    let id = world.create(&world.request("ingress.example"));
    let viewer = Viewer::follow(&ingress.address(), &id, Duration::from_secs(240));
    world.until(&id, "flux-bootstrapping");
    let path = format!("/api/v1/deployments/{id}/kubeconfig");
    // The ingress adds its own token where there is none: that is no node's bearer.
    let refused = world.host.api.put(&path, None, &world.cluster.k3s_kubeconfig());
    assert_eq!((refused.status, refused.json()["error"].clone()), (403, json!("invalid-bearer")));
    world.boot_first_node(&id).await;
    world.install_releases().await;
    world.until(&id, "ready");
    let seen = [viewer.finish()];
    ended_ready(&world, &id);
    saw_everything_once(&world, &id, &seen);
    assert_eq!(world.state(&id)["createdBy"]["subject"], "ingress");
    assert!(!world.host.trace().contains(ingress.token()), "the trace holds the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_kubeconfig_of_another_server_is_never_given_out_and_the_nodes_own_is_taken_after_it() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    world.close("applied");
    let id = world.create(&world.request("hijack.example"));
    wait_for("the real apply", LIMIT, || world.waits_at("applied").then_some(()));
    let path = format!("/api/v1/deployments/{id}/kubeconfig");
    let bearer = format!("Bearer {}", world.bearer(&id));
    let own = world.cluster.address();
    let elsewhere = world.cluster.k3s_kubeconfig().replace("127.0.0.1", "127.0.0.66");
    assert!(elsewhere.contains("127.0.0.66"), "{own}");
    assert_eq!(world.host.api.put(&path, Some(&bearer), &elsewhere).status, 204);
    let early = world.host.api.get(&path);
    assert_eq!((early.status, early.json()["error"].as_str().unwrap()), (409, "kubeconfig-unchecked"));
    world.install_releases().await;
    world.open("applied");
    world.until(&id, "flux-bootstrapping");
    let dropped = world.host.api.get(&path);
    assert_eq!((dropped.status, dropped.json()["error"].as_str().unwrap()), (409, "kubeconfig-refused"));
    assert!(dropped.json()["detail"].as_str().unwrap().contains("127.0.0.66"), "{}", dropped.body);
    wait_for("a word in the log", LIMIT, || {
        let told = |entry: &Value| entry["message"].as_str().is_some_and(|text| text.contains("127.0.0.66"));
        world.events(&id).iter().any(told).then_some(())
    });
    assert_eq!(world.host.api.put(&path, Some(&bearer), &elsewhere).status, 422, "the outputs are known now");
    world.boot_first_node(&id).await;
    world.until(&id, "ready");
    assert_eq!(world.host.api.get(&path).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_apply_fails_and_a_retry_goes_on_to_ready() {
    crash_in_phase_0("plan", "provisioning").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_f10_a_crash_in_the_apply_fails_and_a_retry_goes_on_to_ready() {
    crash_in_phase_0("applied", "tofu-applying").await;
}

async fn crash_in_phase_0(gate: &str, status: &str) {
    let _one = WORLDS.acquire().await.unwrap();
    let mut world = World::start().await;
    world.close(gate);
    let id = world.create(&world.request("crash.example"));
    wait_for("the gate", LIMIT, || world.waits_at(gate).then_some(()));
    world.until(&id, status);
    world.host.crash();
    world.open(gate);
    world.host.up();
    let state = world.until(&id, "failed");
    for part in ["catalyst-api restarted during provisioning", &id, "orphan"] {
        assert!(state["error"].as_str().unwrap().contains(part), "{state}");
    }
    // A second restart changes nothing.
    world.host.down();
    world.host.up();
    assert_eq!(world.state(&id)["status"], "failed");

    let answer = world.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("provisioning")), "{}", answer.body);
    let viewers = [follow(&world, &id), follow(&world, &id)];
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.install_releases().await;
    world.until(&id, "ready");
    let seen = viewers.map(Viewer::finish);
    ended_ready(&world, &id);
    saw_everything_once(&world, &id, &seen);
    let servers =
        world.tofu_state(&id)["resources"].as_array().unwrap().iter().filter(|r| r["name"] == "control_plane").count();
    assert_eq!(servers, 1, "a retry must not double a resource");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a11_a_crash_while_waiting_for_the_node_and_one_in_the_watch_simply_go_on() {
    let _one = WORLDS.acquire().await.unwrap();
    let mut world = World::start().await;
    let id = world.create(&world.request("goes-on.example"));
    let viewers = [follow(&world, &id), follow(&world, &id)];
    world.until(&id, "flux-bootstrapping");
    world.host.crash();
    world.host.up();
    assert_eq!(world.state(&id)["status"], "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.until(&id, "phase1-watching");
    world.host.crash();
    world.host.up();
    assert_eq!(world.state(&id)["status"], "phase1-watching");
    world.host.down();
    world.host.up();
    world.install_releases().await;
    world.until(&id, "ready");
    let seen = viewers.map(Viewer::finish);
    ended_ready(&world, &id);
    saw_everything_once(&world, &id, &seen);
    // What a resumed watch found is on disk, not only in memory.
    let found = world.state(&id);
    world.host.crash();
    world.host.up();
    assert_eq!(world.state(&id), found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_a_release_that_fails_for_good_ends_failed_with_its_reason_and_may_be_watched_again() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    let id = world.create(&world.request("fails.example"));
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.cluster.bootstrap_kit(Some(&["bp-cilium", "bp-keycloak"])).await.unwrap();
    world.cluster.release("bp-cilium", Stage::Installed).await.unwrap();
    world.cluster.release("bp-keycloak", Stage::RetriesExceeded).await.unwrap();
    let state = world.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.contains("1 failed component") && error.contains("keycloak"), "{error}");
    assert_eq!(state["componentStates"], json!({"cilium": "installed", "keycloak": "failed"}));
    let viewer = follow(&world, &id).finish();
    assert_eq!(viewer.done.unwrap()["error"], *error);

    world.cluster.release("bp-keycloak", Stage::Installed).await.unwrap();
    let answer = world.host.api.post(&format!("/api/v1/deployments/{id}/phases/keycloak/retry"), "");
    assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("phase1-watching")), "{}", answer.body);
    let state = world.until(&id, "ready");
    assert!(state.get("error").is_none(), "{state}");
    let again = world.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    assert_eq!(again.status, 409, "a healthy cluster is not applied again: {}", again.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_budget_is_four_seconds_ends_after_four() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::with(&[("CATALYST_PHASE1_WATCH_TIMEOUT", "4s".to_owned())]).await;
    let id = world.create(&world.request("short.example"));
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    let state = world.until(&id, "failed");
    assert!(state["error"].as_str().unwrap().starts_with("the time is up"), "{state}");
    let events = world.events(&id);
    let begun = events.iter().find(|entry| entry["phase"] == "phase1").unwrap();
    let at = |time: &Value| time.as_str().unwrap().parse::<catalyst_domain::Timestamp>().unwrap().as_second();
    let lasted = at(&state["phase1FinishedAt"]) - at(&begun["time"]);
    // Times are whole seconds, and a busy machine is late; the minute for a host that was down is far above.
    assert!((3..20).contains(&lasted), "{lasted} s: {events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_a_failing_apply_says_why_and_a_retry_passes() {
    let _one = WORLDS.acquire().await.unwrap();
    let world = World::start().await;
    let mut request = world.request("no-stock.example");
    request["rehearsalFail"] = json!("apply-once");
    let id = world.create(&request);
    let state = world.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.starts_with("tofu apply: ") && error.contains("capacity"), "{error}");
    let events = world.events(&id);
    let last = events.iter().rev().find(|e| e["level"] == "error").unwrap();
    assert_eq!((&last["phase"], &last["message"]), (&json!("tofu-apply"), &json!(error)));
    let left = std::fs::read_dir(world.host.folder().join("tofu").join(&id)).unwrap();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name()).filter(|name| name != ".terraform.lock.hcl").collect();
    assert!(left.is_empty(), "{left:?}");
    let answer = world.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-init/retry"), "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.until(&id, "flux-bootstrapping");
}

fn bearer_works_once(world: &World, id: &str) {
    let path = format!("/api/v1/deployments/{id}/kubeconfig");
    let stored = world.host.api.get(&path).body;
    let bearer = format!("Bearer {}", minted(world, id, "kubeconfig_bearer_token"));
    let same = world.host.api.put(&path, Some(&bearer), &stored);
    assert_eq!((same.status, same.json()["same"].clone()), (403, json!(true)), "{}", same.body);
    let other = world.host.api.put(&path, Some(&bearer), "something else");
    assert_eq!((other.status, other.json()["error"].clone()), (403, json!("already-set")));
    assert_eq!(world.host.api.put(&path, Some("Bearer wrong"), &stored).json()["error"], "invalid-bearer");
    assert_eq!(world.host.api.put(&path, None, &stored).status, 401);
    assert_eq!(world.host.api.get(&path).body, stored);
}

/// A value that was made for this deployment, read off its user data.
fn minted(world: &World, id: &str, what: &str) -> String {
    let text = world.user_data(id);
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let values: Vec<&str> = text.split(|c| !hex(c)).filter(|word| word.len() == 64).collect();
    let hash = std::fs::read_to_string(world.host.folder().join("deployments").join(format!("{id}.json"))).unwrap();
    let is_bearer = |value: &&&str| hash.contains(&catalyst_domain::kubeconfig::sha256_hex(value.as_bytes()));
    let found = match what {
        "kubeconfig_bearer_token" => values.iter().find(is_bearer),
        _ => values.iter().find(|value| !is_bearer(value)),
    };
    (*found.unwrap_or_else(|| panic!("no {what} in the user data"))).to_owned()
}

fn no_secret_is_anywhere(world: &World, id: &str, node_log: &str) {
    let bearer = minted(world, id, "kubeconfig_bearer_token");
    let k3s = minted(world, id, "k3s_token");
    let folder = world.host.folder();
    let mut places = vec![
        ("the trace".to_owned(), world.host.trace()),
        ("the answers".to_owned(), world.host.api.everything()),
        ("the node's log".to_owned(), node_log.to_owned()),
        ("the process list".to_owned(), command_lines()),
    ];
    for name in ["deployments", "tofu"] {
        files(&folder.join(name), &mut places);
    }
    // The state holds what the servers hold; the bundle beside it is what the plugin knows.
    places.push((
        "the bundle".to_owned(),
        std::fs::read_to_string(folder.join("state").join(id).join("bundle.json")).unwrap(),
    ));
    assert!(places.len() > 6, "nothing was looked at");
    for (place, text) in &places {
        for (what, secret) in [("request's", TOKEN), ("host's", PULL_TOKEN), ("bearer", &bearer), ("k3s token", &k3s)] {
            assert!(!text.contains(secret), "the {what} secret is in {place}");
        }
    }
}

fn files(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            into.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

fn command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    processes.filter_map(|path| std::fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n")
}
