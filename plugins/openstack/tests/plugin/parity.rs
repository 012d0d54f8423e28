//! The templates mean the same before and after they are filled, for 256 generated requests, and what comes out of them
//! is taken by cloud-init and shellcheck. OpenTofu makes all of the texts. The tests of Hetzner, whose templates these are, go
//! through 2,000 requests and every shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use crate::common::{MODULE, content, context, hole_value, settings, solo};
use catalyst_plugin_openstack::{Openstack, template_variables};
use catalyst_plugin_sdk::testing::{self, Case};
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RenderContext};
use serde_json::{Value, json};

const REQUESTS: usize = 256;
/// Yes-or-no choices of a request and its host, each of which adds or takes away a part of user data.
const CHOICES: usize = 8;

/// Generated names, with choices, places and versions that go through all of their combinations.
fn requests() -> Vec<(DeploymentRequest, RenderContext)> {
    let generated = testing::requests(&solo(), REQUESTS).into_iter().enumerate();
    generated
        .map(|(index, mut request)| {
            let chosen: [bool; CHOICES] = std::array::from_fn(|bit| index >> bit & 1 == 1);
            let [fail2ban, upgrades, storage, credentials, template, pool, registry, bearer] = chosen;
            let mut extra = json!({
                "enableFail2ban": fail2ban, "enableUnattendedUpgrades": upgrades,
                "enableLocalStorage": storage, "enableOpenstackCredentials": credentials,
                "openstackLoadBalancer": if request.ha_enabled || index % 3 == 0 { "octavia" } else { "none" },
            });
            if template {
                extra["gitopsPath"] = ["clusters/_template", "clusters/_template/", "_x"][index % 3].into();
            }
            if index % 5 == 0 {
                extra["k3sVersion"] = format!("v1.{}.{}+k3s1", 31 + index % 4, index % 10).into();
                extra["ciliumVersion"] = format!("1.{}.{}", 16 + index % 3, index % 10).into();
            }
            request.extra = settings(extra);
            if pool {
                request.domain_mode = DomainMode::Pool;
                (request.subdomain, request.pool_domain) = request
                    .sovereign_fqdn
                    .split_once('.')
                    .map(|(name, domain)| (name.to_owned(), domain.to_owned()))
                    .unwrap();
            }
            request.regions[0].cloud_region = ["GRA11", "dc3-a", "Fra1", "eu-de", "RegionOne"][index % 5].to_owned();
            let mut host = context();
            host.present_secrets.retain(|secret| {
                (registry || secret != "ghcr-pull-token") && (bearer || secret != "kubeconfig-bearer")
            });
            (request, host)
        })
        .collect()
}

/// One template of one request: OpenTofu's text of the module's own, and of the one in the bundle.
struct Made {
    path: &'static str,
    variables: Value,
    original: String,
    rendered: String,
}

fn make() -> Vec<Made> {
    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for (request, host) in requests() {
        let bundle = Openstack::render(&request, &host).unwrap();
        for (path, variables) in template_variables(&request, &host).unwrap() {
            let values = variables.to_json(hole_value);
            // Many requests have the same base and worker; OpenTofu takes 14 ms for each text.
            if seen.insert((path, values.to_string())) {
                let original = std::fs::read_to_string(Path::new(MODULE).join(path)).unwrap();
                cases.push(Case { template: original, variables: values.clone() });
                cases.push(Case { template: content(&bundle, path).to_owned(), variables: values.clone() });
                kept.push((path, values));
            }
        }
    }
    let mut texts = testing::templatefile(&cases).unwrap().into_iter().map(|text| String::from_utf8(text).unwrap());
    let made = kept.into_iter().map(|(path, variables)| Made {
        path,
        variables,
        original: texts.next().unwrap(),
        rendered: texts.next().unwrap(),
    });
    made.collect()
}

/// One run of OpenTofu serves all tests here.
fn made() -> &'static [Made] {
    static MADE: LazyLock<Vec<Made>> = LazyLock::new(make);
    &MADE
}

#[test]
fn templates_mean_the_same_before_and_after_for_256_requests() {
    let first = made().iter().filter(|made| made.path == "cloudinit-control-plane.tftpl").count();
    assert_eq!(first, REQUESTS, "the first server's text is another one for each request");
    let different: Vec<&Value> =
        made().iter().filter(|made| made.original != made.rendered).map(|made| &made.variables).collect();
    assert_eq!(different, Vec::<&Value>::new());
}

/// Shapes differ by yes-or-no values: those alone add and take away parts. The base is left as it usually is.
#[test]
fn user_data_of_every_shape_of_this_cloud_passes_cloud_init_and_shellcheck() {
    let mut shapes: BTreeMap<(&str, String), &Made> = BTreeMap::new();
    let hardened = |made: &&Made| {
        made.variables["enable_fail2ban"] == true && made.variables["enable_unattended_upgrades"] == true
    };
    for made in made().iter().filter(|made| made.path != "cloudinit-base.tftpl").filter(hardened) {
        let choices = made.variables.as_object().unwrap().iter().filter(|(_, value)| value.is_boolean());
        shapes.entry((made.path, format!("{:?}", choices.collect::<Vec<_>>()))).or_insert(made);
    }
    let count = |path: &str| shapes.keys().filter(|(known, _)| *known == path).count();
    // The first server: every choice but the domain's, and whether it is one of three.
    assert!(count("cloudinit-control-plane.tftpl") >= 32, "{}", count("cloudinit-control-plane.tftpl"));
    assert_eq!((count("cloudinit-control-plane-join.tftpl"), count("cloudinit-worker.tftpl")), (2, 1));
    let texts: Vec<String> = shapes.values().map(|made| made.rendered.clone()).collect();
    let checked = testing::check_all_user_data(&texts).unwrap();
    for (user_data, made) in checked.iter().zip(shapes.values()) {
        let bearer = user_data.file("/var/lib/catalyst/postback/bearer").is_some();
        assert_eq!(bearer, made.variables["postback_enabled"] == true, "{}", made.path);
        let recorded = user_data.file("/var/lib/catalyst/sovereign.json");
        assert_eq!(recorded.is_some(), made.path == "cloudinit-control-plane.tftpl");
        if let Some(file) = recorded {
            let sovereign: Value = serde_json::from_str(&file.content).unwrap();
            assert_eq!(sovereign["orgName"], made.variables["org_name"]);
        }
    }
}
