//! The routes beyond the contract, on the real binary and the real OpenTofu: destroy, list, providers, previews, and a
//! create that is sent twice. Longer than most files: the scene with its scripted OpenTofu serves all of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_tests::api::{Answer, Api};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::viewer::Viewer;
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Hosts and OpenTofu at once are much for a small machine.
static SOME: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// A host whose OpenTofu is the real one behind a script: it waits before a command whose name lies as a file in `gates`;
/// with `half` there a destroy first removes the workers, then waits; with `refuse` there it removes the workers and fails.
struct Scene {
    host: Host,
    gates: tempfile::TempDir,
}

impl Scene {
    fn start(env: &[(&str, &str)]) -> Self {
        let mut scene = Self::prepare(env);
        scene.host.up();
        scene
    }

    fn prepare(env: &[(&str, &str)]) -> Self {
        let gates = tempfile::tempdir().unwrap();
        let tofu = catalyst_tests::tools::path("tofu").unwrap();
        let (gates_path, tofu) = (gates.path().display(), tofu.display());
        let script = format!(
            r#"#!/bin/sh
cd_gates='{gates_path}'
echo "$1" >> "$cd_gates/commands"
gate() {{
    [ -e "$cd_gates/$1" ] || return 0
    : > "$cd_gates/$1.waiting"
    while [ -e "$cd_gates/$1" ]; do sleep 0.05; done
    rm -f "$cd_gates/$1.waiting"
}}
gate "$1"
if [ "$1" = destroy ] && [ -e "$cd_gates/half" -o -e "$cd_gates/refuse" ]; then
    '{tofu}' "$@" -target=terraform_data.worker || exit
    [ -e "$cd_gates/refuse" ] && exit 1
    gate half
fi
exec '{tofu}' "$@"
"#
        );
        let path = gates.path().join("tofu");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut all = vec![("CATALYST_TOFU_BIN", path.to_str().unwrap()), ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN)];
        all.extend(env);
        Self { host: Host::prepare(&all), gates }
    }

    fn api(&self) -> &Api {
        &self.host.api
    }

    fn close(&self, gate: &str) {
        std::fs::write(self.gates.path().join(gate), "").unwrap();
    }

    fn open(&self, gate: &str) {
        std::fs::remove_file(self.gates.path().join(gate)).unwrap();
    }

    fn wait_at(&self, gate: &str) {
        let waiting = self.gates.path().join(format!("{gate}.waiting"));
        wait_for("the gate", LIMIT, || waiting.exists().then_some(()));
    }

    /// How often OpenTofu was asked for this.
    fn asked(&self, command: &str) -> usize {
        let all = std::fs::read_to_string(self.gates.path().join("commands")).unwrap_or_default();
        all.lines().filter(|line| *line == command).count()
    }

    fn create(&self, request: &Value) -> String {
        let answer = self.api().post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        id_of(&answer)
    }

    fn destroy(&self, id: &str, body: &str) -> Answer {
        self.api().delete(&format!("/api/v1/deployments/{id}"), body)
    }

    fn state(&self, id: &str) -> Value {
        self.api().get(&format!("/api/v1/deployments/{id}")).json()
    }

    fn until(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("status {status}, last {}", self.state(id)), LIMIT, || {
            let state = self.state(id);
            let now = state["status"].as_str().unwrap();
            let ended = ["ready", "failed", "destroyed"].contains(&now);
            assert!(now == status || !ended, "{now} instead of {status}: {state}");
            (now == status).then_some(state)
        })
    }

    fn resources(&self, id: &str) -> Vec<Value> {
        let folder = self.host.folder().join("state").join(id);
        let mut versions: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        versions.retain(|path| path.extension().is_some_and(|extension| extension == "tfstate"));
        versions.sort();
        let state: Value = serde_json::from_slice(&std::fs::read(versions.last().unwrap()).unwrap()).unwrap();
        state["resources"].as_array().unwrap().clone()
    }

    fn record(&self, id: &str) -> Value {
        let path = self.host.folder().join("deployments").join(format!("{id}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Ids of all records on disk.
    fn on_disk(&self) -> BTreeSet<String> {
        let names = std::fs::read_dir(self.host.folder().join("deployments")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
    }

    fn plant(&self, folder: &str, name: &str, content: &Value) {
        let path = self.host.folder().join(folder);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(name), content.to_string()).unwrap();
    }
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}: {}", answer.status, answer.body)).to_owned()
}

fn request(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme GmbH", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn, "sovereignDomainMode": "byo",
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium",
                     "workerSize": "small", "workerCount": 2}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalToken": TOKEN,
    })
}

fn failing(fqdn: &str, at: &str) -> Value {
    let mut request = request(fqdn);
    request["rehearsalFail"] = json!(at);
    request
}

/// `error` and, where there are findings, their first pointer.
fn check(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(word), "{word} is not in {}", answer.body);
}

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
    assert!(said("tofu-destroy", "removing the infrastructure") && said("tofu-destroy", "everything is removed"));
    assert!(said("tofu", "control_plane[0]: Destruction complete"), "{:?}", seen.entries);
    assert_eq!(world.tofu_state(&id)["resources"], json!([]));
    assert!(!file.exists() && !world.host.folder().join("tofu").join(&id).exists());
    check(&world.host.api.get(&format!("{path}/kubeconfig")), 409, "not-implemented");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_paged_filtered_and_says_what_is_wrong_with_a_query() {
    const COUNT: usize = 230;
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::prepare(&[]);
    for number in 0..COUNT {
        let id = format!("{:016x}", number * 7_919 % 1_000_003);
        let status = if number % 10 == 0 { "failed" } else { "destroyed" };
        // Three of each second, so that the id decides as well.
        let started = format!("2026-04-29T10:{:02}:{:02}Z", number / 180, number / 3 % 60);
        scene.plant(
            "deployments",
            &format!("{id}.json"),
            &json!({"schema": 1, "id": id, "status": status, "startedAt": started, "finishedAt": started,
                "request": {"sovereignFQDN": format!("a{number}.example")},
                "provider": {"id": if number % 2 == 0 { "even" } else { "odd" }, "version": "1.0.0", "digest": "d"}}),
        );
    }
    scene.host.up();
    let page = |query: &str| {
        let answer = scene.api().get(&format!("/api/v1/deployments{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()
    };
    let ids = |page: &Value| -> Vec<String> {
        page["deployments"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut all, mut query) = (Vec::new(), "?limit=100".to_owned());
    loop {
        let page = page(&query);
        all.extend(page["deployments"].as_array().unwrap().iter().cloned());
        // What begins in the middle of the reading comes at its end.
        if all.len() == 100 {
            scene.create(&request("new.example"));
        }
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=100&after={next}");
    }
    assert_eq!(all.len(), COUNT + 1);
    let places: Vec<(String, String)> = all.iter().map(|d| (d["startedAt"].to_string(), d["id"].to_string())).collect();
    assert!(places.is_sorted() && places.iter().collect::<BTreeSet<_>>().len() == COUNT + 1);
    assert_eq!(all.last().unwrap()["sovereignFQDN"], "new.example");

    assert_eq!(ids(&page("")).len(), 50);
    assert_eq!(ids(&page("?limit=200&status=failed")).len(), COUNT / 10);
    assert_eq!(ids(&page("?limit=200&provider=odd")).len(), COUNT / 2);
    assert_eq!(page("?fqdn=A7.Example.")["deployments"][0]["sovereignFQDN"], "a7.example");
    assert_eq!(page("?fqdn=none.example"), json!({"deployments": [], "next": null}));
    let last = page("?limit=1&fqdn=a7.example");
    assert_eq!(last["next"], Value::Null, "a full page that is the last one has no next");
    for (query, pointer) in [
        ("?limit=0", "?limit"),
        ("?limit=201", "?limit"),
        ("?limit=x", "?limit"),
        ("?status=happy", "?status"),
        ("?after=nonsense", "?after"),
        ("?colour=red", "?colour"),
        ("?limit=1&limit=2", "?limit"),
    ] {
        let answer = scene.api().get(&format!("/api/v1/deployments{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert_eq!(answer.json()["findings"][0]["pointer"], pointer, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_say_what_they_are_and_which_files_did_not_load() {
    let _some = SOME.acquire().await.unwrap();
    let plugins = tempfile::tempdir().unwrap();
    let rehearsal = catalyst_tests::host::built("plugins/rehearsal.wasm");
    std::fs::copy(rehearsal, plugins.path().join("rehearsal.wasm")).unwrap();
    std::fs::write(plugins.path().join("broken.wasm"), "no component").unwrap();
    let scene = Scene::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    let all = scene.api().get("/api/v1/providers").json();
    let one = &all["providers"][0];
    assert_eq!((&one["id"], &one["file"]), (&json!("rehearsal"), &json!("rehearsal.wasm")));
    assert!(
        one["digest"].as_str().unwrap().len() == 64 && one["interfaceVersion"].as_str().unwrap().starts_with("0.1")
    );
    assert!(
        one["imports"].as_array().unwrap().iter().all(|i| i.as_str().is_some_and(|name| name.contains(":"))),
        "{one}"
    );
    assert_eq!(all["failures"][0]["file"], "broken.wasm");
    assert_eq!(all["failures"][0]["previousServes"], false);

    let full = scene.api().get("/api/v1/providers/rehearsal").json();
    let of = &full["descriptor"];
    assert_eq!(of["settingsSchema"]["properties"]["rehearsalApiPort"]["type"], "integer");
    let token = of["secrets"].as_array().unwrap().iter().find(|s| s["name"] == "rehearsal-token").unwrap();
    assert_eq!(token["source"], json!({"kind": "request", "key": "rehearsalToken"}));
    assert_eq!(of["catalogue"]["regions"][0]["id"], "local-1");
    check(&scene.api().get("/api/v1/providers/none"), 404, "provider-not-found");
}
