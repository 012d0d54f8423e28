//! The README's tables against the module: who runs it alone has nothing else to go by.

use std::collections::BTreeSet;

use crate::common::{context, hole_value, module, plain, settings, solo};
use catalyst_plugin_openstack::{Openstack, template_variables};
use catalyst_plugin_sdk::testing::quoted;
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RenderContext};
use serde_json::json;

#[test]
fn g19_the_table_of_variables_is_that_of_the_module_with_its_defaults() {
    assert!(module().blocks("variable").unwrap().len() > 40);
    assert_eq!(module().wrong_variables().unwrap(), Vec::<String>::new());
}

#[test]
fn g19_the_tables_of_outputs_and_resources_are_those_of_the_module() {
    let outputs: BTreeSet<String> = module().blocks("output").unwrap().into_keys().collect();
    assert_eq!(module().listed("Outputs").unwrap(), outputs);
    let mut resources: BTreeSet<String> = module().blocks("resource").unwrap().into_keys().collect();
    resources.extend(module().blocks("data").unwrap().into_keys().map(|name| format!("data.{name}")));
    assert_eq!(module().listed("Resources").unwrap(), resources);
}

/// Who writes a request has the schema and this table.
#[test]
fn the_table_of_request_keys_is_that_of_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&Openstack::describe().settings_schema).unwrap();
    let keys: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let secrets = ["openstackApplicationCredentialID", "openstackApplicationCredentialSecret"].map(str::to_owned);
    let listed: BTreeSet<String> = module().listed("Request keys").unwrap();
    assert_eq!(listed, keys.into_iter().chain(secrets).collect());
}

/// Names of the templates' variables, known and holes.
#[test]
fn the_table_of_templates_is_what_the_plugin_supplies() {
    let rows = module().table("Templates").unwrap();
    for (path, variables) in template_variables(&solo(), &context()).unwrap() {
        let name = path.trim_start_matches("cloudinit-").trim_end_matches(".tftpl");
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} has no row"));
        let said: BTreeSet<&str> = quoted(&row[1]).into_iter().chain(quoted(&row[2])).collect();
        let json = variables.to_json(hole_value);
        let supplied: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(said, supplied, "{name}");
    }
}

/// Characters of base64 of each role's user data with every hole at its longest.
fn sizes(request: &DeploymentRequest, host: &RenderContext) -> [u32; 3] {
    let findings = Openstack::validate(request);
    assert!(!findings.has_errors(), "{findings:?}");
    let bundle = Openstack::render(request, host).unwrap();
    let of = |role: &str| bundle.user_data.iter().find(|size| size.node == role).map_or(0, |size| size.bytes);
    ["control-plane", "control-plane-join", "worker"].map(of)
}

fn every_role(request: DeploymentRequest) -> DeploymentRequest {
    let mut request = DeploymentRequest { ha_enabled: true, ..request };
    request.regions[0].worker_count = 1;
    request
}

/// The longest that the rules let pass: every text at its bound, each character at its longest in JSON.
fn longest() -> (DeploymentRequest, RenderContext) {
    let label = "a".repeat(63);
    let mut request = every_role(solo());
    request.sovereign_fqdn = format!("{label}.{label}.{label}.{}.test", "b".repeat(240 - 3 * 64 - 5));
    request.org_name = "<".repeat(200);
    request.org_email = format!("{}@example.test", "<".repeat(241));
    request.subdomain.clone_from(&label);
    request.domain_mode = DomainMode::Pool;
    request.regions[0].cloud_region = "r".repeat(63);
    request.extra = settings(json!({
        "gitopsPath": format!("{}/", "p".repeat(199)), "enableLocalStorage": false, "enableOpenstackCredentials": true,
        "k3sVersion": format!("v1.31.{}+k3s1", "0".repeat(21)), "helmVersion": format!("v3.{}.0", "0".repeat(27)),
        "ciliumVersion": format!("1.16.{}", "0".repeat(27)), "fluxVersion": format!("v2.4.{}", "0".repeat(27)),
    }));
    let host = RenderContext {
        public_url: format!("https://{}", "a".repeat(248)),
        gitops_repo_url: format!("https://{}", "&".repeat(248)),
        gitops_branch: "b".repeat(200),
        ..context()
    };
    (request, host)
}

#[test]
fn user_data_is_as_large_as_the_readme_says_and_never_over_the_limit() {
    let usual = sizes(&every_role(solo()), &context());
    let (request, host) = longest();
    let most = sizes(&request, &host);
    assert!(most[0] <= 65_535, "whatever passes the rules fits: {most:?}");
    let without = sizes(&plain(), &context())[0];
    assert!(without > usual[0] && without <= 65_535, "the forwarding is counted: {without}");
    let number = |cell: &str| cell.trim().replace(',', "").parse::<u32>().unwrap();
    let readme = module().file("README.md").unwrap();
    for (index, role) in ["first server", "servers 2, 3", "worker"].into_iter().enumerate() {
        let row = readme.lines().rfind(|line| line.starts_with(&format!("| {role} | ")));
        let row = row.unwrap_or_else(|| panic!("no size of {role}"));
        let said: Vec<u32> = row.split('|').skip(2).take(2).map(number).collect();
        assert_eq!(said, [usual[index], most[index]], "{role}: usual, longest");
    }
}
