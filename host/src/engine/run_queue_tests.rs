//! Whose turn it is, in every order, and that no place is lost or given twice.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn turn(class: RunClass, subject: &str) -> Turn {
    Turn { class, subject: subject.into() }
}

fn taken(queue: &Arc<RunQueue>, class: RunClass, subject: &str) -> RunPlace {
    match queue.enter(&turn(class, subject)) {
        Entered::Place(place) => place,
        Entered::Waiting(_) => panic!("no place is free"),
    }
}

fn waiting(queue: &Arc<RunQueue>, class: RunClass, subject: &str) -> Waiting {
    match queue.enter(&turn(class, subject)) {
        Entered::Waiting(waiting) => waiting,
        Entered::Place(_) => panic!("a place was free"),
    }
}

fn given(waiting: &mut Waiting) -> Option<RunPlace> {
    waiting.place.try_recv().ok()
}

/// Frees the place until nobody waits, and tells in which order those that waited got it.
fn order(queue: &Arc<RunQueue>, mut held: RunPlace, mut all: Vec<(&'static str, Waiting)>) -> Vec<&'static str> {
    let mut order = Vec::new();
    while !all.is_empty() {
        drop(held);
        let mut got: Vec<_> = all.iter_mut().enumerate().filter_map(|(n, (_, one))| Some((n, given(one)?))).collect();
        assert_eq!(got.len(), 1, "a place goes to exactly one");
        let (n, place) = got.remove(0);
        order.push(all.remove(n).0);
        held = place;
    }
    drop(held);
    assert_eq!(queue.going(""), (0, 1));
    order
}

#[test]
fn destroys_and_retries_come_before_creates_and_subjects_take_turns() {
    use RunClass::{Create, TakeUp};
    let queue = RunQueue::new(1);
    let held = taken(&queue, Create, "a");
    let mut all = Vec::new();
    for (name, class, subject) in [
        ("a1", Create, "a"),
        ("a2", Create, "a"),
        ("a3", Create, "a"),
        ("b1", Create, "b"),
        ("a: destroy", TakeUp, "a"),
        ("b2", Create, "b"),
        ("a: retry", TakeUp, "a"),
        ("c: destroy", TakeUp, "c"),
        ("c1", Create, "c"),
    ] {
        all.push((name, waiting(&queue, class, subject)));
    }
    let expect = ["a: destroy", "c: destroy", "a: retry", "a1", "b1", "c1", "a2", "b2", "a3"];
    assert_eq!(order(&queue, held, all), expect);
}

#[test]
fn one_that_comes_when_sixty_of_another_wait_is_next_but_one() {
    let queue = RunQueue::new(1);
    let held = taken(&queue, RunClass::Create, "a");
    let mut all: Vec<_> = (0..60).map(|_| ("a", waiting(&queue, RunClass::Create, "a"))).collect();
    all.push(("b", waiting(&queue, RunClass::Create, "b")));
    let order = order(&queue, held, all);
    assert_eq!(order.iter().position(|name| *name == "b"), Some(1), "{order:?}");
}

#[test]
fn who_leaves_the_line_is_passed_over_and_its_subject_forgotten() {
    let queue = RunQueue::new(1);
    let held = taken(&queue, RunClass::Create, "a");
    let gone = waiting(&queue, RunClass::Create, "b");
    let mut stays = waiting(&queue, RunClass::Create, "c");
    drop(gone);
    assert_eq!(queue.line().create.turns, ["c".into()]);
    drop(held);
    assert!(given(&mut stays).is_some());
}

#[test]
fn a_place_that_was_given_to_one_who_leaves_before_taking_it_goes_on() {
    let queue = RunQueue::new(1);
    let held = taken(&queue, RunClass::Create, "a");
    let first = waiting(&queue, RunClass::Create, "b");
    let mut second = waiting(&queue, RunClass::Create, "c");
    drop(held);
    assert!(given(&mut second).is_none(), "it is the first one's");
    drop(first);
    let place = given(&mut second).unwrap();
    assert_eq!((queue.going("b"), queue.going("c")), ((0, 0), (1, 0)));
    drop(place);
    assert_eq!(queue.going("c"), (0, 1));
}

#[test]
fn who_retries_without_an_end_passes_a_create_of_another_a_few_times_only() {
    let queue = RunQueue::new(1);
    let mut place = taken(&queue, RunClass::TakeUp, "endless");
    let mut create = waiting(&queue, RunClass::Create, "other");
    for passed in 0.. {
        // The retrier always has one that waits.
        let mut retry = waiting(&queue, RunClass::TakeUp, "endless");
        drop(place);
        if given(&mut create).is_some() {
            assert_eq!(passed, TAKE_UPS_IN_A_ROW);
            break;
        }
        assert!(passed < TAKE_UPS_IN_A_ROW, "the create never has its turn");
        place = given(&mut retry).unwrap();
    }
}

#[test]
fn a_panic_frees_its_place() {
    let queue = RunQueue::new(1);
    let held = taken(&queue, RunClass::Create, "a");
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = held;
        panic!("a run broke");
    }));
    assert!(broken.is_err());
    drop(taken(&queue, RunClass::Create, "b"));
    assert_eq!(RunQueue::new(0).going("a"), (0, 1), "there is always one place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racers_never_share_a_place_and_none_is_lost() {
    const PLACES: usize = 3;
    let (queue, now) = (RunQueue::new(PLACES), Arc::new(AtomicUsize::new(0)));
    let racer = |n: usize| {
        let (queue, now) = (queue.clone(), now.clone());
        async move {
            let class = if n.is_multiple_of(3) { RunClass::TakeUp } else { RunClass::Create };
            let place = match queue.enter(&turn(class, &format!("s{}", n % 7))) {
                Entered::Place(place) => place,
                Entered::Waiting(mut waiting) => {
                    if n.is_multiple_of(5) {
                        // Leaves at any moment, also between being given a place and taking it.
                        tokio::task::yield_now().await;
                        return;
                    }
                    waiting.place().await.unwrap()
                }
            };
            assert!(now.fetch_add(1, Ordering::SeqCst) < PLACES);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            drop(place);
        }
    };
    let all: Vec<_> = (0..3_000).map(|n| tokio::spawn(racer(n))).collect();
    for one in all {
        tokio::time::timeout(std::time::Duration::from_secs(60), one).await.unwrap().unwrap();
    }
    let line = queue.line();
    assert_eq!((line.free, line.running.len()), (PLACES, 0));
    assert!(line.create.turns.is_empty() && line.create.waiting.is_empty() && line.take_up.waiting.is_empty());
}
