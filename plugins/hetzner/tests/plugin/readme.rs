//! The README's tables against the module: who runs it alone has nothing else to go by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::{MODULE, context, hole_value, solo};
use catalyst_plugin_hetzner::{Hetzner, template_variables};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner, RenderContext};

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(MODULE).join(name)).unwrap()
}

/// Rows of the table below a heading: cells, without the head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = file("README.md");
    let section = readme.split_once(&format!("## {heading}\n")).unwrap().1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let lines = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Blocks of a kind by name, each with its text.
fn blocks(name: &str, kind: &str) -> BTreeMap<String, String> {
    let text = file(name);
    let open = format!("\n{kind} \"");
    let found = text.split(&open).skip(1).map(|block| {
        let (labels, body) = block.split_once(" {\n").unwrap();
        (labels.replace("\" \"", ".").trim_matches('"').to_owned(), body.split_once("\n}").unwrap().0.to_owned())
    });
    found.collect()
}

fn attribute<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    let line = block.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")))?;
    line.split_once("= ").map(|(_, value)| value)
}

#[test]
fn g19_the_table_of_variables_is_that_of_the_module_with_its_defaults() {
    let variables = blocks("variables.tf", "variable");
    assert!(variables.len() > 30, "{}", variables.len());
    let mut listed = BTreeSet::new();
    for row in table("Variables") {
        for name in quoted(&row[0]) {
            assert!(listed.insert(name.to_owned()), "{name} stands twice");
            let block = variables.get(name).unwrap_or_else(|| panic!("the module has no variable {name}"));
            let default = attribute(block, "default");
            assert_eq!(row[1].contains("required"), default.is_none(), "{name}: {}", row[1]);
            assert_eq!(row[1].contains("sensitive"), attribute(block, "sensitive") == Some("true"), "{name}");
            if let Some(default) = default {
                let said = quoted(&row[1])[0];
                assert!(said == default || format!("\"{said}\"") == default, "{name}: {said} is not {default}");
            }
        }
    }
    assert_eq!(listed, variables.into_keys().collect());
}

#[test]
fn g19_the_tables_of_outputs_and_resources_are_those_of_the_module() {
    let listed = |heading| -> BTreeSet<String> {
        table(heading)
            .iter()
            .flat_map(|row| quoted(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let outputs: BTreeSet<String> = blocks("outputs.tf", "output").into_keys().collect();
    // The first block of that file has no line before it.
    let first = file("outputs.tf").split('"').nth(1).unwrap().to_owned();
    let outputs: BTreeSet<String> = outputs.into_iter().chain([first]).collect();
    assert_eq!(listed("Outputs"), outputs);
    let mut resources: BTreeSet<String> = blocks("main.tf", "resource").into_keys().collect();
    resources.extend(blocks("dns-standalone.tf", "resource").into_keys());
    let listed: BTreeSet<String> =
        listed("Resources").into_iter().map(|name| name.trim_end_matches("[n]").to_owned()).collect();
    assert_eq!(listed, resources);
}

#[test]
fn g19_the_sizes_and_places_named_are_those_that_are_taken() {
    let readme = file("README.md");
    let row = |name: &str| table("Variables").into_iter().find(|row| row[0] == format!("`{name}`")).unwrap();
    let places: Vec<String> = Hetzner::describe().catalogue.regions.into_iter().map(|region| region.id).collect();
    assert_eq!(quoted(&row("region")[2]), places);
    assert_eq!(quoted(&row("control_plane_size")[2]), ["cx", "cpx", "ccx", "cax"]);
    let pattern = attribute(&blocks("variables.tf", "variable")["control_plane_size"], "condition").unwrap().to_owned();
    assert!(pattern.contains("(cx|cpx|ccx|cax)"), "{pattern}");
    assert!(!readme.contains("hcloud_rdns") && !readme.contains("hetznerdns"), "there is no DNS resource");
}

/// Names of the templates' variables, known and holes.
#[test]
fn the_table_of_templates_is_what_the_plugin_supplies() {
    let rows = table("Templates");
    for (path, variables) in template_variables(&solo(), &context()).unwrap() {
        let name = path.trim_start_matches("cloudinit-").trim_end_matches(".tftpl");
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} has no row"));
        let said: BTreeSet<&str> = quoted(&row[1]).into_iter().chain(quoted(&row[2])).collect();
        let json = variables.to_json(hole_value);
        let supplied: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(said, supplied, "{name}");
    }
}

/// Bytes of each role's user data with every hole at its longest.
fn sizes(request: &DeploymentRequest, host: &RenderContext) -> [u32; 3] {
    let findings = Hetzner::validate(request);
    assert!(!findings.has_errors(), "{findings:?}");
    let bundle = Hetzner::render(request, host).unwrap();
    let of = |role: &str| bundle.user_data.iter().find(|size| size.node == role).unwrap();
    ["control-plane", "control-plane-join", "worker"].map(|role| of(role).bytes)
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
    request.domain_mode = catalyst_plugin_sdk::DomainMode::Pool;
    let path = format!("{}/", "p".repeat(199));
    let extra = serde_json::json!({
        "hetznerProjectID": "1", "gitopsPath": path, "enableLocalStorage": false,
        "k3sVersion": format!("v1.31.{}+k3s1", "0".repeat(21)), "helmVersion": format!("v3.{}.0", "0".repeat(27)),
        "ciliumVersion": format!("1.16.{}", "0".repeat(27)), "fluxVersion": format!("v2.{}.0", "0".repeat(27)),
    });
    request.extra = extra.to_string();
    let host = RenderContext {
        public_url: format!("https://{}", "a".repeat(248)),
        gitops_repo_url: format!("https://{}", "&".repeat(248)),
        gitops_branch: "b".repeat(200),
        ..context()
    };
    (request, host)
}

/// Every switch off, every text short.
fn least() -> (DeploymentRequest, RenderContext) {
    let mut request = every_role(solo());
    (request.org_name, request.org_email, request.sovereign_fqdn) = ("A".into(), "a@b.c".into(), "a.b".into());
    request.extra = r#"{"hetznerProjectID":"1","enableFail2ban":false,"enableUnattendedUpgrades":false,"enableHcloudCredentials":false}"#.to_owned();
    let host = RenderContext { present_secrets: vec!["hetzner-token".to_owned()], ..context() };
    (request, host)
}

#[test]
fn user_data_is_as_large_as_the_readme_says_usually_plain_and_never_over_the_limit() {
    let usual = sizes(&every_role(solo()), &context());
    assert!(usual[0] <= 24 * 1024, "people read it in the console: {usual:?}");
    let (request, host) = longest();
    let most = sizes(&request, &host);
    assert!(most[0] <= 32_768, "whatever passes the rules fits: {most:?}");
    let (request, host) = least();
    let fewest = sizes(&request, &host);
    let number = |cell: &str| cell.replace(',', "").parse::<u32>().unwrap();
    let readme = file("README.md");
    let rows = ["first server", "servers 2, 3", "worker"].map(|role| {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {role} | ")) && line.contains(','));
        let row = row.unwrap_or_else(|| panic!("no size of {role}"));
        let numbers = row.split('|').skip(2).take(3).map(|cell| number(cell.trim()));
        numbers.collect::<Vec<u32>>()
    });
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(*row, [usual[index], fewest[index], most[index]], "role {index}: usual, least, longest");
    }
}

/// No hole is left out of the sum: OpenTofu's text with the longest values is not longer.
#[test]
fn sizes_count_every_hole() {
    let (request, host) = longest();
    let most = sizes(&request, &host);
    let templates: Vec<(&str, Variables)> = template_variables(&request, &host).unwrap();
    let bundle = Hetzner::render(&request, &host).unwrap();
    let cases: Vec<_> = templates[1..]
        .iter()
        .map(|(path, variables)| catalyst_plugin_sdk::testing::Case {
            template: crate::common::content(&bundle, path).to_owned(),
            variables: variables.to_json(hole_value),
        })
        .collect();
    for (text, most) in catalyst_plugin_sdk::testing::templatefile(&cases).unwrap().iter().zip(most) {
        assert!(text.len() <= usize::try_from(most).unwrap());
    }
}
