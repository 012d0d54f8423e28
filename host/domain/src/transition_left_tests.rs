//! What a failed run left in the cloud, as the deployment goes on.

use super::*;
use crate::LeftResource;

fn left(address: &str, in_state: bool) -> LeftResource {
    LeftResource::new(address, "7", in_state)
}

#[test]
fn what_is_left_stands_beside_the_error_until_a_run_begins_and_what_no_state_has_until_the_end() {
    let both = Fact::LeftBehind(vec![left("t.kept", true), left("t.lost", false)]);
    let failed = after(&fresh(), &[Fact::ApplyBegan, both.clone(), facts().remove(4)]);
    assert_eq!((failed.status, failed.error.as_str()), (Status::Failed, "tofu apply: no stock"));
    assert_eq!(failed.left, [left("t.lost", false), left("t.kept", true)]);
    let retried = after(&failed, &[Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: None }]);
    assert_eq!(retried.left, [left("t.lost", false)]);
    let again = after(&retried, &[Fact::Interrupted { error: "restarted".into() }, both.clone()]);
    let destroyed = after(&again, &[Fact::DestroyRequested, Fact::DestroyFinished]);
    assert_eq!((destroyed.status, destroyed.left.as_slice()), (Status::Destroyed, [left("t.lost", false)].as_slice()));
    assert_eq!(apply(&destroyed, &both, at(9)).unwrap_err(), Refused::Stale(Status::Destroyed));
    let text = serde_json::to_string(&again).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), again);
    assert!(!serde_json::to_string(&fresh()).unwrap().contains("left"), "older releases wrote no such key");
}

#[test]
fn every_other_state_takes_what_is_left_and_stays_as_it_is() {
    for shape in shapes().into_iter().filter(|shape| shape.status != Status::Destroyed) {
        let before = record(shape);
        let after = apply(&before, &Fact::LeftBehind(vec![left("t.x", true)]), at(9)).unwrap();
        assert_eq!((after.status, after.left.len()), (before.status, 1), "{shape:?}");
        assert_eq!(Record { left: Vec::new(), ..after }, before, "{shape:?}");
    }
}
