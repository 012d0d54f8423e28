//! Where providers and modules come from.

use super::{PINNED, Plain, all, bundle, passes_with, refused};
use crate::check::sample;
use crate::policy::{Allowance, Rule, check};

#[test]
fn providers_are_the_declared_ones_in_the_declared_version() {
    refused("resource \"random_id\" \"a\" {}\n", Rule::Provider, 1);
    refused("resource \"cloud_server\" \"a\" {\n  provider = other.b\n}\n", Rule::Provider, 1);
    refused("provider \"aws\" {}\n", Rule::Provider, 1);
    refused("output \"a\" {\n  value = provider::local::direxists(\"/\")\n}\n", Rule::Provider, 2);
    refused("ephemeral \"vault_secret\" \"a\" {}\n", Rule::Provider, 1);
    refused(
        "terraform {\n  required_providers {\n    x = { source = \"evil.example/acme/cloud\" }\n  }\n}\n",
        Rule::Provider,
        3,
    );
    refused(
        "terraform {\n  required_providers {\n    http = { source = \"hashicorp/http\" }\n  }\n}\n",
        Rule::Provider,
        3,
    );
    refused(
        "terraform {\n  required_providers {\n    c = {\n      source = \"acme/cloud\"\n      version = \">= 1\"\n    }\n  }\n}\n",
        Rule::ProviderVersion,
        3,
    );
    let unpinned =
        ("main.tf", "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\" }\n  }\n}\n");
    assert_eq!(all(&[unpinned]), [(Rule::ProviderVersion, Some(3))]);
    let nested = [("main.tf", "module \"m\" {\n  source = \"./m\"\n}\n"), ("m/versions.tf", PINNED.1)];
    assert_eq!(all(&nested), [(Rule::ProviderVersion, Some(4))], "only the root's pin is the last word");
}

#[test]
fn a_requirement_says_each_thing_once_and_in_plain_keys() {
    let required = |more: &str| {
        format!(
            "terraform {{\n  required_providers {{\n    cloud = {{ source = \"acme/cloud\", version = \"1.2.3\"{more} }}\n  }}\n}}\n"
        )
    };
    assert_eq!(all(&[("main.tf", &required(", configuration_aliases = [cloud.other]"))]), []);
    for more in [
        ", \"source\" = \"evil/x\"",
        ", (\"source\") = \"evil/x\"",
        ", \"\\u0073ource\" = \"evil/x\"",
        ", \"${\"source\"}\" = \"evil/x\"",
        ", \"version\" = \">= 0\"",
        ", (upper(\"x\")) = \"y\"",
        ", sources = \"evil/x\"",
    ] {
        refused(&required(more), Rule::Provider, 3);
    }
    for entry in [
        r#"{"source": "acme/cloud", "version": "1.2.3", "${\"source\"}": "evil/x"}"#,
        r#"{"source": "acme/cloud", "version": "1.2.3", "sources": "evil/x"}"#,
        r#"{"source": "${\"evil/x\"}", "version": "1.2.3"}"#,
    ] {
        let text = format!(r#"{{"terraform": {{"required_providers": {{"cloud": {entry}}}}}}}"#);
        let found = all(&[("main.tf.json", &text)]);
        assert!(found.contains(&(Rule::Provider, Some(1))), "{entry}: {found:?}");
    }
}

#[test]
fn a_kept_bundle_may_have_another_version_but_no_other_provider() {
    let old = bundle(&[("main.tf", &PINNED.1.replace("1.2.3", "1.0.0")), ("a.tf", "resource \"cloud_x\" \"a\" {}\n")]);
    assert!(check(&old, Allowance::Rendered(Plain::new().terms())).is_err());
    assert_eq!(check(&old, Allowance::Kept(Plain::new().terms())), Ok(()));
    assert_eq!(check(&old, Allowance::Orphaned), Ok(()));
    assert!(check(&old, Allowance::Kept(Plain::of(sample()).terms())).is_err());
    for evil in
        ["data \"external\" \"a\" {}\n", "provider \"http\" {}\n", "output \"a\" {\n  value = file(\"/x\")\n}\n"]
    {
        assert!(check(&bundle(&[("main.tf", evil)]), Allowance::Orphaned).is_err(), "{evil}");
    }
}

#[test]
fn modules_are_folders_of_the_bundle() {
    for source in [
        "acme/net/cloud",
        "git::https://x/y",
        "https://x/y.zip",
        "../net",
        "/etc/net",
        "~/net",
        "acme.example/net/cloud/x",
        "s3::https://x/y",
        "./none",
        "/net",
        "./net//x",
        "./net/../..",
        "net",
    ] {
        refused(&format!("module \"m\" {{\n  source = \"{source}\"\n}}\n"), Rule::Module, 2);
    }
    // Evaluated early since OpenTofu 1.8.
    refused("module \"m\" {\n  source = \"./${var.x}\"\n}\n", Rule::Module, 2);
    refused("module \"m\" {\n  source = var.x\n}\n", Rule::Module, 2);
    refused("module \"m\" {\n  source = local.x\n}\n", Rule::Module, 2);
    refused("module \"m\" {}\n", Rule::Module, 1);
    passes_with(&[
        ("main.tf", "module \"m\" {\n  source = \"./a\"\n}\n"),
        ("a/main.tf", "module \"m\" {\n  source = \"../b\"\n}\n"),
        ("b/x.tf", ""),
    ]);
}
