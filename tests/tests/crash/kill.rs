//! `kill -9` just before each storage call of each operation, so between any two of them.

use crate::store::Subject;
use catalyst_tests::storage::Op;
use catalyst_tests::strace::Order;

/// Kills `op` everywhere; fewer than `least` calls mean that the tracer saw something else.
async fn everywhere(op: Op, least: usize) {
    let subject = Subject::new(op).await;
    let writes = subject.points.iter().filter(|point| point.writes()).count();
    assert!(writes >= least, "{op:?} makes only {writes} writing calls: {:?}", subject.points);
    for point in &subject.points {
        let folder = subject.folder();
        let ended = subject.run(folder.path(), &Order::Kill(point), "");
        assert!(ended.killed && ended.outcomes.is_empty(), "{op:?} lived through {point:?}: {ended:?}");
        subject.check(folder.path(), None, &format!("{op:?} killed at {point:?}")).await;
    }
}

macro_rules! campaign {
    ($($name:ident: $op:ident, $least:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            everywhere(Op::$op, $least).await;
        }
    )*};
}

// Beside each operation: the calls without which it could not be durable (temporary file, sync, rename, sync of the
// folder), and those of what it does besides.
campaign! {
    a_killed_start_on_nothing: OpenFresh, 12;
    e7_a_killed_start_on_left_overs: OpenLeftovers, 8;
    e4_a_killed_create: Create, 4;
    e4_a_killed_put: Put, 8;
    e4_a_killed_put_that_makes_the_folder: PutWithoutFolder, 10;
    e4_a_killed_transition: Transition, 4;
    a_killed_end_of_a_destroy: DestroyFinished, 5;
    a_killed_first_entry: FirstEntry, 3;
    a_killed_next_entry: NextEntry, 2;
    a_killed_entry_after_a_torn_one: EntryAfterTear, 2;
    f10_a_killed_first_state: FirstState, 6;
    f10_a_killed_state_that_pushes_another_out: EleventhState, 5;
    f10_a_killed_state_that_seals_the_earlier_ones: SealedState, 12;
    a_killed_lock: Lock, 4;
    a_killed_unlock: Unlock, 2;
    a_killed_bundle: Bundle, 4;
    a_killed_put_where_all_is_sealed: SealedPut, 8;
    a_killed_sealing_of_a_runs_secrets: RunSecrets, 6;
}
