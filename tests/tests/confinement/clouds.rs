//! The real providers of the repository's clouds behind the layers. They speak with OpenTofu over Unix sockets.

use crate::kit::{Bench, Ended, plant_provider_as};
use catalyst::engine::{Layer, RunNetwork};
use catalyst_tests::tofu::pinned;

/// One object of a cloud, and the variables that lead the provider to its double.
struct Cloud {
    source: &'static str,
    tool: &'static str,
    module: &'static str,
    body: String,
    env: Vec<(String, String)>,
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ a@example.test";

fn root(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

async fn apply(cloud: &Cloud, network: RunNetwork) -> (Bench, Ended) {
    let env = cloud.env.clone();
    let bench = Bench::new(|settings| {
        settings.network = network;
        settings.pass_env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
    })
    .await;
    let without: &[Layer] = if network == RunNetwork::Shared { &[Layer::NetworkNamespace, Layer::Ports] } else { &[] };
    bench.assert_whole(without);
    let version = pinned(&root(cloud.module)).unwrap();
    plant_provider_as(&bench, cloud.source, &version, &catalyst_tests::tools::path(cloud.tool).unwrap());
    let name = cloud.source.rsplit('/').next().unwrap();
    let module = format!(
        "terraform {{\n  required_providers {{\n    {name} = {{\n      source = \"{}\"\n      version = \"= {version}\"\n    }}\n  }}\n}}\n{}",
        cloud.source, cloud.body
    );
    let ended = bench.apply(&[("main.tf", &module)]).await;
    (bench, ended)
}

fn hetzner(project: &catalyst_tests::hetzner::Project) -> Cloud {
    let token = catalyst_tests::hetzner::module::TOKEN;
    Cloud {
        source: "hetznercloud/hcloud",
        tool: "hcloud",
        module: "infra/hetzner",
        body: format!(
            "provider \"hcloud\" {{\n  token = \"{token}\"\n}}\nresource \"hcloud_ssh_key\" \"a\" {{\n  name = \"a\"\n  public_key = \"{KEY}\"\n}}\n"
        ),
        env: vec![("HCLOUD_ENDPOINT".to_owned(), project.endpoint().to_owned())],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_provider_makes_its_objects_behind_every_layer_but_the_networks() {
    let project = catalyst_tests::hetzner::Project::start(catalyst_tests::hetzner::module::TOKEN);
    let (_bench, (result, seen)) = apply(&hetzner(&project), RunNetwork::Shared).await;
    result.unwrap_or_else(|error| panic!("{error:?} {seen:#?}"));
    assert_eq!(project.all("ssh_keys").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_provider_speaks_with_opentofu_where_there_is_no_network_and_reaches_nothing() {
    let project = catalyst_tests::hetzner::Project::start(catalyst_tests::hetzner::module::TOKEN);
    let (_bench, (result, seen)) = apply(&hetzner(&project), RunNetwork::Alone).await;
    let error = result.unwrap_err();
    // Its configuration was read and its plan made: only its cloud is not there.
    assert_eq!(error.step.as_str(), "apply", "{error:?} {seen:#?}");
    let text = format!("{error:?}");
    assert!(text.contains("connect") && !text.contains("plugin"), "{text}");
    assert_eq!(project.all("ssh_keys").len(), 0);
}
