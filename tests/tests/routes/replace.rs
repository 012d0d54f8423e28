//! Retries whose first server does not stay: a host that is killed in between, and calls of both servers at once.

use crate::kit::*;
use catalyst_tests::host::wait_for;
use catalyst_tests::world::LIMIT;
use serde_json::{Value, json};

const CLUSTER: &str = "https://127.0.0.1:6443";

impl Scene {
    fn hand_in(&self, id: &str, bearer: &str, kubeconfig: &str) -> catalyst_tests::api::Answer {
        let path = format!("/api/v1/deployments/{id}/kubeconfig");
        self.api().put(&path, Some(&format!("Bearer {bearer}")), kubeconfig)
    }

    fn server_ids(&self, id: &str) -> Vec<Value> {
        let of =
            |name: &str| self.resources(id).into_iter().filter(move |each| each["name"] == name).collect::<Vec<_>>();
        let both = of("control_plane").into_iter().chain(of("worker"));
        both.flat_map(|each| each["instances"].as_array().unwrap().clone())
            .map(|instance| instance["attributes"]["id"].clone())
            .collect()
    }

    /// A deployment whose first run made its servers and failed, whose first server called home, and then turned out to be damaged.
    fn damaged(&mut self, fqdn: &str) -> (String, String) {
        let id = self.create(&failing(fqdn, "apply-once"));
        self.until(&id, "failed");
        let old = self.bearer(&id);
        assert_eq!(self.hand_in(&id, &old, &kubeconfig("https://127.0.0.1:1")).status, 204);
        self.host.down();
        let path = self.last_state(&id);
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let resources = state["resources"].as_array_mut().unwrap();
        let servers = resources.iter_mut().find(|each| each["name"] == "control_plane").unwrap();
        servers["instances"][0]["status"] = json!("tainted");
        state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
        std::fs::write(&path, state.to_string()).unwrap();
        self.host.up();
        (id, old)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_host_that_is_killed_before_the_old_server_goes_leaves_it_its_bearer_and_the_next_retry_ends_well() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let (id, old) = scene.damaged("killed.example");
    let before = scene.server_ids(&id);
    scene.close("apply");
    scene.retried(&id);
    scene.wait_at("apply");
    assert!(
        scene.record(&id)["replacement"]["bearerHash"].is_string(),
        "the decision is on record before it is carried out"
    );
    scene.host.crash();
    scene.open("apply");
    scene.host.up();
    scene.until(&id, "failed");
    assert_eq!(scene.server_ids(&id), before, "the crash must come before the apply");
    let same = scene.hand_in(&id, &old, &kubeconfig("https://127.0.0.1:1"));
    assert_eq!((same.status, same.json()["same"].clone()), (403, json!(true)), "it lives, and its bearer counts");

    scene.retried(&id);
    scene.until(&id, "flux-bootstrapping");
    assert!(scene.server_ids(&id).iter().all(|server| !before.contains(server)), "all are made anew");
    check(&scene.hand_in(&id, &old, &kubeconfig(CLUSTER)), 403, "invalid-bearer");
    let new = scene.bearer(&id);
    assert_eq!(scene.hand_in(&id, &new, &kubeconfig(CLUSTER)).status, 204);
    scene.until(&id, "phase1-watching");
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_the_new_server_may_call_before_its_run_has_ended_and_the_old_one_is_refused_from_then_on() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let (id, old) = scene.damaged("early.example");
    scene.close("output");
    scene.retried(&id);
    scene.wait_at("output");
    let new = scene.bearer(&id);
    assert_ne!(new, old);
    assert_eq!(scene.hand_in(&id, &new, &kubeconfig(CLUSTER)).status, 204, "the old kubeconfig is not in its way");
    check(&scene.hand_in(&id, &old, &kubeconfig(CLUSTER)), 403, "invalid-bearer");
    scene.host.crash();
    scene.open("output");
    scene.host.up();
    scene.until(&id, "failed");
    let again = scene.hand_in(&id, &new, &kubeconfig(CLUSTER));
    assert_eq!(
        (again.status, again.json()["same"].clone()),
        (403, json!(true)),
        "what it handed in survived the crash"
    );
    let before = scene.server_ids(&id);
    scene.retried(&id);
    scene.until(&id, "phase1-watching");
    assert_eq!(scene.server_ids(&id), before, "nothing is left to replace");
}

/// A kubeconfig that was accepted and checked shows a cluster: its only server is not replaced by the way.
#[tokio::test(flavor = "multi_thread")]
async fn t1_a_destroy_that_stopped_half_way_has_agreed_to_the_loss_already() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&[]);
    let id = scene.create(&request("half.example"));
    scene.until(&id, "flux-bootstrapping");
    let old = scene.bearer(&id);
    assert_eq!(scene.hand_in(&id, &old, &kubeconfig(CLUSTER)).status, 204);
    scene.close("refuse");
    check(&scene.destroy(&id, ""), 202, "destroying");
    scene.until(&id, "failed");
    scene.open("refuse");
    scene.host.down();
    let path = scene.last_state(&id);
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    state["resources"].as_array_mut().unwrap().retain(|each| each["name"] != "control_plane");
    state["serial"] = json!(state["serial"].as_u64().unwrap() + 1);
    std::fs::write(&path, state.to_string()).unwrap();
    scene.host.up();
    scene.retried(&id);
    scene.until(&id, "flux-bootstrapping");
    check(&scene.hand_in(&id, &old, &kubeconfig(CLUSTER)), 403, "invalid-bearer");
    assert_ne!(scene.bearer(&id), old);
    wait_for("the new hash", LIMIT, || {
        let hash = catalyst_domain::kubeconfig::sha256_hex(scene.bearer(&id).as_bytes());
        (scene.record(&id)["kubeconfigBearerHash"] == hash).then_some(())
    });
}
