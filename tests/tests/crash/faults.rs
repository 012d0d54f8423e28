//! EIO and ENOSPC at each storage call of each operation: it is said, nothing is lost, and memory shows what is on disk.

use crate::store::{Outcome, Subject};
use catalyst_tests::storage::Op;
use catalyst_tests::strace::{Fault, Order, Point};
use serde_json::Value;

/// Words of the store when only a restart helps.
const SHUT: &str = "restart";

async fn everywhere(op: Op) {
    let subject = Subject::new(op).await;
    let (mut refused, mut shut) = (0, 0);
    for point in &subject.points {
        // A disk that can no longer be read shows nothing to compare with.
        let lasting = if point.writes() { Fault::Always("EIO") } else { Fault::Once("EIO") };
        for fault in [Fault::Once("ENOSPC"), lasting] {
            let outcome = one(&subject, point, fault).await;
            refused += usize::from(outcome.error.is_some());
            shut += usize::from(is_shut(&outcome));
        }
    }
    assert!(refused > 0 && shut > 0, "{op:?}: {refused} refused, {shut} with an unknown end");
}

// A fault that passes is followed by a second try in the same process.
async fn one(subject: &Subject, point: &Point, fault: Fault) -> Outcome {
    let context = format!("{:?} with {fault:?} at {point:?}", subject.op);
    let folder = subject.folder();
    let again = if fault == Fault::Once("ENOSPC") && !subject.op.opens() { "again" } else { "" };
    let mut ended = subject.run(folder.path(), &Order::Fail(point, fault), again);
    assert!(!ended.killed && !ended.outcomes.is_empty(), "{context}: {ended:?}");
    let first = ended.outcomes.remove(0);
    let shut = is_shut(&first);
    let sure = expectation(subject, &first, &context);
    let sure = match ended.outcomes.pop() {
        Some(second) if shut => {
            assert!(
                second.error.is_some() && is_shut(&second),
                "{context}: tried again after an unknown end: {second:?}"
            );
            sure
        }
        Some(second) => {
            assert_eq!(second.error, None, "{context}: it does not heal");
            assert_eq!(second.view, subject.after, "{context}: done again");
            Some(&subject.after)
        }
        None => sure,
    };
    subject.check(folder.path(), sure, &context).await;
    first
}

// What a restart must show; nothing is sure only after an unknown end.
fn expectation<'a>(subject: &'a Subject, outcome: &Outcome, context: &str) -> Option<&'a Value> {
    if subject.op.opens() {
        // Refused, or served and said to be in trouble, or served whole.
        let partly = outcome.error.is_none() && !shows(&outcome.view, &subject.after);
        assert!(
            !partly || outcome.unusable.is_some(),
            "{context}: something is missing and nobody says so: {outcome:?}"
        );
        return Some(&subject.after);
    }
    // A state is read from the disk each time, so after an unknown end it is shown as it stands there.
    let unknown = outcome.error.is_some() && is_shut(outcome);
    if unknown && subject.op.is_of_state() && shows(&outcome.view, &subject.after) {
        return None;
    }
    let (expected, what) = match outcome.error {
        None => (&subject.after, "acknowledged"),
        Some(_) => (&subject.before, "refused, and yet there"),
    };
    assert!(shows(&outcome.view, expected), "{context}: {what}:\n{:#}\ninstead of\n{expected:#}", outcome.view);
    if unknown { None } else { Some(expected) }
}

// Whether the one is the other, but for what a broken disk does not let a store read.
fn shows(seen: &Value, expected: &Value) -> bool {
    match (seen, expected) {
        (Value::Object(seen), _) if seen.len() == 1 && seen.contains_key("error") => true,
        (Value::Object(seen), Value::Object(expected)) if seen.len() == expected.len() => {
            seen.iter().all(|(key, value)| expected.get(key).is_some_and(|expected| shows(value, expected)))
        }
        _ => seen == expected,
    }
}

fn is_shut(outcome: &Outcome) -> bool {
    outcome.unusable.as_ref().is_some_and(|why| why.contains(SHUT))
}

macro_rules! campaign {
    ($($name:ident: $op:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            everywhere(Op::$op).await;
        }
    )*};
}

campaign! {
    e5_faults_of_a_start_on_nothing: OpenFresh;
    e5_faults_of_a_start_on_left_overs: OpenLeftovers;
    e4_faults_of_a_create: Create;
    e4_faults_of_a_put: Put;
    e4_faults_of_a_put_that_makes_the_folder: PutWithoutFolder;
    e4_faults_of_a_transition: Transition;
    faults_of_the_end_of_a_destroy: DestroyFinished;
    faults_of_a_first_entry: FirstEntry;
    faults_of_a_next_entry: NextEntry;
    faults_of_an_entry_after_a_torn_one: EntryAfterTear;
    f10_faults_of_a_first_state: FirstState;
    f10_faults_of_a_state_that_pushes_another_out: EleventhState;
    f10_faults_of_a_state_that_seals_the_earlier_ones: SealedState;
    faults_of_a_lock: Lock;
    faults_of_an_unlock: Unlock;
    faults_of_a_bundle: Bundle;
    faults_of_a_put_where_all_is_sealed: SealedPut;
    faults_of_the_sealing_of_a_runs_secrets: RunSecrets;
}
