//! `DELETE`: everything goes, or what is left is named.

use crate::kit::*;
use catalyst_tests::components::lock;
use catalyst_tests::host::{built, wait_for};
use catalyst_tests::viewer::Viewer;
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN, World};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_deployment_is_destroyed_and_nothing_of_it_stays() {
    let _some = SOME.acquire().await.unwrap();
    let world = World::start().await;
    let id = world.create(&world.request("gone.example"));
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.install_releases().await;
    world.until(&id, "ready");
    let path = format!("/api/v1/deployments/{id}");
    let kubeconfig = world.host.api.get(&format!("{path}/kubeconfig")).body;
    let file = world.host.folder().join("kubeconfigs").join(format!("{id}.yaml"));
    assert!(file.exists());

    world.close("destroy");
    let answer = world.host.api.delete(&path, "");
    check(&answer, 202, "destroying");
    let viewer = Viewer::follow(world.host.address(), &id, LIMIT);
    wait_for("the destroy", LIMIT, || world.waits_at("destroy").then_some(()));
    let events = world.host.api.get(&format!("{path}/events")).json();
    assert_eq!((&events["done"], &events["state"]["status"]), (&json!(false), &json!("destroying")));
    check(&world.host.api.delete(&path, ""), 409, "destroying");
    check(&world.host.api.post(&format!("{path}/phases/tofu-apply/retry"), ""), 409, "destroying");
    let late = world.host.api.put(&format!("{path}/kubeconfig"), Some("Bearer x"), &kubeconfig);
    check(&late, 403, "no-bearer-hash");
    world.open("destroy");
    let state = world.until(&id, "destroyed");
    assert!(state["finishedAt"].is_string() && state.get("error").is_none(), "{state}");

    let seen = viewer.finish();
    assert_eq!(seen.done.unwrap()["status"], "destroyed");
    let said = |phase: &str, words: &str| {
        let says = |entry: &Value| entry["phase"] == phase && entry["message"].as_str().unwrap().contains(words);
        seen.entries.iter().any(|(_, entry)| says(entry))
    };
    assert!(
        said("tofu-destroy", "removing the infrastructure")
            && said("tofu-destroy", "what this deployment made is removed")
    );
    assert!(said("tofu", "control_plane[0]: Destruction complete"), "{:?}", seen.entries);
    assert_eq!(world.tofu_state(&id)["resources"], json!([]));
    // Older versions hold the user data of servers that are gone.
    let names = std::fs::read_dir(world.host.folder().join("state").join(&id)).unwrap();
    let names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".tfstate")).count(), 1, "{names:?}");
    assert!(!file.exists() && !world.host.folder().join("tofu").join(&id).exists());
    let gone = world.host.api.get(&format!("{path}/kubeconfig"));
    check(&gone, 409, "not-implemented");
    assert!(gone.body.contains("this deployment is destroyed"), "{}", gone.body);
    let late = world.host.api.put(&format!("{path}/kubeconfig"), Some("Bearer x"), &kubeconfig);
    check(&late, 403, "no-bearer-hash");
    check(&world.host.api.delete(&path, ""), 409, "destroyed");
    check(&world.host.api.post(&format!("{path}/phases/cilium/retry"), ""), 409, "destroyed");
    let again = world.create(&world.request("gone.example"));
    assert_ne!(again, id, "the name is free");
    for text in [world.host.trace(), world.host.api.everything()] {
        assert!(!text.contains(TOKEN) && !text.contains(PULL_TOKEN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_destroy_fails_and_the_next_one_ends_it() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.create(&request("crash.example"));
    scene.until(&id, "flux-bootstrapping");
    let before = scene.resources(&id);
    scene.close("half");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.wait_at("half");
    scene.host.crash();
    scene.host.up();
    let state = scene.until(&id, "failed");
    assert!(state["error"].as_str().unwrap().contains("restarted during the destroy"), "{state}");
    let left = scene.resources(&id);
    assert!(left.len() < before.len() && !left.is_empty(), "the crash must fall into the middle: {left:?}");
    let taken = scene.api().post("/api/v1/deployments", &request("crash.example").to_string());
    check(&taken, 409, "name-taken");
    scene.open("half");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "destroyed");
    assert!(scene.resources(&id).is_empty());
    scene.host.down();
    scene.host.up();
    assert_eq!(scene.state(&id)["status"], "destroyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_fails_names_what_is_left_and_may_be_retried_either_way() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    let id = scene.create(&request("left.example"));
    scene.until(&id, "flux-bootstrapping");
    scene.close("refuse");
    check(&scene.destroy(&id, ""), 202, "destroying");
    let state = scene.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.starts_with("tofu destroy: "), "{error}");
    assert!(error.contains("Still there: ") && error.contains("terraform_data.control_plane[0]"), "{error}");
    assert!(!error.contains("terraform_data.worker"), "{error}");
    // Built up again, then removed for good.
    let retry = scene.api().post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    check(&retry, 200, "provisioning");
    scene.until(&id, "flux-bootstrapping");
    assert!(scene.resources(&id).iter().any(|r| r["name"] == "worker"));
    // The server was never removed, so its bearer still counts.
    let kubeconfig = kubeconfig("https://127.0.0.1:6443");
    let bearer = format!("Bearer {}", scene.bearer(&id));
    let put = scene.api().put(&format!("/api/v1/deployments/{id}/kubeconfig"), Some(&bearer), &kubeconfig);
    assert_eq!(put.status, 204, "{}", put.body);
    scene.until(&id, "phase1-watching");
    scene.open("refuse");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "destroyed");
    assert!(scene.resources(&id).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_applied_is_destroyed_without_opentofu() {
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    let id = scene.create(&failing("never.example", "plan"));
    scene.until(&id, "failed");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "destroyed");
    assert_eq!(scene.asked("destroy"), 0);
    check(&scene.destroy("0123456789abcdef", ""), 404, "deployment-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_retry_and_a_destroy_one_wins() {
    const ROUNDS: usize = 12;
    let _some = SOME.acquire().await.unwrap();
    let scene = Scene::start(&[]);
    for round in 0..ROUNDS {
        let id = scene.create(&failing(&format!("race-{round}.example"), "plan"));
        scene.until(&id, "failed");
        // A retry that won stays in its run until both have been answered.
        scene.close("init");
        let path = format!("/api/v1/deployments/{id}");
        let (retry, destroy) = std::thread::scope(|scope| {
            let retry = scope.spawn(|| scene.api().post(&format!("{path}/phases/tofu-apply/retry"), "").status);
            let destroy = scope.spawn(|| scene.api().delete(&path, "").status);
            (retry.join().unwrap(), destroy.join().unwrap())
        });
        assert!(matches!((retry, destroy), (200, 409) | (409, 202)), "{retry} {destroy}");
        scene.open("init");
        scene.until(&id, if destroy == 202 { "destroyed" } else { "failed" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_whose_credentials_are_gone_asks_for_them_and_names_what_is_left() {
    let _some = SOME.acquire().await.unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    let mirror = nowhere.path().to_str().unwrap();
    let mut scene = Scene::start(&[("CATALYST_PROVIDER_MIRROR", mirror)]);
    let id = scene.create(&json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": "cloud.example",
        "regions": [{"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cx32", "workerCount": 0}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "hetznerToken": "t".repeat(64), "hetznerProjectID": "p",
    }));
    scene.until(&id, "failed");
    scene.host.down();
    let server = json!({"mode": "managed", "type": "hcloud_server", "name": "control_plane", "instances": [{"index_key": 0}],
        "provider": "provider[\"registry.opentofu.org/hetznercloud/hcloud\"]"});
    let state = json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {}, "resources": [server]});
    scene.plant(&format!("state/{id}"), "00000001.tfstate", &state);
    scene.host.up();

    let needed = scene.destroy(&id, "");
    check(&needed, 409, "credentials-needed");
    assert_eq!(needed.json()["keys"], json!(["hetznerToken"]));
    check(&scene.destroy(&id, r#"{"hetznerToken":"short"}"#), 400, "/hetznerToken");
    assert_eq!(scene.state(&id)["status"], "failed", "nothing was begun");
    check(&scene.destroy(&id, &json!({"hetznerToken": "u".repeat(64)}).to_string()), 202, "destroying");
    let state = scene.until(&id, "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.contains("Still there: hcloud_server.control_plane[0]"), "{error}");
    assert!(!scene.host.trace().contains(&"u".repeat(64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructure_without_its_state_is_never_called_destroyed() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::prepare(&[]);
    let id = "00000000000000aa";
    let record = json!({"id": id, "status": "ready", "startedAt": "2026-04-29T10:00:00Z", "events": [],
        "request": {"orgName": "A", "sovereignFQDN": "old.example"},
        "result": {"sovereignFQDN": "old.example", "controlPlaneIP": "192.0.2.1", "loadBalancerIP": "192.0.2.2",
                   "consoleURL": "", "gitopsRepoURL": ""}});
    scene.plant("deployments", &format!("{id}.json"), &record);
    scene.host.up();
    check(&scene.destroy(id, ""), 409, "state-missing");
    assert_eq!(scene.state(id)["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructure_without_its_state_is_never_made_a_second_time() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::prepare(&[]);
    let id = "00000000000000ab";
    let kubeconfigs = scene.host.folder().join("kubeconfigs");
    std::fs::create_dir_all(&kubeconfigs).unwrap();
    let file = kubeconfigs.join(format!("{id}.yaml"));
    std::fs::write(&file, kubeconfig("https://192.0.2.2:6443")).unwrap();
    let record = json!({"id": id, "status": "failed", "error": "1 failed component(s): x",
        "startedAt": "2026-04-29T10:00:00Z", "finishedAt": "2026-04-29T11:00:00Z", "events": [],
        "request": request("older.example"),
        "result": {"sovereignFQDN": "older.example", "controlPlaneIP": "192.0.2.1", "loadBalancerIP": "192.0.2.2",
                   "consoleURL": "", "gitopsRepoURL": "", "kubeconfigPath": format!("/var/lib/catalyst/kubeconfigs/{id}.yaml"),
                   "phase1FinishedAt": "2026-04-29T11:00:00Z"}});
    scene.plant("deployments", &format!("{id}.json"), &record);
    scene.host.up();
    let retry = format!("/api/v1/deployments/{id}/phases/tofu-apply/retry");
    check(&scene.api().post(&retry, &json!({"rehearsalToken": TOKEN}).to_string()), 409, "state-missing");
    assert_eq!(scene.state(id)["status"], "failed");
    assert!(file.exists() && scene.asked("apply") == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_a_dead_run_left_is_taken_in_before_a_retry_decides() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.create(&failing("left-behind.example", "apply"));
    scene.until(&id, "failed");
    let folder = scene.host.folder().join("state").join(&id);
    let before = scene.bearer(&id);
    scene.host.down();
    // As if the volume had been full: what OpenTofu made is only in the file that it left.
    let last = scene.last_state(&id);
    let left = scene.host.folder().join("tofu").join(&id).join("errored.tfstate");
    std::fs::rename(last, left).unwrap();
    for version in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if version.extension().is_some_and(|extension| extension == "tfstate") {
            std::fs::remove_file(version).unwrap();
        }
    }
    scene.host.up();
    let taken = scene.api().post("/api/v1/deployments", &request("left-behind.example").to_string());
    check(&taken, 409, "name-taken");
    let hash = scene.record(&id)["kubeconfigBearerHash"].clone();
    let retry = format!("/api/v1/deployments/{id}/phases/tofu-apply/retry");
    check(&scene.api().post(&retry, &json!({"rehearsalToken": TOKEN}).to_string()), 200, "provisioning");
    scene.until(&id, "failed");
    assert_eq!(scene.record(&id)["kubeconfigBearerHash"], hash, "the server is there, and holds the old bearer");
    assert_eq!(scene.bearer(&id), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_host_whose_grant_was_taken_back_goes_to_no_destroy() {
    let _some = SOME.acquire().await.unwrap();
    let plugins = tempfile::tempdir().unwrap();
    std::fs::copy(built("plugins/rehearsal.wasm"), plugins.path().join("rehearsal.wasm")).unwrap();
    lock(plugins.path(), &["grant rehearsal.wasm secret ghcr-pull-token"]);
    let scene = Scene::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    scene.close("apply");
    let id = scene.create(&request("taken-back.example"));
    let variables = scene.host.folder().join("tofu").join(&id).join("catalyst.auto.tfvars.json");
    let has = |secret: &str| std::fs::read_to_string(&variables).unwrap().contains(secret);
    scene.wait_at("apply");
    assert!(has(TOKEN) && has(PULL_TOKEN), "else nothing is shown");
    scene.open("apply");
    scene.until(&id, "flux-bootstrapping");
    lock(plugins.path(), &["grant rehearsal.wasm nothing"]);
    wait_for("the end of the grant", LIMIT, || {
        scene.api().get("/api/v1/providers").json()["providers"].as_array().unwrap().is_empty().then_some(())
    });
    scene.close("destroy");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.wait_at("destroy");
    assert!(has(TOKEN) && !has(PULL_TOKEN));
    scene.open("destroy");
    scene.until(&id, "destroyed");
    let events = scene.api().get(&format!("/api/v1/deployments/{id}/events")).body;
    assert!(events.contains("of this host: plugins.lock does not grant it to the plugin any more"), "{events}");
    for text in [scene.host.trace(), scene.api().everything()] {
        assert!(!text.contains(PULL_TOKEN));
    }
}
