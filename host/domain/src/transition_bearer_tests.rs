//! Which server's bearer counts, and what becomes of the kubeconfig that it handed in, when that server is replaced.

use super::*;
use crate::bearer::StaleServer;
use crate::kubeconfig::{BearerFault, BearerOf, authorise, sha256_hex};

const OLD: &str = "the bearer of the old server";
const NEW: &str = "the bearer of the new server";

/// A deployment whose first run failed after it had made server 17.
fn made() -> Record {
    let mut fresh = fresh();
    fresh.kubeconfig_bearer_hash = sha256_hex(OLD.as_bytes());
    after(&fresh, &[judged(None), Fact::ApplyBegan, seen("17"), failed()])
}

fn failed() -> Fact {
    Fact::Phase0Failed { error: "tofu apply: no network".into() }
}

/// A retry whose plan makes the first server anew.
fn replacing() -> [Fact; 3] {
    let replacement = Replacement { bearer_hash: Some(sha256_hex(NEW.as_bytes())), ..anew("17", "") };
    [retried(), judged(Some(replacement)), Fact::ApplyBegan]
}

fn nothing_seen() -> Fact {
    Fact::ServersSeen { first: "x.first[0]".into(), servers: Vec::new() }
}

#[track_caller]
fn counts(record: &Record, old: Result<BearerOf, BearerFault>, new: Result<BearerOf, BearerFault>) {
    assert_eq!((authorise(record, OLD), authorise(record, NEW)), (old, new));
}

const FIRST: Result<BearerOf, BearerFault> = Ok(BearerOf::FirstServer);
const REPLACEMENT: Result<BearerOf, BearerFault> = Ok(BearerOf::Replacement);
const NONE: Result<BearerOf, BearerFault> = Err(BearerFault::Invalid);

#[test]
fn t1_the_record_says_which_server_holds_the_bearer() {
    assert_eq!(fresh().bearer_holder, Some(BearerHolder::Nobody));
    let given = after(&fresh(), &[judged(None)]);
    assert_eq!(given.bearer_holder, Some(BearerHolder::Pending { instead_of: None }), "before anything is applied");
    assert_eq!(after(&given, &[nothing_seen()]), given, "a state without it says nothing");
    let made = after(&given, &[seen("17")]);
    assert_eq!(made.bearer_holder, Some(BearerHolder::Server("17".into())));
    assert_eq!(after(&made, &[seen("18")]), made, "what another id means is the next plan's to say");
    let older: Record = serde_json::from_value(serde_json::json!({
        "schema": 1, "id": "0101010101010101", "status": "failed", "request": {}, "startedAt": at(0),
        "kubeconfigBearerHash": "ab"
    }))
    .unwrap();
    assert_eq!((older.bearer_holder.clone(), older.replacement.clone()), (None, None), "a release before kept none");
    assert_eq!(after(&older, &[seen("17")]).bearer_holder, Some(BearerHolder::Server("17".into())));
}

#[test]
fn t1_a_new_bearer_is_the_only_one_once_the_state_shows_the_new_server() {
    let handed_in = after(&made(), &[received()]);
    let going = after(&handed_in, &replacing());
    counts(&going, FIRST, REPLACEMENT);
    assert!(going.has_kubeconfig(), "the old server may live on");
    let replaced = after(&going, &[seen("18")]);
    counts(&replaced, NONE, FIRST);
    assert!(!replaced.has_kubeconfig() && replaced.replacement.is_none());
    assert_eq!(replaced.bearer_holder, Some(BearerHolder::Server("18".into())));
    let waits = after(&replaced, &[applied()]);
    assert_eq!(waits.status, Status::FluxBootstrapping);
    assert_eq!(after(&waits, &[received()]).status, Status::Phase1Watching);
}

#[test]
fn t1_a_run_that_fails_before_the_old_server_is_removed_leaves_it_its_bearer_and_its_kubeconfig() {
    let handed_in = after(&made(), &[received()]);
    for end in [failed(), Fact::Interrupted { error: "restarted".into() }] {
        let kept = after(&handed_in, &replacing());
        let kept = after(&kept, &[seen("17"), end]);
        counts(&kept, FIRST, REPLACEMENT);
        assert!(kept.has_kubeconfig());
        // The plan of the next run leaves it where it is.
        let stays = after(&kept, &[retried(), judged(None), Fact::ApplyBegan, seen("17"), applied()]);
        counts(&stays, FIRST, NONE);
        assert_eq!(stays.status, Status::Phase1Watching);
        // Or that run replaces it after all.
        let again = after(&kept, &replacing());
        assert!(!after(&again, &[seen("19")]).has_kubeconfig());
    }
}

/// The bearer of the new server, the state and the end of the run may come in any order, each of them never or twice.
#[test]
fn t1_every_order_of_call_state_and_end_comes_to_the_new_server() {
    let handed_in = after(&after(&made(), &[received()]), &replacing());
    let (call, state, end) = (Fact::CalledWithNewBearer, seen("18"), applied());
    for order in [
        vec![&call, &state, &end],
        vec![&state, &call, &end],
        vec![&state, &state, &end],
        vec![&call, &end, &state],
        vec![&end, &state],
        vec![&state, &end],
    ] {
        let mut record = handed_in.clone();
        for fact in &order {
            // Who comes second is told that nothing is left to do.
            record = apply(&record, fact, at(9)).unwrap_or(record);
        }
        counts(&record, NONE, FIRST);
        assert!(!record.has_kubeconfig() && record.replacement.is_none(), "{order:?}");
        assert_eq!(record.bearer_holder, Some(BearerHolder::Server("18".into())), "{order:?}");
        assert_eq!(record.status, Status::FluxBootstrapping);
    }
}

#[test]
fn t1_what_the_new_server_hands_in_early_is_not_dropped_with_the_old_one() {
    let going = after(&after(&made(), &[received()]), &replacing());
    let early = after(&going, &[Fact::CalledWithNewBearer, received()]);
    assert!(early.has_kubeconfig());
    // A state that was written before the old server went shows it still.
    for late in [vec![seen("17"), applied()], vec![seen("18"), applied()], vec![applied()]] {
        let up = after(&early, &late);
        assert_eq!(up.status, Status::Phase1Watching);
        assert!(up.kubeconfig_checked);
        counts(&up, NONE, FIRST);
    }
    assert_eq!(apply(&early, &Fact::CalledWithNewBearer, at(9)), Err(Refused::Stale(Status::TofuApplying)));
}

#[test]
fn t1_a_server_that_was_removed_and_not_made_anew_takes_its_bearer_along() {
    let gone = after(&after(&after(&made(), &[received()]), &replacing()), &[nothing_seen(), failed()]);
    counts(&gone, NONE, FIRST);
    assert!(!gone.has_kubeconfig());
    assert_eq!(gone.bearer_holder, Some(BearerHolder::Pending { instead_of: Some("17".into()) }));
    // A deposed one is not gone yet.
    let deposed = SeenServer {
        address: "x.first[0]".into(),
        id: "17".into(),
        name: String::new(),
        tainted: false,
        deposed: true,
    };
    let seen = Fact::ServersSeen { first: "x.first[0]".into(), servers: vec![deposed] };
    let going = after(&after(&made(), &[received()]), &replacing());
    assert_eq!(after(&going, std::slice::from_ref(&seen)), going);
}

#[test]
fn t1_a_first_server_that_joins_leaves_the_kubeconfig_as_it_is_and_the_old_bearer_counts_no_more() {
    let mut up = fresh();
    up.kubeconfig_bearer_hash = sha256_hex(OLD.as_bytes());
    let up = after(&up, &[judged(None), Fact::ApplyBegan, seen("17"), applied(), received()]);
    let lost = after(&up, &[Fact::Phase1Ended { outcome: Outcome::Failed("x".into()), components: BTreeMap::new() }]);
    let joins = Replacement { bearer_hash: None, ..anew("17", "") };
    let going = after(&lost, &[retried(), judged(Some(joins)), Fact::ApplyBegan]);
    assert_eq!(apply(&going, &Fact::CalledWithNewBearer, at(9)), Err(Refused::Stale(Status::TofuApplying)));
    for facts in [vec![seen("18"), applied()], vec![applied(), seen("18")], vec![nothing_seen(), applied(), seen("18")]]
    {
        let joined = after(&going, &facts);
        assert_eq!(joined.status, Status::Phase1Watching);
        assert!(joined.has_cluster() && joined.replacement.is_none());
        assert_eq!(joined.bearer_holder, Some(BearerHolder::Server("18".into())));
        counts(&joined, Err(BearerFault::NoHash), Err(BearerFault::NoHash));
        // A later run may begin the cluster again: its new server may call before the state shows it.
        let lost = Fact::Phase1Ended { outcome: Outcome::Failed("x".into()), components: BTreeMap::new() };
        let new = Replacement { bearer_hash: Some(sha256_hex(NEW.as_bytes())), ..anew("18", "") };
        let again = after(&joined, &[lost, retried(), judged(Some(new)), Fact::ApplyBegan]);
        counts(&again, NONE, REPLACEMENT);
        let called = after(&again, &[Fact::CalledWithNewBearer]);
        counts(&called, NONE, FIRST);
    }
    // As long as the old server may live its bearer counts.
    counts(&after(&going, &[seen("17")]), FIRST, NONE);
}

#[test]
fn t1_servers_of_a_given_up_cluster_are_remembered_until_others_have_their_place() {
    let stale = |address: &str, id: &str| StaleServer { address: address.into(), id: id.into() };
    let server = |address: &str, id: &str| SeenServer {
        address: address.into(),
        id: id.into(),
        name: String::new(),
        tainted: false,
        deposed: false,
    };
    let [retry, _, began] = replacing();
    let judged = Fact::PlanJudged {
        gives_bearer: false,
        replacement: Some(anew("17", "ef")),
        stale: vec![stale("x.first[0]", "17"), stale("x.w[0]", "30"), stale("x.w[1]", "31")],
    };
    let going = after(&made(), &[retry, judged, began]);
    let servers = vec![server("x.first[0]", "18"), server("x.w[0]", "30"), server("x.w[1]", "41")];
    let half = after(&going, &[Fact::ServersSeen { first: "x.first[0]".into(), servers }, failed()]);
    assert_eq!(half.stale_servers, [stale("x.w[0]", "30")]);
    assert!(after(&half, &[retried(), judged_again(&half), Fact::ApplyBegan, applied()]).stale_servers.is_empty());
}

fn judged_again(record: &Record) -> Fact {
    Fact::PlanJudged { gives_bearer: false, replacement: None, stale: record.stale_servers.clone() }
}

#[test]
fn t1_a_yes_to_the_loss_of_data_counts_for_its_own_retry_and_a_destroy_is_one() {
    let refused = after(&made(), &[retried(), Fact::DataLossRefused { error: "tofu plan: x".into(), why: "x".into() }]);
    assert_eq!(
        (refused.status, refused.data_loss.as_str(), refused.error.as_str()),
        (Status::Failed, "x", "tofu plan: x")
    );
    let accepted = Fact::Phase0Retried { repair: None, data_loss_accepted: true, reservation: None };
    let going = after(&refused, &[accepted]);
    assert!(going.data_loss_accepted && going.data_loss.is_empty());
    assert!(!after(&going, &[failed(), retried()]).data_loss_accepted, "the next one asks again");
    let destroyed_half =
        after(&refused, &[Fact::DestroyRequested, Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    assert!(destroyed_half.destroy_begun && destroyed_half.data_loss.is_empty());
    let up = after(&destroyed_half, &[retried(), judged(None), Fact::ApplyBegan, applied()]);
    assert!(!up.destroy_begun && !up.data_loss_accepted);
}

#[test]
fn a_destroy_that_removes_nothing_leaves_the_node_its_bearer() {
    let up = after(&fresh(), &[Fact::ApplyBegan, applied()]);
    let going = after(&up, &[Fact::DestroyRequested]);
    assert_eq!(apply(&going, &received(), at(30)), Err(Refused::NoBearer), "what is being removed takes nothing");
    let failed = after(&going, &[Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    let retried = [retried(), Fact::ApplyBegan, applied()];
    let waiting = after(&failed, &retried);
    assert_eq!(waiting.status, Status::FluxBootstrapping);
    assert_eq!(after(&waiting, &[received()]).status, Status::Phase1Watching);
}

#[test]
fn a_destroy_takes_the_bearer_with_it() {
    let ready = record(Shape { status: Status::Ready, kubeconfig: false, phase0_done: true, name: Name::None });
    let gone = after(&ready, &[Fact::DestroyRequested, Fact::DestroyFinished]);
    assert!(gone.kubeconfig_bearer_hash.is_empty());
    assert_eq!(apply(&gone, &received(), at(30)).unwrap_err(), Refused::NoBearer);
}

#[test]
fn a_kubeconfig_stays_while_its_server_may_and_goes_with_it() {
    let ready = record(Shape { status: Status::Ready, kubeconfig: true, phase0_done: true, name: Name::None });
    let failed = after(&ready, &[Fact::DestroyRequested, Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    assert!(failed.has_kubeconfig(), "the operator needs it to look into what is left");
    let same_server = after(&failed, &[retried()]);
    assert!(same_server.has_kubeconfig());
    let replaced = [retried(), judged(Some(anew("17", "cd"))), Fact::ApplyBegan, seen("18")];
    let new_server = after(&failed, &replaced);
    assert!(!new_server.has_kubeconfig() && new_server.kubeconfig_sha256.is_empty());
    let waits = after(&new_server, &[applied()]);
    assert_eq!(waits.status, Status::FluxBootstrapping);
    let gone = after(&failed, &[Fact::DestroyRequested, Fact::DestroyFinished]);
    assert!(!gone.has_kubeconfig() && gone.kubeconfig_sha256.is_empty());
}
