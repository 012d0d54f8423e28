//! What would run, fetch or set something.

use super::{PINNED, all, refused};
use crate::policy::Rule;

#[test]
fn programs_are_not_run() {
    refused(
        "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"id\"\n  }\n}\n",
        Rule::Provisioner,
        2,
    );
    refused(
        "removed {\n  from = a.b\n  provisioner \"local-exec\" {\n    when = destroy\n  }\n}\n",
        Rule::Provisioner,
        3,
    );
    refused("resource \"terraform_data\" \"a\" {\n\n  connection {}\n}\n", Rule::Connection, 3);
    refused("provider \"cloud\" {\n  exec {\n    api_version = \"v1\"\n  }\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  auth {\n    credential_process = \"id\"\n  }\n}\n", Rule::Provisioner, 3);
    refused("provider \"cloud\" {\n  kubernetes = {\n    exec = { command = \"id\" }\n  }\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  a = [{ b = { \"credential_process\" : \"id\" } }]\n}\n", Rule::Provisioner, 2);
    refused("provider \"cloud\" {\n  dynamic \"exec\" {\n    for_each = [1]\n  }\n}\n", Rule::Provisioner, 2);
    let json = "{\"provider\": {\"cloud\": {\n\"kubernetes\": [{\"exec\": {\"a\": \"id\"}}]}}}";
    assert_eq!(all(&[PINNED, ("main.tf.json", json)]), [(Rule::Provisioner, Some(2))]);
    let json = "{\"provider\": {\"cloud\": {\n\"exec\": {\"command\": \"id\"}}}}";
    assert_eq!(all(&[PINNED, ("main.tf.json", json)]), [(Rule::Provisioner, Some(2))]);
}

#[test]
fn data_comes_from_declared_providers_only() {
    refused("\ndata \"external\" \"a\" {\n  program = [\"id\"]\n}\n", Rule::DataSource, 2);
    refused("data \"http\" \"a\" {\n  url = \"http://x\"\n}\n", Rule::DataSource, 1);
    refused("data \"terraform_remote_state\" \"a\" {\n  backend = \"local\"\n}\n", Rule::DataSource, 1);
    refused("check \"c\" {\n  data \"http\" \"a\" {}\n}\n", Rule::DataSource, 2);
    refused("data \"local_file\" \"a\" {\n  filename = \"/x\"\n}\n", Rule::Provider, 1);
}

#[test]
fn the_terraform_block_sets_next_to_nothing() {
    refused("terraform {\n  backend \"local\" {\n    path = \"/x\"\n  }\n}\n", Rule::Backend, 2);
    refused("terraform {\n  cloud {}\n}\n", Rule::Backend, 2);
    refused("terraform {\n  provider_meta \"cloud\" {\n    x = 1\n  }\n}\n", Rule::ProviderMeta, 2);
    refused(
        "terraform {\n  encryption {\n    key_provider \"external\" \"x\" {\n      command = [\"id\"]\n    }\n  }\n}\n",
        Rule::Setting,
        2,
    );
    refused("terraform {\n  experiments = [x]\n}\n", Rule::Setting, 2);
}

#[test]
fn unknown_blocks_are_refused() {
    refused("import {\n  to = a.b\n  id = \"x\"\n}\n", Rule::Block, 1);
    refused("future \"x\" {}\n", Rule::Block, 1);
    refused("x = 1\n", Rule::Block, 1);
    // New in OpenTofu 1.12, and whatever comes after it.
    refused("language {\n  compatible_with {\n    opentofu = \">= 1.12\"\n  }\n}\n", Rule::Block, 1);
    refused("run \"x\" {\n  command = apply\n}\n", Rule::Block, 1);
    refused("mock_provider \"cloud\" {}\n", Rule::Block, 1);
    refused("terraform {\n  language = TF2021\n}\n", Rule::Setting, 2);
    refused("tofu {}\n", Rule::Block, 1);
}
