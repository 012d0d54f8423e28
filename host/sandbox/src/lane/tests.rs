//! Lanes with work that only burns and waits: who moves aside, who waits, and who is counted.

use std::sync::Mutex;

use super::*;

fn burn(time: Duration) {
    let begun = thread_time();
    while thread_time().saturating_sub(begun) < time {
        std::hint::spin_loop();
    }
}

fn place() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// The names of the threads on which a call begins and ends, with this much work before it yields.
async fn places(lanes: &Lanes, standing: &Arc<Standing>, work: Duration, end: Result<(), ()>) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let call = || {
        let see = Arc::clone(&seen);
        async move {
            see.lock().unwrap().push(place());
            burn(work);
            tokio::task::yield_now().await;
            see.lock().unwrap().push(place());
            end
        }
    };
    assert_eq!(lanes.run(standing, call, |()| true).await, Ok(end));
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test]
async fn a_long_call_moves_and_the_next_one_begins_aside() {
    let (lanes, standing) = (Lanes::start().unwrap(), Arc::<Standing>::default());
    let here = place();
    let short = places(&lanes, &standing, Duration::ZERO, Ok(())).await;
    assert_eq!(short, [here.clone(), here.clone()]);
    let long = places(&lanes, &standing, QUICK_SLICE * 2, Ok(())).await;
    assert_eq!(long, [here.as_str(), "plugin-slow"]);
    assert!(standing.is_slow());
    assert_eq!(places(&lanes, &standing, Duration::ZERO, Ok(())).await, ["plugin-slow", "plugin-slow"]);
    // Another plugin's calls stay where they are.
    let other = Arc::<Standing>::default();
    assert_eq!(places(&lanes, &other, Duration::ZERO, Err(())).await[1], here, "it failed after it ran");
    assert!(other.is_slow(), "a failure counts too");
}

#[tokio::test]
async fn waiting_is_no_work_and_work_elsewhere_is() {
    let (lanes, standing) = (Lanes::start().unwrap(), Arc::<Standing>::default());
    let waits = || async {
        tokio::time::sleep(QUICK_SLICE * 4).await;
        Ok::<(), ()>(())
    };
    assert_eq!(lanes.run(&standing, waits, |()| true).await, Ok(Ok(())));
    assert!(!standing.is_slow());
    let reads = || async {
        blocking(|| burn(QUICK_SLICE * 2)).await.unwrap();
        Ok::<(), ()>(())
    };
    assert_eq!(lanes.run(&standing, reads, |()| true).await, Ok(Ok(())));
    assert!(standing.is_slow());
}

#[tokio::test]
async fn work_that_goes_on_when_its_caller_has_left_counts() {
    let (lanes, standing) = (Lanes::start().unwrap(), Arc::<Standing>::default());
    let reads = || async {
        blocking(|| burn(QUICK_SLICE * 2)).await.unwrap();
        Ok::<(), ()>(())
    };
    let mut call = Box::pin(lanes.run(&standing, reads, |()| true));
    assert!(poll(&mut call).await.is_none());
    drop(call);
    let begun = Instant::now();
    while !standing.is_slow() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody counted it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn work_that_goes_on_keeps_its_place_in_the_slow_lane() {
    let (lanes, standing) = (Lanes::start().unwrap(), Arc::<Standing>::default());
    standing.strike();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let reads = || {
        let gate = Arc::clone(&gate);
        async move {
            blocking(move || gate.lock().unwrap().recv()).await.unwrap().unwrap();
            Ok::<(), ()>(())
        }
    };
    let held = async |lanes: &Lanes, slots: usize| {
        let begun = Instant::now();
        while lanes.slots.available_permits() != SLOW_CALLS_AT_ONCE - slots {
            assert!(begun.elapsed() < Duration::from_secs(30), "{slots} are never held");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut call = Box::pin(lanes.run(&standing, reads, |()| true));
    assert!(poll(&mut call).await.is_none());
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(call);
    tokio::time::sleep(Duration::from_millis(200)).await;
    held(&lanes, 1).await;
    go.send(()).unwrap();
    held(&lanes, 0).await;
}

#[tokio::test]
async fn a_long_call_that_finds_the_slow_lane_full_begins_again_when_there_is_room() {
    let lanes = Lanes::start().unwrap();
    let forever = || async {
        burn(QUICK_SLICE * 2);
        tokio::task::yield_now().await;
        std::future::pending::<Result<(), ()>>().await
    };
    let standings: Vec<Arc<Standing>> = (0..SLOW_CALLS_AT_ONCE).map(|_| Arc::<Standing>::default()).collect();
    let mut long = Vec::new();
    for standing in &standings {
        let mut call = Box::pin(lanes.run(standing, forever, |()| true));
        assert!(poll(&mut call).await.is_none());
        long.push(call);
    }
    // The first long call of a plugin that did nothing wrong.
    let (honest, seen, held) = (Arc::<Standing>::default(), Arc::new(Mutex::new(Vec::new())), Arc::new(()));
    let begin = || {
        let (see, held) = (Arc::clone(&seen), Arc::clone(&held));
        async move {
            let _held = held;
            see.lock().unwrap().push(place());
            burn(QUICK_SLICE * 2);
            tokio::task::yield_now().await;
            Ok::<(), ()>(())
        }
    };
    let mut call = Box::pin(lanes.run(&honest, begin, |()| true));
    for _ in 0..10 {
        assert!(poll(&mut call).await.is_none(), "there is no room");
    }
    assert_eq!(Arc::strong_count(&held), 1, "while it waits it holds nothing");
    drop(long);
    assert_eq!(call.await, Ok(Ok(())));
    assert_eq!(*seen.lock().unwrap(), [place().as_str(), "plugin-slow"]);
}

async fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match Pin::new(&mut *future).poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
