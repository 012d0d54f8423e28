//! The bundle for Hetzner Cloud, against goldens and the real tools.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{MODULE, content, context, ha, hole_value, module, solo, with_token};
use catalyst_plugin_hetzner::{Hetzner, template_variables};
use catalyst_plugin_sdk::testing::{self, Case};
use catalyst_plugin_sdk::{DeploymentRequest, DomainMode, Provisioner, RenderContext};
use similar::TextDiff;

#[test]
fn bundles_are_those_of_the_goldens() {
    for (name, request) in [("solo", solo()), ("ha", ha())] {
        let bundle = Hetzner::render(&request, &context()).unwrap();
        assert_eq!(bundle, Hetzner::render(&request, &context()).unwrap(), "twice the same");
        testing::check_golden(&Path::new("goldens").join(name), &bundle).unwrap();
    }
}

/// What another domain mode makes of a case, file by file: a golden of its own would say 500 lines once more.
fn difference(from: &DeploymentRequest, to: &DeploymentRequest) -> String {
    let texts = |request: &DeploymentRequest| -> Vec<(String, String)> {
        let bundle = Hetzner::render(request, &context()).unwrap();
        let templates = bundle.files.iter().filter(|file| file.path.ends_with(".tftpl"));
        let texts = templates.map(|file| (file.path.clone(), content(&bundle, &file.path).to_owned()));
        let variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
        let rest =
            serde_json::json!({"userData": bundle.user_data, "variables": variables, "warnings": bundle.warnings});
        texts.chain([("bundle.json".to_owned(), serde_json::to_string_pretty(&rest).unwrap() + "\n")]).collect()
    };
    let mut out = String::new();
    for ((path, before), (_, after)) in texts(from).iter().zip(&texts(to)) {
        let diff = TextDiff::from_lines(before.as_str(), after.as_str());
        out.push_str(&diff.unified_diff().context_radius(1).header(path, path).to_string());
    }
    out
}

#[test]
fn each_case_in_the_other_domain_mode_differs_as_its_golden_says() {
    let pool = |request: DeploymentRequest| DeploymentRequest {
        sovereign_fqdn: "acme.omani.works".to_owned(),
        domain_mode: DomainMode::Pool,
        pool_domain: "omani.works".to_owned(),
        subdomain: "acme".to_owned(),
        ..request
    };
    let byo = |request: DeploymentRequest| DeploymentRequest {
        sovereign_fqdn: "acme.example.test".to_owned(),
        domain_mode: DomainMode::Byo,
        pool_domain: String::new(),
        subdomain: String::new(),
        ..request
    };
    for (name, from, to) in [("solo-in-pool", solo(), pool(solo())), ("ha-in-byo", ha(), byo(ha()))] {
        testing::check_golden_text(&Path::new("goldens").join(format!("{name}.diff")), &difference(&from, &to))
            .unwrap();
    }
}

#[test]
fn the_bundle_is_the_module_without_the_standalone_dns_hook() {
    let bundle = Hetzner::render(&solo(), &context()).unwrap();
    let staged: BTreeSet<String> = bundle.files.iter().map(|file| file.path.clone()).collect();
    let mut module: BTreeSet<String> = std::fs::read_dir(MODULE)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tf") || name.ends_with(".tftpl"))
        .collect();
    assert!(module.remove("dns-standalone.tf"));
    assert_eq!(staged, module);
    assert!(bundle.files.iter().all(|file| !String::from_utf8_lossy(&file.content).contains("local-exec")));
    let versions = content(&bundle, "versions.tf");
    for provider in Hetzner::describe().tofu_providers {
        assert!(versions.contains(&format!("\"{}\"", provider.source)), "{}", provider.source);
        assert!(versions.contains(&format!("\"= {}\"", provider.version)), "{}", provider.version);
    }
    let bearer = Hetzner::describe().bearer_resource.unwrap();
    assert_eq!(bearer, "hcloud_server.control_plane[0]");
    assert!(content(&bundle, "main.tf").contains("resource \"hcloud_server\" \"control_plane\""));
}

/// The names in a template's call in main.tf must be the ones that the plugin supplies.
#[test]
fn the_plugin_and_the_module_give_each_template_the_same_names() {
    let main = std::fs::read_to_string(Path::new(MODULE).join("main.tf")).unwrap();
    for (path, variables) in template_variables(&ha(), &context()).unwrap() {
        let call = main.split_once(&format!("{path}\", {{")).unwrap().1.split_once("})").unwrap().0;
        let named: BTreeSet<String> = call
            .lines()
            .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim().to_owned()))
            .filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
            .collect();
        let supplied: BTreeSet<String> = variables.to_json(hole_value).as_object().unwrap().keys().cloned().collect();
        assert_eq!(supplied, named, "{path}");
    }
}

/// A blank choice is left to the module, so the plugin's idea of its defaults must be the module's.
#[test]
fn defaults_are_those_of_the_module() {
    let main = std::fs::read_to_string(Path::new(MODULE).join("main.tf")).unwrap();
    let host = RenderContext {
        public_url: String::new(),
        gitops_repo_url: String::new(),
        gitops_branch: String::new(),
        ..context()
    };
    let templates = template_variables(&solo(), &host).unwrap();
    let (_, variables) = templates.iter().find(|(path, _)| *path == "cloudinit-control-plane.tftpl").unwrap();
    let first = variables.to_json(hole_value);
    for name in
        ["cilium_version", "flux_version", "helm_version", "gitops_branch", "gitops_repo_url", "catalyst_api_url"]
    {
        let line = format!("var.{name} != \"\" ? var.{name} : {}", first[name]);
        assert!(main.contains(&line), "{line}");
    }
    let base = templates[0].1.to_json(hole_value);
    assert!(main.contains(&format!("? var.k3s_version : {}", base["k3s_version"])));
    assert!(main.contains("? var.control_plane_size : \"cx42\"") && main.contains("? var.worker_size : \"cx32\""));
    for (name, host_number) in [("first_private_ip", "2"), ("load_balancer_private_ip", "254")] {
        let call = format!("cidrhost(local.subnet_range, {host_number})");
        assert!(main.lines().any(|line| line.trim_start().starts_with(name) && line.ends_with(&call)), "{name}");
        assert_eq!(first[name], format!("10.0.1.{host_number}"));
    }
    let switches = std::fs::read_to_string(Path::new(MODULE).join("variables.tf")).unwrap();
    for name in ["enable_unattended_upgrades", "enable_fail2ban", "enable_local_storage", "enable_hcloud_credentials"] {
        let block = switches.split_once(&format!("variable \"{name}\"")).unwrap().1.split_once("\n}").unwrap().0;
        assert!(block.contains("default     = true"), "{name}");
        assert_eq!(first.get(name).unwrap_or(&true.into()), true);
    }
}

#[test]
fn user_data_passes_cloud_init_and_shellcheck_within_its_budget() {
    for request in [solo(), ha()] {
        let bundle = Hetzner::render(&request, &context()).unwrap();
        let templates = template_variables(&request, &context()).unwrap();
        let nodes = templates.iter().filter(|(path, _)| *path != "cloudinit-base.tftpl");
        let cases: Vec<Case> = nodes
            .map(|(path, variables)| Case {
                template: content(&bundle, path).to_owned(),
                variables: variables.to_json(hole_value),
            })
            .collect();
        let texts = testing::templatefile(&cases).unwrap();
        for (text, size) in texts.iter().zip(&bundle.user_data) {
            assert!(text.len() <= usize::try_from(size.bytes).unwrap(), "{}", size.node);
            assert!(size.bytes <= size.limit);
        }
        for (index, text) in texts.iter().enumerate() {
            let text = std::str::from_utf8(text).unwrap();
            let user_data = testing::check_user_data(text).unwrap();
            let bearer = user_data.file("/var/lib/catalyst/postback/bearer");
            assert_eq!(bearer.is_some(), index == 0, "only the first server has the bearer");
            if index == 0 {
                let sovereign = &user_data.file("/var/lib/catalyst/sovereign.json").unwrap().content;
                let sovereign: serde_json::Value = serde_json::from_str(sovereign).unwrap();
                assert_eq!(sovereign["orgName"], request.org_name.as_str());
                assert_eq!(bearer.unwrap().permissions, "0600");
            }
        }
    }
}

#[test]
fn the_module_takes_the_variables_of_every_bundle() {
    let legacy = DeploymentRequest {
        region: "hel1".to_owned(),
        regions: Vec::new(),
        ssh_public_key: format!("  {}  ", crate::common::SSH_KEY.replacen(' ', "   ", 1)),
        ..solo()
    };
    let mut requests = vec![solo(), ha(), legacy];
    requests.extend(testing::requests(&solo(), 8));
    for request in requests {
        let bundle = Hetzner::render(&request, &context()).unwrap();
        let variables = with_token(&bundle.variables);
        assert!(variables["regions"].is_array(), "{}", request.sovereign_fqdn);
        module().accepts(&variables).unwrap();
        let variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
        let all_said = variables.as_object().unwrap().values().all(|value| !value.is_null() && *value != "");
        assert!(all_said, "{variables}");
    }
}
