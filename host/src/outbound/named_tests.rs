//! Which texts of a request are addresses, and which host each of them names.

use super::*;
use serde_json::json;

fn host_of(text: &str) -> Vec<Result<String, &'static str>> {
    let settings = json!({"x": text});
    let found = addresses(settings.as_object().unwrap(), "{}");
    let name = |host: Host| match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name,
    };
    found.into_iter().map(|address| address.host.map(name)).collect()
}

#[test]
fn a_url_counts_whatever_its_scheme_and_however_it_is_written() {
    for (text, host) in [
        ("https://auth.cloud.example.org/v3", "auth.cloud.example.org"),
        ("  HTTPS://Auth.Cloud.Example.ORG.:5000/v3 ", "auth.cloud.example.org"),
        ("//keystone.cloud.svc/v3", "keystone.cloud.svc"),
        ("redis://127.0.0.1:6379", "127.0.0.1"),
        ("unix+http://[::1]/x", "::1"),
        ("http:/127.0.0.1", "127.0.0.1"),
        ("http:127.0.0.1", "127.0.0.1"),
        ("https:///127.0.0.1", "127.0.0.1"),
        ("ht\ttp://169.254.169.254", "169.254.169.254"),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
        ("http://example.org?@x", "example.org"),
        ("file://server/share", "server"),
    ] {
        assert!(host_of(text).contains(&Ok(host.to_owned())), "{text:?}: {:?}", host_of(text));
    }
    let list = host_of("https://a.example,http://127.0.0.1 //b.example");
    for host in ["a.example", "127.0.0.1", "b.example"] {
        assert!(list.contains(&Ok(host.to_owned())), "{list:?}");
    }
}

#[test]
fn what_readers_take_differently_is_no_host() {
    for text in [
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://127.0.0.1.",
        "http://127\u{3002}0.0.1",
        "http://%31%32%37.0.0.1",
        "http://user@127.0.0.1",
        "http://a.example@b.example",
        "http://a.example\\@127.0.0.1",
        "\\\\server\\share",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http://${x}/",
    ] {
        let found = host_of(text);
        assert!(found.iter().any(Result::is_err), "{text:?}: {found:?}");
    }
}

#[test]
fn a_text_that_is_no_url_is_no_address() {
    for text in [
        "",
        "Ext-Net",
        "Ubuntu 24.04",
        "a:b",
        "note: it is here",
        "v1.31.4+k3s1",
        "9.9.9.9",
        "10.0.0.0/8",
        "clusters/a.example",
        "mailto:a@b.example",
        "file:///etc/passwd",
        "http:",
        "https://",
        "ssh-ed25519 AAAA+//8= a@b",
        "/a//b",
        "2026-11-01",
    ] {
        assert!(host_of(text).is_empty(), "{text:?}: {:?}", host_of(text));
    }
}

#[test]
fn nested_values_and_what_a_schema_calls_an_address_are_found_at_their_pointers() {
    let schema = json!({
        "properties": {
            "auth": {"type": "string", "format": "uri"},
            "endpoint": {"$ref": "#/$defs/host"},
            "peers": {"items": {"anyOf": [{"type": "null"}, {"properties": {"at": {"format": "hostname"}}}]}},
            "map": {"additionalProperties": {"allOf": [{"format": "idn-hostname"}]}},
            "resolvers": {"items": {"format": "ipv4"}},
        },
        "$defs": {"host": {"$ref": "#/$defs/other"}, "other": {"format": "hostname"}},
    });
    let settings = json!({
        "auth": "keystone.svc:5000/v3", "endpoint": "127.0.0.1:80", "peers": [null, {"at": "a.example", "name": "a.example"}],
        "map": {"x/y": "vault"}, "resolvers": ["10.0.0.1"], "free": [[{"deep": "http://10.0.0.2"}]], "plain": "vault",
    });
    let found: Vec<String> = addresses(settings.as_object().unwrap(), &schema.to_string())
        .into_iter()
        .map(|address| format!("{} {:?}", address.pointer, address.host.unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            "/auth Name(\"keystone.svc\")",
            "/endpoint Address(127.0.0.1)",
            "/free/0/0/deep Address(10.0.0.2)",
            "/map/x~1y Name(\"vault\")",
            "/peers/1/at Name(\"a.example\")",
        ]
    );
    assert!(
        takes_address(&schema.to_string())
            && !takes_address("{\"properties\":{\"a\":{\"type\":\"string\"}}}")
            && !takes_address("?")
    );
    let circle = json!({"$ref": "#", "properties": {"a": {"$ref": "#/properties/a"}}});
    assert_eq!(addresses(json!({"a": "x"}).as_object().unwrap(), &circle.to_string()).len(), 0);
}
