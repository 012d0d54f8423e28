//! The README's tables against the module: who runs it alone has nothing else to go by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::{MODULE, content, context, hole_value, solo};
use catalyst_plugin_hetzner::{Hetzner, template_variables};
use catalyst_plugin_sdk::template::Variables;
use catalyst_plugin_sdk::testing::UserData;
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
    quoted_by(cell, '`')
}

fn quoted_by(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
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

#[test]
fn g19_the_table_of_the_firewall_is_its_rules() {
    let firewall = &blocks("main.tf", "resource")["hcloud_firewall.main"];
    let anywhere = quoted_by(firewall.split_once("toset([").unwrap().1.split_once("])").unwrap().0, '"');
    let protocols: BTreeSet<&str> = firewall.lines().filter_map(|line| attribute(line, "protocol")).collect();
    let ports: BTreeSet<&str> = firewall.lines().filter_map(|line| attribute(line, "port")).collect();
    let rows = table("Firewall");
    let cells: Vec<(&str, &str)> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let open = format!("tcp {}", anywhere.join(", "));
    assert_eq!(cells[0], (open.as_str(), "anywhere"));
    assert_eq!(cells[1], ("icmp", "anywhere"));
    assert!(cells[2].0 == "tcp 22" && cells[2].1.contains("`ssh_allowed_cidrs`"), "{cells:?}");
    assert_eq!(cells.len(), 3);
    assert_eq!(protocols, ["\"tcp\"", "\"icmp\""].into());
    assert_eq!(ports, ["rule.value", "\"22\""].into(), "no other port");
}

/// The three nodes with everything that a request can switch on.
fn nodes() -> [UserData; 3] {
    let mut request = every_role(solo());
    request.extra = r#"{"hetznerProjectID":"1","enableLocalStorage":false}"#.to_owned();
    let bundle = Hetzner::render(&request, &context()).unwrap();
    ["control-plane", "control-plane-join", "worker"]
        .map(|role| UserData::parse(content(&bundle, &format!("cloudinit-{role}.tftpl"))).unwrap())
}

#[test]
fn g19_the_table_of_k3s_flags_is_what_each_node_is_started_with() {
    let given = nodes().map(|node| {
        let steps = &node.file("/usr/local/lib/catalyst/node.sh").unwrap().content;
        let call = steps.split_once("k3s_install ").unwrap().1.split_once("\n}").unwrap().0;
        let words = call.split([' ', '"', '\n']).filter(|word| word.starts_with("--"));
        // What differs from node to node is told in words.
        let plain = |word: &str| match word.split_once('=') {
            Some((flag, _)) if !["--flannel-backend", "--disable", "--write-kubeconfig-mode"].contains(&flag) => {
                flag.to_owned()
            }
            _ => word.to_owned(),
        };
        words.map(plain).collect::<BTreeSet<String>>()
    });
    let listed = [1, 2, 3].map(|column| {
        let rows = table("k3s").into_iter().filter(|row| row[column] == "x");
        rows.map(|row| quoted(&row[0])[0].to_owned()).collect::<BTreeSet<String>>()
    });
    assert_eq!(listed, given);
}

#[test]
fn g19_the_table_of_files_is_what_each_node_is_given() {
    let given = nodes().map(|node| {
        let files = node.write_files.into_iter().map(|file| (file.path, file.permissions));
        files.collect::<BTreeSet<(String, String)>>()
    });
    let listed = [["all", "servers", "first"], ["all", "servers", ""], ["all", "", ""]].map(|kinds| {
        let rows = table("Files").into_iter().filter(|row| kinds.contains(&row[2].as_str()));
        let files = rows.flat_map(|row| {
            let paths: Vec<String> = quoted(&row[0]).into_iter().map(str::to_owned).collect();
            paths.into_iter().map(move |path| (path, row[1].clone()))
        });
        files.collect::<BTreeSet<(String, String)>>()
    });
    assert_eq!(listed, given);
}

/// What the table says of a size is what a request with it is told.
#[test]
fn g19_the_table_of_memory_is_what_a_request_is_told() {
    let catalogue = Hetzner::describe().catalogue;
    for row in table("Sizes") {
        let name = quoted(&row[1])[0];
        let machine = catalogue.machine_types.iter().find(|machine| machine.name == name).unwrap();
        assert!(row[0].starts_with(&format!("{} GB", machine.memory_gib)) && !machine.retired, "{row:?}");
        assert_eq!(row[0].contains("ARM"), machine.arch == "arm", "{row:?}");
        let mut request = solo();
        request.regions[0].control_plane_size = name.to_owned();
        let findings = Hetzner::validate(&request);
        let told = findings.iter().find(|finding| finding.code == "memory");
        assert_eq!(told.is_some(), row[2].starts_with("runs out"), "{row:?}: {told:?}");
        let at = row[2].trim_start_matches("runs out during ").trim_start_matches("runs out at ");
        assert!(told.is_none_or(|told| told.message.contains(at)), "{row:?}: {told:?}");
    }
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
        "ciliumVersion": format!("1.16.{}", "0".repeat(27)), "fluxVersion": format!("v2.4.{}", "0".repeat(27)),
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
    let left = format!(
        "{} bytes are left of the 24,576 in the usual case, and {} of the 32,768",
        24 * 1024 - usual[0],
        32_768 - most[0]
    );
    assert!(readme.contains(&left), "{left}");
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
