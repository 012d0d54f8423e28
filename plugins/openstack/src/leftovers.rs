//! What a destroy may leave in a project: what the cluster made there for its Services and claims, and what has the deployment's tag and
//! is in no state. A project may hold other clusters, so nothing is named that is not known to belong here, or says itself that it may
//! not. The host has a session with the services of the cloud, and fills its token in.

mod lists;
#[cfg(test)]
mod tests;

use catalyst_plugin_sdk::{
    Header, Leftover, LeftoverQuery, LeftoverSearch, Probe, ProbeResponse, SESSION_TOKEN_PLACEHOLDER,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use lists::{List, endpoint};

/// Key of the tag, and of a server's metadata, with the deployment's id (`infra/openstack/main.tf`).
const TAG: &str = "catalyst-deployment";
/// How the cloud controller of OpenStack describes the floating IP of a Service.
const OF_A_SERVICE: &str = "Floating IP for Kubernetes external service";
/// Ports of load balancers, which are named themselves: those of amphorae, and the addresses of Octavia's providers.
const BALANCER_PORTS: [&str; 2] = ["octavia-lb-", "ovn-lb-vip-"];

const IN_NETWORK: &str = "it is in the network of this deployment";

pub(crate) fn probes(query: &LeftoverQuery) -> Result<Vec<Probe>, String> {
    if query.services.is_empty() {
        return Err(
            "the host has no session with its services; `openstack loadbalancer list`, `openstack volume list` and \
                    `openstack port list` show what is left of load balancers, volumes and ports"
                .to_owned(),
        );
    }
    if !is_plain(&query.deployment_id) {
        return Err("the deployment's id is no value of a tag".to_owned());
    }
    let probe = |(_, url): (List, String)| Probe {
        method: "GET".to_owned(),
        url,
        headers: vec![Header { name: "X-Auth-Token".to_owned(), value: SESSION_TOKEN_PLACEHOLDER.to_owned() }],
        body: None,
    };
    Ok(asked(query).into_iter().map(probe).collect())
}

/// The lists that are asked for, with their addresses, in the order of the probes.
fn asked(query: &LeftoverQuery) -> Vec<(List, String)> {
    let address = |list: List| Some((list, format!("{}{}", endpoint(query, list).ok()??, list.path(query))));
    List::ALL.into_iter().filter_map(address).collect()
}

fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Ids of what OpenTofu made of a type.
fn made(query: &LeftoverQuery, kind: &str) -> BTreeSet<String> {
    let is_of_kind = |address: &str| address.split('.').any(|part| part == kind);
    let of_kind = query.made.iter().filter(|made| is_of_kind(&made.address) && is_plain(&made.id));
    of_kind.map(|made| made.id.clone()).collect()
}

pub(crate) fn judge(query: &LeftoverQuery, responses: &[ProbeResponse]) -> LeftoverSearch {
    let mut search =
        Search { query, found: BTreeMap::new(), not_searched: BTreeSet::new(), groups_in_use: BTreeSet::new() };
    for list in List::ALL {
        if let Err(why) = endpoint(query, list) {
            search.not_searched.insert(format!("{} ({why})", list.several()));
        }
    }
    for ((list, _), response) in asked(query).into_iter().zip(responses) {
        for object in search.objects(list, response) {
            search.look_at(list, &object);
        }
    }
    let (found, not_searched) = (search.found.into_values(), search.not_searched.into_iter());
    LeftoverSearch { found: found.collect(), not_searched: not_searched.collect() }
}

struct Search<'a> {
    query: &'a LeftoverQuery,
    /// By kind and id, so that what two answers show is named once.
    found: BTreeMap<(&'static str, String), Leftover>,
    not_searched: BTreeSet<String>,
    /// Security groups of ports in the network of the deployment.
    groups_in_use: BTreeSet<String>,
}

impl Search<'_> {
    fn objects(&mut self, list: List, response: &ProbeResponse) -> Vec<Value> {
        let mut answer = match read(response) {
            Ok(answer) => answer,
            Err(why) => {
                self.not_searched.insert(format!("{} ({why})", list.several()));
                return Vec::new();
            }
        };
        let links = items(&answer[format!("{}_links", list.key())]);
        if links.iter().any(|link| link["rel"] == "next") {
            self.not_searched.insert(format!("{} behind the first {}", list.several(), list.page()));
        }
        match answer.get_mut(list.key()).map(Value::take) {
            Some(Value::Array(objects)) => objects,
            _ => {
                self.not_searched.insert(format!("{} (the answer has none of its list)", list.several()));
                Vec::new()
            }
        }
    }

    fn look_at(&mut self, list: List, object: &Value) {
        if list == List::Ports {
            let groups = items(&object["security_groups"]).iter().filter_map(Value::as_str);
            self.groups_in_use.extend(groups.map(str::to_owned));
        }
        let Some(id) = object["id"].as_str() else { return };
        if made(self.query, list.resource()).contains(id) {
            return;
        }
        let reason =
            self.labelled(object).or_else(|| self.attached(list, object)).or_else(|| self.known(list, id, object));
        if let (List::Ports, Some(server)) = (list, server_of(object)) {
            if reason.is_some() && !made(self.query, List::Servers.resource()).contains(server) {
                self.finds(List::Servers.one(), server, None, "it has a port in the network of this deployment");
            }
        } else if let Some(reason) = reason {
            let name = object["name"].as_str().or_else(|| object["floating_ip_address"].as_str());
            self.finds(list.one(), id, name.filter(|name| !name.is_empty()), &reason);
        }
    }

    /// By the deployment's own tag or metadata.
    fn labelled(&self, object: &Value) -> Option<String> {
        let is_labelled = deployments(object).any(|id| id == self.query.deployment_id);
        is_labelled.then(|| format!("it has the tag {TAG} of this deployment, and OpenTofu's state does not have it"))
    }

    /// By what it is attached to.
    fn attached(&self, list: List, object: &Value) -> Option<String> {
        let is_made = |kind: &str, id: &Value| id.as_str().is_some_and(|id| made(self.query, kind).contains(id));
        match list {
            // What a server boots from goes with it.
            List::Volumes if object["bootable"] != "true" => {
                let to_server = |one: &Value| is_made(List::Servers.resource(), &one["server_id"]);
                let attached = items(&object["attachments"]).iter().any(to_server);
                attached.then(|| "it is attached to a server of this deployment".to_owned())
            }
            List::Balancers if is_made(List::Networks.resource(), &object["vip_network_id"]) => {
                Some(IN_NETWORK.to_owned())
            }
            List::Ports => self.port(object),
            List::FloatingIps if is_made(List::Routers.resource(), &object["router_id"]) => {
                Some("it leads into the network of this deployment".to_owned())
            }
            List::FloatingIps if object["router_id"].is_null() => {
                let text = object["description"].as_str().filter(|text| text.starts_with(OF_A_SERVICE));
                text.map(|_| {
                    "a cluster made it for a Service, and it leads nowhere any more: it may be of this deployment or of another"
                        .to_owned()
                })
            }
            List::SecurityGroups if object["name"] != "default" => {
                let used = object["id"].as_str().is_some_and(|id| self.groups_in_use.contains(id));
                used.then(|| "a port in the network of this deployment has it".to_owned())
            }
            _ => None,
        }
    }

    /// A port that is neither the network's own nor that of a load balancer.
    fn port(&self, object: &Value) -> Option<String> {
        let network = made(self.query, List::Networks.resource());
        let is_inside = object["network_id"].as_str().is_some_and(|id| network.contains(id));
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let is_of_network = text("device_owner").starts_with("network:");
        let is_of_balancer =
            text("device_owner") == "Octavia" || BALANCER_PORTS.iter().any(|prefix| text("name").starts_with(prefix));
        (is_inside && !is_of_network && !is_of_balancer).then(|| IN_NETWORK.to_owned())
    }

    /// Why an earlier search, or the cluster, named it; the host has marked what the cluster alone named. What has the tag of another
    /// deployment is that one's, whoever named it.
    fn known(&self, list: List, id: &str, object: &Value) -> Option<String> {
        if deployments(object).next().is_some() {
            return None;
        }
        let known = self.query.known.iter().find(|known| known.kind == list.one() && known.id == id)?;
        Some(known.reason.clone())
    }

    fn finds(&mut self, kind: &'static str, id: &str, name: Option<&str>, reason: &str) {
        let name = name.unwrap_or("whose name is not known").to_owned();
        let found = || Leftover { kind: kind.to_owned(), name, id: id.to_owned(), reason: reason.to_owned() };
        self.found.entry((kind, id.to_owned())).or_insert_with(found);
    }
}

/// The deployments whose tag or metadata an object has.
fn deployments(object: &Value) -> impl Iterator<Item = &str> {
    let tags = items(&object["tags"]).iter().filter_map(Value::as_str);
    let tagged = tags.filter_map(|tag| tag.strip_prefix(TAG)?.strip_prefix('='));
    tagged.chain(object["metadata"][TAG].as_str())
}

/// The server that has a port.
fn server_of(port: &Value) -> Option<&str> {
    let is_of_server = port["device_owner"].as_str().is_some_and(|owner| owner.starts_with("compute:"));
    port["device_id"].as_str().filter(|id| is_of_server && !id.is_empty())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn read(response: &ProbeResponse) -> Result<Value, String> {
    match response.status {
        0 => Err("no answer came from its service".to_owned()),
        200 => serde_json::from_slice(&response.body).map_err(|_| "the answer is too long, or no JSON".to_owned()),
        401 | 403 => Err(format!("the cloud refuses the token, status {}", response.status)),
        429 => Err("the cloud's limit of requests is used up".to_owned()),
        status => Err(format!("the cloud answered with status {status}")),
    }
}
