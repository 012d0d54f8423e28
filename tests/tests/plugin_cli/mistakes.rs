//! What `catalyst plugin check` says to an author's mistakes, and how long it takes: one guest that keeps every rule, with one mistake
//! at a time. And that it ends in its time, whatever the guest does, with what was not tried told as not tried.

use super::{Ran, command, ran, text};
use catalyst_tests::components::edited;
use catalyst_tests::host::hostile_guests;
use catalyst_tests::tools;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What the guest has in its data.
const MISTAKE: &str = "mistake:none                                    ";
/// The time of a check.
const MINUTE: Duration = Duration::from_secs(60);

/// The mistake, the rule that has to fail, and words that have to stand in one of its reasons.
const MISTAKES: [(&str, &str, &[&str]); 29] = [
    ("has half a version", "load", &["describes itself wrongly: the version is not a semantic version"]),
    ("describe loops", "load", &["cannot describe itself", "describe did not end within 2000 ms"]),
    ("describe panics", "load", &["it panicked at ", "examples/author.rs:", ": describe has no plan for this"]),
    ("forgets its region", "accepts", &["region r1: refused: there is no region of that name"]),
    (
        "validate panics",
        "accepts",
        &["region r1: validate trapped", "examples/author.rs:", ": validate has no plan for this"],
    ),
    ("validate loops", "accepts", &["region r1: validate did not end within 2000 ms; it is not called again"]),
    ("loops on quotes", "hostile-input", &["quotes and a shell's marks as the organisation: validate did not end"]),
    (
        "counts workers blindly",
        "hostile-input",
        &["-1 workers: render trapped", "examples/author.rs:", "index out of bounds"],
    ),
    ("hoards memory", "accepts", &["region r1: render wanted more than 67108864 bytes of memory"]),
    ("estimate exits", "answers", &["region r1: estimate exited instead of answering"]),
    (
        "render refuses more",
        "agreement",
        &["a long text as the organisation", "render refuses: ", "the name is too long"],
    ),
    ("misspells a type", "schema", &["the settings schema is no JSON Schema 2020-12", "integre"]),
    ("defaults to a text", "schema", &["the schema refuses its own default of port, \"6443\""]),
    ("requires without example", "schema", &["zone is required, and no value can be told"]),
    ("refuses its own example", "settings", &["port with the example of its schema, 443: refused: port is no port"]),
    ("takes any type", "settings", &["port with a wrong type: no error finding at /port"]),
    ("forgets an output", "outputs", &["the module has no output `load_balancer_ip`, which read-outputs needs"]),
    (
        "hides an output",
        "outputs",
        &["the output `load_balancer_ip` (outputs.tf) is sensitive", "read-outputs needs it"],
    ),
    ("has no outputs", "outputs", &["the module has no output `console_url`, which read-outputs needs"]),
    ("makes endpoints up", "outputs", &["no outputs: endpoints are made up"]),
    ("names no hosts", "outputs", &["read-outputs names no `kubeconfig-hosts`"]),
    ("advises nothing", "answers", &["it does not say what to do"]),
    ("names no bearer", "secrets", &["the module has no resource terraform_data.first"]),
    ("loses a secret's variable", "secrets", &["the module declares no variable cloud_token"]),
    ("runs a program", "bundle", &["main.tf:", "provisioner: "]),
    ("evaluates the request", "text-stays-text", &["main.tf: a text of the request is evaluated"]),
    ("breaks its cloud-config", "user-data", &["cloudinit.tftpl: the cloud-config is no YAML"]),
    ("outgrows the user data", "user-data", &["server has 16385 bytes, its limit is 16384"]),
    ("uses an unknown variable", "tofu-validate", &["main.tf:", "undeclared input variable", "\"sovereign\""]),
];

/// The guest with a mistake, in a folder.
pub(crate) fn author(folder: &Path, mistake: &str) -> String {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    let guest = GUEST.get_or_init(|| std::fs::read(hostile_guests().join("author.wasm")).unwrap());
    let word = format!("{:<width$}", format!("mistake:{mistake}"), width = MISTAKE.len());
    let file = folder.join(format!("{}.wasm", mistake.replace([' ', '\''], "-")));
    std::fs::write(&file, edited(guest, MISTAKE, &word)).unwrap();
    text(&file)
}

fn tofu() -> PathBuf {
    tools::path("tofu").unwrap()
}

/// `catalyst plugin …` with an OpenTofu that can be asked.
fn with_tofu(arguments: &[&str]) -> Ran {
    ran(&command().env("CATALYST_TOFU_BIN", tofu()).args(arguments).output().unwrap())
}

fn rule<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rules = report["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["rule"] == name).unwrap_or_else(|| panic!("no rule {name}: {report:#}"))
}

fn reasons(report: &Value, name: &str) -> Vec<String> {
    rule(report, name)["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

/// Checks a mistake; gives its line of the table.
fn named(folder: &Path, (mistake, wanted, words): &(&str, &str, &[&str])) -> String {
    let file = author(folder, mistake);
    let begun = Instant::now();
    let arguments = ["check", file.as_str(), "--json"];
    // OpenTofu is asked where it is what tells: it takes longer than all the rest.
    let checked = if *wanted == "tofu-validate" { with_tofu(&arguments) } else { super::plugin(&arguments) };
    let took = begun.elapsed();
    let report = checked.ended(1).json();
    assert_eq!(report["verdict"], "fail", "{mistake}: {report:#}");
    // A schema that a host does not take keeps the component from being loaded.
    let of_rule = [reasons(&report, wanted), reasons(&report, "load")].concat();
    let said = of_rule.iter().find(|reason| words.iter().all(|words| reason.contains(words)));
    let said = said.unwrap_or_else(|| panic!("{mistake}: {words:?} is not in {of_rule:#?}\n{report:#}"));
    assert!(took < MINUTE && report["seconds"].as_f64().unwrap() < 60.0, "{mistake} took {took:?}");
    format!("{:>5.1} s  {mistake:<26} {wanted:<16} {said}", took.as_secs_f64())
}

#[test]
fn every_mistake_of_an_author_is_named_within_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let (next, table) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    author(folder.path(), "none");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mistake) = MISTAKES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let line = named(folder.path(), mistake);
                    table.lock().unwrap().push(line);
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    assert_eq!(table.len(), MISTAKES.len());
    println!("{}", table.join("\n"));
}

#[test]
fn without_a_mistake_every_rule_passes_and_without_opentofu_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = author(folder.path(), "none");
    let report = with_tofu(&["check", &file, "--json"]).ended(0).json();
    assert_eq!(report["verdict"], "pass", "{report:#}");
    for rule in report["rules"].as_array().unwrap() {
        assert_eq!((&rule["verdict"], &rule["notTried"]), (&json!("pass"), &json!([])), "{rule:#}");
    }
    assert!(report.get("guest").is_none(), "it says nothing: {report:#}");

    let without = super::plugin(&["check", &file, "--json"]).ended(0).json();
    let line = rule(&without, "tofu-validate");
    assert_eq!((&without["verdict"], &line["verdict"]), (&json!("pass"), &json!("not-run")), "{without:#}");
    let not_tried = &line["notTried"][0];
    assert_eq!(not_tried["calls"], json!(["tofu validate"]));
    assert!(not_tried["why"].as_str().unwrap().contains("OpenTofu cannot be run as tofu"), "{not_tried}");
    let page = super::plugin(&["check", &file]);
    assert!(page.ended(0).stdout.contains("not tried: tofu validate: OpenTofu cannot be run"), "{}", page.stdout);
}

#[test]
fn providers_are_started_behind_the_confinement_or_where_a_person_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = author(folder.path(), "none");
    let checked = |confine: &str, more: &[&str]| {
        let mut check = command();
        check.env("CATALYST_TOFU_BIN", tofu()).env("CATALYST_TOFU_CONFINE", confine);
        let ran = ran(&check.args(["check", &file, "--json"]).args(more).output().unwrap());
        let report = ran.ended(0).json();
        let line = rule(&report, "tofu-validate").clone();
        (report["providers"].clone(), line["verdict"].clone(), line["notTried"][0]["why"].clone())
    };
    let (providers, verdict, _) = checked("require", &[]);
    assert_eq!((providers, verdict), (json!("confined"), json!("pass")));
    let (providers, verdict, why) = checked("off", &[]);
    assert_eq!((providers, verdict), (json!("not-run"), json!("not-run")));
    let why = why.as_str().unwrap();
    assert!(why.contains("CATALYST_TOFU_CONFINE is off") && why.contains("--run-providers"), "{why}");
    let (providers, verdict, _) = checked("off", &["--run-providers"]);
    assert_eq!((providers, verdict), (json!("unconfined"), json!("pass")));
}

#[test]
fn providers_that_cannot_be_had_are_told_and_are_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut check = command();
    check.env("CATALYST_TOFU_BIN", tofu()).env("CATALYST_PROVIDER_MIRROR", folder.path());
    let report = ran(&check.args(["check", &super::component("hetzner"), "--json"]).output().unwrap());
    let report = report.ended(0).json();
    let line = rule(&report, "tofu-validate");
    assert_eq!((&report["verdict"], &line["verdict"]), (&json!("pass"), &json!("not-run")), "{line:#}");
    let why = line["notTried"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("`tofu init` failed: ") && why.contains("hetznercloud/hcloud"), "{why}");
}

#[test]
fn a_guest_that_loops_in_every_export_is_done_with_in_a_minute_and_nothing_of_it_passes() {
    let folder = tempfile::tempdir().unwrap();
    let file = author(folder.path(), "every export loops");
    let begun = Instant::now();
    let report = with_tofu(&["check", &file, "--json"]).ended(1).json();
    let took = begun.elapsed();
    println!("a guest that loops in every export: {:.1} s", took.as_secs_f64());
    assert!(took < MINUTE, "it took {took:?}");
    let loops = report["loops"].as_array().unwrap();
    let looping: Vec<&str> = loops.iter().map(|found| found["function"].as_str().unwrap()).collect();
    assert_eq!(loops[0]["call"], "region r1: validate", "the first: {loops:#?}");
    for function in ["render", "estimate", "read-outputs", "diagnose", "credential-probe", "judge-credentials"] {
        let found = looping.iter().filter(|known| **known == function).count();
        // On a machine that is busy the minute may be over before the last ones: then they are named as not tried.
        let was_over = report["rules"].to_string().contains("the time of the check was over");
        assert!(found == 1 || (found == 0 && was_over), "{function}: {looping:?}");
    }
    assert!(loops[0]["skipped"].as_u64() > Some(50), "{loops:#?}");
    for name in
        ["accepts", "bundle", "secrets", "user-data", "agreement", "hostile-input", "text-stays-text", "answers"]
    {
        assert_ne!(rule(&report, name)["verdict"], "pass", "{name}: {report:#}");
    }
    let hostile = rule(&report, "hostile-input");
    assert_eq!((&hostile["verdict"], &hostile["held"]), (&json!("not-run"), &json!(0)));
    let why: Vec<&str> =
        hostile["notTried"].as_array().unwrap().iter().map(|not_tried| not_tried["why"].as_str().unwrap()).collect();
    assert!(why.contains(&"validate did not end in `region r1: validate`"), "{why:?}");
    assert_eq!(rule(&report, "tofu-validate")["verdict"], "not-run");
}

#[test]
fn what_there_is_no_time_for_is_not_tried_and_the_check_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let file = author(folder.path(), "is slow");
    let limits = folder.path().join("limits.json");
    std::fs::write(&limits, json!({"default": {"call_timeout_ms": 60_000}}).to_string()).unwrap();
    let limited = |file: &str| {
        let mut check = command();
        check.env("CATALYST_PLUGIN_LIMITS", &limits).args(["check", file, "--seconds", "12", "--json"]);
        ran(&check.output().unwrap())
    };
    let report = limited(&file).ended(1).json();
    assert_eq!(report["verdict"], "incomplete", "{report:#}");
    assert!(report["seconds"].as_f64().unwrap() < 12.0, "{report:#}");
    let hostile = rule(&report, "hostile-input");
    assert!(["incomplete", "not-run"].contains(&hostile["verdict"].as_str().unwrap()), "{hostile:#}");
    let last = hostile["notTried"].as_array().unwrap().last().unwrap();
    assert_eq!(last["why"], "the time of the check was over, which is 12 s");
    assert!(last["calls"].as_array().unwrap().contains(&json!("nothing at all: render")), "{last:#}");

    // One that its own limit would give a minute is given up with the check, and named.
    let looping = author(folder.path(), "validate loops");
    // Its compiler is not to take the time.
    super::plugin(&["inspect", &looping]).ended(0);
    let report = limited(&looping).ended(1).json();
    assert_eq!((&report["verdict"], &report["loops"][0]["call"]), (&json!("fail"), &json!("region r1: validate")));
    assert!(report["seconds"].as_f64().unwrap() < 12.0, "{report:#}");
}
