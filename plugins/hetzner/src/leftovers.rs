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
/// Objects in one answer. A load balancer or a server is some 6 KiB with the prices of its type, and an answer is read up to 256 KiB.
const LARGE_PER_PAGE: usize = 25;
/// The same of small ones; Hetzner gives no more.
const SMALL_PER_PAGE: usize = 50;
/// Pages of all load balancers and of all volumes of a project that are asked for. With the other lists they are within the number of
/// probes that a search may have.
const BALANCER_PAGES: usize = 4;
const VOLUME_PAGES: usize = 5;

/// Kinds of objects: name in the API, type in OpenTofu, and what people call one and several.
const LOAD_BALANCER: Kind = Kind("load_balancers", "hcloud_load_balancer", "load balancer", "load balancers");
const VOLUME: Kind = Kind("volumes", "hcloud_volume", "volume", "volumes");
const SERVER: Kind = Kind("servers", "hcloud_server", "server", "servers");
const NETWORK: Kind = Kind("networks", "hcloud_network", "network", "networks");

#[derive(Clone, Copy)]
struct Kind(&'static str, &'static str, &'static str, &'static str);

/// A page of a list: all objects of a kind, or those with the deployment's label.
#[derive(Clone, Copy)]
struct Page {
    kind: Kind,
    by_label: bool,
    per_page: usize,
    /// From 1.
    number: usize,
    /// How many are asked for.
    of: usize,
}

/// The pages that are asked for, in the order of the probes.
fn pages() -> Vec<Page> {
    let lists = [
        (LOAD_BALANCER, false, LARGE_PER_PAGE, BALANCER_PAGES),
        (VOLUME, false, SMALL_PER_PAGE, VOLUME_PAGES),
        (LOAD_BALANCER, true, LARGE_PER_PAGE, 1),
        (VOLUME, true, SMALL_PER_PAGE, 1),
        (SERVER, true, LARGE_PER_PAGE, 1),
        (NETWORK, true, SMALL_PER_PAGE, 1),
    ];
    let page =
        |(kind, by_label, per_page, of)| (1..=of).map(move |number| Page { kind, by_label, per_page, number, of });
    lists.into_iter().flat_map(page).collect()
}

impl Page {
    /// What people call the list.
    fn list(&self) -> String {
        if self.by_label { format!("{} with the deployment's label", self.kind.3) } else { self.kind.3.to_owned() }
    }
}

pub(crate) fn probes(query: &LeftoverQuery) -> Result<Vec<Probe>, String> {
    let is_plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_plain(&query.deployment_id) {
        return Err("the deployment's id is no value of a label".to_owned());
    }
    let label = format!("&label_selector={}%3D{}", LABEL.replace('/', "%2F"), query.deployment_id);
    let list = |page: Page| {
        let selector = if page.by_label { label.as_str() } else { "" };
        asks(&format!("{}?per_page={}&page={}{selector}", page.kind.0, page.per_page, page.number))
    };
    let network = own_network(query).map(|id| asks(&format!("networks/{id}")));
    Ok(pages().into_iter().map(list).chain(network).collect())
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
    let pages = pages();
    for (page, response) in pages.iter().zip(responses) {
        for object in search.objects(page, response) {
            let reason = if page.by_label { labelled() } else { search.reason(page.kind, &object) };
            if let Some(reason) = reason {
                search.finds(page.kind, &object, &reason);
            }
        }
    }
    if let Some(response) = responses.get(pages.len()) {
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
    /// The objects of a page, but for those that OpenTofu made.
    fn objects(&mut self, page: &Page, response: &ProbeResponse) -> Vec<Value> {
        let (kind, list) = (page.kind, page.list());
        let objects = |mut answer: Value| match answer.get_mut(kind.0).map(Value::take) {
            Some(Value::Array(objects)) => Ok((objects, answer)),
            _ => Err("the answer has none of its list".to_owned()),
        };
        let (objects, answer) = match read(response).and_then(objects) {
            Ok(both) => both,
            Err(why) => {
                let number = if page.number == 1 { String::new() } else { format!(", page {}", page.number) };
                self.not_searched.insert(format!("{list}{number} ({why})"));
                return Vec::new();
            }
        };
        if page.number == page.of && !answer["meta"]["pagination"]["next_page"].is_null() {
            self.not_searched.insert(format!("{list} behind the first {} of the project", page.per_page * page.of));
        }
        let made = made(self.query, kind);
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

    /// Why an earlier search, or the cluster, named it; the host has marked what the cluster alone named. What has the label of another
    /// deployment is not named.
    fn known(&self, kind: Kind, object: &Value) -> Option<String> {
        let id = object["id"].as_u64()?.to_string();
        let known = self.query.known.iter().find(|known| known.kind == kind.2 && known.id == id)?;
        let label = object["labels"][LABEL].as_str();
        if label.is_some_and(|label| label != self.query.deployment_id) {
            return None;
        }
        Some(known.reason.clone())
    }

    /// What is in the network beside what OpenTofu made, also where a list of the project was too long.
    fn network(&mut self, response: &ProbeResponse) {
        if response.status == 404 {
            return;
        }
        let network = |answer: Value| match answer["network"].is_object() {
            true => Ok(answer),
            false => Err("the answer has no network".to_owned()),
        };
        let answer = match read(response).and_then(network) {
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
        0 => Err("no answer came from Hetzner Cloud".to_owned()),
        200 => serde_json::from_slice(&response.body).map_err(|_| "the answer is too long, or no JSON".to_owned()),
        401 | 403 => Err(format!("Hetzner Cloud refuses the token, status {}", response.status)),
        429 => Err("the project's hourly request limit at Hetzner Cloud is used up".to_owned()),
        status => Err(format!("Hetzner Cloud answered with status {status}")),
    }
}

#[cfg(test)]
mod tests;
