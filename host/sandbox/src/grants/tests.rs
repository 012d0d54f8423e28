//! What is wanted, what is missing, and what holds.

use catalyst_domain::provider::{Descriptor, ProviderSetting, SecretRole, SettingSource, TofuProvider};
use serde_json::json;

use super::*;
use crate::check::{sample, secret};

fn setting(argument: &str, source: SettingSource, address: bool) -> ProviderSetting {
    ProviderSetting { argument: argument.into(), source, address }
}

/// A component of 1.1 that wants one right of each kind.
fn descriptor() -> Descriptor {
    let settings = vec![
        setting("token", SettingSource::Secret("token".into()), false),
        setting("auth_url", SettingSource::Request("authUrl".into()), true),
        setting("endpoint", SettingSource::Fixed, true),
        setting("region", SettingSource::Fixed, false),
        setting("zone", SettingSource::Request("zone".into()), false),
    ];
    Descriptor {
        tofu_providers: vec![TofuProvider {
            source: "acme/cloud".into(),
            version: "1.2.3".into(),
            settings: Some(settings),
        }],
        secrets: vec![secret("pull", SecretSource::Host("ghcr-pull-token".into()), SecretRole::Ordinary)],
        api_hosts: vec!["api.cloud.example".into()],
        ..sample()
    }
}

const LINES: [&str; 7] = [
    "argument acme/cloud auth_url address:authUrl",
    "argument acme/cloud endpoint address",
    "argument acme/cloud region fixed",
    "argument acme/cloud token secret:token",
    "argument acme/cloud zone request:zone",
    "host api.cloud.example",
    "secret ghcr-pull-token",
];

fn grants(lines: &[&str]) -> BTreeSet<Grant> {
    lines.iter().map(|line| line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn what_a_component_wants_is_said_in_lines_that_are_read_back() {
    let mut lines: Vec<String> = wanted(&descriptor()).iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(lines, LINES);
    assert_eq!(grants(&LINES), wanted(&descriptor()));
    let further = ["argument evil.example/a/b x.y fixed", "host .cloud.example", "host cloud.test=127.0.0.1:8443"];
    for line in further {
        assert_eq!(line.parse::<Grant>().unwrap().to_string(), line);
    }
}

#[test]
fn each_part_of_a_line_that_is_wrong_is_refused() {
    for (line, words) in [
        ("", "not `grant <file>.wasm`"),
        ("everything", "not `grant <file>.wasm`"),
        ("argument acme/cloud token", "not `grant <file>.wasm`"),
        ("argument cloud token fixed", "not `grant <file>.wasm`"),
        ("argument acme/cloud token fixed more", "not `grant <file>.wasm`"),
        ("argument acme/cloud token free", "the source of an argument"),
        ("argument acme/cloud token secret:", "the source of an argument"),
        ("argument acme/cloud token fixed:x", "the source of an argument"),
        ("host Api.cloud.example", "the host is not"),
        ("host .example", "the host is not"),
        ("host *.cloud.example", "the host is not"),
        ("host a..b", "the host is not"),
        ("host https://a.example", "the host is not"),
        ("host a.example=127.0.0.1", "the host is not"),
        ("host .a.example=127.0.0.1:1", "the host is not"),
        ("host -a.example", "the host is not"),
        ("host a.example.", "the host is not"),
        ("host 127.1", "the host is not"),
        ("host .0.2.7", "the host is not"),
        ("host a.0x7f", "the host is not"),
        ("host 2001:db8::1", "the host is not"),
    ] {
        let error = line.parse::<Grant>().expect_err(line).to_string();
        assert!(error.starts_with(words), "{line}: {error}");
    }
}

#[test]
fn a_line_of_the_lock_is_read_as_it_is_written() {
    let given = wanted(&descriptor()).into_iter();
    let lines = GrantLine::of_file("a.wasm", given);
    for line in &lines {
        assert_eq!(line.to_string().parse::<GrantLine>().as_ref(), Ok(line));
    }
    let texts: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
    assert_eq!(texts, LINES.map(|right| format!("grant a.wasm {right}")).into());
    let none = GrantLine::of_file("a.wasm", []);
    assert_eq!(none, [GrantLine { file: "a.wasm".into(), grant: None }]);
    assert_eq!(none[0].to_string(), "grant a.wasm nothing");
    assert_eq!("grant  a.wasm \t nothing ".parse::<GrantLine>().as_ref(), Ok(&none[0]));
    for (line, words) in [
        ("grants a.wasm nothing", "not `grant <file>.wasm`"),
        ("grant a.wasm", "not `grant <file>.wasm`"),
        ("grant a.txt nothing", "a grant is not of a file"),
        ("grant ../a.wasm nothing", "a grant is not of a file"),
        ("grant a.wasm host https://a.example", "the host is not"),
    ] {
        let error = line.parse::<GrantLine>().expect_err(line).to_string();
        assert!(error.starts_with(words), "{line}: {error}");
    }
}

#[test]
fn a_kept_bundle_needs_its_arguments_also_those_of_a_later_release() {
    for (line, needs) in [
        ("grant a.wasm argument a/b token fixed", true),
        ("grant a.wasm argument a/b token computed:x", true),
        ("grant a.wasm host a.example", false),
        ("grant a.wasm host -a.example", false),
        ("grant a.wasm secret s", false),
        ("grant a.wasm volume v", false),
        ("grant a.wasm nothing", false),
    ] {
        assert_eq!(kept_bundle_needs(line), needs, "{line}");
    }
}

#[test]
fn only_what_is_granted_word_by_word_is_not_missing() {
    let descriptor = descriptor();
    assert_eq!(missing(&descriptor, &grants(&LINES)), []);
    for left_out in LINES {
        let rest: Vec<&str> = LINES.into_iter().filter(|line| *line != left_out).collect();
        let missing: Vec<String> = missing(&descriptor, &grants(&rest)).iter().map(ToString::to_string).collect();
        assert_eq!(missing, [left_out]);
    }
    let mut wider: Vec<&str> = LINES.to_vec();
    wider[5] = "host .cloud.example";
    assert_eq!(missing(&descriptor, &grants(&wider)), [], "a suffix covers its names");
    wider[3] = "argument acme/cloud token secret:other";
    assert_eq!(missing(&descriptor, &grants(&wider)).len(), 1, "another secret is another right");
}

#[test]
fn the_hosts_of_a_plugin_are_those_that_are_declared_and_granted() {
    let names = |rights: &Rights| rights.hosts().into_iter().map(|host| host.pattern).collect::<Vec<_>>();
    let declared = Rights::as_declared(Basis::Declared, &descriptor());
    assert_eq!(names(&declared), ["api.cloud.example"]);
    let wide = grants(&["host .cloud.example", "host other.example", "host cloud.test=127.0.0.1:8443"]);
    let granted = Rights::granted(&descriptor(), wide.clone());
    assert_eq!(names(&granted), ["api.cloud.example", "cloud.test"], "the narrower of the two, and the operator's own");
    assert!(granted.covers("api.cloud.example") && !granted.covers("b.cloud.example"));
    let without_effect = |rights: &Rights| {
        let hosts = rights.hosts_without_effect().into_iter();
        hosts.map(|host| host.pattern.clone()).collect::<Vec<_>>()
    };
    assert_eq!(without_effect(&granted), ["other.example"], "a component of 1.1 has to declare it");
    assert_eq!(without_effect(&declared), [""; 0]);
    let led = Rights::granted(&descriptor(), grants(&["host api.cloud.example=127.0.0.1:8443"]));
    let hosts = led.hosts();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    assert!(hosts[0].at.is_some(), "the operator's address takes the place of the name's own");
    let old = Descriptor {
        tofu_providers: vec![TofuProvider { settings: None, ..descriptor().tofu_providers.remove(0) }],
        ..descriptor()
    };
    let rights_of_old = Rights::granted(&old, wide);
    assert_eq!(without_effect(&rights_of_old), [""; 0]);
    let names_of_old = names(&rights_of_old);
    assert!(
        names_of_old.contains(&"other.example".to_owned()),
        "a component of 1.0 cannot declare it: {names_of_old:?}"
    );
}

#[test]
fn an_address_of_a_request_counts_only_where_an_argument_may_have_it() {
    let rights = Rights::granted(&descriptor(), grants(&LINES));
    let settings = json!({"authUrl": " https://auth.private.example:5000/v3", "zone": "https://elsewhere.example"});
    let addresses = rights.request_addresses(settings.as_object().unwrap());
    assert_eq!(addresses, BTreeSet::from(["https://auth.private.example:5000/v3"]));
    let odd = json!({"authUrl": "https://auth.private.example@evil.example/"});
    assert!(rights.request_addresses(odd.as_object().unwrap()).is_empty());
    let none = Rights::granted(&descriptor(), grants(&LINES[1..]));
    assert!(none.request_addresses(settings.as_object().unwrap()).is_empty());
}
