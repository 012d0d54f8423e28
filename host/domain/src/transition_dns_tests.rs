//! What happens to a pool name as the deployment goes on.

use super::*;

/// A record in pool mode after these facts.
fn pooled(facts: &[Fact]) -> Record {
    after(&fresh().with_reservation(&reservation()), facts)
}

fn dns_state(record: &Record) -> Option<DnsState> {
    record.dns.as_ref().map(|dns| dns.state)
}

#[test]
fn b1_the_name_is_published_right_after_the_outputs_beside_whatever_else_is_due() {
    let waiting = pooled(&[Fact::ApplyBegan, applied()]);
    assert_eq!(dns_state(&waiting), Some(DnsState::Publishing));
    assert_eq!(next_steps(&waiting), [Step::AwaitKubeconfig, Step::PublishDns]);
    let watching = after(&waiting, &[received()]);
    assert_eq!(next_steps(&watching), [Step::Watch, Step::PublishDns]);
    let published = after(&watching, &[Fact::Dns(DnsFact::Published)]);
    assert_eq!(next_steps(&published), [Step::Watch]);
}

#[test]
fn b2_a_name_that_is_not_published_is_seen_and_does_not_undo_the_cluster() {
    let failed = Fact::Dns(DnsFact::Failed { detail: "taken by another".into() });
    let watching = pooled(&[Fact::ApplyBegan, applied(), received(), failed]);
    assert_eq!((watching.status, dns_state(&watching)), (Status::Phase1Watching, Some(DnsState::Failed)));
    assert_eq!(watching.dns.as_ref().unwrap().detail, "taken by another");
    let ready = after(&watching, &[facts().remove(7)]);
    assert_eq!((ready.status, next_steps(&ready)), (Status::Ready, vec![]));
    // Still trying when the cluster is ready already: it goes on.
    let late = pooled(&[Fact::ApplyBegan, applied(), received(), facts().remove(7)]);
    assert_eq!((late.status, next_steps(&late)), (Status::Ready, vec![Step::PublishDns]));
}

#[test]
fn b3_an_interrupted_run_gives_its_name_back_and_a_retry_holds_a_new_one() {
    let began = pooled(&[Fact::ApplyBegan]);
    let interrupted = after(&began, &[on_start(&began, KubeconfigFile::Absent).unwrap()]);
    assert_eq!(next_steps(&interrupted), [Step::ReleaseDns]);
    let free = after(&interrupted, &[Fact::Dns(DnsFact::LetGo { left: None })]);
    assert_eq!((next_steps(&free), free.dns.clone(), free.pdm_reservation_token.as_str()), (vec![], None, ""));
    let again = PoolReservation { token: "t3".into(), ..reservation() };
    let retried =
        after(&free, &[Fact::Phase0Retried { repair: None, data_loss_accepted: false, reservation: Some(again) }]);
    assert_eq!((retried.pdm_reservation_token.as_str(), dns_state(&retried)), ("t3", Some(DnsState::Reserved)));
    assert_eq!(next_steps(&retried), [Step::Provision]);
    // A release that ends only now no longer counts.
    assert!(apply(&retried, &Fact::Dns(DnsFact::LetGo { left: None }), at(30)).is_err());
}

#[test]
fn a_name_that_points_at_the_same_address_is_left_alone_by_a_retry() {
    let failed = pooled(&[Fact::ApplyBegan, applied(), received(), Fact::Dns(DnsFact::Published), facts().remove(8)]);
    let retry = retried();
    let again = after(&failed, &[retry.clone(), Fact::ApplyBegan, applied()]);
    assert_eq!(dns_state(&again), Some(DnsState::Published));
    let Fact::Applied(mut moved) = applied() else { panic!("not the outputs") };
    moved.load_balancer_ip = "192.0.2.9".into();
    let moved = after(&failed, &[retry, Fact::ApplyBegan, Fact::Applied(moved)]);
    assert_eq!(dns_state(&moved), Some(DnsState::Publishing));
}

#[test]
fn a_destroy_gives_the_name_back_and_a_release_that_fails_is_seen_once() {
    let published = pooled(&[Fact::ApplyBegan, applied(), Fact::Dns(DnsFact::Published)]);
    let gone = after(&published, &[Fact::DestroyRequested, Fact::DestroyFinished]);
    assert_eq!(next_steps(&gone), [Step::ReleaseDns]);
    let left = after(&gone, &[Fact::Dns(DnsFact::LetGo { left: Some("500".into()) })]);
    assert_eq!((next_steps(&left), dns_state(&left)), (vec![], Some(DnsState::Failed)));
}
