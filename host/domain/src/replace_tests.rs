//! The decision, row by row.

use super::PlannedAction::{Create, Delete, Other, Replace};
use super::*;
use crate::record::{NewRecord, ProviderRef};
use crate::{DeploymentId, Request};
use jiff::Timestamp;

const FIRST: &str = "x.cp[0]";

fn node(role: NodeRole, address: &str) -> Node {
    Node { name: format!("name of {address}"), role, address: address.into() }
}

/// So many servers, and two workers.
fn nodes(servers: usize) -> Vec<Node> {
    let servers = (0..servers).map(|index| node(NodeRole::ControlPlane, &format!("x.cp[{index}]")));
    servers.chain((0..2).map(|index| node(NodeRole::Worker, &format!("x.w[{index}]")))).collect()
}

/// All nodes, and a network; ids are `id of <address>`.
fn state(nodes: &[Node]) -> Vec<SeenServer> {
    let addresses = nodes.iter().map(|node| node.address.as_str()).chain(["x.network"]);
    addresses.map(|address| server(address, &format!("id of {address}"))).collect()
}

fn server(address: &str, id: &str) -> SeenServer {
    SeenServer { address: address.into(), id: id.into(), name: String::new(), tainted: false, deposed: false }
}

fn plan(changes: &[(&str, PlannedAction)]) -> Vec<PlannedChange> {
    changes.iter().map(|(address, action)| PlannedChange { address: (*address).into(), action: *action }).collect()
}

fn record(holder: Option<BearerHolder>) -> Record {
    let mut record = Record::new(NewRecord {
        id: DeploymentId::from_bytes([1; 8]),
        request: Request::default(),
        kubeconfig_bearer_hash: "ab".repeat(32),
        provider: ProviderRef { id: "x".into(), version: "1.0.0".into(), digest: "d".into() },
        at: Timestamp::UNIX_EPOCH,
    });
    record.bearer_holder = holder;
    record
}

fn held() -> Record {
    record(Some(BearerHolder::Server("id of x.cp[0]".into())))
}

fn with_cluster() -> Record {
    let mut record = held();
    record.result_mut().kubeconfig_path = "f.yaml".into();
    record.kubeconfig_checked = true;
    record
}

fn evidence<'a>(
    record: &'a Record,
    nodes: &'a [Node],
    state: &'a [SeenServer],
    plan: &'a [PlannedChange],
) -> Evidence<'a> {
    let names_none = nodes.is_empty();
    Evidence { record, first: Some(FIRST), nodes, names_none, can_join: true, bearer_known: true, state, plan }
}

fn as_planned(gives_bearer: bool) -> Decision {
    Decision::Apply { gives_bearer, joins: None, leaving: Vec::new() }
}

#[track_caller]
fn anew(decision: &Decision) -> (Vec<String>, Option<String>) {
    let Decision::Replace { addresses, anew: Some(anew) } = decision else { panic!("{decision:?}") };
    assert_eq!(anew.first, FIRST);
    let mut stale: Vec<String> = anew.stale.iter().map(|stale| stale.address.clone()).collect();
    stale.sort();
    assert_eq!(&stale, addresses, "what is replaced is what cannot stay");
    (addresses.clone(), anew.instead_of.clone())
}

#[test]
fn t1_the_first_run_gives_the_first_server_its_bearer() {
    let (fresh, nodes) = (record(Some(BearerHolder::Nobody)), nodes(3));
    let plan = plan(&[(FIRST, Create), ("x.w[0]", Create)]);
    assert_eq!(decide(&evidence(&fresh, &nodes, &[], &plan)), as_planned(true));
    // A restart lost the bearer before anybody had it: another one is minted, and nothing is there to replace.
    let lost = Evidence { bearer_known: false, ..evidence(&fresh, &nodes, &[], &plan) };
    assert_eq!(anew(&decide(&lost)), (Vec::new(), None));
}

#[test]
fn t1_without_a_cluster_all_nodes_are_made_anew_where_the_first_server_does_not_stay() {
    let all = ["x.cp[0]", "x.cp[1]", "x.cp[2]", "x.w[0]", "x.w[1]"].map(str::to_owned).to_vec();
    let (nodes, held) = (nodes(3), held());
    let whole = state(&nodes);
    for action in [Create, Replace] {
        let made = plan(&[(FIRST, action), ("x.network", Other)]);
        let decision = decide(&evidence(&held, &nodes, &whole, &made));
        assert_eq!(anew(&decision), (all.clone(), Some("id of x.cp[0]".into())), "{action:?}");
    }
    // Its entry is lost: the others are there still, and so may the server be.
    let lost: Vec<SeenServer> = whole.iter().filter(|server| server.address != FIRST).cloned().collect();
    let made = plan(&[(FIRST, Create)]);
    for holder in [None, Some(BearerHolder::Pending { instead_of: None }), held.bearer_holder.clone()] {
        let record = record(holder.clone());
        let old = matches!(holder, Some(BearerHolder::Server(_))).then(|| "id of x.cp[0]".to_owned());
        assert_eq!(anew(&decide(&evidence(&record, &nodes, &lost, &made))), (all[1..].to_vec(), old), "{holder:?}");
    }
    // A deposed one is removed by any plan.
    let mut deposed = lost.clone();
    deposed.push(SeenServer { deposed: true, ..server(FIRST, "id of x.cp[0]") });
    let decision = decide(&evidence(&held, &nodes, &deposed, &plan(&[(FIRST, Delete), (FIRST, Create)])));
    assert_eq!(anew(&decision).0, all[1..]);
    // A kubeconfig whose server was never checked shows no cluster.
    let mut unchecked = with_cluster();
    unchecked.kubeconfig_checked = false;
    assert_eq!(anew(&decide(&evidence(&unchecked, &nodes, &whole, &made))).0, all);
}

#[test]
fn t1_without_a_cluster_another_server_of_the_control_plane_takes_all_along_and_a_worker_nobody() {
    let (nodes, held) = (nodes(3), held());
    let whole = state(&nodes);
    let second = decide(&evidence(&held, &nodes, &whole, &plan(&[("x.cp[1]", Replace)])));
    assert_eq!(anew(&second).0.len(), 5, "it may be a member of the first one's etcd");
    let worker = decide(&evidence(&held, &nodes, &whole, &plan(&[("x.w[1]", Replace)])));
    assert_eq!(worker, as_planned(false));
    let never_there: Vec<SeenServer> = whole.iter().filter(|server| server.address != "x.cp[1]").cloned().collect();
    let added = decide(&evidence(&held, &nodes, &never_there, &plan(&[("x.cp[1]", Create)])));
    assert_eq!(added, as_planned(false));
    let others = never_there.iter().filter(|server| server.address != FIRST).cloned();
    let other: Vec<SeenServer> = std::iter::once(server(FIRST, "another")).chain(others).collect();
    assert_eq!(anew(&decide(&evidence(&held, &nodes, &other, &[]))).0.len(), 4, "it has not the bearer that counts");
}

#[test]
fn t1_a_cluster_that_could_not_be_checked_is_not_given_up_for_another_server_without_a_yes() {
    let (nodes, mut up) = (nodes(3), held());
    up.result_mut().kubeconfig_path = "f.yaml".into();
    let whole = state(&nodes);
    let second_is_lost = plan(&[("x.cp[1]", Replace)]);
    let refused = decide(&evidence(&up, &nodes, &whole, &second_is_lost));
    assert!(matches!(&refused, Decision::Refuse(why) if why.contains("may be up")), "{refused:?}");
    let first_is_lost = decide(&evidence(&up, &nodes, &whole, &plan(&[("x.cp[0]", Replace)])));
    assert_eq!(anew(&first_is_lost).0.len(), 5, "with it its cluster is gone");
    up.data_loss_accepted = true;
    assert_eq!(anew(&decide(&evidence(&up, &nodes, &whole, &second_is_lost))).0.len(), 5);
}

#[test]
fn t1_what_a_run_left_of_a_cluster_that_was_given_up_is_made_anew_by_the_next() {
    let (nodes, mut half) = (nodes(1), held());
    let stale = |address: &str, id: &str| StaleServer { address: address.into(), id: id.into() };
    half.stale_servers = vec![stale("x.w[0]", "id of x.w[0]"), stale("x.w[1]", "older")];
    let whole = state(&nodes);
    let decision = decide(&evidence(&half, &nodes, &whole, &[]));
    assert_eq!(decision, Decision::Replace { addresses: vec!["x.w[0]".into()], anew: None });
    let planned = decide(&evidence(&half, &nodes, &whole, &plan(&[("x.w[0]", Replace)])));
    assert_eq!(planned, as_planned(false), "the plan does it by itself");
    half.stale_servers.push(stale(FIRST, "id of x.cp[0]"));
    assert_eq!(anew(&decide(&evidence(&half, &nodes, &whole, &[]))).0, ["x.cp[0]", "x.w[0]", "x.w[1]"]);
}

#[test]
fn t1_with_a_cluster_a_server_that_is_made_joins_it() {
    let (nodes, record) = (nodes(3), with_cluster());
    let whole = state(&nodes);
    let first = plan(&[(FIRST, Replace), ("x.w[0]", Create)]);
    let joins = Replacement { address: FIRST.into(), instead_of: Some("id of x.cp[0]".into()), bearer_hash: None };
    let leaving = vec![nodes[3].clone(), nodes[0].clone()];
    let expect = Decision::Apply { gives_bearer: false, joins: Some(joins), leaving };
    assert_eq!(decide(&evidence(&record, &nodes, &whole, &first)), expect);
    let third = decide(&evidence(&record, &nodes, &whole, &plan(&[("x.cp[2]", Replace)])));
    assert_eq!(third, Decision::Apply { gives_bearer: false, joins: None, leaving: vec![nodes[2].clone()] });
    let cannot = Evidence { can_join: false, ..evidence(&record, &nodes, &whole, &first) };
    let Decision::Refuse(why) = decide(&cannot) else { panic!() };
    assert!(why.contains("begin a second one"), "{why}");
}

#[test]
fn t7_with_a_cluster_a_worker_that_is_made_anew_leaves_it_first() {
    for servers in [1, 3] {
        let (nodes, record) = (nodes(servers), with_cluster());
        let mut whole = state(&nodes);
        let mut worker = nodes.last().unwrap().clone();
        let replaced = plan(&[(&worker.address, Replace)]);
        // As a release that named servers otherwise made it.
        let its_entry = whole.iter_mut().find(|server| server.address == worker.address).unwrap();
        (its_entry.name, worker.name) = ("as-it-was".into(), "as-it-was".into());
        let decision = decide(&evidence(&record, &nodes, &whole, &replaced));
        assert_eq!(decision, Decision::Apply { gives_bearer: false, joins: None, leaving: vec![worker] });
    }
}

#[test]
fn t1_data_is_lost_only_with_a_yes_of_its_own() {
    let lost = |servers: usize, gone: &[&str], nodes: &[Node]| {
        let changes: Vec<(&str, PlannedAction)> = gone.iter().map(|address| (*address, Replace)).collect();
        let (record, state, plan) = (with_cluster(), state(nodes), plan(&changes));
        let words = match decide(&evidence(&record, nodes, &state, &plan)) {
            Decision::Refuse(words) => words,
            other => panic!("{servers} {gone:?}: {other:?}"),
        };
        for accept in
            [|record: &mut Record| record.data_loss_accepted = true, |record: &mut Record| record.destroy_begun = true]
        {
            let mut accepted = record.clone();
            accept(&mut accepted);
            let decision = decide(&evidence(&accepted, nodes, &state, &plan));
            assert!(matches!(decision, Decision::Replace { anew: Some(_), .. }), "{decision:?}");
        }
        words
    };
    let (solo, ha) = (nodes(1), nodes(3));
    assert!(lost(1, &[FIRST], &solo).contains("no other one has the cluster's data"));
    assert!(lost(3, &[FIRST, "x.cp[1]"], &ha).contains("2 of 3"));
    assert!(lost(3, &["x.cp[1]", "x.cp[2]"], &ha).contains("2 of 3"), "the first one alone has no majority");
    assert!(lost(3, &[FIRST, "x.cp[1]", "x.cp[2]"], &ha).contains("3 of 3"));
    // A yes orders nothing: where the cluster can be kept, it is.
    let mut accepted = with_cluster();
    accepted.data_loss_accepted = true;
    assert_eq!(decide(&evidence(&accepted, &solo, &state(&solo), &[])), as_planned(false));
}

/// As when its nodes could not leave, since nothing answered.
fn silent(record: &Record, makes: &str) -> Decision {
    let (nodes, plan) = (nodes(3), plan(&[(makes, Replace)]));
    let state = state(&nodes);
    decide_without_answer(&evidence(record, &nodes, &state, &plan), "it does not answer")
}

#[test]
fn t1_a_cluster_that_does_not_answer_is_given_up_only_with_a_yes_of_this_very_retry() {
    let mut up = with_cluster();
    up.kubeconfig_server = "https://203.0.113.9:6443".into();
    for (addresses, first_is_named) in
        [(["", ""], false), (["203.0.113.8", "203.0.113.9"], false), (["203.0.113.9", "203.0.113.8"], true)]
    {
        let [first, balancer] = addresses.map(str::to_owned);
        (up.result_mut().control_plane_ip, up.result_mut().load_balancer_ip) = (first, balancer);
        for goes in [FIRST, "x.cp[1]"] {
            let mut record = Record { destroy_begun: true, data_loss_accepted: false, ..up.clone() };
            let refused = silent(&record, goes);
            let names_key =
                |why: &str| why.starts_with("it does not answer. ") && why.contains("\"acceptDataLoss\": true");
            let is_open = !(first_is_named && goes == FIRST);
            assert!(matches!(&refused, Decision::Refuse(why) if names_key(why) == is_open), "{goes}: {refused:?}");
            record.data_loss_accepted = true;
            match silent(&record, goes) {
                decision @ Decision::Replace { .. } if is_open => assert_eq!(anew(&decision).0.len(), 5),
                Decision::Refuse(why) if !is_open => assert!(why.contains("the others may be up"), "{why}"),
                other => panic!("{goes} {addresses:?}: {other:?}"),
            }
        }
    }
    // Where no cluster was shown there is none that could be silent.
    let accepted = Record { data_loss_accepted: true, ..held() };
    assert!(matches!(silent(&accepted, FIRST), Decision::Refuse(_)));
}

#[test]
fn t1_a_cluster_of_which_a_part_was_made_anew_is_given_up_to_the_end() {
    let (nodes, mut half) = (nodes(3), with_cluster());
    let stale = |address: &str| StaleServer { address: address.into(), id: format!("id of {address}") };
    half.stale_servers = vec![stale(FIRST), stale("x.cp[1]"), stale("x.w[0]")];
    let whole = state(&nodes);
    let refused = decide(&evidence(&half, &nodes, &whole, &[]));
    assert!(matches!(&refused, Decision::Refuse(why) if why.contains("gave the cluster up")), "{refused:?}");
    half.data_loss_accepted = true;
    assert_eq!(anew(&decide(&evidence(&half, &nodes, &whole, &[]))).0.len(), 5);
    // Nothing of the control plane was replaced, so the cluster is as it was.
    half.data_loss_accepted = false;
    half.stale_servers = ["x.cp[0]", "x.cp[1]", "x.cp[2]"].map(stale).to_vec();
    assert_eq!(decide(&evidence(&half, &nodes, &whole, &[])), as_planned(false));
    // It answers again and lets a server go: what a run had meant to give up is the cluster's again, whatever comes of this run.
    assert!(stale_after(&half, &nodes[1..2]).is_empty());
    assert_eq!(stale_after(&half, &nodes[3..]), half.stale_servers, "a worker shows nothing of the control plane");
}

/// Contract 1.0 names the first server alone.
#[test]
fn t1_where_a_plugin_names_no_nodes_all_resources_of_the_first_servers_type_are_made_anew() {
    let mut whole: Vec<SeenServer> =
        state(&nodes(3)).into_iter().filter(|server| server.address != "x.network").collect();
    whole.extend([server("y.network", "11"), server("terraform_data.x", "12")]);
    let made = plan(&[(FIRST, Replace)]);
    let held = held();
    let all = ["x.cp[0]", "x.cp[1]", "x.cp[2]", "x.w[0]", "x.w[1]"];
    assert_eq!(anew(&decide(&evidence(&held, &[], &whole, &made))).0, all);
    // A value is like any other value, and none of them is a server.
    let values = ["terraform_data.first", "terraform_data.x"].map(|address| server(address, "id"));
    let made_value = plan(&[("terraform_data.first", Replace)]);
    let of_values = Evidence { first: Some("terraform_data.first"), ..evidence(&held, &[], &values, &made_value) };
    let Decision::Replace { addresses, .. } = decide(&of_values) else { panic!() };
    assert_eq!(addresses, ["terraform_data.first"]);
    let with_cluster = with_cluster();
    assert!(matches!(decide(&evidence(&with_cluster, &[], &whole, &made)), Decision::Refuse(_)));
    assert_eq!(decide(&evidence(&with_cluster, &[], &whole, &[])), as_planned(false));
    // One whose bundle cannot be rendered now may have made what is no node.
    let unknown = Evidence { names_none: false, ..evidence(&held, &[], &whole, &made) };
    assert_eq!(anew(&decide(&unknown)).0, [FIRST]);
    let no_bearer = Evidence { first: None, ..evidence(&held, &[], &whole, &made) };
    assert_eq!(decide(&no_bearer), as_planned(false));
}

#[test]
fn t1_the_state_tells_beforehand_what_it_can() {
    let nodes = nodes(1);
    let mut seen = state(&nodes);
    assert_eq!(expected_plan(&seen, &nodes, Some(FIRST)), []);
    seen[0].tainted = true;
    seen[1].deposed = true;
    let expect = plan(&[("x.cp[0]", Replace), ("x.w[0]", Create)]);
    assert_eq!(expected_plan(&seen, &nodes, Some(FIRST)), expect);
    assert_eq!(expected_plan(&[], &[], Some(FIRST)), plan(&[(FIRST, Create)]));
}
