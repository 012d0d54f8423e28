//! Many callers at once.

use crate::kit::*;
use catalyst_domain::{Fact, Status};
use catalyst_store::{AcceptError, CreateError, RecordError, Store};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn h3_of_many_puts_one_wins_and_its_file_stands() {
    const ROUNDS: u64 = 5;
    const RACERS: u64 = 1000;
    let volume = Volume::new();
    let store = volume.open();
    for round in 0..ROUNDS {
        store.create(record(round)).await.unwrap();
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let store = store.clone();
            racers.spawn(async move {
                let body = kubeconfig("192.0.2.7", &format!("t{racer}"));
                (store.accept_kubeconfig(&id(round), BEARER, &body, at(1)).await, body)
            });
        }
        let mut winners = Vec::new();
        let mut losers = 0;
        while let Some(ended) = racers.join_next().await {
            match ended.unwrap() {
                (Ok(_), body) => winners.push(body),
                (Err(AcceptError::AlreadySet { same: false }), _) => losers += 1,
                (Err(other), _) => panic!("{other}"),
            }
        }
        assert_eq!((winners.len(), losers), (1, RACERS - 1));
        assert_eq!(std::fs::read(volume.kubeconfig(&id(round))).unwrap(), winners[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a14_of_many_equal_facts_one_is_recorded() {
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    store.record(&id(1), &failed(), at(1)).await.unwrap();
    let mut racers = JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        let retry = Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
        racers.spawn(async move { store.record(&id(1), &retry, at(2)).await });
    }
    let ended = racers.join_all().await;
    assert_eq!(ended.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(ended.iter().all(|result| !matches!(result, Err(RecordError::Storage(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d9_readers_see_whole_records_while_they_change() {
    const ROUNDS: i64 = 200;
    let volume = Volume::new();
    let store = volume.open();
    store.create(record(1)).await.unwrap();
    let (done, watching) = tokio::sync::watch::channel(false);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), watching.clone());
            tokio::spawn(async move {
                let mut seen = (0_u64, 0_u64);
                while !*done.borrow() {
                    let record = store.get(&id(1)).unwrap();
                    let over = record.status == Status::Failed;
                    let parts = (record.finished_at.is_some(), !record.error.is_empty());
                    assert_eq!(parts, (over, over), "half of one state and half of another: {record:?}");
                    *(if over { &mut seen.0 } else { &mut seen.1 }) += 1;
                    tokio::task::yield_now().await;
                }
                seen
            })
        })
        .collect();
    let retry = Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
    for round in 0..ROUNDS {
        store.record(&id(1), &failed(), at(round)).await.unwrap();
        store.record(&id(1), &retry, at(round)).await.unwrap();
    }
    done.send(true).unwrap();
    for reader in readers {
        let (failed, running) = reader.await.unwrap();
        assert!(failed > 0 && running > 0, "both states must have been read: {failed} {running}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a16_of_many_creates_for_one_name_one_wins() {
    let volume = Volume::new();
    let store = volume.open();
    let mut racers = JoinSet::new();
    for number in 0..100 {
        let store = store.clone();
        racers.spawn(async move { store.create(named(number, "a.example")).await });
    }
    let ended = racers.join_all().await;
    assert_eq!(ended.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(ended.iter().all(|result| matches!(result, Ok(_) | Err(CreateError::NameTaken { .. }))));
    assert_eq!(store.list().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e1_concurrent_writers_lose_nothing() {
    const WRITERS: u64 = 20;
    const EACH: u64 = 25;
    let volume = Volume::new();
    let store = volume.open();
    for number in 1..=2 {
        store.create(record(number)).await.unwrap();
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                store.append(&id(writer % 2 + 1), vec![entry(format!("{writer}/{n}"))]).await.unwrap();
            }
        });
    }
    let viewers: Vec<_> = (0..3).map(|_| tokio::spawn(view(store.clone(), WRITERS / 2 * EACH))).collect();
    writers.join_all().await;
    let mut seen = Vec::new();
    for viewer in viewers {
        seen.push(viewer.await.unwrap());
    }
    drop(store);
    let all = read_all(&*volume.open(), &id(1)).await;
    assert_eq!(all.len() as u64, WRITERS / 2 * EACH);
    assert!(all.iter().zip(1..).all(|(numbered, number)| numbered.number == number));
    for writer in (0..WRITERS).step_by(2) {
        let own: Vec<_> = messages(&all).into_iter().filter(|m| m.starts_with(&format!("{writer}/"))).collect();
        assert_eq!(own, (0..EACH).map(|n| format!("{writer}/{n}")).collect::<Vec<_>>(), "in the order of the writer");
    }
    assert!(seen.iter().all(|entries| *entries == all), "every viewer saw every entry once and in order");
}

// A viewer as the event stream is one: read, then wait, then read on.
async fn view(store: Arc<dyn Store>, until: u64) -> Vec<catalyst_store::Numbered> {
    let mut news = store.watch(&id(1)).unwrap();
    let mut seen = Vec::new();
    while (seen.len() as u64) < until {
        news.borrow_and_update();
        let more = store.read(&id(1), seen.len() as u64, 7).await.unwrap();
        if more.is_empty() {
            news.changed().await.unwrap();
        }
        seen.extend(more);
    }
    seen
}

// Begins a call and goes away at its first wait, as a handler does whose client hung up.
fn begin_and_drop<T>(call: impl Future<Output = T>) -> bool {
    let mut call = Box::pin(call);
    let mut context = Context::from_waker(Waker::noop());
    call.as_mut().poll(&mut context).is_pending()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_caller_that_goes_away_leaves_memory_and_disk_equal() {
    let volume = Volume::new();
    let store = volume.open();
    let put = kubeconfig("192.0.2.7", "t");
    let mut cut_off = 0;
    for number in 0..40 {
        begin_and_drop(store.create(record(number)));
        while store.get(&id(number)).is_none() {
            tokio::task::yield_now().await;
        }
        begin_and_drop(store.append(&id(number), vec![entry("one")]));
        cut_off += u64::from(begin_and_drop(store.accept_kubeconfig(&id(number), BEARER, &put, at(1))));
        // Goes away while it waits for the lock that the one before holds.
        begin_and_drop(store.record(
            &id(number),
            &Fact::Rendered { digest: "d".to_owned(), rights: Vec::new(), host_secrets: Default::default() },
            at(1),
        ));
        let begun = store.record(&id(number), &Fact::ApplyBegan, at(2)).await.unwrap();
        assert!(begun.has_kubeconfig() && store.kubeconfig_present(&id(number)), "begun means done");
        assert_eq!(store.append(&id(number), vec![entry("two")]).await.unwrap(), 2);
        assert_eq!(store.put_state(&id(number), b"1", None).await.map_err(|e| e.to_string()), Ok(()));
        begin_and_drop(store.put_state(&id(number), b"2", None));
        assert_eq!(store.state(&id(number)).await.unwrap().unwrap(), b"2");
    }
    assert!(cut_off > 20, "{cut_off}");
    let before = store.list();
    drop(store);
    assert_eq!(volume.open().list(), before);
}
