//! What a node must live through while it boots, the same for each cloud: names that are not resolved, servers that are busy,
//! reboots, proxies that answer for the host. A cloud's tests call these with nodes of their own.

use crate::double::{Double, Reply, Seen};
use crate::downloads;
use crate::node::{KUBECONFIG, Node, POWER_CUT};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// There only when every step succeeded.
pub const COMPLETE: &str = "/var/lib/catalyst/cloud-init-complete";
/// Names the steps that did not.
pub const FAILED: &str = "/var/lib/catalyst/cloud-init-failed";
/// Steps of a first server, in order.
pub const FIRST: &[&str] = &["packages", "os", "harden", "k3s", "ready", "postback", "cilium", "flux", "pointer"];
/// Steps of any other node.
pub const OTHERS: &[&str] = &["packages", "os", "harden", "k3s", "ready"];

const POSTBACK: &str = "catalyst-postback.service";
const DONE: &str = "/var/lib/catalyst/done";

#[track_caller]
fn is_complete(node: &Node) {
    assert!(node.path(COMPLETE).exists() && !node.path(FAILED).exists(), "{}", node.log());
    node.call(&["systemctl disable --now catalyst-boot.timer"]);
}

/// How often a step began.
fn begun(node: &Node, step: &str) -> usize {
    let log = node.read("/var/log/catalyst-boot.log");
    log.lines().filter(|line| line.ends_with(&format!(" {step} started"))).count()
}

/// Which of the steps that every node has are noted as done.
fn done(node: &Node) -> Vec<bool> {
    OTHERS.iter().map(|step| node.path(&format!("{DONE}/{step}")).exists()).collect()
}

/// Address of the list of k3s's digests, the first that every node downloads.
fn k3s_list() -> String {
    let url = downloads::k3s_url();
    format!("{}/sha256sum-{}.txt", url.rsplit_once('/').unwrap().0, downloads::ARCH)
}

/// Seconds between the tries of the first download.
fn pauses(node: &Node) -> Vec<u64> {
    let times = node.fetched(&k3s_list());
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A unit of its own that waits for nothing of cloud-init, and a timer.
#[track_caller]
pub fn the_boot_is_a_unit_of_its_own(node: &Node) {
    let unit = node.read("/etc/systemd/system/catalyst-boot.service");
    assert!(unit.contains("Type=oneshot\n") && !unit.contains("cloud-"), "{unit}");
    assert!(unit.contains("ConditionPathExists=!/var/lib/catalyst/cloud-init-complete\n"), "{unit}");
    let timer = node.read("/etc/systemd/system/catalyst-boot.timer");
    assert!(timer.contains("OnBootSec=") && timer.contains("OnUnitInactiveSec="), "{timer}");
    assert_eq!(node.boot(), 0, "{}", node.log());
    let enabled = node.call(&["systemctl enable --now catalyst-boot.timer"]);
    assert!(enabled < node.call(&["apt-get"]), "what ends the first step early must not end the boot");
    is_complete(node);
}

/// Neither apt nor curl resolves a name for three minutes each.
#[track_caller]
pub fn names_are_not_resolved_for_three_minutes(node: &Node) {
    node.write("/stub/apt", "[ \"$(cat /stub/clock)\" -ge 180 ] || exit 100\n", 0o644);
    node.write("/stub/net-trouble", "[ \"$now\" -ge 380 ] || exit 6\n", 0o644);
    assert_eq!(node.boot(), 0, "{}", node.log());
    is_complete(node);
    let pauses = pauses(node);
    assert!(pauses.is_sorted() && pauses.len() > 6 && pauses.iter().all(|pause| *pause <= 60), "{pauses:?}");
    let waited = node.clock();
    assert!((380..450).contains(&waited), "{waited} s");
}

fn answers(status: &str, header: &str, until: u64) -> String {
    format!(
        "case \"$url\" in */sha256sum-*) ;; *) return 0 ;; esac\n[ \"$now\" -lt {until} ] || return 0\n\
         printf 'HTTP/1.1 {status}\\r\\n%s\\r\\n\\r\\n' \"{header}\" >\"$headers\"\nexit 22\n"
    )
}

/// 429 and 503 with `Retry-After` in both of its forms, and without.
pub fn a_busy_server_is_asked_again_when_it_says(new: impl Fn() -> Node) {
    let date = r"$(cat /stub/date 2>/dev/null || date -u -d @$(($(date +%s) + 200)) '+%a, %d %b %Y %H:%M:%S GMT' | tee /stub/date)";
    let by_date = format!("retry-after: {date}");
    let cases: [(&str, &str, u64, &[u64]); 5] = [
        ("429 Too Many Requests", "Retry-After: 120", 300, &[120, 120, 120]),
        ("503 Service Unavailable", "retry-after:45", 100, &[45, 45, 45]),
        ("429 Too Many Requests", &by_date, 100, &[200]),
        ("503 Service Unavailable", "Retry-After: soon", 50, &[2, 4, 8, 16, 32]),
        // Longer than the step has: once more at its end.
        ("429 Too Many Requests", "Retry-After: 86400", 1_700, &[1_800]),
    ];
    for (status, header, until, expect) in cases {
        let node = new();
        node.write("/stub/net-trouble", answers(status, header, until), 0o644);
        assert_eq!(node.step("k3s"), 0, "{status} {header}: {}", node.log());
        let pauses = pauses(&node);
        // The clock goes on by itself as well, by the second or two that a test takes.
        let near = pauses.iter().zip(expect).all(|(pause, expect)| pause.abs_diff(*expect) <= 5);
        assert!(near && pauses.len() == expect.len(), "{status} {header}: {pauses:?}");
    }
}

/// Half an hour is the end of a step and not of the boot.
#[track_caller]
pub fn a_step_gives_up_after_half_an_hour_and_the_boot_goes_on_later(node: &Node) {
    node.write("/stub/net-trouble", "exit 6\n", 0o644);
    assert_ne!(node.boot(), 0);
    let waited = node.clock();
    assert!((1_790..1_900).contains(&waited), "{waited} s");
    assert_eq!(node.read(FAILED).trim(), "k3s");
    std::fs::remove_file(node.path("/stub/net-trouble")).unwrap();
    assert_eq!(node.boot(), 0, "{}", node.log());
    is_complete(node);
    assert_eq!(["packages", "os", "harden", "k3s"].map(|step| begun(node, step)), [1, 1, 1, 2]);
}

/// Others may install as long as they like, and what keeps failing keeps no cluster from coming up.
pub fn packages_wait_for_others_that_install_and_hold_no_cluster_up(new: impl Fn() -> Node) {
    let node = new();
    // As apt says it, three times.
    let held =
        "case \"$*\" in *install*) [ \"$(grep -c 'apt-get .*install' /stub/calls)\" -gt 3 ] || exit 100 ;; esac\n";
    node.write("/stub/apt", held, 0o644);
    assert_eq!(node.boot(), 0, "{}", node.log());
    is_complete(&node);
    assert!(node.calls()[node.call(&["apt-get", "install"])].contains("DPkg::Lock::Timeout="));

    let node = new();
    node.write("/stub/apt", "exit 100\n", 0o644);
    assert_ne!(node.boot(), 0);
    assert_eq!(node.read(FAILED).trim(), "packages");
    assert_eq!(done(&node), [false, true, true, true, true]);
    std::fs::remove_file(node.path("/stub/apt")).unwrap();
    assert_eq!(node.boot(), 0, "{}", node.log());
    is_complete(&node);
}

/// The power goes once after each step, right after it is noted as done.
#[track_caller]
pub fn a_reboot_after_each_step_repeats_none(node: &Node, steps: &[&str]) {
    for (index, step) in steps.iter().enumerate() {
        node.cut_power(&[&format!("touched {DONE}/{step}")]);
        let status = if index == 0 { node.boot() } else { node.reboot() };
        assert_eq!(status, POWER_CUT, "{step}: {}", node.log());
        assert!(!node.path(COMPLETE).exists(), "{step}");
    }
    assert_eq!(node.reboot(), 0, "{}", node.log());
    is_complete(node);
    for step in steps {
        assert_eq!(begun(node, step), 1, "{step}");
    }
}

/// The power goes in the midst of each step, at these calls, and once more before each step is noted as done.
#[track_caller]
pub fn a_reboot_within_each_step_repeats_that_step(node: &Node, steps: &[&str], calls: &[&str]) {
    let before = steps.iter().map(|step| format!("touch {DONE}/{step}"));
    let cuts: Vec<String> = calls.iter().map(|call| (*call).to_owned()).chain(before).collect();
    // In the order in which they come: the one that was met is taken out.
    let mut cuts: Vec<&str> = cuts.iter().map(String::as_str).collect();
    let mut first = true;
    while !cuts.is_empty() {
        node.cut_power(&cuts);
        let status = if std::mem::take(&mut first) { node.boot() } else { node.reboot() };
        assert_eq!(status, POWER_CUT, "{cuts:?} were never met: {}", node.log());
        let last = node.calls().pop().unwrap();
        let met = cuts.len();
        cuts.retain(|cut| !last.contains(cut));
        assert_eq!(cuts.len() + 1, met, "{last}");
    }
    assert_eq!(node.reboot(), 0, "{}", node.log());
    is_complete(node);
    for step in steps {
        assert!(begun(node, step) >= 2, "{step}");
    }
}

/// cloud-init has written the files and did not come to start anything.
#[track_caller]
pub fn a_reboot_before_the_first_start_starts_it(node: &Node) {
    assert_eq!(node.reboot(), 0, "{}", node.log());
    is_complete(node);
    assert_eq!(node.reboot(), 0);
    assert!(OTHERS.iter().all(|step| begun(node, step) == 1));
}

/// A reboot while cloud-init writes the files: it would not write the rest, had it not forgotten that it began.
#[track_caller]
pub fn files_that_were_written_in_part_are_written_again(node: &Node) {
    const BEGUN: &str = "/var/lib/cloud/instance/sem/config_write_files";
    node.write(BEGUN, "", 0o644);
    assert_eq!(node.reboot(), 0, "{}", node.log());
    assert!(!node.path(BEGUN).exists());
    node.write(BEGUN, "", 0o644);
    node.reboot();
    assert!(node.path(BEGUN).exists(), "what a step removed does not come back");
}

/// By hand and by the timer.
#[track_caller]
pub fn two_starts_at_once_run_each_step_once(node: &Node, steps: &[&str]) {
    let boot = "/usr/local/lib/catalyst/boot.sh";
    assert_eq!(node.shell(&format!("{boot} & first=$!; {boot} && wait $first")), 0, "{}", node.log());
    is_complete(node);
    for step in steps {
        assert_eq!(begun(node, step), 1, "{step}");
    }
}

/// What proxies, portals and balancers have answered in Catalyst's place, and what of Catalyst's own passes.
const PASSING: &[(u16, &str)] = &[
    (404, "404 page not found\n"),
    (200, "<html><body>Welcome</body></html>"),
    (200, ""),
    (202, r#"{"error":"already-set","same":true}"#),
    (302, ""),
    (401, "<html><body>Sign in</body></html>"),
    (401, r#"{"error":"missing-bearer","detail":"it was taken off on the way"}"#),
    (403, "<html><body>{\"error\":\"invalid-bearer\"}</body></html>"),
    (403, r#"{"error":"forbidden","detail":"blocked"}"#),
    (403, r#"{"error":"forbidden","detail":"{\"error\":\"already-set\",\"same\":true}"}"#),
    (403, r#"{"error":"invalid-bearer","det"#),
    (404, r#"{"error":"deployment-not-found","detail":"the host has another folder for now"}"#),
    (413, "<html><body>Request Entity Too Large</body></html>"),
    (422, r#"{"error":"empty-body","detail":"it was taken off on the way"}"#),
    (502, "<html><body>Bad Gateway</body></html>"),
    (503, r#"{"error":"already-set","same":true}"#),
];

/// What Catalyst itself says for good, of what it has read.
const FINAL: &[(u16, &str)] = &[
    (403, r#"{"error":"invalid-bearer","detail":"no"}"#),
    (403, r#"{"error":"no-bearer-hash","detail":"no"}"#),
    (403, r#"{"error":"already-set","detail":"\"same\":true","same":false}"#),
    (422, "{\n  \"detail\": \"no, {really}\",\n  \"error\": \"invalid-kubeconfig\"\n}\n"),
    (422, r#"{"error":"unsafe-kubeconfig","detail":"no"}"#),
    (422, r#"{"error":"body-too-large","detail":"no"}"#),
];

/// Answers in turn; the last one from then on.
fn in_turn(replies: Vec<Reply>) -> Double {
    let next = AtomicUsize::new(0);
    Double::http(move |_: &Seen| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone())
}

/// k3s is up, and nothing was sent yet.
fn send(node: &Node) -> Option<i32> {
    node.write("/etc/rancher/k3s/k3s.yaml", KUBECONFIG, 0o600);
    node.start(POSTBACK)
}

/// Each answer that may pass is tried again with the same bytes, until one is Catalyst's.
pub fn an_answer_that_is_not_catalysts_own_ends_nothing(new: impl Fn(&str) -> Node) {
    let mut replies: Vec<Reply> = PASSING.iter().map(|(status, body)| Some((*status, (*body).to_owned()))).collect();
    replies.extend([None, Some((204, String::new()))]);
    let host = in_turn(replies);
    let node = new(&host.url());
    assert_eq!(send(&node), Some(0), "{}", node.log());
    let seen = host.seen();
    assert_eq!(seen.len(), PASSING.len() + 2);
    assert!(seen.iter().all(|later| later.method == "PUT" && later.body == seen[0].body));
    let log = node.read("/var/log/catalyst-boot.log");
    let tried: Vec<&str> =
        log.lines().filter_map(|line| line.split_once(" postback retry: ")).map(|(_, why)| why).collect();
    assert_eq!(tried.len(), PASSING.len() + 1, "{log}");
    for ((status, _), why) in PASSING.iter().zip(&tried) {
        assert!(why.starts_with(&status.to_string()), "{why}");
    }
    assert!(!node.path("/var/lib/catalyst/postback").exists());
}

/// A refusal in Catalyst's own words ends it: bearer and copy are removed.
pub fn a_refusal_of_catalysts_own_is_final(new: impl Fn(&str) -> Node) {
    for (status, body) in FINAL {
        let host = in_turn(vec![Some((*status, (*body).to_owned()))]);
        let node = new(&host.url());
        assert_eq!(send(&node), Some(1), "{body}");
        assert_eq!(host.seen().len(), 1, "{body}");
        let log = node.read("/var/log/catalyst-boot.log");
        assert!(log.contains(&format!("postback failed: refused ({status})")), "{log}");
        assert!(!node.path("/var/lib/catalyst/postback").exists(), "{body}");
        assert_eq!(node.start(POSTBACK), None, "its condition no longer holds");
    }
}

/// When a node would reboot for updates, in minutes of the day.
fn reboot_time(node: &Node) -> u32 {
    assert_eq!(node.step("harden"), 0, "{}", node.log());
    let text = node.read("/etc/apt/apt.conf.d/52unattended-upgrades-catalyst");
    assert!(text.contains("Unattended-Upgrade::Automatic-Reboot \"true\";"), "{text}");
    let times: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Unattended-Upgrade::Automatic-Reboot-Time \""))
        .collect();
    assert_eq!(times.len(), 1, "{text}");
    let (hour, minute) = times[0].trim_end_matches("\";").split_once(':').unwrap();
    hour.parse::<u32>().unwrap() * 60 + minute.parse::<u32>().unwrap()
}

/// Servers are more than an hour apart, and workers are spread over the night.
pub fn nodes_reboot_one_after_the_other(servers: &[Node], workers: &[Node]) {
    let servers: Vec<u32> = servers.iter().map(reboot_time).collect();
    assert_eq!(servers[0], 2 * 60 + 30, "a cluster of one reboots when it always did");
    for (index, one) in servers.iter().enumerate() {
        assert!(servers[..index].iter().all(|other| one.abs_diff(*other) > 60), "{servers:?}");
    }
    let again = reboot_time(&workers[0]);
    let workers: Vec<u32> = workers.iter().map(reboot_time).collect();
    assert_eq!(workers[0], again, "the same each time");
    let all: BTreeSet<u32> = servers.iter().chain(&workers).copied().collect();
    assert_eq!(all.len(), servers.len() + workers.len(), "{all:?}");
    let hours: BTreeSet<u32> = workers.iter().map(|time| time / 60).collect();
    assert!(hours.len() >= 3 && hours.iter().all(|hour| (1..5).contains(hour)), "{workers:?}");
}

/// Ubuntu 24.04's first fail2ban died right after its start.
pub fn fail2ban_is_done_only_when_its_jail_holds(new: impl Fn() -> Node) {
    let node = new();
    node.write("/stub/jail-down", "", 0o644);
    assert_ne!(node.boot(), 0);
    assert_eq!(node.read(FAILED).trim(), "harden");
    assert_eq!(done(&node), [true, true, false, true, true], "the cluster comes up without it");
    std::fs::remove_file(node.path("/stub/jail-down")).unwrap();
    assert_eq!(node.boot(), 0, "{}", node.log());
    is_complete(&node);

    let dies = new();
    let once = "#!/bin/sh\nprintf '%s\\n' \"fail2ban-client $*\" >>/stub/calls\n[ \"$(grep -c fail2ban-client /stub/calls)\" -lt 2 ]\n";
    dies.write("/stub/bin/fail2ban-client", once, 0o755);
    assert_ne!(dies.step("harden"), 0, "it answered once, and was gone");

    let mended = new();
    mended.write("/stub/jail-down", "", 0o644);
    let update = "case \"$*\" in *pyasynchat*) exit 100 ;; *'install fail2ban') rm /stub/jail-down ;; esac\n";
    mended.write("/stub/apt", update, 0o644);
    assert_eq!(mended.step("harden"), 0, "{}", mended.log());
    mended.call(&["fail2ban-client status sshd"]);
}
