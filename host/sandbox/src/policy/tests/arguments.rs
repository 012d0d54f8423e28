//! Which arguments of a provider a bundle may set, and to what.

use catalyst_domain::provider::{Bundle, Descriptor, ProviderSetting, SecretVariable, SettingSource, TofuProvider};
use serde_json::{Map, Value, json};

use super::{Plain, bundle, descriptor};
use crate::grants::{Grant, Rights};
use crate::policy::arguments::address_host;
use crate::policy::{Allowance, Known, Refused, Rule, Terms, check};

const REQUIRED: &str =
    "terraform {\n  required_providers {\n    cloud = { source = \"acme/cloud\", version = \"1.2.3\" }\n  }\n}\n";

/// A component of 1.1.
fn declares(settings: Vec<ProviderSetting>) -> Descriptor {
    let acme = TofuProvider { source: "acme/cloud".into(), version: "1.2.3".into(), settings: Some(settings) };
    Descriptor { tofu_providers: vec![acme], api_hosts: vec!["api.cloud.example".into()], ..descriptor() }
}

fn setting(argument: &str, source: SettingSource, address: bool) -> ProviderSetting {
    ProviderSetting { argument: argument.into(), source, address }
}

fn usual() -> Vec<ProviderSetting> {
    vec![
        setting("token", SettingSource::Secret("token".into()), false),
        setting("auth_url", SettingSource::Request("authUrl".into()), true),
        setting("endpoints.compute", SettingSource::Fixed, true),
        setting("zone", SettingSource::Fixed, false),
    ]
}

fn of(file: &str, provider: &str) -> Bundle {
    let mut of = bundle(&[("versions.tf", REQUIRED), (file, provider)]);
    of.secret_variables = vec![
        SecretVariable { secret: "token".into(), variable: "cloud_token".into() },
        SecretVariable { secret: "other".into(), variable: "other_token".into() },
    ];
    let variables = json!({"auth": "https://auth.cloud.example/v3", "evil": "https://evil.example", "zone": "z1"});
    of.variables = variables.as_object().unwrap().clone();
    of
}

fn settings() -> Map<String, Value> {
    json!({"authUrl": " https://auth.cloud.example/v3 "}).as_object().unwrap().clone()
}

fn judged(descriptor: &Descriptor, rights: &Rights, bundle: &Bundle) -> Result<(), Refused> {
    let settings = settings();
    let terms = Terms { descriptor, rights, settings: &settings, present_secrets: None };
    let verdict = check(bundle, Allowance::Rendered(terms));
    // What was read once is judged alike without being read again.
    let (known, passing) = (Known::default(), of("main.tf", ""));
    known.check(&passing, terms).expect("nothing is set there");
    if verdict.is_ok() {
        known.check(bundle, terms).expect("the same");
        assert!(known.admits(bundle, terms));
    }
    verdict
}

fn rights(descriptor: &Descriptor) -> Rights {
    Rights::as_declared(crate::grants::Basis::Declared, descriptor)
}

#[test]
fn what_is_declared_passes_from_where_it_is_said_to_come() {
    let descriptor = declares(usual());
    let body = "  alias    = \"second\"\n  token    = var.cloud_token\n  auth_url = var.auth\n  zone     = [\"z1\", var.zone, 7]\n\
                \x20 endpoints {\n    compute = \"https://api.cloud.example/v1\"\n  }\n";
    let native = of("main.tf", &format!("provider \"cloud\" {{\n{body}}}\n"));
    assert_eq!(judged(&descriptor, &rights(&descriptor), &native), Ok(()));
    let json = json!({"provider": {"cloud": [
        {"token": "${var.cloud_token}", "//": "a remark", "endpoints": {"compute": "https://api.cloud.example"}},
        {"alias": "second", "auth_url": "${var.auth}", "endpoints": [{"compute": "${var.compute}"}]},
    ]}});
    let mut json = of("main.tf.json", &json.to_string());
    json.variables.insert("compute".into(), "api.cloud.example:8774".into());
    assert_eq!(judged(&descriptor, &rights(&descriptor), &json), Ok(()));
}

#[test]
fn what_is_not_declared_is_refused_by_name_in_every_spelling() {
    let descriptor = declares(usual());
    let not_declared = |name: &str| format!("the argument \"{name}\" of \"acme/cloud\" is not declared by the plugin");
    for (body, name) in [
        ("endpoint = \"https://evil.example\"", "endpoint"),
        ("endpoint = var.evil", "endpoint"),
        ("insecure = true", "insecure"),
        ("endpoints {\n    auth = \"https://evil.example\"\n  }", "endpoints.auth"),
        ("dynamic \"endpoints\" {\n    for_each = [1]\n    content {}\n  }", "dynamic.endpoints.for_each"),
        ("for_each = var.zones", "for_each"),
        ("version = \"1\"", "version"),
        ("proxy {}", "proxy"),
        ("endpoints = { auth = \"https://evil.example\" }", "endpoints"),
    ] {
        let bundle = of("main.tf", &format!("provider \"cloud\" {{\n  {body}\n}}\n"));
        let refused = judged(&descriptor, &rights(&descriptor), &bundle).expect_err(body);
        assert_eq!(refused.refusals[0].rule, Rule::ProviderArgument, "{body}");
        assert_eq!(refused.refusals[0].why, not_declared(name), "{body}");
    }
    for (value, name) in [
        (json!({"endpoint": "https://evil.example"}), "endpoint"),
        (json!([{"token": "${var.cloud_token}"}, {"alias": "b", "endpoint": "x"}]), "endpoint"),
        (json!({"endpoints": {"compute": "https://api.cloud.example", "auth": "x"}}), "endpoints.auth"),
        (json!({"endpoints": [{"auth": "x"}]}), "endpoints.auth"),
        (json!({"endpoints": []}), "endpoints"),
    ] {
        let bundle = of("main.tf.json", &json!({"provider": {"cloud": value}}).to_string());
        let refused = judged(&descriptor, &rights(&descriptor), &bundle).expect_err(name);
        assert_eq!(refused.refusals[0].why, not_declared(name), "{value}");
    }
    // Under another local name it is the same provider.
    let text = REQUIRED.replace("cloud =", "harmless =");
    let mut renamed = of("main.tf", "provider \"harmless\" {\n  endpoint = \"https://evil.example\"\n}\n");
    renamed.files[0].content = text.into_bytes();
    assert!(judged(&descriptor, &rights(&descriptor), &renamed).is_err());
}

#[test]
fn a_value_from_elsewhere_is_refused() {
    let descriptor = declares(usual());
    for (body, why) in [
        ("token = \"made up\"", "must be the variable that the secret token fills"),
        ("token = var.other_token", "must be the variable that the secret token fills"),
        ("token = \"${var.cloud_token}x\"", "must be the variable that the secret token fills"),
        ("token = local.token", "must be the variable that the secret token fills"),
        ("auth_url = var.evil", "must be a variable with the value of the request's authUrl"),
        ("auth_url = \"https://auth.cloud.example/v3\"", "must be a variable with the value of the request's authUrl"),
        ("auth_url = var.auth2", "must be a variable with the value of the request's authUrl"),
        ("zone = var.cloud_token", "must be a literal or a variable that no secret fills"),
        ("zone = [var.zone, var.other_token]", "must be a literal or a variable that no secret fills"),
        ("zone = \"${var.cloud_token}\"", "must be a literal or a variable that no secret fills"),
        ("zone = file(\"${path.module}/versions.tf\")", "must be a literal or a variable that no secret fills"),
        ("endpoints {\n    compute = \"https://evil.example\"\n  }", "must be an address at a host that is declared"),
        ("endpoints {\n    compute = var.evil\n  }", "must be an address at a host that is declared"),
        ("endpoints {\n    compute = var.cloud_token\n  }", "must be an address at a host that is declared"),
        ("endpoints {\n    compute = \"https://api.cloud.example@evil.example\"\n  }", "must be an address at a host"),
        ("endpoints {\n    compute = \"https://api.cloud.example.evil.example\"\n  }", "must be an address at a host"),
    ] {
        let bundle = of("main.tf", &format!("provider \"cloud\" {{\n  {body}\n}}\n"));
        let refused = judged(&descriptor, &rights(&descriptor), &bundle).expect_err(body);
        assert_eq!(refused.refusals[0].rule, Rule::ProviderArgument, "{body}");
        assert!(refused.refusals[0].why.contains(why), "{body}: {}", refused.refusals[0].why);
    }
}

#[test]
fn a_map_in_json_hides_no_secret_in_its_keys_or_remarks() {
    let descriptor = declares(usual());
    for (zone, passes) in [
        (json!({"a": "b"}), true),
        (json!({"//": "b"}), true),
        (json!({"${var.cloud_token}": "x"}), false),
        (json!({"%{ if true }x%{ endif }": "x"}), false),
        (json!({"//": "${var.cloud_token}"}), false),
        (json!([{"a": {"//": "${var.other_token}"}}]), false),
    ] {
        let bundle = of("main.tf.json", &json!({"provider": {"cloud": {"zone": zone}}}).to_string());
        assert_eq!(judged(&descriptor, &rights(&descriptor), &bundle).is_ok(), passes, "{zone}");
    }
}

#[test]
fn a_remark_alone_makes_no_argument_of_what_is_not_declared() {
    let descriptor = declares(usual());
    for (body, passes) in [
        (json!({"endpoints": {"//": "a remark", "compute": "https://api.cloud.example"}}), true),
        (json!({"endpoints": {"//": "${var.cloud_token}", "compute": "https://api.cloud.example"}}), false),
        (json!({"endpoints": {"//": ["a"], "compute": "https://api.cloud.example"}}), false),
        (json!({"proxy": {"//": "x"}}), false),
        (json!({"headers": {"//": "${var.cloud_token}"}}), false),
        (json!({"proxy": [{"//": 1}]}), false),
        (json!({"proxy": [{"//": 1}, {}]}), false),
    ] {
        let bundle = of("main.tf.json", &json!({"provider": {"cloud": body}}).to_string());
        assert_eq!(judged(&descriptor, &rights(&descriptor), &bundle).is_ok(), passes, "{body}");
    }
}

#[test]
fn a_variable_is_left_empty_only_where_its_secret_is_not_there() {
    let descriptor = declares(usual());
    let (rights, settings) = (rights(&descriptor), settings());
    let mut bare = of("main.tf", "provider \"cloud\" {\n  token = var.cloud_token\n}\n");
    bare.secret_variables.clear();
    let passes = |bundle: &Bundle, present: Option<&[String]>| {
        let terms = Terms { descriptor: &descriptor, rights: &rights, settings: &settings, present_secrets: present };
        check(bundle, Allowance::Rendered(terms)).is_ok()
    };
    let there = ["token".to_owned()];
    assert!(passes(&bare, Some(&[])) && passes(&bare, None));
    assert!(!passes(&bare, Some(&there)), "a token of the plugin's own would take its place");
    bare.variables.insert("cloud_token".into(), "made up".into());
    assert!(!passes(&bare, Some(&[])) && !passes(&bare, None));
}

#[test]
fn a_kept_bundle_outlives_what_its_plugin_declared_but_not_what_was_granted() {
    let less = declares(Vec::new());
    let bundle = of("main.tf", "provider \"cloud\" {\n  zone = var.zone\n}\n");
    let settings = settings();
    let kept = |rights: &Rights| {
        check(&bundle, Allowance::Kept(Terms { descriptor: &less, rights, settings: &settings, present_secrets: None }))
            .is_ok()
    };
    assert!(kept(&Rights::as_declared(crate::grants::Basis::Declared, &less)));
    assert!(kept(&Rights::as_declared(crate::grants::Basis::BeforeGrants, &less)));
    assert!(!kept(&Rights::granted(&less, std::collections::BTreeSet::new())));
}

#[test]
fn a_block_outside_of_the_root_module_sets_nothing_of_which_the_source_is_known() {
    let descriptor = declares(usual());
    let mut bundle = of("net/main.tf", "provider \"cloud\" {\n  token = var.cloud_token\n}\n");
    let versions = bundle.files[0].clone();
    bundle.files.push(catalyst_domain::provider::BundleFile { path: "net/versions.tf".into(), ..versions });
    let refused = judged(&descriptor, &rights(&descriptor), &bundle).expect_err("refused");
    assert_eq!(refused.refusals[0].rule, Rule::ProviderArgument);
}

#[test]
fn grants_bound_what_a_component_of_1_0_may_set_and_without_them_it_may_set_anything() {
    let old = Plain::new();
    let leak =
        of("main.tf", "provider \"cloud\" {\n  token    = var.cloud_token\n  endpoint = \"https://evil.example\"\n}\n");
    assert_eq!(check(&leak, Allowance::Rendered(old.terms())), Ok(()));
    let granted = |lines: &[&str]| {
        let grants = lines.iter().map(|line| line.parse::<Grant>().unwrap()).collect();
        Rights::granted(&descriptor(), grants)
    };
    let token = "argument acme/cloud token secret:token";
    let refused = judged(&descriptor(), &granted(&[token]), &leak).expect_err("not granted");
    let [one] = refused.refusals.as_slice() else { panic!("{refused}") };
    assert_eq!(one.why, "the argument \"endpoint\" of \"acme/cloud\" is not granted to this plugin in plugins.lock");
    assert_eq!(one.to_string().split(": ").take(2).collect::<Vec<_>>(), ["main.tf:3", "provider-argument"]);
    let address = "argument acme/cloud endpoint address";
    assert!(judged(&descriptor(), &granted(&[token, address]), &leak).is_err(), "its host is not granted");
    let all = granted(&[token, address, "host evil.example"]);
    assert_eq!(judged(&descriptor(), &all, &leak), Ok(()), "an operator may grant it");
    // A component of 1.1 sets what it declares, whatever else is granted; a bundle from before it declared less is kept by the grant.
    let strict = declares(vec![usual().remove(0)]);
    let rights = Rights::granted(&strict, all.grants().clone());
    assert!(judged(&strict, &rights, &leak).is_err());
    let settings = settings();
    let terms = Terms { descriptor: &strict, rights: &rights, settings: &settings, present_secrets: None };
    let kept = check(&leak, Allowance::Kept(terms));
    assert!(kept.is_err_and(|refused| refused.to_string().contains("endpoint")), "its host is not declared any more");
}

#[test]
fn narrower_grants_hold_for_a_module_that_was_read_before() {
    let leak = of("main.tf", "provider \"cloud\" {\n  endpoint = \"https://evil.example\"\n}\n");
    let (old, settings) = (Plain::new(), settings());
    let known = Known::default();
    known.check(&leak, old.terms()).expect("passes");
    let none = Rights::granted(&descriptor(), std::collections::BTreeSet::new());
    let descriptor = descriptor();
    assert!(
        !known.admits(
            &leak,
            Terms { descriptor: &descriptor, rights: &none, settings: &settings, present_secrets: None }
        )
    );
}

#[test]
fn an_address_has_a_host_only_in_its_plainest_form() {
    for (text, host) in [
        ("https://api.cloud.example", "api.cloud.example"),
        ("https://API.cloud.example:443/v1?a=b#c", "api.cloud.example"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("api.cloud.example:5000", "api.cloud.example"),
    ] {
        assert_eq!(address_host(text).as_deref(), Some(host), "{text}");
    }
    for text in [
        "",
        "https://",
        "https://a@b.example",
        "https://a.example\\@b.example",
        "https://a.example:b",
        "https://a.example:99999",
        "ftp://a.example",
        "https:/a.example",
        "https:///a.example",
        "//a.example",
        "https://a.example ",
        "https://a,b",
        "https://[::1]",
        "https://a.example/ https://b.example",
    ] {
        assert_eq!(address_host(text), None, "{text}");
    }
}
