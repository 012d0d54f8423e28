//! What a destroy may leave in a project: load balancers and volumes that the cluster made, and what has the deployment's label and is
//! in no state. A project may hold other clusters, so nothing is named that is not known to belong here, or says itself that it may not.

use catalyst_plugin_sdk::{Leftover, LeftoverQuery, LeftoverSearch, Probe, ProbeResponse};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::descriptor::asks;

/// Label that every resource of the module has (`infra/hetzner/main.tf`).
const LABEL: &str = "catalyst.openova.io/deployment-id";
/// Label by which Hetzner's cloud controller finds the load balancer of a Service again.
const SERVICE_LABEL: &str = "hcloud-ccm/service-uid";
/// Objects in one answer. A load balancer or a server is some 6 KiB with the prices of its type.
const PAGE: usize = 25;

/// Kinds of objects: name in the API, type in OpenTofu, and what people call one and several.
const LOAD_BALANCER: Kind = Kind("load_balancers", "hcloud_load_balancer", "load balancer", "load balancers");
const VOLUME: Kind = Kind("volumes", "hcloud_volume", "volume", "volumes");
const SERVER: Kind = Kind("servers", "hcloud_server", "server", "servers");
const NETWORK: Kind = Kind("networks", "hcloud_network", "network", "networks");

#[derive(Clone, Copy)]
struct Kind(&'static str, &'static str, &'static str, &'static str);

/// Lists that are asked for, in the order of the probes: those with the deployment's label, or all.
const LISTS: [(Kind, bool); 6] =
    [(LOAD_BALANCER, false), (VOLUME, false), (LOAD_BALANCER, true), (VOLUME, true), (SERVER, true), (NETWORK, true)];

pub(crate) fn probes(query: &LeftoverQuery) -> Result<Vec<Probe>, String> {
    let is_plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_plain(&query.deployment_id) {
        return Err("the deployment's id is no value of a label".to_owned());
    }
    let label = format!("&label_selector={}%3D{}", LABEL.replace('/', "%2F"), query.deployment_id);
    let list = |(kind, by_label): &(Kind, bool)| {
        let selector = if *by_label { label.as_str() } else { "" };
        asks(&format!("{}?per_page={PAGE}{selector}", kind.0))
    };
    let network = own_network(query).map(|id| asks(&format!("networks/{id}")));
    Ok(LISTS.iter().map(list).chain(network).collect())
}

/// The network of the deployment.
fn own_network(query: &LeftoverQuery) -> Option<u64> {
    made(query, NETWORK).into_iter().next()
}

/// Ids of what OpenTofu made of a kind.
fn made(query: &LeftoverQuery, kind: Kind) -> BTreeSet<u64> {
    let is_of_kind = |address: &str| address.split('.').any(|part| part == kind.1);
    let of_kind = query.made.iter().filter(|made| is_of_kind(&made.address));
    of_kind.filter_map(|made| made.id.parse().ok()).collect()
}

pub(crate) fn judge(query: &LeftoverQuery, responses: &[ProbeResponse]) -> LeftoverSearch {
    let mut search = Search { query, found: BTreeMap::new(), not_searched: BTreeSet::new() };
    for ((kind, by_label), response) in LISTS.iter().zip(responses) {
        for object in search.objects(*kind, *by_label, response) {
            let reason = if *by_label { labelled() } else { search.reason(*kind, &object) };
            if let Some(reason) = reason {
                search.finds(*kind, &object, &reason);
            }
        }
    }
    if let Some(response) = responses.get(LISTS.len()) {
        search.network(response);
    }
    let (found, not_searched) = (search.found.into_values(), search.not_searched.into_iter());
    LeftoverSearch { found: found.collect(), not_searched: not_searched.collect() }
}

fn labelled() -> Option<String> {
    Some(format!("it has the label {LABEL} of this deployment, and OpenTofu's state does not have it"))
}

struct Search<'a> {
    query: &'a LeftoverQuery,
    /// By kind and id, so that what two answers show is named once.
    found: BTreeMap<(&'static str, u64), Leftover>,
    not_searched: BTreeSet<String>,
}

impl Search<'_> {
    /// The objects of a list, but for those that OpenTofu made.
    fn objects(&mut self, kind: Kind, by_label: bool, response: &ProbeResponse) -> Vec<Value> {
        let what = if by_label { format!("{} with the deployment's label", kind.3) } else { kind.3.to_owned() };
        let mut answer = match read(response) {
            Ok(answer) => answer,
            Err(why) => {
                self.not_searched.insert(format!("{what} ({why})"));
                return Vec::new();
            }
        };
        if !answer["meta"]["pagination"]["next_page"].is_null() {
            self.not_searched.insert(format!("{what} behind the first {PAGE} of the project"));
        }
        let made = made(self.query, kind);
        let Some(Value::Array(objects)) = answer.get_mut(kind.0).map(Value::take) else { return Vec::new() };
        let is_made = |object: &Value| object["id"].as_u64().is_none_or(|id| made.contains(&id));
        objects.into_iter().filter(|object| !is_made(object)).collect()
    }

    /// Why an object without the label belongs to this deployment.
    fn reason(&self, kind: Kind, object: &Value) -> Option<String> {
        let servers = made(self.query, SERVER);
        let leads_to = |target: &Value| target["server"]["id"].as_u64().is_some_and(|id| servers.contains(&id));
        let own = match kind.0 {
            "volumes" => {
                let server = object["server"].as_u64().filter(|id| servers.contains(id));
                server.map(|_| "it is attached to a server of this deployment".to_owned())
            }
            _ => {
                let networks = made(self.query, NETWORK);
                let nets = list(&object["private_net"]);
                let targets = list(&object["targets"]);
                if nets.iter().any(|net| net["network"].as_u64().is_some_and(|id| networks.contains(&id))) {
                    Some("it is attached to the network of this deployment".to_owned())
                } else if targets.iter().any(|target| leads_to(target) || list(&target["targets"]).iter().any(leads_to))
                {
                    Some("it leads to a server of this deployment".to_owned())
                } else if object["labels"][SERVICE_LABEL].is_string() && nets.is_empty() && targets.is_empty() {
                    let text = "a cluster made it for a Service, and it leads nowhere any more: it may be of this deployment or of another";
                    Some(text.to_owned())
                } else {
                    None
                }
            }
        };
        own.or_else(|| self.known(kind, object))
    }

    /// Why an earlier search named it, where it did.
    fn known(&self, kind: Kind, object: &Value) -> Option<String> {
        let id = object["id"].as_u64()?.to_string();
        let known = self.query.known.iter().find(|known| known.kind == kind.2 && known.id == id)?;
        Some(known.reason.clone())
    }

    /// What is in the network beside what OpenTofu made, also where a list of the project was too long.
    fn network(&mut self, response: &ProbeResponse) {
        if response.status == 404 {
            return;
        }
        let answer = match read(response) {
            Ok(answer) => answer,
            Err(why) => {
                self.not_searched.insert(format!("the network of the deployment ({why})"));
                return;
            }
        };
        for kind in [LOAD_BALANCER, SERVER] {
            let made = made(self.query, kind);
            for id in list(&answer["network"][kind.0]).iter().filter_map(Value::as_u64).filter(|id| !made.contains(id))
            {
                let object = serde_json::json!({"id": id});
                self.finds(kind, &object, "it is attached to the network of this deployment");
            }
        }
    }

    fn finds(&mut self, kind: Kind, object: &Value, reason: &str) {
        let Some(id) = object["id"].as_u64() else { return };
        let name = object["name"].as_str().unwrap_or("whose name is not known").to_owned();
        let found = || Leftover { kind: kind.2.to_owned(), name, id: id.to_string(), reason: reason.to_owned() };
        self.found.entry((kind.2, id)).or_insert_with(found);
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn read(response: &ProbeResponse) -> Result<Value, String> {
    match response.status {
        200 => serde_json::from_slice(&response.body).map_err(|_| "the answer is too long, or no JSON".to_owned()),
        401 | 403 => Err(format!("Hetzner Cloud refuses the token, status {}", response.status)),
        429 => Err("the project's hourly request limit at Hetzner Cloud is used up".to_owned()),
        status => Err(format!("Hetzner Cloud answered with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_plugin_sdk::MadeResource;
    use serde_json::json;

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
        let mut all: Vec<ProbeResponse> = LISTS.iter().map(|(kind, _)| answer(&json!({kind.0: []}))).collect();
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
                of("load_balancers?per_page=25"),
                of("volumes?per_page=25"),
                of(&format!("load_balancers?per_page=25{label}")),
                of(&format!("volumes?per_page=25{label}")),
                of(&format!("servers?per_page=25{label}")),
                of(&format!("networks?per_page=25{label}")),
                of("networks/11"),
            ]
        );
        assert!(probes.iter().all(|probe| probe.method == "GET" && probe.headers[0].value.contains("{{secret:")));
        let nothing_made = LeftoverQuery { made: Vec::new(), ..query() };
        assert_eq!(super::probes(&nothing_made).unwrap().len(), LISTS.len());
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
        let search = judge(&query(), &answers(&[(0, balancers), (1, volumes), (4, servers)]));
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
        let search = judge(&query, &answers(&[(1, volumes)]));
        assert_eq!(shown(&search), ["volume pvc-1 41: it is attached to a server of this deployment"], "40 is gone");
    }

    #[test]
    fn t6_what_the_network_alone_tells_is_found_too() {
        let network = json!({"network": {"id": 11, "servers": [21, 22, 28], "load_balancers": [31, 38]}});
        let search = judge(&query(), &answers(&[(LISTS.len(), network)]));
        let ids: Vec<&str> = search.found.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(ids, ["38", "28"]);
        let mut gone = answers(&[]);
        gone[LISTS.len()] = ProbeResponse { status: 404, body: Vec::new() };
        assert_eq!(judge(&query(), &gone), LeftoverSearch { found: Vec::new(), not_searched: Vec::new() });
    }

    #[test]
    fn t6_what_could_not_be_looked_at_is_said() {
        let more = json!({"volumes": [], "meta": {"pagination": {"next_page": 2}}});
        let mut all = answers(&[(1, more)]);
        all[0] = ProbeResponse { status: 401, body: Vec::new() };
        all[4] = ProbeResponse { status: 200, body: b"{\"servers\": [".to_vec() };
        let search = judge(&query(), &all);
        assert_eq!(
            search.not_searched,
            [
                "load balancers (Hetzner Cloud refuses the token, status 401)",
                "servers with the deployment's label (the answer is too long, or no JSON)",
                "volumes behind the first 25 of the project",
            ]
        );
        assert!(judge(&query(), &[]).found.is_empty());
    }
}
