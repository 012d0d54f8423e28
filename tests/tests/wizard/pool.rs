//! The pool name of a deployment: held, published, given back.

use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pdm::Pdm;
use catalyst_tests::world::{Gates, LIMIT, PULL_TOKEN};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// A host with the rehearsal cloud and a manager.
struct Pool {
    pdm: Pdm,
    host: Host,
    gates: Gates,
}

impl Pool {
    fn start() -> Self {
        let (pdm, gates) = (Pdm::start(), Gates::new());
        let host = Host::start(&[
            ("POOL_DOMAIN_MANAGER_URL", &pdm.http.url()),
            ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN),
            ("CATALYST_TOFU_BIN", gates.tofu().to_str().unwrap()),
        ]);
        Self { pdm, host, gates }
    }

    fn request(label: &str) -> Value {
        let mut request: Value = serde_json::from_str(include_str!("../../../scripts/rehearsal.json")).unwrap();
        request["sovereignDomainMode"] = json!("pool");
        request["sovereignPoolDomain"] = json!("omani.works");
        request["sovereignSubdomain"] = json!(label);
        request["sovereignFQDN"] = json!(format!("{label}.omani.works"));
        request
    }

    fn create(&self, request: &Value) -> String {
        let answer = self.host.api.post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn refused(&self, request: &Value) -> (u16, Value) {
        let answer = self.host.api.post("/api/v1/deployments", &request.to_string());
        (answer.status, answer.json())
    }

    fn state(&self, id: &str) -> Value {
        self.host.api.get(&format!("/api/v1/deployments/{id}")).json()
    }

    fn until(&self, id: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            last = self.state(id);
            if done(&last) {
                return last;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("waited in vain for {what}: {last}\n{}", self.host.trace())
    }

    fn until_dns(&self, id: &str, dns: &str) -> Value {
        self.until(id, &format!("dns {dns}"), |state| state["dns"]["state"] == dns)
    }

    fn until_status(&self, id: &str, status: &str) -> Value {
        self.until(id, status, |state| state["status"] == status)
    }

    fn retry(&self, id: &str) -> (u16, Value) {
        let answer = self.host.api.post(&format!("/api/v1/deployments/{id}/phases/tofu-apply/retry"), "");
        (answer.status, answer.json())
    }

    fn messages(&self, id: &str) -> Vec<String> {
        let events = self.host.api.get(&format!("/api/v1/deployments/{id}/events")).json();
        let of_dns = |event: &&Value| event["phase"] == "dns";
        let all = events["events"].as_array().unwrap();
        all.iter().filter(of_dns).map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The token that is on record, as a restart would find it.
    fn token(&self, id: &str) -> String {
        let file = self.host.folder().join("deployments").join(format!("{id}.json"));
        let record: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        record["pdmReservationToken"].as_str().unwrap_or_default().to_owned()
    }
}

#[test]
fn b1_a_pool_name_is_reserved_before_201_and_published_right_after_the_outputs() {
    let pool = Pool::start();
    pool.gates.close("plan");
    let id = pool.create(&Pool::request("one"));
    let held = pool.pdm.name("one").unwrap();
    assert_eq!((held.state, held.created_by), ("reserved", format!("catalyst-api/deployment-{id}")));
    assert_eq!(pool.state(&id)["dns"], json!({"state": "reserved"}));
    assert_eq!(pool.token(&id), held.token);
    assert_eq!(pool.pdm.http.count("POST", "/commit"), 0, "nothing points anywhere before the outputs");
    pool.gates.open("plan");
    let state = pool.until_dns(&id, "published");
    // No node ever called back: this is long before ready.
    assert_eq!(state["status"], "flux-bootstrapping", "{state}");
    let name = pool.pdm.name("one").unwrap();
    assert_eq!((name.state, json!(name.address)), ("active", state["result"]["loadBalancerIP"].clone()));
    let commits: Vec<Value> =
        pool.pdm.http.seen().iter().filter(|s| s.path.ends_with("/commit")).map(|s| s.json()).collect();
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0]["sovereignFQDN"], "one.omani.works");
    assert_eq!(pool.pdm.http.count("DELETE", "/release"), 0);
}

#[test]
fn b2_a_202_means_again_and_what_is_wrong_is_seen_on_the_deployment() {
    let pool = Pool::start();
    pool.pdm.fail("commit", &[202, 503, 202]);
    let id = pool.create(&Pool::request("two"));
    let state = pool.until(&id, "a detail", |state| state["dns"]["detail"].is_string());
    assert_eq!(state["dns"]["state"], "publishing", "{state}");
    let state = pool.until_dns(&id, "published");
    assert_eq!(state["status"], "flux-bootstrapping");
    assert!(state["dns"].get("detail").is_none(), "{state}");
    assert!(!pool.pdm.name("two").unwrap().address.is_empty());
    assert_eq!(pool.pdm.http.count("POST", "/commit"), 4);
    let messages = pool.messages(&id).join("\n");
    assert!(messages.contains("not written yet") && messages.contains("is published"), "{messages}");
}

#[test]
fn b1_a_reservation_that_lapsed_during_the_apply_is_made_anew() {
    let pool = Pool::start();
    pool.pdm.fail("commit", &[410]);
    let id = pool.create(&Pool::request("three"));
    let first = pool.token(&id);
    pool.until_dns(&id, "published");
    assert_eq!((pool.pdm.http.count("POST", "/reserve"), pool.pdm.http.count("POST", "/commit")), (2, 2));
    assert_ne!(pool.token(&id), first);
    assert_eq!(pool.pdm.name("three").unwrap().token, pool.token(&id));
}

#[test]
fn b2_a_name_that_went_to_another_is_a_lasting_failure_that_does_not_undo_the_cluster() {
    let pool = Pool::start();
    pool.gates.close("applied");
    let id = pool.create(&Pool::request("lost"));
    wait_for("the apply", LIMIT, || pool.gates.waits_at("applied").then_some(()));
    pool.pdm.give("lost", "active", "catalyst-api/deployment-of-another");
    pool.gates.open("applied");
    let state = pool.until_dns(&id, "failed");
    assert_eq!(state["status"], "flux-bootstrapping", "{state}");
    assert!(state["dns"]["detail"].as_str().unwrap().contains("deployment-of-another"), "{state}");
    assert_eq!(pool.pdm.http.count("DELETE", "/release"), 0, "a foreign name was released");
}

#[test]
fn a_failed_run_gives_its_name_back_and_a_retry_reserves_anew() {
    let pool = Pool::start();
    let mut request = Pool::request("four");
    request["rehearsalFail"] = json!("apply-once");
    let id = pool.create(&request);
    pool.until_status(&id, "failed");
    let state = pool.until(&id, "the release", |state| state.get("dns").is_none());
    assert_eq!(state["status"], "failed");
    assert!(pool.pdm.name("four").is_none());
    assert_eq!(pool.token(&id), "");

    pool.pdm.give("four", "reserved", "somebody");
    let (code, answer) = pool.retry(&id);
    assert_eq!((code, &answer["error"]), (409, &json!("subdomain-conflict")), "{answer}");
    pool.pdm.fail("reserve", &[500]);
    let (code, answer) = pool.retry(&id);
    assert_eq!((code, &answer["error"]), (503, &json!("pdm-unavailable")), "{answer}");
    assert_eq!(pool.state(&id)["status"], "failed", "a refused retry changes nothing");
    assert_eq!(pool.pdm.name("four").unwrap().created_by, "somebody");
    // Once that is free, the retry holds the name and publishes it.
    pool.pdm.free("four");
    assert_eq!(pool.retry(&id).0, 200);
    pool.until_dns(&id, "published");
    assert_eq!(pool.pdm.name("four").unwrap().state, "active");
}

#[test]
fn b3_a_restart_between_reserve_and_commit_publishes_or_gives_back() {
    let mut pool = Pool::start();
    // In the apply: the run is lost, so the name is given back; the retry holds it again.
    pool.gates.close("applied");
    let id = pool.create(&Pool::request("five"));
    wait_for("the apply", LIMIT, || pool.gates.waits_at("applied").then_some(()));
    pool.host.crash();
    pool.gates.open("applied");
    pool.host.up();
    let state = pool.until(&id, "the release", |state| state.get("dns").is_none());
    assert_eq!(state["status"], "failed", "{state}");
    assert!(pool.pdm.name("five").is_none());
    // After the outputs: the commit is still to be done, and the next process does it.
    pool.pdm.fail("commit", &[503; 500]);
    let (code, answer) = pool.retry(&id);
    assert_eq!(code, 200, "{answer}");
    pool.until(&id, "a failed commit", |state| state["dns"]["detail"].is_string());
    pool.host.crash();
    pool.pdm.heal("commit");
    pool.host.up();
    let state = pool.until_dns(&id, "published");
    assert_eq!(state["status"], "flux-bootstrapping", "{state}");
    assert_eq!(pool.pdm.name("five").unwrap().state, "active");
}

#[test]
fn b4_b5_what_the_manager_refuses_is_said_before_anything_is_created() {
    let pool = Pool::start();
    pool.pdm.give("taken", "active", "somebody");
    let (code, answer) = pool.refused(&Pool::request("taken"));
    assert_eq!((code, &answer["error"]), (409, &json!("subdomain-conflict")), "{answer}");
    assert!(answer["detail"].is_string());
    for fault in [500, 503, 0] {
        pool.pdm.fail("reserve", &[fault]);
        let (code, answer) = pool.refused(&Pool::request("six"));
        assert_eq!((code, &answer["error"]), (503, &json!("pdm-unavailable")), "{fault}: {answer}");
    }
    pool.pdm.fail("reserve", &[422]);
    let (code, answer) = pool.refused(&Pool::request("six"));
    assert_eq!((code, &answer["findings"][0]["pointer"]), (400, &json!("/sovereignSubdomain")), "{answer}");
    // Not ours, and not this deployment's name: nobody would publish it.
    let reserves = pool.pdm.http.count("POST", "/reserve");
    let mut foreign = Pool::request("seven");
    foreign["sovereignPoolDomain"] = json!("example.org");
    foreign["sovereignFQDN"] = json!("seven.example.org");
    let (code, answer) = pool.refused(&foreign);
    assert_eq!((code, &answer["findings"][0]["code"]), (400, &json!("unsupported-pool")), "{answer}");
    let mut other = Pool::request("eight");
    other["sovereignFQDN"] = json!("nine.omani.works");
    assert_eq!(pool.refused(&other).0, 400);
    assert_eq!(pool.pdm.http.count("POST", "/reserve"), reserves);
    let records = std::fs::read_dir(pool.host.folder().join("deployments")).unwrap();
    let json = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "json");
    assert_eq!(records.filter(|entry| json(entry.as_ref().unwrap())).count(), 0);
    // The customer's own domain is no business of the manager.
    let mut byo = Pool::request("ten");
    byo["sovereignDomainMode"] = json!("byo-manual");
    let id = pool.create(&byo);
    assert!(pool.state(&id).get("dns").is_none());
    assert_eq!(pool.pdm.http.count("POST", "/reserve"), reserves);
}

#[test]
fn b6_a_browser_that_goes_away_during_the_reserve_leaves_no_name_locked_for_nothing() {
    let pool = Pool::start();
    pool.pdm.delay("reserve", std::time::Duration::from_millis(800));
    let body = Pool::request("gone").to_string();
    let mut stream = std::net::TcpStream::connect(pool.host.address()).unwrap();
    let head =
        format!("POST /api/v1/deployments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    wait_for("the reserve", LIMIT, || (pool.pdm.http.count("POST", "/reserve") > 0).then_some(()));
    drop(stream);
    // The deployment comes to be all the same, and it has the name: whoever returns finds it by its name.
    let name = wait_for("the name", LIMIT, || pool.pdm.name("gone"));
    let id = name.created_by.rsplit('-').next().unwrap().to_owned();
    wait_for("the record", LIMIT, || {
        (pool.host.api.get(&format!("/api/v1/deployments/{id}")).status == 200).then_some(())
    });
    pool.until_dns(&id, "published");
}

#[test]
fn pool_names_are_held_alike_behind_an_ingress_that_authenticates() {
    catalyst_tests::host::behind_an_ingress(|| {
        b1_a_pool_name_is_reserved_before_201_and_published_right_after_the_outputs();
        a_failed_run_gives_its_name_back_and_a_retry_reserves_anew();
        b4_b5_what_the_manager_refuses_is_said_before_anything_is_created();
    });
}
