//! Plans that are shown to somebody before they are applied, on the real OpenTofu.

use super::real::{module, tofu};
use super::scripted::Script;
use super::*;
use catalyst_domain::replace::{PlannedAction, PlannedChange};

const MODULE: &str = r#"
variable "cluster_exists" { type = bool }
resource "terraform_data" "node" {
  count = 2
  input = var.name
}
output "ids" { value = terraform_data.node[*].id }
output "exists" { value = var.cluster_exists }
output "length" { value = nonsensitive(length(var.token)) }
output "exposed" { value = nonsensitive(var.token) }
output "also" { value = var.deployment_id }
"#;

/// Longer than the one that it takes the place of.
const RENEWED: &str = "sentinel-7f3a-that-was-renewed";

/// Answers every plan alike, and keeps what it was shown.
struct Answer(Result<Reviewed, String>, Mutex<Vec<Vec<PlannedChange>>>);

#[async_trait]
impl PlanReviewer for Answer {
    async fn review(&self, plan: &[PlannedChange]) -> Result<Reviewed, String> {
        self.1.lock().unwrap().push(plan.to_vec());
        self.0.clone()
    }
}

/// Applies; gives the result, what was heard, and the plans that were shown.
async fn apply(
    bench: &Bench,
    answer: Result<Reviewed, String>,
) -> (Result<serde_json::Value, RunError>, Vec<Progress>, Vec<Vec<PlannedChange>>) {
    let reviewer = Arc::new(Answer(answer, Mutex::default()));
    let mut run = bench.run(&module(MODULE));
    run.bundle.cluster_exists_variable = Some("cluster_exists".into());
    run.plan.reviewer = Some(reviewer.clone());
    run.plan.renewed.insert("cloud-token", SecretValue::new(RENEWED));
    let (result, heard) = bench.apply_run(run, CancellationToken::new(), |_| false).await;
    bench.assert_tidy();
    let shown = reviewer.1.lock().unwrap().clone();
    (result.map(|outputs| serde_json::from_str(&outputs.public_json).unwrap()), heard, shown)
}

fn values(outputs: &serde_json::Value) -> (serde_json::Value, bool, usize) {
    let length = outputs["length"]["value"].as_u64().unwrap().try_into().unwrap();
    assert_eq!(outputs["exposed"]["value"], "***");
    (outputs["ids"]["value"].clone(), outputs["exists"]["value"].as_bool().unwrap(), length)
}

#[tokio::test]
async fn t1_a_plan_is_shown_before_it_is_applied_and_made_again_where_that_is_asked_for() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let (made, heard, mut shown) = apply(&bench, Ok(Reviewed::Apply)).await;
    shown[0].sort_by(|one, other| one.address.cmp(&other.address));
    let create = |address: &str| PlannedChange { address: address.into(), action: PlannedAction::Create };
    assert_eq!(shown, [vec![create("terraform_data.node[0]"), create("terraform_data.node[1]")]]);
    assert_eq!(phases(&heard), ["tofu-init", "tofu-plan", "tofu-apply", "tofu-output"]);
    let (ids, exists, length) = values(&made.unwrap());
    assert_eq!((exists, length), (false, SENTINEL.len()));

    let replace = vec!["terraform_data.node[1]".to_owned()];
    let again = Reviewed::PlanAgain { replace, renew_secrets: true, cluster_exists: true };
    let (made, heard, shown) = apply(&bench, Ok(again)).await;
    assert_eq!(shown, [Vec::new()], "the second plan is what was asked for");
    assert_eq!(phases(&heard), ["tofu-init", "tofu-plan", "tofu-plan", "tofu-apply", "tofu-output"]);
    let (others, exists, length) = values(&made.unwrap());
    assert_eq!((exists, length), (true, RENEWED.len()));
    assert!(others[0] == ids[0] && others[1] != ids[1], "{ids} {others}");
}

#[tokio::test]
async fn t1_a_plan_that_is_refused_changes_nothing() {
    let bench = Bench::new(&tofu(), |_| {}).await;
    let (made, ..) = apply(&bench, Ok(Reviewed::Apply)).await;
    made.unwrap();
    let state = || bench.store.with(|s| s.states[&bench.id].clone());
    let before = state();
    let (refused, heard, _) = apply(&bench, Err("two would be lost".into())).await;
    let error = refused.unwrap_err();
    assert_eq!((error.step, error.kind), (RunStep::Plan, RunErrorKind::Failed));
    assert_eq!(error.to_string(), "tofu plan: two would be lost");
    assert!(!heard.contains(&Progress::ApplyBegan) && state() == before);
    assert!(bench.store.with(|s| s.locks.is_empty()));
}

#[tokio::test]
async fn a_plan_of_which_lines_are_missing_is_neither_shown_nor_applied() {
    // One change more than is kept, so the last one is missing.
    let change = r#"{"@level":"info","@message":"x: Plan to delete","type":"planned_change","change":{"resource":{"addr":"a.b"},"action":"delete"}}"#;
    for (changes, refused) in [(20_001, true), (2, false)] {
        let script = Script::new("plan", &format!("yes '{change}' | head -n {changes}"));
        let bench = Bench::new(&script.path(), |_| {}).await;
        let reviewer = Arc::new(Answer(Ok(Reviewed::Apply), Mutex::default()));
        let mut run = bench.run("");
        run.plan.reviewer = Some(reviewer.clone());
        let (result, heard) = bench.apply_run(run, CancellationToken::new(), |_| false).await;
        let shown: Vec<usize> = reviewer.1.lock().unwrap().iter().map(Vec::len).collect();
        if refused {
            let error = result.unwrap_err();
            assert_eq!((error.step, error.kind), (RunStep::Plan, RunErrorKind::Failed), "{error}");
            assert!(error.to_string().contains("more than could be read"), "{error}");
            assert!(shown.is_empty() && !heard.contains(&Progress::ApplyBegan));
        } else {
            result.unwrap();
            assert!(shown == [changes] && heard.contains(&Progress::ApplyBegan));
        }
    }
}
