//! What every form of the store must do. A further form only needs a factory here.

use crate::kit::*;
use catalyst_domain::Refused;
use catalyst_domain::kubeconfig::{BearerFault, BodyFault};
use catalyst_domain::{Fact, Status};
use catalyst_store::{AcceptError, CreateError, KubeconfigError, RecordError, StateError, Store};
use std::sync::Arc;

/// Opens the same contents again each time. The one before is dropped first.
pub trait Factory {
    fn open(&self) -> Arc<dyn Store>;
}

impl Factory for Volume {
    fn open(&self) -> Arc<dyn Store> {
        self.open()
    }
}

async fn conformance<F: Factory>(new: impl Fn() -> F) {
    records(&new()).await;
    names(&new()).await;
    a_name_that_moved_on(&new()).await;
    logs(&new()).await;
    viewers(&new()).await;
    kubeconfigs(&new()).await;
    early_kubeconfig(&new()).await;
    early_foreign_kubeconfig(&new()).await;
    a_destroy(&new()).await;
    states(&new()).await;
    unknown_ids(&new()).await;
}

#[tokio::test]
async fn files_conform() {
    conformance(Volume::new).await;
}

#[tokio::test]
async fn files_with_sealed_states_conform() {
    let key = catalyst_store::StateKey::parse(&"5e".repeat(32)).unwrap();
    conformance(|| Volume::with_key(key.clone())).await;
}

async fn records(factory: &impl Factory) {
    let store = factory.open();
    assert!(store.list().is_empty() && store.unusable().is_none());
    let created = store.create(record(2)).await.unwrap();
    assert_eq!(*created, record(2));
    store.create(record(1)).await.unwrap();
    assert!(
        matches!(store.create(named(1, "other.example")).await, Err(CreateError::IdTaken(taken)) if taken == id(1))
    );
    let begun = store.record(&id(1), &Fact::ApplyBegan, at(9)).await.unwrap();
    assert_eq!(begun.status, Status::TofuApplying);
    assert_eq!(store.get(&id(1)).unwrap(), begun);
    let refused = store.record(&id(1), &Fact::ApplyBegan, at(9)).await.unwrap_err();
    assert!(matches!(refused, RecordError::Refused(Refused::Stale(Status::TofuApplying))), "{refused}");
    assert_eq!(store.get(&id(1)).unwrap(), begun, "a refused fact changes nothing");

    let before = store.list();
    assert_eq!(before.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), [id(1), id(2)], "oldest first");
    drop(store);
    assert_eq!(factory.open().list(), before);
}

async fn names(factory: &impl Factory) {
    let store = factory.open();
    store.create(named(1, "a.example")).await.unwrap();
    let taken = store.create(named(2, "A.example.")).await.unwrap_err();
    assert_eq!(taken.to_string(), format!("A.example. belongs to deployment {}, which is provisioning", id(1)));
    // What failed and left something keeps the name; what left nothing gives it up.
    store.put_state(&id(1), br#"{"resources":[{"mode":"managed"}]}"#, None).await.unwrap();
    store.record(&id(1), &failed(), at(1)).await.unwrap();
    let taken = store.create(named(2, "a.example")).await.unwrap_err();
    assert!(matches!(&taken, CreateError::NameTaken { status: Status::Failed, .. }), "{taken}");
    store.put_state(&id(1), br#"{"resources":[]}"#, None).await.unwrap();
    store.lock_state(&id(1), br#"{"ID":"x"}"#).await.unwrap();
    store.create(named(2, "a.example")).await.unwrap_err();
    store.unlock_state(&id(1), None).await.unwrap();
    store.create(named(2, "a.example")).await.unwrap();
    assert!(store.get(&id(2)).is_some());
}

async fn a_destroy(factory: &impl Factory) {
    let store = factory.open();
    store.create(named(1, "a.example")).await.unwrap();
    for fact in [Fact::ApplyBegan, Fact::Applied(endpoints("192.0.2.7"))] {
        store.record(&id(1), &fact, at(1)).await.unwrap();
    }
    let body = kubeconfig("192.0.2.7", "t");
    store.accept_kubeconfig(&id(1), BEARER, &body, at(2)).await.unwrap();
    store.record(&id(1), &Fact::DestroyRequested, at(3)).await.unwrap();
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), body, "it stays until its cluster is gone");
    store.record(&id(1), &Fact::DestroyFinished, at(4)).await.unwrap();
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::Destroyed)));
    assert!(!store.kubeconfig_present(&id(1)) && !store.kubeconfig_missing(&id(1)).await);
    let late = store.accept_kubeconfig(&id(1), BEARER, &body, at(5)).await.unwrap_err();
    assert!(matches!(late, AcceptError::Bearer(BearerFault::Removed(Status::Destroyed))), "{late}");
    store.create(named(2, "a.example")).await.unwrap();
}

async fn a_name_that_moved_on(factory: &impl Factory) {
    let store = factory.open();
    store.create(named(1, "a.example")).await.unwrap();
    store.record(&id(1), &failed(), at(1)).await.unwrap();
    store.create(named(2, "a.example")).await.unwrap();
    let retry = Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None };
    let refused = store.record(&id(1), &retry, at(2)).await.unwrap_err();
    assert!(matches!(&refused, RecordError::NameTaken { owner, .. } if *owner == id(2)), "{refused}");
    assert_eq!(store.get(&id(1)).unwrap().status, Status::Failed);
    store.record(&id(2), &failed(), at(3)).await.unwrap();
    assert_eq!(store.record(&id(1), &retry, at(4)).await.unwrap().status, Status::Provisioning);
}

async fn logs(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    assert_eq!(store.count(&id(1)).await.unwrap(), 0);
    assert_eq!(store.append(&id(1), vec![]).await.unwrap(), 0);
    assert_eq!(store.append(&id(1), vec![entry("one"), entry("two\n\"…\u{0}")]).await.unwrap(), 2);
    let many = (3..=300).map(|n| entry(n.to_string())).collect();
    assert_eq!(store.append(&id(1), many).await.unwrap(), 300);
    for (after, limit, first, len) in
        [(0, 2, 1, 2), (1, 1, 2, 1), (62, 4, 63, 4), (63, 3, 64, 3), (64, 1, 65, 1), (298, 9, 299, 2), (0, 999, 1, 300)]
    {
        let read = store.read(&id(1), after, limit).await.unwrap();
        let numbers: Vec<u64> = read.iter().map(|numbered| numbered.number).collect();
        assert_eq!(numbers, (first..first + len).collect::<Vec<_>>(), "after {after}, limit {limit}");
    }
    for (after, limit) in [(300, 5), (301, 5), (u64::MAX, usize::MAX), (0, 0)] {
        assert!(store.read(&id(1), after, limit).await.unwrap().is_empty(), "after {after}, limit {limit}");
    }
    let before = read_all(&*store, &id(1)).await;
    assert_eq!(before[1].entry, entry("two\n\"…\u{0}"));
    drop(store);
    let store = factory.open();
    assert_eq!(read_all(&*store, &id(1)).await, before);
    assert_eq!(store.append(&id(1), vec![entry("next")]).await.unwrap(), 301);
}

async fn viewers(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    let mut viewer = store.watch(&id(1)).unwrap();
    store.append(&id(1), vec![entry("x"), entry("y")]).await.unwrap();
    assert!(viewer.has_changed().unwrap());
    assert_eq!(viewer.borrow_and_update().last, 2);
    store.record(&id(1), &Fact::ApplyBegan, at(1)).await.unwrap();
    let progress = *viewer.borrow_and_update();
    assert_eq!((progress.last, progress.version), (2, 1));
    store.record(&id(1), &Fact::ApplyBegan, at(1)).await.unwrap_err();
    store.read(&id(1), 0, 9).await.unwrap();
    assert!(!viewer.has_changed().unwrap(), "nothing new, no wake-up");
    drop(viewer);
    drop(store);
    let store = factory.open();
    let mut viewer = store.watch(&id(1)).unwrap();
    assert_eq!(store.read(&id(1), 0, 9).await.unwrap().len(), 2);
    assert_eq!(viewer.borrow_and_update().last, 2);
}

async fn kubeconfigs(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    let good = kubeconfig("192.0.2.7", "t");
    let put = |bearer: &'static str, body: Vec<u8>| {
        let store = store.clone();
        async move { store.accept_kubeconfig(&id(1), bearer, &body, at(5)).await }
    };
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::NotYet)));
    assert!(!store.kubeconfig_present(&id(1)));
    store.record(&id(1), &Fact::ApplyBegan, at(1)).await.unwrap();
    store.record(&id(1), &Fact::Applied(endpoints("192.0.2.7")), at(2)).await.unwrap();
    assert!(matches!(put("wrong", good.clone()).await, Err(AcceptError::Bearer(BearerFault::Invalid))));
    assert!(matches!(put(BEARER, vec![]).await, Err(AcceptError::Body(BodyFault::Invalid(_)))));
    assert!(matches!(put(BEARER, b"<html>".to_vec()).await, Err(AcceptError::Body(BodyFault::Invalid(_)))));
    let hostile = String::from_utf8(good.clone()).unwrap().replace("token: t", "exec: {command: sh}");
    assert!(matches!(put(BEARER, hostile.into_bytes()).await, Err(AcceptError::Body(BodyFault::Unsafe(_)))));
    let foreign = put(BEARER, kubeconfig("192.0.2.8", "t")).await;
    assert!(matches!(foreign, Err(AcceptError::Body(BodyFault::ForeignServer { .. }))));
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::NotYet)), "the bearer is not used up");

    let accepted = put(BEARER, good.clone()).await.unwrap();
    assert_eq!(accepted.status, Status::Phase1Watching);
    assert_eq!(accepted.result.as_ref().unwrap().kubeconfig_path, format!("{}.yaml", id(1)));
    assert!(matches!(put(BEARER, good.clone()).await, Err(AcceptError::AlreadySet { same: true })));
    let other = put(BEARER, kubeconfig("192.0.2.7", "u")).await;
    assert!(matches!(other, Err(AcceptError::AlreadySet { same: false })));
    assert!(matches!(put(BEARER, vec![]).await, Err(AcceptError::AlreadySet { same: false })), "before the body");
    assert!(matches!(put("wrong", good.clone()).await, Err(AcceptError::Bearer(BearerFault::Invalid))));
    drop(store);
    let store = factory.open();
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), good);
    assert!(store.kubeconfig_present(&id(1)));
    assert_eq!(store.get(&id(1)).unwrap(), accepted);
}

async fn early_kubeconfig(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    let body = kubeconfig("192.0.2.7", "t");
    let early = store.accept_kubeconfig(&id(1), BEARER, &body, at(1)).await.unwrap();
    assert_eq!(early.status, Status::Provisioning);
    assert!(matches!(store.kubeconfig(&id(1)).await, Err(KubeconfigError::Unchecked)));
    store.record(&id(1), &Fact::ApplyBegan, at(2)).await.unwrap();
    let applied = store.record(&id(1), &Fact::Applied(endpoints("192.0.2.7")), at(3)).await.unwrap();
    assert_eq!(applied.status, Status::Phase1Watching);
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), body);
    store.record(&id(1), &Fact::DestroyRequested, at(4)).await.unwrap();
    let late = store.accept_kubeconfig(&id(1), BEARER, &body, at(5)).await;
    assert!(matches!(late, Err(AcceptError::Bearer(BearerFault::Removed(Status::Destroying)))));
}

async fn early_foreign_kubeconfig(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    let (foreign, good) = (kubeconfig("127.0.0.1", "t"), kubeconfig("192.0.2.7", "t"));
    store.record(&id(1), &Fact::ApplyBegan, at(1)).await.unwrap();
    store.accept_kubeconfig(&id(1), BEARER, &foreign, at(2)).await.unwrap();
    let applied = store.record(&id(1), &Fact::Applied(endpoints("192.0.2.7")), at(3)).await.unwrap();
    assert_eq!(applied.status, Status::FluxBootstrapping);
    let refused = store.kubeconfig(&id(1)).await;
    assert!(matches!(&refused, Err(KubeconfigError::Refused(why)) if why.contains("127.0.0.1")), "{refused:?}");
    assert!(!store.kubeconfig_present(&id(1)));
    drop(store);
    let store = factory.open();
    assert!(store.accept_kubeconfig(&id(1), BEARER, &foreign, at(4)).await.is_err());
    store.accept_kubeconfig(&id(1), BEARER, &good, at(5)).await.unwrap();
    assert_eq!(store.kubeconfig(&id(1)).await.unwrap(), good, "the bearer counted again");
}

async fn states(factory: &impl Factory) {
    let store = factory.open();
    store.create(record(1)).await.unwrap();
    store.create(record(2)).await.unwrap();
    assert_eq!(store.state(&id(1)).await.unwrap(), None);
    assert!(store.state_is_empty(&id(1)).await.unwrap());
    assert!(matches!(store.put_state(&id(1), b"{}", Some("x")).await, Err(StateError::NotLocked)));
    assert!(matches!(store.unlock_state(&id(1), Some("x")).await, Err(StateError::NotLocked)));
    store.unlock_state(&id(1), None).await.unwrap();
    assert!(matches!(store.lock_state(&id(1), b"no json").await, Err(StateError::Storage(_))));

    let info = br#"{"ID":"x","Operation":"OperationTypeApply"}"#;
    store.lock_state(&id(1), info).await.unwrap();
    store.lock_state(&id(1), info).await.unwrap();
    let second = store.lock_state(&id(1), br#"{"ID":"y"}"#).await;
    assert!(matches!(second, Err(StateError::Locked { info: holder }) if holder == info));
    store.lock_state(&id(2), br#"{"ID":"y"}"#).await.unwrap();
    for wrong in [None, Some("y")] {
        assert!(matches!(store.put_state(&id(1), b"{}", wrong).await, Err(StateError::Locked { .. })), "{wrong:?}");
    }
    assert!(matches!(store.unlock_state(&id(1), Some("y")).await, Err(StateError::Locked { .. })));
    for version in 1..=12 {
        let state = format!(r#"{{"serial":{version},"resources":[{{"mode":"managed"}}]}}"#);
        store.put_state(&id(1), state.as_bytes(), Some("x")).await.unwrap();
    }
    store.put_bundle(&id(1), b"{\"files\":[]}").await.unwrap();
    drop(store);
    let store = factory.open();
    assert!(store.state(&id(1)).await.unwrap().unwrap().starts_with(br#"{"serial":12"#));
    assert_eq!(store.bundle(&id(1)).await.unwrap().unwrap(), b"{\"files\":[]}");
    assert_eq!(store.bundle(&id(2)).await.unwrap(), None);
    let held = store.lock_state(&id(1), br#"{"ID":"z"}"#).await;
    assert!(matches!(held, Err(StateError::Locked { .. })), "a lock outlives the process");
    store.unlock_state(&id(1), Some("x")).await.unwrap();
    assert!(!store.state_is_empty(&id(1)).await.unwrap());
    for (state, empty) in
        [("{}", false), (r#"{"resources":[{"mode":"data"}]}"#, true), ("", true), ("encrypted", false), ("[]", false)]
    {
        store.put_state(&id(1), state.as_bytes(), None).await.unwrap();
        assert_eq!(store.state_is_empty(&id(1)).await.unwrap(), empty, "{state}");
    }
}

async fn unknown_ids(factory: &impl Factory) {
    let store = factory.open();
    let nobody = id(404);
    assert!(store.get(&nobody).is_none() && store.watch(&nobody).is_none() && !store.kubeconfig_present(&nobody));
    assert!(matches!(store.record(&nobody, &Fact::ApplyBegan, at(0)).await, Err(RecordError::Unknown)));
    assert!(matches!(store.append(&nobody, vec![entry("x")]).await, Err(RecordError::Unknown)));
    assert!(matches!(store.read(&nobody, 0, 1).await, Err(RecordError::Unknown)));
    assert!(matches!(store.count(&nobody).await, Err(RecordError::Unknown)));
    assert!(matches!(store.accept_kubeconfig(&nobody, BEARER, b"", at(0)).await, Err(AcceptError::Unknown)));
    assert!(matches!(store.kubeconfig(&nobody).await, Err(KubeconfigError::Unknown)));
    assert!(store.put_bundle(&nobody, b"{}").await.is_err());
    assert!(store.put_state(&nobody, b"{}", None).await.is_err());
}
