//! What a search asks for, and what the answers of a project show.

use super::*;
use catalyst_plugin_sdk::MadeResource;
use serde_json::json;

/// Places of the first pages of volumes, and of servers.
const VOLUMES: usize = BALANCER_PAGES;
const SERVERS: usize = BALANCER_PAGES + VOLUME_PAGES + 2;

fn query() -> LeftoverQuery {
    let made = |address: &str, id: &str| MadeResource { address: address.to_owned(), id: id.to_owned() };
    LeftoverQuery {
        deployment_id: "00112233aabbccdd".to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        region: "fsn1".to_owned(),
        settings: "{}".to_owned(),
        made: vec![
            made("hcloud_network.main", "11"),
            made("hcloud_network_subnet.main", "11-10.0.1.0/24"),
            made("hcloud_server.control_plane[0]", "21"),
            made("hcloud_server.worker[0]", "22"),
            made("module.m[0].hcloud_load_balancer.main", "31"),
        ],
        known: Vec::new(),
        services: Vec::new(),
    }
}

fn answer(body: &Value) -> ProbeResponse {
    ProbeResponse { status: 200, body: body.to_string().into_bytes() }
}

/// Answers in the order of the probes, of which each list is empty but for those given.
fn answers(filled: &[(usize, Value)]) -> Vec<ProbeResponse> {
    let mut all: Vec<ProbeResponse> = pages().iter().map(|page| answer(&json!({page.kind.0: []}))).collect();
    all.push(answer(&json!({"network": {"id": 11, "servers": [21, 22], "load_balancers": [31]}})));
    for (index, body) in filled {
        all[*index] = answer(body);
    }
    all
}

fn shown(search: &LeftoverSearch) -> Vec<String> {
    search.found.iter().map(|f| format!("{} {} {}: {}", f.kind, f.name, f.id, f.reason)).collect()
}

#[test]
fn t6_the_search_asks_for_lists_by_label_and_for_the_network_with_the_token_in_a_header() {
    let probes = probes(&query()).unwrap();
    let urls: Vec<&str> = probes.iter().map(|probe| probe.url.as_str()).collect();
    let label = "&label_selector=catalyst.openova.io%2Fdeployment-id%3D00112233aabbccdd";
    let of = |path: &str| format!("https://api.hetzner.cloud/v1/{path}");
    assert_eq!(
        urls,
        [
            of("load_balancers?per_page=25&page=1"),
            of("load_balancers?per_page=25&page=2"),
            of("load_balancers?per_page=25&page=3"),
            of("load_balancers?per_page=25&page=4"),
            of("volumes?per_page=50&page=1"),
            of("volumes?per_page=50&page=2"),
            of("volumes?per_page=50&page=3"),
            of("volumes?per_page=50&page=4"),
            of("volumes?per_page=50&page=5"),
            of(&format!("load_balancers?per_page=25&page=1{label}")),
            of(&format!("volumes?per_page=50&page=1{label}")),
            of(&format!("servers?per_page=25&page=1{label}")),
            of(&format!("networks?per_page=50&page=1{label}")),
            of("networks/11"),
        ]
    );
    assert!(probes.iter().all(|probe| probe.method == "GET" && probe.headers[0].value.contains("{{secret:")));
    let nothing_made = LeftoverQuery { made: Vec::new(), ..query() };
    assert_eq!(super::probes(&nothing_made).unwrap().len(), pages().len());
    assert!(super::probes(&LeftoverQuery { deployment_id: "a b&c".to_owned(), ..query() }).is_err());
}

#[test]
fn t6_what_belongs_to_the_deployment_is_found_and_what_opentofu_made_or_others_have_is_not() {
    let balancers = json!({"load_balancers": [
        {"id": 31, "name": "own", "private_net": [{"network": 11}]},
        {"id": 32, "name": "in-network", "private_net": [{"network": 11, "ip": "10.0.1.9"}], "targets": []},
        {"id": 33, "name": "to-server", "private_net": [], "targets": [{"type": "label_selector", "targets": [{"server": {"id": 22}}]}]},
        {"id": 34, "name": "orphan", "labels": {SERVICE_LABEL: "u"}, "private_net": [], "targets": []},
        {"id": 35, "name": "others", "labels": {SERVICE_LABEL: "v"}, "private_net": [{"network": 99}], "targets": []},
        {"id": 36, "name": "nobodys", "labels": {}, "private_net": [], "targets": []}]});
    let volumes = json!({"volumes": [{"id": 41, "name": "pvc-1", "server": 21}, {"id": 42, "name": "pvc-2", "server": null},
        {"id": 43, "name": "others", "server": 77}]});
    let servers = json!({"servers": [{"id": 21, "name": "cp1"}, {"id": 29, "name": "lost"}]});
    let search = judge(&query(), &answers(&[(0, balancers), (VOLUMES, volumes), (SERVERS, servers)]));
    assert!(search.not_searched.is_empty(), "{:?}", search.not_searched);
    assert_eq!(
        shown(&search),
        [
            "load balancer in-network 32: it is attached to the network of this deployment",
            "load balancer to-server 33: it leads to a server of this deployment",
            "load balancer orphan 34: a cluster made it for a Service, and it leads nowhere any more: it may be of this \
             deployment or of another",
            "server lost 29: it has the label catalyst.openova.io/deployment-id of this deployment, and OpenTofu's state does not \
             have it",
            "volume pvc-1 41: it is attached to a server of this deployment",
        ]
    );
}

#[test]
fn t6_what_was_attached_to_a_server_that_is_gone_is_known_by_its_id_from_before() {
    let reason = "it is attached to a server of this deployment".to_owned();
    let known = |id: &str| Leftover {
        kind: "volume".to_owned(),
        name: "pvc".to_owned(),
        id: id.to_owned(),
        reason: reason.clone(),
    };
    let query = LeftoverQuery { known: vec![known("41"), known("40")], ..query() };
    let volumes = json!({"volumes": [{"id": 41, "name": "pvc-1", "server": null}]});
    let search = judge(&query, &answers(&[(VOLUMES, volumes)]));
    assert_eq!(shown(&search), ["volume pvc-1 41: it is attached to a server of this deployment"], "40 is gone");
}

#[test]
fn further_pages_of_the_project_are_searched() {
    let volumes = json!({"volumes": [{"id": 41, "name": "pvc-1", "server": 21}],
        "meta": {"pagination": {"next_page": null}}});
    let balancers = json!({"load_balancers": [{"id": 32, "name": "in-network", "private_net": [{"network": 11}]}]});
    let first = json!({"volumes": [], "meta": {"pagination": {"next_page": 2}}});
    let filled = [(BALANCER_PAGES - 1, balancers), (VOLUMES, first), (VOLUMES + VOLUME_PAGES - 1, volumes)];
    let search = judge(&query(), &answers(&filled));
    assert!(search.not_searched.is_empty(), "{:?}", search.not_searched);
    let ids: Vec<&str> = search.found.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(ids, ["32", "41"]);
}

#[test]
fn what_was_named_before_keeps_the_reason_that_the_host_gives_unless_the_project_shows_another() {
    let reason = "the cluster says so; only the cluster named it";
    let known = |kind: &str, id: &str| Leftover {
        kind: kind.to_owned(),
        name: "pvc".to_owned(),
        id: id.to_owned(),
        reason: reason.to_owned(),
    };
    let of_volumes = ["41", "42", "43", "44"].map(|id| known("volume", id));
    let of_balancers = ["51", "53"].map(|id| known("load balancer", id));
    let query = LeftoverQuery { known: of_volumes.into_iter().chain(of_balancers).collect(), ..query() };
    let volumes = json!({"volumes": [
        {"id": 41, "name": "attached-elsewhere", "server": 77},
        {"id": 42, "name": "of-another-deployment", "server": null, "labels": {LABEL: "ffff"}},
        {"id": 43, "name": "free", "server": null},
        {"id": 44, "name": "own", "server": 21}]});
    let balancers = json!({"load_balancers": [
        {"id": 51, "name": "in-another-network", "private_net": [{"network": 99}], "targets": []},
        {"id": 53, "name": "free", "private_net": [], "targets": []}]});
    let search = judge(&query, &answers(&[(0, balancers), (VOLUMES, volumes)]));
    let unproven = |what: &str| format!("{what}: {reason}");
    assert_eq!(
        shown(&search),
        [
            unproven("load balancer in-another-network 51"),
            unproven("load balancer free 53"),
            unproven("volume attached-elsewhere 41"),
            unproven("volume free 43"),
            "volume own 44: it is attached to a server of this deployment".to_owned(),
        ]
    );
    // A later search says the same.
    let again = LeftoverQuery { known: search.found.clone(), ..query };
    let volumes = json!({"volumes": [{"id": 43, "name": "free", "server": null}]});
    assert_eq!(judge(&again, &answers(&[(VOLUMES, volumes)])).found[0].reason, reason);
}

#[test]
fn t6_what_the_network_alone_tells_is_found_too() {
    let network = json!({"network": {"id": 11, "servers": [21, 22, 28], "load_balancers": [31, 38]}});
    let search = judge(&query(), &answers(&[(pages().len(), network)]));
    let ids: Vec<&str> = search.found.iter().map(|found| found.id.as_str()).collect();
    assert_eq!(ids, ["38", "28"]);
    let mut gone = answers(&[]);
    gone[pages().len()] = ProbeResponse { status: 404, body: Vec::new() };
    assert_eq!(judge(&query(), &gone), LeftoverSearch { found: Vec::new(), not_searched: Vec::new() });
}

#[test]
fn t6_what_could_not_be_looked_at_is_said() {
    let more = |kind: &str| json!({kind: [], "meta": {"pagination": {"next_page": 2}}});
    let mut all = answers(&[(1, more("load_balancers")), (SERVERS - 2, more("load_balancers"))]);
    all[0] = ProbeResponse { status: 401, body: Vec::new() };
    all[VOLUMES + 2] = ProbeResponse { status: 500, body: Vec::new() };
    all[VOLUMES + VOLUME_PAGES - 1] = answer(&more("volumes"));
    all[SERVERS] = ProbeResponse { status: 200, body: b"{\"servers\": [".to_vec() };
    let search = judge(&query(), &all);
    assert_eq!(
        search.not_searched,
        [
            "load balancers (Hetzner Cloud refuses the token, status 401)",
            "load balancers with the deployment's label behind the first 25 of the project",
            "servers with the deployment's label (the answer is too long, or no JSON)",
            "volumes behind the first 250 of the project",
            "volumes, page 3 (Hetzner Cloud answered with status 500)",
        ]
    );
    assert!(judge(&query(), &[]).found.is_empty());
}

#[test]
fn an_answer_without_its_list_and_none_at_all_show_nothing() {
    let mut all = answers(&[(0, json!({"error": 1})), (VOLUMES, json!({"volumes": {}})), (pages().len(), json!({}))]);
    all[VOLUMES + 1] = ProbeResponse { status: 0, body: Vec::new() };
    assert_eq!(
        judge(&query(), &all).not_searched,
        [
            "load balancers (the answer has none of its list)",
            "the network of the deployment (the answer has no network)",
            "volumes (the answer has none of its list)",
            "volumes, page 2 (no answer came from Hetzner Cloud)",
        ]
    );
}
