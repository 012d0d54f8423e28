//! Plain words for what OpenTofu and the services say. The provider writes a service's answer as it came, status and JSON: that decides.
//! Words decide only where there is none, and after what is of no cloud. Of a server that could not be built the provider says no
//! more than that its state is `ERROR`.

mod answer;
mod words;

use catalyst_plugin_sdk::diagnosis::{self, LocalFault};
use catalyst_plugin_sdk::{Advice, Asked, Diagnostic, DiagnosticKind};

use crate::flavours;

/// Why the cloud did not do what was asked of it. Of several answers the first in this order counts: what stays as it is before what
/// passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Quota,
    NoAddress,
    NoHost,
    BrokenBalancer,
    BrokenServer,
    NoService,
    BalancerProvider,
    NotThere,
    Ambiguous,
    NoDisk,
    RefusedCredential,
    NoRights,
    StillAttached,
    NameTaken,
    InvalidValue,
    RateLimit,
    Busy,
    Unavailable,
}

pub(crate) fn advice(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
    let address = diagnostic.address.as_deref();
    match cause(&diagnosis::words(diagnostic), address) {
        Ok(Some(cause)) => {
            let of_server = address.is_none_or(|address| address.starts_with("openstack_compute_instance_v2"));
            let offers = cause.kind() == DiagnosticKind::Capacity && of_server;
            let what_to_do = without_dead_ends(cause.what_to_do(), asked);
            let alternatives = if offers { flavours::alternatives(asked, address) } else { Vec::new() };
            let advice = diagnosis::advice(cause.kind(), cause.passes(), cause.what_happened(), &what_to_do);
            Advice { alternatives, ..advice }
        }
        Ok(None) => diagnosis::unexplained(diagnostic),
        Err(local) => local.advice(),
    }
}

/// What the cloud says, else the fault that is of no cloud.
fn cause(words: &str, address: Option<&str>) -> Result<Option<Cause>, LocalFault> {
    let (answers, beside) = answer::parts(words);
    let answered = answers.into_iter().filter_map(answer::Answer::cause).min();
    if answered.is_some_and(|cause| cause != Cause::Unavailable) {
        return Ok(answered);
    }
    match LocalFault::of(&beside) {
        Some(local) if !words::is_of_a_server(words) => Err(local),
        _ => Ok(answered.or_else(|| words::cause(words, address))),
    }
}

impl Cause {
    fn kind(self) -> DiagnosticKind {
        match self {
            Self::Quota => DiagnosticKind::Quota,
            Self::NoAddress | Self::NoHost | Self::BrokenBalancer | Self::BrokenServer => DiagnosticKind::Capacity,
            Self::NoService
            | Self::BalancerProvider
            | Self::NotThere
            | Self::Ambiguous
            | Self::NoDisk
            | Self::InvalidValue => DiagnosticKind::Configuration,
            Self::RefusedCredential | Self::NoRights => DiagnosticKind::Credentials,
            Self::StillAttached | Self::NameTaken | Self::Busy => DiagnosticKind::Conflict,
            Self::RateLimit => DiagnosticKind::RateLimit,
            Self::Unavailable => DiagnosticKind::Transient,
        }
    }

    /// Whether the same run may succeed later.
    fn passes(self) -> bool {
        matches!(self, Self::RateLimit | Self::Busy | Self::Unavailable)
    }

    fn what_happened(self) -> &'static str {
        match self {
            Self::Quota => "The project has reached one of its quotas.",
            Self::NoAddress => "The external network has no public address left.",
            Self::NoHost => {
                "No valid host was found: the cloud has no machine with room for this flavour, or none left for one more \
                 server of the anti-affinity group."
            }
            Self::BrokenBalancer => "Octavia could not build the load balancer, or is not through with it.",
            Self::BrokenServer => {
                "The cloud began to build a server and gave up. Most often no valid host was found: no machine has room \
                 for the flavour, or for one more server of the anti-affinity group."
            }
            Self::NoService => "The cloud's catalogue has no such service in this region.",
            Self::BalancerProvider => {
                "The provider of load balancers does not do what was asked of it, or the cloud has none of that name."
            }
            Self::NotThere => "The region has no flavour, image or external network of that name.",
            Self::Ambiguous => "Several networks or flavours have that name.",
            Self::NoDisk => "The flavour has no disk, or one too small for the image.",
            Self::RefusedCredential => "The identity service refuses the application credential.",
            Self::NoRights => "The application credential does not have the rights for this.",
            Self::StillAttached => {
                "Something that this deployment did not make still uses what is to be removed: the cluster itself or a person made it."
            }
            Self::NameTaken => {
                "Something of that name or address is in the project already, or something else still uses it, perhaps \
                 from an earlier run."
            }
            Self::InvalidValue => "The cloud or the module does not take one of the values.",
            Self::RateLimit => "The cloud takes no more requests for a while.",
            Self::Busy => "The cloud is still busy with another change of the same resource.",
            Self::Unavailable => {
                "A service of the cloud, or the network on the way to it, did not answer as it should."
            }
        }
    }

    fn what_to_do(self) -> &'static str {
        match self {
            Self::Quota => {
                "The message names the resource. Remove what is no longer needed in the project, or ask the cloud for a \
                 higher quota, then retry."
            }
            Self::NoAddress => "Choose another external network (openstackExternalNetwork) or region, or retry later.",
            Self::NoHost => {
                "Choose another flavour, availability zone or region, or openstackServerGroupPolicy soft-anti-affinity; the \
                 same choice may work again later."
            }
            Self::BrokenBalancer => {
                "Retry once, which makes a new one. If it goes on, the cloud has to look into it; a cluster of one server \
                 can do without (openstackLoadBalancer none)."
            }
            Self::BrokenServer => {
                "`openstack server show` says its fault. Choose another flavour, availability zone or region, or \
                 openstackServerGroupPolicy soft-anti-affinity, then retry: the broken server is replaced."
            }
            Self::NoService => {
                "`openstack catalog list` shows regions and services: correct the region. Without an Octavia \
                 (load-balancer) there, say openstackLoadBalancer none."
            }
            Self::BalancerProvider => {
                "`openstack loadbalancer provider list` shows them. Set openstackLoadBalancerProvider to ovn or amphora, \
                 whichever the cloud has, then retry; ovn has to be said where it is the cloud's default."
            }
            Self::NotThere => {
                "The resource named says which. `openstack flavor list`, `openstack image list` and `openstack network list \
                 --external` show the names; they differ from region to region."
            }
            Self::Ambiguous => "Ask the cloud for a name that is the only one of its kind.",
            Self::NoDisk => "Set openstackBootVolumeGiB, or choose a flavour with a disk.",
            Self::RefusedCredential => {
                "Create one in the right project (`openstack application credential create`) and start again with its id and \
                 secret; look whether it has expired."
            }
            Self::NoRights => {
                "Give it the role member, for load balancers also load-balancer_member where the cloud has that role."
            }
            Self::StillAttached => {
                "`openstack port list` and `openstack loadbalancer list` show what is on the network: load balancers and floating \
                 addresses of the cluster's Services, servers that were added by hand. Remove them, then try again; before that \
                 it ends the same way. What this deployment made has the tag catalyst-deployment."
            }
            Self::NameTaken => {
                "Look for resources whose names begin with catalyst- and this domain, or with the tag \
                 catalyst-deployment; remove what belongs to no running cluster, then retry."
            }
            Self::InvalidValue => "The message names the field: start again with another value.",
            Self::RateLimit => "Wait for some minutes, then retry.",
            Self::Busy => "Retry in a minute.",
            Self::Unavailable => {
                "Retry; if it goes on, look at the cloud's status page, at openstackAuthUrl and at the host's way out."
            }
        }
    }
}

/// Advice without what would be refused, or change nothing, for what was asked for: three servers need a load balancer, and one
/// server alone has nobody to be kept apart from.
fn without_dead_ends(advice: &str, asked: &Asked) -> String {
    let dead_ends: &[&str] = if asked.ha_enabled { &WITHOUT_LOAD_BALANCER } else { &[OTHER_POLICY] };
    dead_ends.iter().fold(advice.to_owned(), |advice, dead_end| advice.replace(dead_end, ""))
}

/// Ways out for one server alone.
const WITHOUT_LOAD_BALANCER: [&str; 2] = [
    "; a cluster of one server can do without (openstackLoadBalancer none)",
    " Without an Octavia (load-balancer) there, say openstackLoadBalancer none.",
];
/// A way out for three servers.
const OTHER_POLICY: &str = ", or openstackServerGroupPolicy soft-anti-affinity";

#[cfg(test)]
mod cause_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// As the provider writes them: its own words, then the call, the status and the body.
    #[test]
    fn each_answer_of_the_services_has_its_family() {
        let answered = |status: u16, body: &str| {
            format!(
                "Error creating OpenStack server: Expected HTTP response code [200 202] when accessing [POST \
                 https://nova.test/v2.1/servers], but got {status} instead: {body}"
            )
        };
        let quota = r#"{"forbidden": {"code": 403, "message": "Quota exceeded for cores, ram: Requested 4, but already used 18 of 20 cores"}}"#;
        let octavia = r#"{"faultcode": "Client", "faultstring": "Quota has been met for resources: Load Balancer"}"#;
        let floating =
            r#"{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['floatingip']."}}"#;
        let exhausted = r#"{"NeutronError": {"type": "ExternalIpAddressExhausted", "message": "Unable to find any IP address on external network x."}}"#;
        let immutable =
            r#"{"faultcode": "Client", "faultstring": "Load Balancer 0da0 is immutable and cannot be updated."}"#;
        let allocated = r#"{"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "IP address 10.0.1.2 already allocated in subnet x"}}"#;
        let pair = r#"{"conflictingRequest": {"code": 409, "message": "Key pair 'catalyst-a' already exists."}}"#;
        let policy = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:create to be performed."}}"#;
        let option = r#"{"faultcode": "Client", "faultstring": "Provider 'ovn' does not support a requested option: OVN provider does not support allowed_cidrs option"}"#;
        let unknown = r#"{"faultcode": "Client", "faultstring": "Provider 'amphorae' was not found."}"#;
        let disabled = r#"{"faultcode": "Client", "faultstring": "Provider 'ovn' is not enabled."}"#;
        let cases = [
            (answered(403, quota), DiagnosticKind::Quota, false),
            (answered(403, octavia), DiagnosticKind::Quota, false),
            (answered(409, floating), DiagnosticKind::Quota, false),
            (answered(409, exhausted), DiagnosticKind::Capacity, false),
            (answered(409, immutable), DiagnosticKind::Conflict, true),
            (answered(409, allocated), DiagnosticKind::Conflict, false),
            (answered(409, pair), DiagnosticKind::Conflict, false),
            (answered(403, policy), DiagnosticKind::Credentials, false),
            (answered(401, "{}"), DiagnosticKind::Credentials, false),
            (answered(429, "{}"), DiagnosticKind::RateLimit, true),
            (answered(503, "{}"), DiagnosticKind::Transient, true),
            (answered(501, option), DiagnosticKind::Configuration, false),
            (answered(501, unknown), DiagnosticKind::Configuration, false),
            (answered(400, disabled), DiagnosticKind::Configuration, false),
            (answered(400, "{}"), DiagnosticKind::Configuration, false),
            ("No suitable endpoint could be found in the service catalog.".to_owned(), DiagnosticKind::Configuration, false),
            ("Your query returned no results. Please change your search criteria and try again".to_owned(), DiagnosticKind::Configuration, false),
            ("Error waiting for instance (x) to become ready: unexpected state 'ERROR', wanted target 'ACTIVE'. last error: %!s(<nil>)".to_owned(), DiagnosticKind::Capacity, false),
            (r#"Post "https://nova.test/v2.1/servers": EOF"#.to_owned(), DiagnosticKind::Transient, true),
            ("timeout while waiting for state to become 'ACTIVE' (last state: 'BUILD', timeout: 30m0s)".to_owned(), DiagnosticKind::Transient, true),
            ("something new".to_owned(), DiagnosticKind::Other, false),
        ];
        let asked = Asked {
            region: "GRA11".to_owned(),
            control_plane_size: "b3-16".to_owned(),
            worker_size: String::new(),
            worker_count: 0,
            ha_enabled: false,
        };
        for (summary, kind, retryable) in cases {
            let diagnostic = Diagnostic { summary: summary.clone(), detail: String::new(), address: None };
            let advice = advice(&diagnostic, &asked);
            assert_eq!((advice.kind, advice.retryable), (kind, retryable), "{summary}");
            let of_provider = summary.contains("Provider '");
            assert_eq!(advice.what_to_do.contains("openstackLoadBalancerProvider"), of_provider, "{summary}");
        }
    }

    #[test]
    fn t15_no_way_out_is_named_that_what_was_asked_for_bars() {
        let told = |summary: &str, ha_enabled: bool| {
            let asked = Asked {
                region: "GRA11".to_owned(),
                control_plane_size: "b3-16".to_owned(),
                ha_enabled,
                ..Asked::default()
            };
            let diagnostic = Diagnostic { summary: summary.to_owned(), detail: String::new(), address: None };
            advice(&diagnostic, &asked).what_to_do
        };
        for (summary, way_out, of_three) in [
            ("No suitable endpoint could be found in the service catalog.", "openstackLoadBalancer none", false),
            ("Error waiting for loadbalancer", "openstackLoadBalancer none", false),
            ("No valid host was found.", "soft-anti-affinity", true),
            ("unexpected state 'ERROR', wanted target 'ACTIVE'", "soft-anti-affinity", true),
        ] {
            assert!(told(summary, of_three).contains(way_out), "{summary}: {}", told(summary, of_three));
            let other = told(summary, !of_three);
            assert!(!other.contains(way_out) && !other.contains("  ") && other.len() > 40, "{summary}: {other}");
        }
    }
}
