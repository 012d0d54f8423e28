//! The pool name of a deployment whose host goes down: a call for which the pool-domain manager keeps it waiting is on record
//! before the end, or due again at the next start, whatever became of it.

use crate::going::{
    ends_well, events, lost_nothing, record_on_disk, refuses_what_is_new, request, state, taken_up_as_restarted,
    terminate, until, watch,
};
use catalyst_tests::api::{Answer, Api};
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::pdm::Pdm;
use catalyst_tests::world::{LIMIT, PULL_TOKEN};
use serde_json::{Value, json};
use std::time::Duration;

/// What the manager does with the call for which a host waits when it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    /// It answers while the host goes down.
    Answers,
    /// It never answers, and did what it was asked.
    DidItInSilence,
    /// It never answers, and did nothing.
    IsSilent,
    /// It says again and again that it cannot now, so the host waits between two tries.
    CannotNow,
}

const EACH: [Manager; 4] = [Manager::Answers, Manager::DidItInSilence, Manager::IsSilent, Manager::CannotNow];

impl Manager {
    /// How long the way down may take. The outcome of a call that is broken off is unknown, so it has its own 15 s to the end.
    fn limit(self) -> Duration {
        match self {
            Self::Answers | Self::CannotNow => Duration::from_secs(5),
            Self::DidItInSilence | Self::IsSilent => Duration::from_secs(20),
        }
    }
}

/// A call to the manager: its method and the last word of its path.
#[derive(Clone, Copy)]
struct Call(&'static str, &'static str);

const COMMIT: Call = Call("POST", "commit");
const RELEASE: Call = Call("DELETE", "release");
const RESERVE: Call = Call("POST", "reserve");

/// A deployment whose host went down.
struct Down {
    id: String,
    /// Its log when the host was asked to end.
    before: Vec<Value>,
    /// What a viewer saw, where its stream had not ended before.
    stream: Option<String>,
    took: Duration,
}

struct Pool {
    pdm: Pdm,
    host: Host,
}

impl Pool {
    fn start() -> Self {
        let pdm = Pdm::start();
        let host =
            Host::start(&[("POOL_DOMAIN_MANAGER_URL", &pdm.http.url()), ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN)]);
        Self { pdm, host }
    }

    fn request(label: &str) -> Value {
        let mut request = request(&format!("{label}.omani.works"), 0);
        request["sovereignDomainMode"] = json!("pool");
        request["sovereignPoolDomain"] = json!("omani.works");
        request["sovereignSubdomain"] = json!(label);
        request
    }

    fn create(&self, request: &Value) -> String {
        let answer = self.host.api.post("/api/v1/deployments", &request.to_string());
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn calls(&self, Call(method, word): Call) -> usize {
        self.pdm.http.count(method, &format!("/{word}"))
    }

    /// Makes a call due for which the manager keeps the host waiting, and ends the host.
    fn goes_down(&mut self, call: Call, manager: Manager, begin: impl FnOnce(&Self) -> String) -> Down {
        let Call(_, word) = call;
        match manager {
            Manager::CannotNow => self.pdm.fail(word, &[503; 500]),
            _ => self.pdm.hold(word),
        }
        let earlier = self.calls(call);
        let id = begin(self);
        wait_for("the call", LIMIT, || (self.calls(call) > earlier).then_some(()));
        // The stream of a deployment that has ended has ended as well.
        let viewer = (state(&self.host, &id)["status"] == "flux-bootstrapping").then(|| watch(&self.host, &id));
        let before = events(&self.host, &id);

        let asked = terminate(&self.host);
        if manager != Manager::CannotNow {
            refuses_what_is_new(&self.host, &id);
        }
        if manager == Manager::Answers {
            self.pdm.let_go(word);
        }
        let took = ends_well(&mut self.host, asked);
        assert!(took < manager.limit(), "{word}, {manager:?}: {took:?}");
        Down { id, before, stream: viewer.map(|viewer| viewer.join().unwrap()), took }
    }

    /// What becomes of the call that nobody waits for any more; from here on the manager works.
    fn settles(&self, Call(_, word): Call, manager: Manager, done: impl Fn(&Pdm) -> bool) {
        match manager {
            Manager::Answers => assert!(done(&self.pdm)),
            Manager::DidItInSilence => {
                self.pdm.let_go(word);
                wait_for("the manager", LIMIT, || done(&self.pdm).then_some(()));
            }
            Manager::IsSilent => {
                self.pdm.fail(word, &[0]);
                self.pdm.let_go(word);
                wait_for("the manager", LIMIT, || (self.pdm.faults_left(word) == 0).then_some(()));
                assert!(!done(&self.pdm));
            }
            Manager::CannotNow => {
                self.pdm.heal(word);
                assert!(!done(&self.pdm));
            }
        }
    }

    /// How often the log says this.
    fn said(&self, id: &str, words: &str) -> usize {
        events(&self.host, id).iter().filter(|entry| entry["message"].as_str().unwrap().contains(words)).count()
    }

    /// A release that is due when a deployment has come to `status`; how long the way down took.
    fn is_released(
        &mut self,
        manager: Manager,
        label: &str,
        status: &str,
        begin: impl FnOnce(&Self) -> String,
    ) -> Duration {
        let Down { id, before, took, .. } = self.goes_down(RELEASE, manager, begin);
        let answered = manager == Manager::Answers;
        let record = record_on_disk(&self.host, &id);
        assert_eq!(record["status"], status, "{manager:?}");
        assert_eq!(record.get("dns").is_none(), answered, "{manager:?}: on disk before the end: {record}");
        self.settles(RELEASE, manager, |pdm| pdm.name(label).is_none());
        let calls = self.calls(RELEASE);

        self.host.up();
        wait_for("the release", LIMIT, || state(&self.host, &id).get("dns").is_none().then_some(()));
        assert!(self.pdm.name(label).is_none(), "{manager:?}: it is still held");
        assert_eq!(self.calls(RELEASE) - calls, usize::from(matches!(manager, Manager::IsSilent | Manager::CannotNow)));
        assert_eq!(state(&self.host, &id)["status"], status, "{manager:?}");
        let record = record_on_disk(&self.host, &id);
        assert_eq!(record.get("pdmReservationToken"), None, "{manager:?}: {record}");
        lost_nothing(&self.host, &id, &before, &[]);
        assert_eq!(self.said(&id, "is released"), 1, "{manager:?}");
        took
    }
}

#[test]
fn a_name_that_is_being_published_is_published_before_the_end_or_by_the_next_start() {
    let mut pool = Pool::start();
    for (number, manager) in EACH.into_iter().enumerate() {
        let label = format!("published-{number}");
        let Down { id, before, stream, took } =
            pool.goes_down(COMMIT, manager, |pool| pool.create(&Pool::request(&label)));
        println!("SIGTERM while a name is published ({manager:?}): down after {took:?}");
        let record = record_on_disk(&pool.host, &id);
        let answered = manager == Manager::Answers;
        assert_eq!(record["dns"]["state"], if answered { "published" } else { "publishing" }, "{manager:?}: {record}");
        pool.settles(COMMIT, manager, |pdm| !pdm.name(&label).unwrap().address.is_empty());
        let calls = pool.calls(COMMIT);

        pool.host.up();
        wait_for("the name", LIMIT, || (state(&pool.host, &id)["dns"]["state"] == "published").then_some(()));
        assert_eq!(pool.calls(COMMIT) == calls, answered, "{manager:?}: what is published is not published again");
        let (state, name) = (state(&pool.host, &id), pool.pdm.name(&label).unwrap());
        assert_eq!(state["status"], "flux-bootstrapping");
        assert_eq!((name.state, json!(name.address)), ("active", state["result"]["loadBalancerIP"].clone()));
        assert_eq!(name.created_by, format!("catalyst-api/deployment-{id}"));
        assert_eq!(record_on_disk(&pool.host, &id)["pdmReservationToken"], name.token, "{manager:?}");
        lost_nothing(&pool.host, &id, &before, &[stream.unwrap()]);
        assert_eq!(pool.said(&id, "is published and points at"), 1, "{manager:?}");
    }
}

#[test]
fn the_name_of_a_failed_create_is_given_back_before_the_end_or_by_the_next_start() {
    let mut pool = Pool::start();
    for (number, manager) in EACH.into_iter().enumerate() {
        let label = format!("failed-{number}");
        let mut request = Pool::request(&label);
        request["rehearsalFail"] = json!("plan");
        let took = pool.is_released(manager, &label, "failed", |pool| {
            let id = pool.create(&request);
            until(&pool.host, &id, "failed");
            id
        });
        println!("SIGTERM while the name of a failed create is given back ({manager:?}): down after {took:?}");
    }
}

#[test]
fn the_name_of_what_was_destroyed_is_given_back_before_the_end_or_by_the_next_start() {
    let mut pool = Pool::start();
    for (number, manager) in EACH.into_iter().enumerate() {
        let label = format!("destroyed-{number}");
        let took = pool.is_released(manager, &label, "destroyed", |pool| {
            let id = pool.create(&Pool::request(&label));
            wait_for("the name", LIMIT, || (state(&pool.host, &id)["dns"]["state"] == "published").then_some(()));
            let answer = pool.host.api.delete(&format!("/api/v1/deployments/{id}"), "");
            assert_eq!(answer.status, 202, "{}", answer.body);
            until(&pool.host, &id, "destroyed");
            id
        });
        println!("SIGTERM while the name of what was destroyed is given back ({manager:?}): down after {took:?}");
    }
}

/// A create of somebody who waits for the answer.
fn creating(host: &Host, request: &Value) -> std::thread::JoinHandle<Answer> {
    let (api, body) = (Api::new(host.address()), request.to_string());
    std::thread::spawn(move || api.post("/api/v1/deployments", &body))
}

#[test]
fn a_create_whose_name_is_being_reserved_is_answered_and_the_next_start_gives_the_name_back() {
    let mut pool = Pool::start();
    pool.pdm.hold("reserve");
    let creating = creating(&pool.host, &Pool::request("begun"));
    wait_for("the reserve", LIMIT, || (pool.calls(RESERVE) > 0).then_some(()));
    let asked = terminate(&pool.host);
    pool.pdm.let_go("reserve");
    let took = ends_well(&mut pool.host, asked);
    println!("SIGTERM while a name is reserved for a create: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let answer = creating.join().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let held = pool.pdm.name("begun").unwrap();
    assert_eq!(record_on_disk(&pool.host, &id)["pdmReservationToken"], held.token);

    pool.host.up();
    taken_up_as_restarted(&pool.host, &id);
    wait_for("the release", LIMIT, || state(&pool.host, &id).get("dns").is_none().then_some(()));
    assert!(pool.pdm.name("begun").is_none());
    lost_nothing(&pool.host, &id, &[], &[]);
}

#[test]
fn a_name_that_a_refused_create_gives_back_is_free_before_the_end() {
    let mut pool = Pool::start();
    let owner = pool.create(&request("taken.omani.works", 0));
    until(&pool.host, &owner, "flux-bootstrapping");
    pool.pdm.hold("release");
    let refused = creating(&pool.host, &Pool::request("taken")).join().unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    wait_for("the release", LIMIT, || (pool.calls(RELEASE) > 0).then_some(()));
    let before = events(&pool.host, &owner);
    let asked = terminate(&pool.host);
    refuses_what_is_new(&pool.host, &owner);
    // No record knows of this name, so no next start would.
    pool.pdm.let_go("release");
    let took = ends_well(&mut pool.host, asked);
    println!("SIGTERM while the name of a refused create is given back: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(pool.pdm.name("taken").is_none());
    pool.host.up();
    lost_nothing(&pool.host, &owner, &before, &[]);
}

#[test]
fn a_name_whose_reserve_was_done_and_never_answered_is_free_before_the_end() {
    let mut pool = Pool::start();
    pool.pdm.hold("reserve");
    pool.pdm.lose_answers("reserve");
    // Some way off, as a manager may be: nothing else keeps the host that long.
    pool.pdm.delay("list", Duration::from_secs(1));
    let creating = creating(&pool.host, &Pool::request("unheard"));
    wait_for("the reserve", LIMIT, || (pool.calls(RESERVE) > 0).then_some(()));
    let asked = terminate(&pool.host);
    pool.pdm.let_go("reserve");
    let took = ends_well(&mut pool.host, asked);
    println!("SIGTERM while the answer to a reserve is lost: down after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let answer = creating.join().unwrap();
    assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("pdm-unavailable")), "{}", answer.body);
    // No record knows of this name, so no next start would give it back.
    assert!(pool.pdm.name("unheard").is_none(), "it is held for nobody");
}
