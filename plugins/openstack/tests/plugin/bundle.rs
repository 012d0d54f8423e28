//! The bundle for OpenStack, against goldens and the real tools.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{MODULE, content, context, ha, hole_value, module, plain, solo, with_credential};
use catalyst_plugin_openstack::{Openstack, template_variables};
use catalyst_plugin_sdk::testing::{self, Case};
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner, RenderContext};

#[test]
fn bundles_are_those_of_the_goldens() {
    for (name, request) in [("ha", ha()), ("plain", plain())] {
        let bundle = Openstack::render(&request, &context()).unwrap();
        assert_eq!(bundle, Openstack::render(&request, &context()).unwrap(), "twice the same");
        testing::check_golden(&Path::new("goldens").join(name), &bundle).unwrap();
    }
}

#[test]
fn the_bundle_is_the_whole_module() {
    let bundle = Openstack::render(&solo(), &context()).unwrap();
    let staged: BTreeSet<String> = bundle.files.iter().map(|file| file.path.clone()).collect();
    let names = std::fs::read_dir(MODULE).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let module: BTreeSet<String> = names.filter(|name| name.ends_with(".tf") || name.ends_with(".tftpl")).collect();
    assert_eq!(staged, module);
    let versions = content(&bundle, "versions.tf");
    for provider in Openstack::describe().tofu_providers {
        assert!(versions.contains(&format!("\"{}\"", provider.source)), "{}", provider.source);
        assert!(versions.contains(&format!("\"= {}\"", provider.version)), "{}", provider.version);
    }
    assert_eq!(Openstack::describe().bearer_resource.unwrap(), "openstack_compute_instance_v2.control_plane[0]");
    assert!(content(&bundle, "main.tf").contains("resource \"openstack_compute_instance_v2\" \"control_plane\""));
}

/// The names in a template's call in main.tf must be the ones that the plugin supplies.
#[test]
fn the_plugin_and_the_module_give_each_template_the_same_names() {
    let main = module().file("main.tf").unwrap();
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
    let main = module().file("main.tf").unwrap();
    let host = RenderContext {
        public_url: String::new(),
        gitops_repo_url: String::new(),
        gitops_branch: String::new(),
        ..context()
    };
    let templates = template_variables(&solo(), &host).unwrap();
    let (_, variables) = templates.iter().find(|(path, _)| *path == "cloudinit-control-plane.tftpl").unwrap();
    let first = variables.to_json(hole_value);
    for name in [
        "cilium_version",
        "flux_version",
        "helm_version",
        "k3s_version",
        "gitops_branch",
        "gitops_repo_url",
        "catalyst_api_url",
    ] {
        let line = format!("var.{name} != \"\" ? var.{name} : {}", first[name]);
        assert!(main.contains(&line), "{line}");
    }
    for (name, host_number) in [("first_private_ip", "2"), ("load_balancer_private_ip", "254")] {
        assert!(main.contains(&format!("cidrhost(local.subnet_range, {host_number})")), "{name}");
        assert_eq!(first[name], format!("10.0.1.{host_number}"));
    }
    for (key, value) in [("cloud_credentials_name", "openstack-credentials"), ("cloud_credentials_key", "credentials")]
    {
        assert_eq!(first[key], value);
        assert!(
            main.lines().any(|line| line.trim_start().starts_with(key) && line.ends_with(&format!("= \"{value}\""))),
            "{key}"
        );
    }
    let switches = module().blocks("variable").unwrap();
    for name in ["enable_unattended_upgrades", "enable_fail2ban", "enable_local_storage"] {
        assert!(switches[name].contains("default     = true"), "{name}");
    }
    assert!(switches["enable_openstack_credentials"].contains("default     = false"));
    assert_eq!((&first["enable_local_storage"], &first["cloud_credentials_enabled"]), (&true.into(), &false.into()));
}

#[test]
fn user_data_passes_cloud_init_and_shellcheck_within_its_budget() {
    for request in [plain(), ha()] {
        let bundle = Openstack::render(&request, &context()).unwrap();
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
            let encoded = text.len().div_ceil(3) * 4;
            assert!(encoded <= usize::try_from(size.bytes).unwrap(), "{} in base64", size.node);
            assert_eq!((size.limit, size.bytes <= size.limit), (65_535, true));
        }
        for (index, text) in texts.iter().enumerate() {
            let user_data = testing::check_user_data(std::str::from_utf8(text).unwrap()).unwrap();
            let bearer = user_data.file("/var/lib/catalyst/postback/bearer");
            assert_eq!(bearer.is_some(), index == 0, "only the first server has the bearer");
        }
    }
}

#[test]
fn the_module_takes_the_variables_of_every_bundle() {
    let legacy = DeploymentRequest {
        region: "dc3-a".to_owned(),
        control_plane_size: "a4-ram16-disk50-perf1".to_owned(),
        regions: Vec::new(),
        ssh_public_key: format!("  {}  ", crate::common::SSH_KEY.replacen(' ', "   ", 1)),
        ..solo()
    };
    let mut requests = vec![solo(), ha(), plain(), legacy];
    requests.extend(testing::requests(&solo(), 8));
    for request in requests {
        let bundle = Openstack::render(&request, &context()).unwrap();
        module().accepts(&with_credential(&bundle.variables)).unwrap();
        let variables: serde_json::Value = serde_json::from_str(&bundle.variables).unwrap();
        let all_said = variables.as_object().unwrap().values().all(|value| !value.is_null() && *value != "");
        assert!(all_said, "{variables}");
    }
}
