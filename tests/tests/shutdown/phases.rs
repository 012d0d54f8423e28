//! The table: what a host does when it is asked to end, how it goes down, and where the next start finds it.

use crate::going::{
    accepted, create, ends_well, events, lost_nothing, record_on_disk, refuses_what_is_new, state, terminate, until,
    watch,
};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pause::Pause;
use catalyst_tests::world::{LIMIT, World};
use serde_json::Value;
use std::time::Duration;

/// OpenTofu in the middle of a command.
struct InTofu {
    command: &'static str,
    /// A word of the line after which it is held still.
    after: &'static str,
    status: &'static str,
    /// Words of the error that stays.
    says: &'static str,
}

/// Enough that OpenTofu is not done before it is held.
const WORKERS: u64 = 40;

const CREATED: &str = "catalyst-api restarted during provisioning";
const DESTROYED: &str = "destroy it again to go on from the kept state";

const IN_TOFU: [InTofu; 4] = [
    InTofu { command: "init", after: "{", status: "provisioning", says: CREATED },
    InTofu { command: "plan", after: "\"type\":\"version\"", status: "provisioning", says: CREATED },
    InTofu { command: "apply", after: "\"type\":\"apply_complete\"", status: "tofu-applying", says: CREATED },
    InTofu { command: "destroy", after: "\"type\":\"apply_complete\"", status: "destroying", says: DESTROYED },
];

#[test]
fn a_host_that_runs_tofu_interrupts_it_once_and_records_what_became_of_it() {
    let pause = Pause::new();
    let scraped = format!("127.0.0.1:{}", catalyst_tests::host::free_port());
    let tofu = pause.tofu().display().to_string();
    let mut host = Host::start(&[("CATALYST_TOFU_BIN", &tofu), ("CATALYST_METRICS_LISTEN", &scraped)]);
    let scraper = catalyst_tests::api::Api::new(&scraped);
    for row in IN_TOFU {
        let InTofu { command, after, status, says } = row;
        let told = pause.signals().len();
        let id = if command == "destroy" {
            let id = create(&host, "destroy.example", WORKERS);
            until(&host, &id, "flux-bootstrapping");
            pause.at(command, after);
            let answer = host.api.delete(&format!("/api/v1/deployments/{id}"), "");
            assert_eq!(answer.status, 202, "{}", answer.body);
            id
        } else {
            pause.at(command, after);
            create(&host, &format!("{command}.example"), WORKERS)
        };
        pause.stands();
        until(&host, &id, status);
        pause.keep_back();
        let (viewer, before) = (watch(&host, &id), events(&host, &id));

        let asked = terminate(&host);
        wait_for("the interrupt", LIMIT, || (pause.signals().len() > told).then_some(()));
        refuses_what_is_new(&host, &id);
        assert_eq!(scraper.get("/metrics").status, 200, "{command}: who watches the way down sees it to its end");
        let stream = viewer.join().unwrap();
        pause.release();
        let took = ends_well(&mut host, asked);
        println!("SIGTERM in tofu {command}: down after {took:?}");
        assert_eq!(pause.signals()[told..], [format!("INT {command}")], "once, and only the command that ran");
        let record = record_on_disk(&host, &id);
        assert_eq!(record["status"], "failed", "{command}: on disk before the end: {record}");

        host.up();
        until(&host, &id, "failed");
        let error = state(&host, &id)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{command}: {error}");
        lost_nothing(&host, &id, &before, &[stream]);
        let all = events(&host, &id);
        let said = |words: &str| all.iter().any(|entry| entry["message"].as_str().unwrap().contains(words));
        assert!(said("interrupting OpenTofu: the host was asked to stop"), "{command}: {all:?}");
        assert!(said(&error), "{command}: the viewers are told as well: {all:?}");
        goes_on(&host, &id, command);
    }
}

/// A retry or another destroy ends what was begun, and makes nothing twice.
fn goes_on(host: &Host, id: &str, command: &str) {
    if command == "destroy" {
        assert_eq!(host.api.delete(&format!("/api/v1/deployments/{id}"), "").status, 202);
        return until(host, id, "destroyed");
    }
    accepted(&host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), ""));
    until(host, id, "flux-bootstrapping");
    let folder = host.folder().join("state").join(id);
    let mut states: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    states.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
    states.sort();
    let newest: Value = serde_json::from_slice(&std::fs::read(states.last().unwrap()).unwrap()).unwrap();
    let of = |name: &str| {
        let resources = newest["resources"].as_array().unwrap().iter().filter(|r| r["name"] == name);
        resources.flat_map(|r| r["instances"].as_array().unwrap().clone()).count() as u64
    };
    assert_eq!((of("control_plane"), of("worker")), (1, WORKERS), "{command}");
}

#[test]
fn a_host_that_does_nothing_is_down_at_once() {
    let mut host =
        Host::start(&[("CATALYST_METRICS_LISTEN", &format!("127.0.0.1:{}", catalyst_tests::host::free_port()))]);
    let asked = terminate(&host);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM when idle: down after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(host.trace().contains("\"message\":\"down\""), "the end is not said:\n{}", host.trace());
    host.up();
}

#[test]
fn a_host_that_waits_for_a_node_goes_on_waiting_after_the_next_start() {
    let mut host = Host::start(&[]);
    let id = create(&host, "waits.example", 0);
    until(&host, &id, "flux-bootstrapping");
    wait_for("the wait to be said", LIMIT, || {
        events(&host, &id).iter().any(|e| e["message"].as_str().unwrap().starts_with("waiting for")).then_some(())
    });
    let (viewer, before) = (watch(&host, &id), events(&host, &id));
    let asked = terminate(&host);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM while waiting for the kubeconfig: down after {took:?}");
    host.up();
    assert_eq!(state(&host, &id)["status"], "flux-bootstrapping");
    lost_nothing(&host, &id, &before, &[viewer.join().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_watches_a_cluster_goes_on_watching_after_the_next_start() {
    let mut world = World::start().await;
    let id = world.create(&world.request("watched.example"));
    world.until(&id, "flux-bootstrapping");
    world.boot_first_node(&id).await;
    world.until(&id, "phase1-watching");
    world.cluster.bootstrap_kit(Some(&["bp-cilium", "bp-cert-manager", "bp-flux"])).await.unwrap();
    world.cluster.release("bp-cilium", catalyst_tests::flux::Stage::Installing).await.unwrap();
    wait_for("the first component to be seen", LIMIT, || {
        events(&world.host, &id).iter().any(|e| e["phase"] == "component").then_some(())
    });
    let (viewer, before) = (watch(&world.host, &id), events(&world.host, &id));
    let asked = terminate(&world.host);
    let took = ends_well(&mut world.host, asked);
    println!("SIGTERM while watching the releases: down after {took:?}");
    world.host.up();
    assert_eq!(world.state(&id)["status"], "phase1-watching");
    lost_nothing(&world.host, &id, &before, &[viewer.join().unwrap()]);
    world.install_releases().await;
    world.until(&id, "ready");
    lost_nothing(&world.host, &id, &before, &[]);
}

#[test]
fn a_tofu_that_does_not_end_is_killed_within_the_grace_of_the_chart_and_its_deployment_can_be_retried() {
    let pause = Pause::new();
    let mut host = Host::start(&[("CATALYST_TOFU_BIN", pause.tofu().to_str().unwrap())]);
    pause.at("apply", "\"type\":\"apply_complete\"");
    let id = create(&host, "stuck.example", WORKERS);
    pause.stands();
    until(&host, &id, "tofu-applying");
    pause.keep_back();
    let (viewer, before) = (watch(&host, &id), events(&host, &id));
    let asked = terminate(&host);
    let took = ends_well(&mut host, asked);
    println!("SIGTERM while OpenTofu does not end: down after {took:?}");
    assert!(took >= Duration::from_secs(25), "it had its grace and a second interrupt: {took:?}");
    host.up();
    until(&host, &id, "failed");
    lost_nothing(&host, &id, &before, &[viewer.join().unwrap()]);
    let all = events(&host, &id);
    for words in ["interrupting it again", "OpenTofu ignored two interrupts; killing it", CREATED] {
        assert!(all.iter().any(|entry| entry["message"].as_str().unwrap().contains(words)), "{words}: {all:?}");
    }
    pause.release();
    goes_on(&host, &id, "apply");
}
