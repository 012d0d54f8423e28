//! Generated requests: valid in form, hostile in every text that is free.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::{DeploymentRequest, text};

/// Text of the pieces that templates, YAML, JSON and shells care about, next to each other in any order.
pub fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "$", "%", "{", "}", "${", "%{", "$${", "%%{", "~", "~}", "\"", "\\", "\\n", "é", "e\u{301}", "\u{301}", "\u{600}",
            "日本", "👩\u{200d}👧", " ", "${file(\"/etc/shadow\")}", "%{ if true }", "%{ endif }", "<", "&", "'", "#", ": ",
            "- ", "EOT", "$(id)", "`id`", "|", "token", "${kubeconfig_bearer_token}",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => prop::char::any().prop_filter("refused in requests", |c| !text::is_forbidden(*c)).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// `count` requests like `base` with other names, sizes and modes; the same ones on every run.
pub fn requests(base: &DeploymentRequest, count: usize) -> Vec<DeploymentRequest> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let label = "[a-z0-9]{1,12}(-[a-z0-9]{1,6})?";
    let name = hostile_text().prop_filter("refused in requests", |text| !text::has_mark_on_a_bracket(text));
    let parts = (name, "[!-?A-~]{1,20}", label, label, any::<bool>(), 0..4_i64);
    let mut made: Vec<DeploymentRequest> = (0..count)
        .filter_map(|_| {
            let (name, mail, first, second, ha_enabled, worker_count) = parts.new_tree(&mut runner).ok()?.current();
            Some(DeploymentRequest {
                org_name: format!("A{name}"),
                org_email: format!("{mail}@example.test"),
                sovereign_fqdn: format!("{first}.{second}.test"),
                ha_enabled,
                worker_count,
                regions: base.regions.iter().map(|slot| crate::RegionSlot { worker_count, ..slot.clone() }).collect(),
                ..base.clone()
            })
        })
        .collect();
    if let Some(request) = made.first_mut() {
        // As long as an organisation's name may be, and of nothing but marks.
        request.org_name = "${".repeat(100);
    }
    made
}
