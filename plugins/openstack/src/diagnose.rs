//! Plain words for what OpenTofu and the services say. The provider writes a service's answer as it came, status and JSON,
//! but of a server that could not be built it says no more than that its state is `ERROR`.

use catalyst_plugin_sdk::{Advice, Asked, Diagnostic, DiagnosticKind};

use crate::flavours;

struct Known {
    /// Words of the services, the provider and OpenTofu, in lower case.
    signs: &'static [&'static str],
    kind: DiagnosticKind,
    retryable: bool,
    what_happened: &'static str,
    what_to_do: &'static str,
}

const NO_HOST: &str = "No valid host was found: the cloud has no machine with room for this flavour, or none left for one more \
                       server of the anti-affinity group.";

/// The first that matches counts, so the narrow ones stand first.
const KNOWN: &[Known] = &[
    Known {
        signs: &[
            "quota exceeded",
            "quota has been met",
            "overquota",
            "exceeds quota",
            "quotaexceeded",
            "quota_exceeded",
        ],
        kind: DiagnosticKind::Quota,
        retryable: false,
        what_happened: "The project has reached one of its quotas.",
        what_to_do: "The message names the resource. Remove what is no longer needed in the project, or ask the cloud for a \
                     higher quota, then retry.",
    },
    Known {
        signs: &[
            "externalipaddressexhausted",
            "no more ip addresses available",
            "ipaddressgenerationfailure",
            "subnets exhausted",
        ],
        kind: DiagnosticKind::Capacity,
        retryable: false,
        what_happened: "The external network has no public address left.",
        what_to_do: "Choose another external network (openstackExternalNetwork) or region, or retry later.",
    },
    Known {
        signs: &["no valid host", "not enough hosts available"],
        kind: DiagnosticKind::Capacity,
        retryable: false,
        what_happened: NO_HOST,
        what_to_do: "Choose another flavour, availability zone or region, or openstackServerGroupPolicy soft-anti-affinity; the \
                     same choice may work again later.",
    },
    Known {
        signs: &["error waiting for loadbalancer", "waiting for openstack_lb_", "loadbalancer became error"],
        kind: DiagnosticKind::Capacity,
        retryable: false,
        what_happened: "Octavia could not build the load balancer, or is not through with it.",
        what_to_do: "Retry once, which makes a new one. If it goes on, the cloud has to look into it; a cluster of one server \
                     can do without (openstackLoadBalancer none).",
    },
    Known {
        signs: &["unexpected state 'error', wanted target 'active'"],
        kind: DiagnosticKind::Capacity,
        retryable: false,
        what_happened: "The cloud began to build a server and gave up. Most often no valid host was found: no machine has room \
                        for the flavour, or for one more server of the anti-affinity group.",
        what_to_do: "`openstack server show` says its fault. Choose another flavour, availability zone or region, or \
                     openstackServerGroupPolicy soft-anti-affinity, then retry: the broken server is replaced.",
    },
    Known {
        signs: &["no suitable endpoint could be found", "no endpoint found"],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "The cloud's catalogue has no such service in this region.",
        what_to_do: "`openstack catalog list` shows regions and services: correct the region. Without an Octavia \
                     (load-balancer) there, say openstackLoadBalancer none.",
    },
    Known {
        // Octavia: an option or action that the provider has not, a provider that is unknown or switched off.
        signs: &[
            "ovn provider does not support",
            "does not support a requested",
            "got 501 instead",
            "' is not enabled.",
        ],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "The provider of load balancers does not do what was asked of it, or the cloud has none of that name.",
        what_to_do: "`openstack loadbalancer provider list` shows them. Set openstackLoadBalancerProvider to ovn or amphora, \
                     whichever the cloud has, then retry; ovn has to be said where it is the cloud's default.",
    },
    Known {
        signs: &[
            "your query returned no results",
            "no flavor found",
            "no network found with name",
            "invalid imageref",
            "invalid flavorref",
        ],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "The region has no flavour, image or external network of that name.",
        what_to_do: "The resource named says which. `openstack flavor list`, `openstack image list` and `openstack network list \
                     --external` show the names; they differ from region to region.",
    },
    Known {
        signs: &["your query returned more than one result"],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "Several networks or flavours have that name.",
        what_to_do: "Ask the cloud for a name that is the only one of its kind.",
    },
    Known {
        signs: &["volume-backed servers", "flavors with zero disk", "flavor's disk is too small", "flavordisk"],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "The flavour has no disk, or one too small for the image.",
        what_to_do: "Set openstackBootVolumeGiB, or choose a flavour with a disk.",
    },
    Known {
        signs: &["got 429 instead", "too many requests", "overlimit"],
        kind: DiagnosticKind::RateLimit,
        retryable: true,
        what_happened: "The cloud takes no more requests for a while.",
        what_to_do: "Wait for some minutes, then retry.",
    },
    Known {
        signs: &[
            "got 401 instead",
            "requires authentication",
            "authentication failed",
            "unable to authenticate",
            "application_credential_id must",
            "application_credential_secret must",
        ],
        kind: DiagnosticKind::Credentials,
        retryable: false,
        what_happened: "The identity service refuses the application credential.",
        what_to_do: "Create one in the right project (`openstack application credential create`) and start again with its id and \
                     secret; look whether it has expired.",
    },
    Known {
        signs: &["got 403 instead", "disallowed by policy", "policy doesn't allow", "is disallowed"],
        kind: DiagnosticKind::Credentials,
        retryable: false,
        what_happened: "The application credential does not have the rights for this.",
        what_to_do: "Give it the role member, for load balancers also load-balancer_member where the cloud has that role.",
    },
    Known {
        signs: &["is immutable", "retrypending", "concurrently"],
        kind: DiagnosticKind::Conflict,
        retryable: true,
        what_happened: "The cloud is still busy with another change of the same resource.",
        what_to_do: "Retry in a minute.",
    },
    Known {
        signs: &[
            "already exists",
            "already allocated",
            "ipaddressinuse",
            "already using the protocol",
            "got 409 instead",
            "still in use",
            "inuse",
        ],
        kind: DiagnosticKind::Conflict,
        retryable: false,
        what_happened: "Something of that name or address is in the project already, or something else still uses it, perhaps \
                        from an earlier run.",
        what_to_do: "Look for resources whose names begin with catalyst- and this domain, or with the tag \
                     catalyst-deployment; remove what belongs to no running cluster, then retry.",
    },
    Known {
        signs: &[
            "got 500 instead",
            "got 502 instead",
            "got 503 instead",
            "got 504 instead",
            "timeout while waiting for state",
            "context deadline exceeded",
            "i/o timeout",
            "connection reset",
            "connection refused",
            "no such host",
            "tls handshake",
            "unexpected eof",
            "connection error, retries exhausted",
            // How Go says that the connection ended before the answer.
            "\": eof",
            "failed to install provider",
            "failed to query available provider packages",
        ],
        kind: DiagnosticKind::Transient,
        retryable: true,
        what_happened: "A service of the cloud, or the network on the way to it, did not answer as it should.",
        what_to_do: "Retry; if it goes on, look at the cloud's status page, at openstackAuthUrl and at the host's way out.",
    },
    Known {
        signs: &["got 400 instead", "invalid input", "invalid value for variable", "no value for required variable"],
        kind: DiagnosticKind::Configuration,
        retryable: false,
        what_happened: "The cloud or the module does not take one of the values.",
        what_to_do: "The message names the field: start again with another value.",
    },
];

pub(crate) fn advice(diagnostic: &Diagnostic, asked: &Asked) -> Advice {
    let lower = format!("{}\n{}", diagnostic.summary, diagnostic.detail).to_lowercase();
    let Some(known) = KNOWN.iter().find(|known| known.signs.iter().any(|sign| lower.contains(sign))) else {
        return Advice {
            kind: DiagnosticKind::Other,
            retryable: false,
            what_happened: or(&diagnostic.summary, "OpenTofu failed without a word."),
            what_to_do: "Read OpenTofu's words in the log. A retry goes on from where this run stopped.".to_owned(),
            alternatives: Vec::new(),
        };
    };
    let address = diagnostic.address.as_deref();
    let of_server = address.is_none_or(|address| address.starts_with("openstack_compute_instance_v2"));
    let offers = known.kind == DiagnosticKind::Capacity && of_server;
    Advice {
        kind: known.kind,
        retryable: known.retryable,
        what_happened: known.what_happened.to_owned(),
        what_to_do: without_dead_ends(known.what_to_do, asked),
        alternatives: if offers { flavours::alternatives(asked, address) } else { Vec::new() },
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

fn or(text: &str, default: &str) -> String {
    if text.trim().is_empty() { default.to_owned() } else { text.trim().to_owned() }
}

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
