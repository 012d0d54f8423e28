//! What goes wrong around the main job: clients that leave, a trace that nobody reads, a damaged log, a shutdown in mid-apply.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::host::{Host, hostile_guests, wait_for};
use catalyst_tests::world::{Gates, LIMIT, PULL_TOKEN, TOKEN, World, tofu_into};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn request(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    })
}

fn ids(host: &Host) -> Vec<String> {
    let names = std::fs::read_dir(host.folder().join("deployments")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).filter(|id| id.len() == 16).collect()
}

fn status(host: &Host, id: &str) -> String {
    host.api.get(&format!("/api/v1/deployments/{id}")).json()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_client_that_leaves_during_a_create_leaves_no_deployment_without_its_task() {
    let host = Host::start(&[("CATALYST_MAX_RUNS", "2")]);
    for round in 0..24_u64 {
        let body = request(&format!("gone-{round}.example")).to_string();
        let mut stream = TcpStream::connect(host.address()).unwrap();
        let head =
            format!("POST /api/v1/deployments HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(500 * round));
        drop(stream);
    }
    let settled = |id: &String| ["flux-bootstrapping", "failed"].contains(&status(&host, id).as_str());
    std::thread::sleep(Duration::from_millis(300));
    let all = ids(&host);
    assert!(!all.is_empty(), "no create arrived at all, so nothing was shown");
    wait_for("every deployment to move on", LIMIT, || ids(&host).iter().all(settled).then_some(()));
}

#[test]
fn a_client_that_leaves_during_a_delete_leaves_no_claim_without_its_task() {
    let mut host = Host::prepare(&[]);
    let id = |number: u64| format!("{number:016x}");
    for number in 0..32 {
        let mut request = request(&format!("left-{number}.example"));
        request.as_object_mut().unwrap().remove("rehearsalToken");
        host.plant(&json!({
            "schema": 1, "id": id(number), "status": "failed", "request": request, "error": "tofu plan: no",
            "startedAt": "2026-04-29T10:00:00Z", "finishedAt": "2026-04-29T11:00:00Z",
            "provider": {"id": "rehearsal", "version": "0.1.0", "digest": "d"},
        }));
    }
    host.up();
    for number in 0..32 {
        let mut stream = TcpStream::connect(host.address()).unwrap();
        let head = format!("DELETE /api/v1/deployments/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", id(number));
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(100 * number));
        drop(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    let count = |wanted: &str| (0..32).filter(|number| status(&host, &id(*number)) == wanted).count();
    assert!(count("failed") < 32, "no delete arrived at all, so nothing was shown");
    wait_for("every claim to come to its end", LIMIT, || (count("failed") + count("destroyed") == 32).then_some(()));
}

#[test]
fn a_second_host_on_any_folder_of_the_first_is_refused() {
    let first = Host::start(&[]);
    let folders = [
        ("CATALYST_DEPLOYMENTS_DIR", "deployments"),
        ("CATALYST_STATE_DIR", "state"),
        ("CATALYST_TOFU_WORKDIR", "tofu"),
    ];
    for (variable, name) in folders {
        let folder = first.folder().join(name).display().to_string();
        let mut second = Host::prepare(&[(variable, &folder), ("CATALYST_LOCK_WAIT", "100ms")]);
        let said = second.refused();
        assert!(said.contains(&format!("another catalyst process holds {folder}")), "{variable}: {said}");
    }
    assert_eq!(first.api.get("/readyz").status, 200);
}

#[test]
fn a_home_that_cannot_be_written_costs_the_cache_and_not_the_start() {
    // Nobody can make a folder there, not even a superuser.
    let mut host = Host::prepare(&[("CATALYST_CACHE_DIR", ""), ("HOME", "/proc/none")]);
    host.up();
    assert!(host.trace().contains("the usual cache folder cannot be used"), "{}", host.trace());
    assert_eq!(host.api.get("/readyz").status, 200);
    let id = host.api.post("/api/v1/deployments", &request("uncached.example").to_string()).json()["id"].clone();
    wait_for("the apply", LIMIT, || (status(&host, id.as_str().unwrap()) == "flux-bootstrapping").then_some(()));
}

#[test]
fn a_budget_that_is_spent_is_the_reason_that_is_named() {
    let gates = Gates::new();
    gates.close("apply");
    let host = Host::start(&[("CATALYST_TOFU_BIN", gates.tofu().to_str().unwrap()), ("CATALYST_APPLY_TIMEOUT", "2s")]);
    let id = host.api.post("/api/v1/deployments", &request("spent.example").to_string()).json()["id"].clone();
    let id = id.as_str().unwrap();
    wait_for("the end of the budget", LIMIT, || (status(&host, id) == "failed").then_some(()));
    let state = host.api.get(&format!("/api/v1/deployments/{id}")).json();
    let error = state["error"].as_str().unwrap();
    assert!(error.starts_with("tofu apply: ") && error.contains("2 s"), "{error}");
}

/// The real OpenTofu behind a script that fails `init` with the diagnostic in the file `said`, where there is one, and else kills itself
/// in `plan`.
fn tofu_that_fails(folder: &Path) -> PathBuf {
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = init ] && [ -e '{folder}/said' ] && {{ cat '{folder}/said'; exit 1; }}\n[ \"$1\" = plan ] && kill -9 $$\n\
         exec '{tofu}' \"$@\"\n",
        folder = folder.display(),
        tofu = tofu_into(folder).display()
    );
    let path = folder.join("tofu");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The error of a deployment that fails with this detail of an installation that did not work.
fn failed_with(host: &Host, said: &Path, fqdn: &str, detail: Option<&str>) -> String {
    let _ = std::fs::remove_file(said);
    if let Some(detail) = detail {
        let summary = "Failed to install provider";
        let diagnostic = json!({"severity": "error", "summary": summary, "detail": detail});
        let line = json!({"@level": "error", "@message": format!("Error: {summary}"), "type": "diagnostic",
                          "diagnostic": diagnostic});
        std::fs::write(said, format!("{line}\n")).unwrap();
    }
    let id = host.api.post("/api/v1/deployments", &request(fqdn).to_string()).json()["id"].clone();
    let id = id.as_str().unwrap();
    wait_for("the failure", LIMIT, || (status(host, id) == "failed").then_some(()));
    let state = host.api.get(&format!("/api/v1/deployments/{id}")).json();
    state["error"].as_str().unwrap().to_owned()
}

#[test]
fn t16_a_fault_of_this_host_is_told_as_its_own_with_what_to_do_here() {
    let folder = tempfile::tempdir().unwrap();
    let (tofu, said) = (tofu_that_fails(folder.path()), folder.path().join("said"));
    let host = Host::start(&[("CATALYST_TOFU_BIN", tofu.to_str().unwrap())]);
    for (name, detail, happened, remedy) in [
        ("disk", "write /tmp/x: no space left on device", "A disk of this host is full", "CATALYST_TOFU_WORKDIR"),
        (
            "names",
            "dial tcp: lookup a.test on 192.0.2.1:53: server misbehaving",
            "name resolution of this host",
            "resolv.conf",
        ),
        ("proxy", "proxyconnect tcp: dial tcp 192.0.2.9:3128: i/o timeout", "The proxy of this host", "NO_PROXY"),
        ("trust", "x509: certificate signed by unknown authority", "This host does not trust", "SSL_CERT_FILE"),
        (
            "registry",
            "could not connect to a.test: 503",
            "could not install OpenTofu's providers",
            "CATALYST_PROVIDER_MIRROR",
        ),
    ] {
        let error = failed_with(&host, &said, &format!("{name}.example"), Some(detail));
        assert!(error.starts_with("tofu init: ") && error.contains(happened) && error.contains(remedy), "{error}");
        assert!(error.contains("Failed to install provider") && error.contains(detail), "{error}");
    }
    let error = failed_with(&host, &said, "memory.example", None);
    assert!(error.contains("killed by signal 9") && error.contains("because memory ran out"), "{error}");
}

/// The cloud is paid for once OpenTofu is through; that others make its plugin fail meanwhile must not lose it.
#[test]
fn outputs_are_read_by_a_plugin_that_others_made_fail_when_it_is_called_again() {
    let plugins = tempfile::tempdir().unwrap();
    std::fs::copy(hostile_guests().join("by_request.wasm"), plugins.path().join("hostile.wasm")).unwrap();
    let gates = Gates::new();
    gates.close("apply");
    let tofu = gates.tofu().display().to_string();
    let host = Host::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap()), ("CATALYST_TOFU_BIN", &tofu)]);
    let hostile = |behaviour: &str, number: usize| {
        let mut body = request("paid.example");
        body["regions"] = json!([{"provider": "hostile", "cloudRegion": "r1", "controlPlaneSize": "s",
                                  "workerSize": "s", "workerCount": number}]);
        body["sovereignDomainMode"] = json!("byo-manual");
        body["orgName"] = json!(behaviour);
        body["hostileToken"] = json!("t".repeat(64));
        let module = "main.tf\noutput \"a\" {\n  value = 1\n}\n";
        body["module"] = json!(module.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
        body.to_string()
    };
    let created = host.api.post("/api/v1/deployments", &hostile("module", 0));
    assert_eq!(created.status, 201, "{}", created.body);
    let created = created.json();
    let id = created["id"].as_str().unwrap();
    // The bundle is rendered; from here on its plugin is wanted only for the outputs, and they wait until it is left alone.
    wait_for("the apply", LIMIT, || gates.waits_at("apply").then_some(()));
    let mut suspended = 0;
    for number in 1..1_000 {
        let failed = host.api.post("/api/v1/previews", &hostile("trap", number));
        assert!(failed.status >= 500, "{} {}", failed.status, failed.body);
        if failed.body.contains("is not called since") {
            if suspended == 0 {
                gates.open("apply");
            }
            suspended += 1;
        }
        // One more than were asked for here: the outputs'.
        if refused(&host) > suspended {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(refused(&host) > suspended, "the plugin was not called for the outputs while it was left alone");
    assert!(series(&host, "catalyst_plugin_breaker_openings_total{plugin=\"hostile\"}") >= 1, "it is counted");
    let standing =
        |state: &str| series(&host, &format!("catalyst_plugin_breaker{{plugin=\"hostile\",state=\"{state}\"}}"));
    assert_eq!(["closed", "open", "half-open"].map(standing).iter().sum::<u64>(), 1, "it stands at one place");
    wait_for("the endpoints", LIMIT, || (status(&host, id) == "flux-bootstrapping").then_some(()));
}

fn series(host: &Host, name: &str) -> u64 {
    let metrics = host.api.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

/// Calls of the hostile plugin that were not made.
fn refused(host: &Host) -> u64 {
    let metrics = host.api.get("/metrics").body;
    let line = metrics.lines().find(|line| line.contains("hostile") && line.contains("refused")).unwrap_or_default();
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[test]
fn a_trace_that_nobody_reads_takes_nothing_down() {
    let mut host = Host::prepare(&[]);
    host.up_with_broken_trace();
    let answer = host.api.post("/api/v1/deployments", &request("untraced.example").to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    wait_for("the apply", LIMIT, || (status(&host, &id) == "flux-bootstrapping").then_some(()));
    assert_eq!(host.api.get("/api/v1/deployments/0000000000000000").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_apply_is_recorded_and_a_retry_goes_on() {
    let mut world = World::start().await;
    world.close("applied");
    let id = world.create(&world.request("shutdown.example"));
    wait_for("the real apply", LIMIT, || world.waits_at("applied").then_some(()));
    world.host.down();
    world.open("applied");
    world.host.up();
    let state = world.state(&id);
    assert_eq!(state["status"], "failed");
    assert!(state["error"].as_str().unwrap().contains("catalyst-api restarted during provisioning"), "{state}");
    let mut request = world.request("ignored.example");
    request["rehearsalToken"] = json!(TOKEN);
    let answer =
        world.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), &request.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.until(&id, "flux-bootstrapping");
    let everything = world.host.trace() + &world.host.api.everything();
    assert!(!everything.contains(TOKEN) && !everything.contains(PULL_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_costs_its_viewers_and_not_the_deployment() {
    let mut world = World::start().await;
    world.close("apply");
    let id = world.create(&world.request("damaged.example"));
    wait_for("the gate", LIMIT, || world.waits_at("apply").then_some(()));
    world.host.crash();
    let log = world.host.folder().join("deployments").join(format!("{id}.log.jsonl"));
    let text = std::fs::read_to_string(&log).unwrap();
    let damaged: Vec<&str> =
        text.lines().enumerate().map(|(n, line)| if n == 2 { "{\"n\":broken" } else { line }).collect();
    std::fs::write(&log, damaged.join("\n") + "\n").unwrap();
    world.open("apply");
    world.host.up();
    let state = world.until(&id, "failed");
    assert!(state["error"].as_str().unwrap().contains("orphan"), "{state}");
    for rest in ["events", "logs"] {
        let answer = world.host.api.get(&format!("/api/v1/deployments/{id}/{rest}"));
        assert_eq!(answer.status, 503, "{rest}: {}", answer.body);
        assert!(answer.body.contains("damaged"), "{}", answer.body);
    }
    // Phase 0 goes on without a log.
    let retry = world.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
    assert_eq!(retry.status, 200, "{}", retry.body);
    world.until(&id, "flux-bootstrapping");
}

#[test]
fn a_viewer_from_beyond_the_end_sees_what_comes() {
    let host = Host::start(&[("CATALYST_KUBECONFIG_TIMEOUT", "1s")]);
    let answer = host.api.post("/api/v1/deployments", &request("beyond.example").to_string());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    wait_for("the deadline", LIMIT, || (status(&host, &id) == "failed").then_some(()));
    let mut stream = TcpStream::connect(host.address()).unwrap();
    let head = format!(
        "GET /api/v1/deployments/{id}/logs HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 999999\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let count = host.api.get(&format!("/api/v1/deployments/{id}")).json()["numEvents"].as_u64().unwrap();
    assert!(text.contains("event: done") && text.contains(&format!("\"numEvents\":{count}")), "{text}");
    assert!(text.contains("did not") || text.contains("never handed in"), "{text}");
}

#[test]
fn what_was_refused_in_the_last_minute_is_on_record_after_an_orderly_end() {
    let mut host = Host::start(&[]);
    for number in 0..50_u64 {
        let mut stream = TcpStream::connect(host.address()).unwrap();
        let head = format!(
            "DELETE /api/v1/deployments/{number:016x} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    host.down();
    let text = std::fs::read_to_string(host.folder().join("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line["action"] != "grants").collect();
    let count: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!((count, lines.len()), (50, 2), "{text}");
}
