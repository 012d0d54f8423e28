//! The lists of a cloud that are asked for, and where its services have them.

use super::{TAG, made};
use catalyst_plugin_sdk::LeftoverQuery;

/// Characters of a server's name before its own part, at most (`infra/openstack/main.tf`).
const NAME: usize = 50;

/// A list of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Servers,
    Volumes,
    Balancers,
    Ports,
    Networks,
    Routers,
    FloatingIps,
    SecurityGroups,
}

/// What differs between lists: types of the service, key in the answer, type in OpenTofu, what people call one and several, and objects
/// in one answer.
struct Shape(&'static [&'static str], &'static str, &'static str, &'static str, &'static str, usize);

const COMPUTE: &[&str] = &["compute"];
const NETWORK: &[&str] = &["network"];
/// The older name, and those of the service types authority.
const VOLUME: &[&str] = &["volumev3", "block-storage", "block-store"];
const BALANCER: &[&str] = &["load-balancer"];

impl List {
    /// Ports come before the security groups that they have.
    pub(super) const ALL: [Self; 8] = [
        Self::Servers,
        Self::Volumes,
        Self::Balancers,
        Self::Ports,
        Self::Networks,
        Self::Routers,
        Self::FloatingIps,
        Self::SecurityGroups,
    ];

    /// A server has some 3 KiB, a volume 2, all others, of which only some fields are asked for, less than half of one; an answer may
    /// have 256.
    fn shape(self) -> Shape {
        match self {
            Self::Servers => Shape(COMPUTE, "servers", "openstack_compute_instance_v2", "server", "servers", 75),
            Self::Volumes => Shape(VOLUME, "volumes", "openstack_blockstorage_volume_v3", "volume", "volumes", 120),
            Self::Balancers => {
                Shape(BALANCER, "loadbalancers", "openstack_lb_loadbalancer_v2", "load balancer", "load balancers", 400)
            }
            Self::Ports => Shape(NETWORK, "ports", "openstack_networking_port_v2", "port", "ports", 400),
            Self::Networks => Shape(NETWORK, "networks", "openstack_networking_network_v2", "network", "networks", 400),
            Self::Routers => Shape(NETWORK, "routers", "openstack_networking_router_v2", "router", "routers", 400),
            Self::FloatingIps => {
                Shape(NETWORK, "floatingips", "openstack_networking_floatingip_v2", "floating IP", "floating IPs", 400)
            }
            Self::SecurityGroups => Shape(
                NETWORK,
                "security_groups",
                "openstack_networking_secgroup_v2",
                "security group",
                "security groups",
                400,
            ),
        }
    }

    /// Its key in an answer.
    pub(super) fn key(self) -> &'static str {
        self.shape().1
    }

    /// Its type in OpenTofu.
    pub(super) fn resource(self) -> &'static str {
        self.shape().2
    }

    /// What people call one of them.
    pub(super) fn one(self) -> &'static str {
        self.shape().3
    }

    /// What people call several.
    pub(super) fn several(self) -> &'static str {
        self.shape().4
    }

    /// Objects in one answer.
    pub(super) fn page(self) -> usize {
        self.shape().5
    }

    /// Path and query behind the service's endpoint.
    pub(super) fn path(self, query: &LeftoverQuery) -> String {
        let tag = format!("tags={TAG}%3D{}", query.deployment_id);
        let fields = |names: &[&str]| names.iter().map(|name| format!("&fields={name}")).collect::<String>();
        let (path, selection) = match self {
            Self::Servers => ("/servers/detail", format!("name={}", name_of_servers(&query.sovereign_fqdn))),
            Self::Volumes => ("/volumes/detail", String::new()),
            Self::Balancers => ("/loadbalancers", fields(&["id", "name", "tags", "vip_network_id"])),
            Self::Ports => {
                let network = made(query, Self::Networks.resource()).into_iter().next();
                let of = network.map_or(tag, |id| format!("network_id={id}"));
                let fields =
                    fields(&["id", "name", "network_id", "device_owner", "device_id", "security_groups", "tags"]);
                ("/ports", of + &fields)
            }
            Self::Networks => ("/networks", tag + &fields(&["id", "name", "tags"])),
            Self::Routers => ("/routers", tag + &fields(&["id", "name", "tags"])),
            Self::FloatingIps => {
                ("/floatingips", fields(&["id", "floating_ip_address", "router_id", "description", "tags"]))
            }
            Self::SecurityGroups => ("/security-groups", fields(&["id", "name", "tags"])),
        };
        let separator = if selection.is_empty() || selection.starts_with('&') { "" } else { "&" };
        format!("{path}?limit={}{separator}{selection}", self.page())
    }
}

/// How the names of the deployment's servers begin, also of those that were named without a digest. Nova takes it for a pattern, and finds
/// servers of other deployments as well.
fn name_of_servers(fqdn: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = format!("catalyst-{fqdn}").chars().take(NAME).map(plain).collect();
    name.trim_end_matches('-').to_owned()
}

/// Where a list is, without its path. None where the cloud has no such service, and so none of its objects.
///
/// # Errors
/// Why the list cannot be asked for.
pub(super) fn endpoint(query: &LeftoverQuery, list: List) -> Result<Option<String>, String> {
    let Shape(kinds, ..) = list.shape();
    let is_here = |region: &str| query.region.is_empty() || region == query.region;
    let of_kind = |kind: &&str| query.services.iter().find(|one| one.kind == **kind && is_here(&one.region));
    let Some(service) = kinds.iter().find_map(of_kind) else {
        let is_optional = [VOLUME, BALANCER].contains(&kinds);
        let missing = || format!("the cloud's catalogue has no service {} in {}", kinds.join(" or "), query.region);
        return if is_optional { Ok(None) } else { Err(missing()) };
    };
    if !service.url.starts_with("https://") {
        return Err("its endpoint is not https, and a token is not sent there".to_owned());
    }
    let url = service.url.trim_end_matches('/');
    Ok(Some(if kinds == NETWORK {
        format!("{}/v2.0", url.trim_end_matches("/v2.0"))
    } else if kinds == BALANCER {
        format!("{}/v2.0/lbaas", url.trim_end_matches("/v2.0").trim_end_matches("/v2"))
    } else {
        url.to_owned()
    }))
}
