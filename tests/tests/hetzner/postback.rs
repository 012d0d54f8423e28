//! The call home of the first server: its real unit and script with the real curl, against every answer there may be.

use crate::kit::{DEPLOYMENT, node, world};
use catalyst_tests::double::{Double, Reply, Seen};
use catalyst_tests::hetzner::module::secret_value;
use catalyst_tests::hetzner::node::{KUBECONFIG, Node};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const UNIT: &str = "catalyst-postback.service";
const FOLDER: &str = "/var/lib/catalyst/postback";
const DELIVERED: Option<i32> = Some(0);
const GAVE_UP: Option<i32> = Some(1);

fn bearer() -> String {
    secret_value("kubeconfig_bearer_token")
}

/// A first server after its boot; nothing was sent yet.
fn booted(url: &str) -> Node {
    let node = node(0, url);
    assert_eq!(node.boot(), 0, "{}", node.log());
    node.call(&["systemctl start --no-block catalyst-postback.service"]);
    node
}

/// Answers in turn; the last one from then on.
fn answers(replies: Vec<Reply>) -> Double {
    let next = AtomicUsize::new(0);
    Double::http(move |_: &Seen| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone())
}

fn reply(status: u16, body: &str) -> Reply {
    Some((status, body.to_owned()))
}

/// The bearer, the copy and the timer are gone, and the bearer was never where others can read it.
#[track_caller]
fn nothing_is_left(node: &Node) {
    assert!(!node.path(FOLDER).exists());
    assert_eq!(node.holding(&bearer()), Vec::<PathBuf>::new());
    node.call(&["systemctl disable --now catalyst-postback.timer"]);
    never_in_public(node);
    assert_eq!(node.start(UNIT), None, "its condition no longer holds");
}

#[track_caller]
fn never_in_public(node: &Node) {
    assert!(node.calls().iter().all(|call| !call.contains(&bearer())), "in an argument list");
    assert!(!node.log().contains(&bearer()) && !node.read("/var/log/catalyst-boot.log").contains(&bearer()));
}

fn said(node: &Node, words: &str) -> bool {
    node.read("/var/log/catalyst-boot.log").lines().any(|line| line.contains(" postback ") && line.contains(words))
}

#[test]
fn g1_g12_one_put_with_the_bearer_delivers_the_kubeconfig_of_the_load_balancer() {
    let host = answers(vec![reply(204, "")]);
    let node = booted(&host.url());
    assert_eq!(host.seen().len(), 0, "the boot itself sends nothing");
    assert_eq!(node.mode(&format!("{FOLDER}/bearer")), 0o600);
    assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());

    let seen = host.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "PUT");
    assert_eq!(seen[0].path, format!("/api/v1/deployments/{DEPLOYMENT}/kubeconfig"));
    let header = |line: &str| seen[0].headers.iter().filter(|header| header.as_str() == line).count();
    assert_eq!(header(&format!("Authorization: Bearer {}", bearer())), 1, "{:?}", seen[0].headers);
    assert_eq!(header("Content-Type: application/x-yaml"), 1);
    let expect =
        KUBECONFIG.replace("server: https://127.0.0.1:6443", &format!("server: https://{}:6443", world().address));
    assert_eq!(String::from_utf8_lossy(&seen[0].body), expect, "only the server field is another one");
    assert_eq!(node.read("/etc/rancher/k3s/k3s.yaml"), KUBECONFIG, "the node's own stays");

    let call = &node.calls()[node.call(&["--request PUT"])];
    assert!(call.contains("--connect-timeout 10") && call.contains("--max-time 60"), "{call}");
    assert!(!call.contains("--insecure") && !call.contains("--location"), "{call}");
    assert!(said(&node, "ok: delivered (204)"));
    nothing_is_left(&node);
    assert_eq!(host.seen().len(), 1);
}

/// The answer to an earlier try was lost, but it got through.
#[test]
fn g10_a_kubeconfig_that_is_there_already_and_the_same_is_delivered() {
    for body in
        [r#"{"error":"already-set","detail":"x","same":true}"#, "{\n  \"error\": \"already-set\",\n  \"same\": true\n}"]
    {
        let host = answers(vec![None, reply(403, body)]);
        let node = booted(&host.url());
        assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());
        let bodies: Vec<Vec<u8>> = host.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0], bodies[1]);
        nothing_is_left(&node);
    }
}

#[test]
fn g10_what_passes_is_tried_again_with_the_same_bytes() {
    let statuses = [503, 500, 502, 408, 425, 429];
    let mut replies: Vec<Reply> = statuses.iter().map(|status| reply(*status, "{}")).collect();
    replies.extend([None, reply(204, "")]);
    let host = answers(replies);
    let node = booted(&host.url());
    assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());
    let seen = host.seen();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|later| later.method == "PUT" && later.body == seen[0].body));
    for status in ["503", "500", "502", "408", "425", "429", "000"] {
        assert!(said(&node, &format!("retry: {status}")), "{status}");
    }
    nothing_is_left(&node);
}

/// The stand-in for curl shortens its patience to two seconds.
#[test]
fn g10_a_host_that_takes_the_call_and_says_nothing_holds_nothing_up() {
    let calls = AtomicUsize::new(0);
    let host = Double::http(move |_: &Seen| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_secs(4));
        }
        reply(204, "")
    });
    let node = booted(&host.url());
    assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());
    assert!(said(&node, "retry: 000"));
    assert_eq!(host.seen().len(), 2);
    nothing_is_left(&node);
}

#[test]
fn g10_after_an_hour_it_gives_up_and_the_timer_sends_the_same_bytes_later() {
    let up = AtomicUsize::new(0);
    let host = Double::http(move |_: &Seen| {
        let tries = up.fetch_add(1, Ordering::SeqCst);
        if tries < 200 { reply(503, "{}") } else { reply(204, "") }
    });
    let node = booted(&host.url());
    assert_eq!(node.start(UNIT), GAVE_UP);
    let first = host.seen();
    assert!((100..200).contains(&first.len()), "{} tries in an hour", first.len());
    let waited = node.clock();
    assert!((3_500..3_900).contains(&waited), "{waited} s");
    assert!(said(&node, "no success for an hour, last 503; the timer tries again"));
    assert_eq!(node.mode(&format!("{FOLDER}/bearer")), 0o600, "it is still needed");
    assert_eq!(node.mode(&format!("{FOLDER}/kubeconfig")), 0o600);
    never_in_public(&node);
    let timer = node.read("/etc/systemd/system/catalyst-postback.timer");
    assert!(timer.contains("OnUnitInactiveSec=10min") && timer.contains("OnBootSec="));

    // k3s may write its own anew in between.
    node.write("/etc/rancher/k3s/k3s.yaml", KUBECONFIG.replace("default", "other"), 0o600);
    assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());
    assert!(host.seen().iter().all(|seen| seen.body == first[0].body), "a host that kept it can tell it is the same");
    nothing_is_left(&node);
}

#[test]
fn g10_nobody_at_the_address_costs_the_cluster_nothing() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let node = booted(&url);
    assert!(node.path("/var/lib/catalyst/cloud-init-complete").exists(), "the cluster is complete without it");
    assert_eq!(node.start(UNIT), GAVE_UP);
    assert!(said(&node, "no success for an hour, last 000"));
}

#[test]
fn a_kubeconfig_that_cannot_be_rewritten_is_not_sent() {
    let host = answers(vec![reply(204, "")]);
    let node = booted(&host.url());
    node.write("/etc/rancher/k3s/k3s.yaml", "clusters: []\n", 0o600);
    assert_eq!(node.start(UNIT), GAVE_UP);
    assert_eq!(host.seen().len(), 0);
    assert!(said(&node, "no server field to rewrite"));
    node.write("/etc/rancher/k3s/k3s.yaml", KUBECONFIG, 0o600);
    assert_eq!(node.start(UNIT), DELIVERED);
}

/// A host that says once when to come back, and then takes the kubeconfig. Its address.
fn busy(retry_after: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let wait = format!(
            "HTTP/1.1 429 Busy\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        for answer in [wait, "HTTP/1.1 204 Kept\r\nConnection: close\r\n\r\n".to_owned()] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut seen = Vec::new();
            // The kubeconfig ends in this line.
            while !seen.ends_with(b"6443\"\n") {
                let mut more = [0; 4096];
                let length = stream.read(&mut more).unwrap();
                seen.extend_from_slice(&more[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn a_host_may_say_when_to_come_back_within_two_minutes() {
    for (retry_after, waited) in [("90", 90), ("3600", 120), ("1", 5), ("soon", 5)] {
        let node = booted(&busy(retry_after));
        let before = node.clock();
        assert_eq!(node.start(UNIT), DELIVERED, "{}", node.log());
        assert_eq!(node.clock() - before, waited, "{retry_after}");
    }
}
