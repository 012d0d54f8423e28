//! Where two parsers judge one text they are held against each other: kubeconfigs against client-go, modules against OpenTofu's
//! HCL, request bodies against Go's encoding/json, forwarded headers against a reading by RFC 7239's grammar. Seeds are fixed
//! here; `make fuzz` goes on from others, and `scripts/fuzz.sh --documents 100000 kubeconfig` makes the long round.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_tests::fuzz::campaign::Plan;
use catalyst_tests::fuzz::{Budget, Random, Report, corpus, kubeconfigs, run, targets};

/// Where all choices come from; any other would do.
const SEED: u64 = 17;

/// Checks the corpus and so many inputs of a target's generator.
fn differ(name: &str, inputs: usize) -> Report {
    let mut target = targets::named(name).unwrap();
    let plan = Plan { seed: SEED, budget: Budget::Inputs(inputs), generated_only: true, cache: None };
    let report = run(target.as_mut(), plan).unwrap();
    if let Some(failure) = &report.failure {
        panic!("{failure}");
    }
    assert!(report.inputs >= inputs, "{report:?}");
    report
}

/// How many inputs came to an ending that begins so.
fn ended(report: &Report, with: &str) -> usize {
    report.endings.iter().filter(|(ending, _)| ending.starts_with(with)).map(|(_, count)| count).sum()
}

#[test]
fn kubeconfigs_are_read_alike_by_us_by_our_client_and_by_client_go() {
    let report = differ("kubeconfig", 3_000);
    // Were everything refused, nothing would be shown.
    for (ending, least) in
        [("taken as it came", 300), ("taken canonical", 300), ("refused: unsafe", 300), ("refused: not", 300)]
    {
        assert!(ended(&report, ending) >= least, "{ending}: {:#?}", report.endings);
    }
}

#[test]
fn what_k3s_writes_comes_back_byte_for_byte() {
    let kept = corpus::read(&corpus::committed(), targets::named("kubeconfig").unwrap().as_ref()).unwrap();
    let minors: Vec<_> = kept.into_iter().filter(|kept| kept.file.to_string_lossy().contains("/k3s-1.")).collect();
    assert!(minors.len() >= 5, "{} minors", minors.len());
    let mut random = Random::new(SEED);
    let made = (0..500).map(|_| kubeconfigs::k3s(&mut random));
    for document in minors.into_iter().map(|kept| kept.input).chain(made) {
        let text = String::from_utf8_lossy(&document);
        let read = Kubeconfig::parse(&document).unwrap_or_else(|fault| panic!("{fault}:\n{text}"));
        assert!(read.stored(&document) == document, "{text}\nis stored as\n{}", read.canonical());
    }
}

#[test]
fn each_hostile_kubeconfig_of_the_corpus_is_refused() {
    let kept = corpus::read(&corpus::committed(), targets::named("kubeconfig").unwrap().as_ref()).unwrap();
    let hostile: Vec<_> = kept.iter().filter(|kept| kept.file.to_string_lossy().contains("/hostile-")).collect();
    assert!(hostile.len() >= 5, "{} files", hostile.len());
    for kept in hostile {
        assert!(Kubeconfig::parse(&kept.input).is_err(), "{} is taken", kept.file.display());
    }
}

#[test]
fn opentofu_sees_nothing_refused_in_modules_that_pass() {
    let report = differ("policy", 3_000);
    for (ending, least) in
        [("passed: ", 100), ("refused: provisioner", 30), ("refused: file-read", 30), ("refused: provider", 30)]
    {
        assert!(ended(&report, ending) >= least, "{ending}: {:#?}", report.endings);
    }
}

#[test]
fn a_request_that_is_taken_has_one_reading() {
    let report = differ("request-json", 4_000);
    assert!(ended(&report, "taken") >= 400 && ended(&report, "refused") >= 400, "{:#?}", report.endings);
}

#[test]
fn a_forwarded_client_is_the_one_that_the_nearest_proxy_names() {
    let report = differ("forwarded", 10_000);
    assert!(ended(&report, "a client named") >= 500, "{:#?}", report.endings);
}
