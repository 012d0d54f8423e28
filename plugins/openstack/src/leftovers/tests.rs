//! What is asked, and what answers show.

use super::*;
use catalyst_plugin_sdk::{CloudService, MadeResource};
use serde_json::json;

const DEPLOYMENT: &str = "00112233aabbccdd";

fn service(kind: &str, url: &str) -> CloudService {
    CloudService { kind: kind.to_owned(), region: "r1".to_owned(), url: url.to_owned() }
}

fn query() -> LeftoverQuery {
    let made = |address: &str, id: &str| MadeResource { address: address.to_owned(), id: id.to_owned() };
    LeftoverQuery {
        deployment_id: DEPLOYMENT.to_owned(),
        sovereign_fqdn: "acme.example.test".to_owned(),
        region: "r1".to_owned(),
        settings: "{}".to_owned(),
        made: vec![
            made("openstack_networking_network_v2.main", "net"),
            made("openstack_networking_router_v2.main", "router"),
            made("openstack_networking_port_v2.control_plane[0]", "port-cp1"),
            made("openstack_networking_floatingip_v2.main", "fip"),
            made("openstack_networking_secgroup_v2.main", "sg"),
            made("openstack_compute_instance_v2.control_plane[0]", "cp1"),
            made("module.m[0].openstack_lb_loadbalancer_v2.main[0]", "lb"),
        ],
        known: Vec::new(),
        services: vec![
            service("compute", "https://compute.cloud.example/v2.1"),
            service("network", "https://network.cloud.example:9696/"),
            service("volumev3", "https://volume.cloud.example/v3/project"),
            service("load-balancer", "https://lb.cloud.example/load-balancer"),
        ],
    }
}

fn answer(body: &Value) -> ProbeResponse {
    ProbeResponse { status: 200, body: body.to_string().into_bytes() }
}

/// Answers in the order of the probes, of which each list is empty but for those given.
fn answers(filled: &[(List, Value)]) -> Vec<ProbeResponse> {
    let of = |list: List| filled.iter().find(|(filled, _)| *filled == list).map_or(json!([]), |(_, all)| all.clone());
    List::ALL.iter().map(|list| answer(&json!({list.key(): of(*list)}))).collect()
}

fn shown(search: &LeftoverSearch) -> Vec<String> {
    search.found.iter().map(|f| format!("{} {} {}: {}", f.kind, f.name, f.id, f.reason)).collect()
}

#[test]
fn t6_the_search_asks_the_services_of_its_region_with_the_token_of_the_session() {
    let probes = probes(&query()).unwrap();
    let urls: Vec<&str> = probes.iter().map(|probe| probe.url.as_str()).collect();
    let tag = "tags=catalyst-deployment%3D00112233aabbccdd";
    assert_eq!(
        urls,
        [
            "https://compute.cloud.example/v2.1/servers/detail?limit=75&name=catalyst-acme-example-test",
            "https://volume.cloud.example/v3/project/volumes/detail?limit=120",
            "https://lb.cloud.example/load-balancer/v2.0/lbaas/loadbalancers?limit=400&fields=id&fields=name&fields=tags\
             &fields=vip_network_id",
            "https://network.cloud.example:9696/v2.0/ports?limit=400&network_id=net&fields=id&fields=name&fields=network_id\
             &fields=device_owner&fields=device_id&fields=security_groups&fields=tags",
            &format!(
                "https://network.cloud.example:9696/v2.0/networks?limit=400&{tag}&fields=id&fields=name&fields=tags"
            ),
            &format!(
                "https://network.cloud.example:9696/v2.0/routers?limit=400&{tag}&fields=id&fields=name&fields=tags"
            ),
            "https://network.cloud.example:9696/v2.0/floatingips?limit=400&fields=id&fields=floating_ip_address\
             &fields=router_id&fields=description&fields=tags",
            "https://network.cloud.example:9696/v2.0/security-groups?limit=400&fields=id&fields=name&fields=tags",
        ]
    );
    let with_token = |probe: &Probe| probe.headers.iter().any(|header| header.value == "{{secret:session.token}}");
    assert!(probes.iter().all(|probe| probe.method == "GET" && probe.body.is_none() && with_token(probe)));
    let nothing_made = LeftoverQuery { made: Vec::new(), ..query() };
    assert!(super::probes(&nothing_made).unwrap()[3].url.contains(&format!("/ports?limit=400&{tag}")));
}

#[test]
fn t6_without_a_session_or_with_an_id_that_is_no_tag_nothing_is_asked() {
    let words = probes(&LeftoverQuery { services: Vec::new(), ..query() }).unwrap_err();
    assert!(words.contains("no session") && words.contains("openstack volume list"), "{words}");
    assert!(probes(&LeftoverQuery { deployment_id: "a b&c".to_owned(), ..query() }).is_err());
}

#[test]
fn t6_what_belongs_to_the_deployment_is_found_and_what_opentofu_made_or_others_have_is_not() {
    let tags = json!(["catalyst-sovereign=acme.example.test", format!("catalyst-deployment={DEPLOYMENT}")]);
    let other = json!(["catalyst-deployment=ffffffffffffffff"]);
    let port = |id: &str, owner: &str, device: &str, groups: Value| json!({"id": id, "name": "", "network_id": "net", "device_owner": owner, "device_id": device, "security_groups": groups});
    let labelled = json!({"catalyst-deployment": DEPLOYMENT});
    let search = judge(
        &query(),
        &answers(&[
            (
                List::Servers,
                json!([{"id": "cp1", "name": "own", "metadata": labelled}, {"id": "lost", "name": "lost", "metadata": labelled},
                    {"id": "other", "name": "other", "metadata": {"catalyst-deployment": "ff"}}]),
            ),
            (
                List::Volumes,
                json!([{"id": "v1", "name": "pvc-1", "bootable": "false", "attachments": [{"server_id": "cp1"}]},
                    {"id": "v2", "name": "boot", "bootable": "true", "attachments": [{"server_id": "cp1"}]},
                    {"id": "v3", "name": "pvc-3", "bootable": "false", "attachments": [{"server_id": "other"}]}]),
            ),
            (
                List::Balancers,
                json!([{"id": "lb", "name": "own", "tags": tags, "vip_network_id": "net"},
                    {"id": "lb2", "name": "kube_service_a", "tags": [], "vip_network_id": "net"},
                    {"id": "lb3", "name": "kube_service_b", "tags": [], "vip_network_id": "elsewhere"}]),
            ),
            (
                List::Ports,
                json!([
                    port("port-cp1", "compute:nova", "cp1", json!(["sg", "of-service"])),
                    port("p1", "network:router_interface", "router", json!([])),
                    port("p2", "Octavia", "lb-lb2", json!([])),
                    port("p3", "compute:nova", "stranger", json!([])),
                    port("p4", "", "", json!(["default-group"]))
                ]),
            ),
            (List::Networks, json!([{"id": "net2", "name": "twin", "tags": tags}])),
            (List::Routers, json!([{"id": "router", "name": "own", "tags": tags}])),
            (
                List::FloatingIps,
                json!([{"id": "fip", "floating_ip_address": "203.0.113.1", "router_id": "router", "tags": tags},
                    {"id": "fip2", "floating_ip_address": "203.0.113.2", "router_id": "router", "tags": []},
                    {"id": "fip3", "floating_ip_address": "203.0.113.3", "router_id": null, "tags": [],
                     "description": "Floating IP for Kubernetes external service a from cluster kubernetes"},
                    {"id": "fip4", "floating_ip_address": "203.0.113.4", "router_id": null, "tags": other}]),
            ),
            (
                List::SecurityGroups,
                json!([{"id": "sg", "name": "own", "tags": tags}, {"id": "of-service", "name": "lb-sg-1", "tags": []},
                    {"id": "default-group", "name": "default", "tags": []}, {"id": "other", "name": "other", "tags": []}]),
            ),
        ]),
    );
    assert!(search.not_searched.is_empty(), "{:?}", search.not_searched);
    let tagged = "it has the tag catalyst-deployment of this deployment, and OpenTofu's state does not have it";
    assert_eq!(
        shown(&search),
        [
            "floating IP 203.0.113.2 fip2: it leads into the network of this deployment".to_owned(),
            "floating IP 203.0.113.3 fip3: a cluster made it for a Service, and it leads nowhere any more: it may be of this \
             deployment or of another"
                .to_owned(),
            "load balancer kube_service_a lb2: it is in the network of this deployment".to_owned(),
            format!("network twin net2: {tagged}"),
            "port whose name is not known p4: it is in the network of this deployment".to_owned(),
            "security group lb-sg-1 of-service: a port in the network of this deployment has it".to_owned(),
            format!("server lost lost: {tagged}"),
            "server whose name is not known stranger: it has a port in the network of this deployment".to_owned(),
            "volume pvc-1 v1: it is attached to a server of this deployment".to_owned(),
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
    let query = LeftoverQuery { known: vec![known("v1"), known("v0"), known("v2")], ..query() };
    let others = json!({(TAG): "ffffffffffffffff"});
    let volumes = json!([{"id": "v1", "name": "pvc-1", "bootable": "false", "attachments": []},
        {"id": "v2", "name": "another's", "bootable": "false", "attachments": [], "metadata": others}]);
    let search = judge(&query, &answers(&[(List::Volumes, volumes)]));
    assert_eq!(shown(&search), ["volume pvc-1 v1: it is attached to a server of this deployment"], "v0 is gone");
}

#[test]
fn a_service_that_did_not_answer_leaves_its_list_alone_unsearched() {
    let mut all =
        answers(&[(List::Volumes, json!([{"id": "v1", "name": "pvc", "attachments": [{"server_id": "cp1"}]}]))]);
    all[2] = ProbeResponse { status: 0, body: Vec::new() };
    let search = judge(&query(), &all);
    assert_eq!(search.not_searched, ["load balancers (no answer came from its service)"]);
    assert_eq!(shown(&search), ["volume pvc v1: it is attached to a server of this deployment"]);
}

#[test]
fn t6_what_could_not_be_looked_at_is_said() {
    let mut all = answers(&[]);
    all[0] = ProbeResponse { status: 401, body: Vec::new() };
    all[1] = answer(&json!({"volumes": [], "volumes_links": [{"rel": "next", "href": "x"}]}));
    all[3] = ProbeResponse { status: 200, body: b"{\"ports\": [".to_vec() };
    all[4] = answer(&json!({"error": 1}));
    assert_eq!(
        judge(&query(), &all).not_searched,
        [
            "networks (the answer has none of its list)",
            "ports (the answer is too long, or no JSON)",
            "servers (the cloud refuses the token, status 401)",
            "volumes behind the first 120",
        ]
    );
    assert!(judge(&query(), &[]).found.is_empty());
}

#[test]
fn t6_a_service_that_a_cloud_does_not_have_holds_nothing_and_one_without_tls_is_not_asked() {
    let some = vec![
        service("compute", "http://compute.cloud.example/v2.1"),
        service("block-storage", "https://volume.cloud.example/v3"),
        CloudService { region: "r2".to_owned(), ..service("network", "https://network.cloud.example") },
    ];
    let query = LeftoverQuery { services: some, ..query() };
    let urls: Vec<String> = probes(&query).unwrap().into_iter().map(|probe| probe.url).collect();
    assert_eq!(urls, ["https://volume.cloud.example/v3/volumes/detail?limit=120"]);
    let volumes = answer(&json!({"volumes": []}));
    let missing = "(the cloud's catalogue has no service network in r1)";
    assert_eq!(
        judge(&query, &[volumes]).not_searched,
        [
            format!("floating IPs {missing}"),
            format!("networks {missing}"),
            format!("ports {missing}"),
            format!("routers {missing}"),
            format!("security groups {missing}"),
            "servers (its endpoint is not https, and a token is not sent there)".to_owned(),
        ]
    );
}
