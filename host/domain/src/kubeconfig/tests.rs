//! Which bodies are kubeconfigs, and what is stored of them.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// As k3s up to 1.33 writes it.
const K3S: &str = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: LS0tLS1CRUdJTg==\n    server: \
                   https://192.0.2.7:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  \
                   name: default\ncurrent-context: default\nkind: Config\npreferences: {}\nusers:\n- name: default\n  user:\n    \
                   client-certificate-data: LS0tLS1CRUdJTg==\n    client-key-data: LS0tLS1CRUdJTg==\n";
/// Another order, as a person may write it.
const OTHER: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    certificate-authority-data: QQ==\n    \
                     server: https://192.0.2.7:6443\nusers:\n- name: default\n  user:\n    client-certificate-data: QQ==\n    \
                     client-key-data: QQ==\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n\
                     current-context: default\n";
/// Its user's certificate and key.
const BOTH: &str = "client-certificate-data: QQ==\n    client-key-data: QQ==";

fn stored(body: &str) -> String {
    let config = Kubeconfig::parse(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"));
    String::from_utf8(config.stored(body.as_bytes()).into_owned()).unwrap()
}

fn swapped(from: &str, to: &str) -> String {
    assert!(OTHER.contains(from), "{from}");
    OTHER.replacen(from, to, 1)
}

fn fault(body: &str) -> Option<BodyFault> {
    Kubeconfig::parse(body.as_bytes()).err()
}

#[test]
fn what_k3s_writes_is_stored_byte_for_byte_with_comments_behind_it() {
    let without = K3S.replace("preferences: {}\n", "");
    for text in [K3S, &without] {
        for comments in ["", "# by hand\n", "# one\n\n#\ttwo ~\n", "#", "\n"] {
            let body = format!("{text}{comments}");
            assert_eq!(stored(&body), body);
        }
        for behind in ["# caf\u{e9}\n", "# a\r\n", " # a\n", "...\n"] {
            assert_eq!(stored(&format!("{text}{behind}")), text, "{behind:?}");
        }
        assert_eq!(stored(&format!("# before\n{text}")), text);
    }
}

#[test]
fn an_ipv6_server_is_written_as_k3s_writes_it() {
    let text = K3S.replace("192.0.2.7", "[2001:db8::7]");
    assert_eq!(stored(&text), text);
}

#[test]
fn credentials_that_kubectl_cannot_use_are_refused() {
    for (from, to) in [
        ("    client-key-data: QQ==\n", ""),
        ("    client-certificate-data: QQ==\n    client-key-data", "    client-key-data"),
        ("    client-key-data: QQ==\n", "    client-key-data: QQ==\n    token: a\n    username: b\n"),
        ("    client-key-data: QQ==\n", "    client-key-data: QQ==\n    token: a\n    password: b\n"),
    ] {
        assert!(matches!(fault(&swapped(from, to)), Some(BodyFault::Invalid(_))), "{to}");
    }
    assert_eq!(fault(&swapped("    client-key-data: QQ==\n", "    client-key-data: QQ==\n    token: a\n")), None);
}

#[test]
fn another_layout_is_stored_as_k3s_would_write_it_and_then_stays() {
    let canonical = stored(OTHER);
    assert_eq!(canonical, K3S.replace("preferences: {}\n", "").replace("LS0tLS1CRUdJTg==", "QQ=="));
    assert_eq!(stored(&canonical), canonical);
    let json = r#"{"apiVersion":"v1","kind":"Config","clusters":[{"name":"default","cluster":{"certificate-authority-data":"QQ==",
        "server":"https://192.0.2.7:6443"}}],"users":[{"name":"default","user":{"client-certificate-data":"QQ==","client-key-data":
        "QQ=="}}],"contexts":[{"name":"default","context":{"cluster":"default","user":"default"}}],"current-context":"default"}"#;
    assert_eq!(stored(json), canonical);
    assert_eq!(stored(&format!("---\n{OTHER}...\n")), canonical);
    assert_eq!(stored(&OTHER.replace('\n', "\r\n")), canonical);
}

#[test]
fn t17_forms_that_kubectl_reads_are_taken() {
    let pem = "-----BEGIN CERTIFICATE-----\n".repeat(8);
    let data = STANDARD.encode(&pem);
    let wrapped = |indent: &str| {
        data.as_bytes().chunks(60).map(|c| format!("{indent}{}\n", std::str::from_utf8(c).unwrap())).collect::<String>()
    };
    let twice = STANDARD.encode(&data);
    for form in [
        format!("client-key-data: {data}"),
        format!("client-key-data: |\n{}", wrapped("      ").trim_end()),
        format!("client-key-data: >-\n{}", wrapped("      ").trim_end()),
        format!("client-key-data:\n{}", wrapped("      ").trim_end()),
        format!("client-key-data: \"{data}\""),
        format!("client-key-data: '{data}'"),
        format!("client-key-data: !!binary {data}"),
        format!("client-key-data: !!binary |\n      {twice}"),
    ] {
        let text = stored(&swapped("client-key-data: QQ==", &form));
        assert!(text.contains(&format!("    client-key-data: {data}\n")), "{form}: {text}");
    }
    for (from, to) in [
        ("    server:", "    disable-compression: true\n    server:"),
        ("    server:", "    insecure-skip-tls-verify: false\n    server:"),
        (
            "    server:",
            "    extensions:\n    - name: x\n      extension: {last-update: a, version: v1, deep: [1, {a: ~}]}\n    server:",
        ),
        (
            "    server:",
            "    extensions: [{name: x, extension: text}, {name: w, extension: [1]}, {name: z}]\n    server:",
        ),
        ("    user: default\n", "    user: default\n    extensions: null\n"),
        ("    user: default\n", "    user: default\n    namespace: \"\"\n"),
        ("kind: Config", "kind: Config\nextensions: []\npreferences: {colors: true}"),
    ] {
        if to.contains("extensions: []") {
            let none = swapped(from, &to.replace("[]", "~"));
            assert!(fault(&none).is_none(), "{none}");
            continue;
        }
        assert_eq!(stored(&swapped(from, to)), stored(OTHER), "{to}");
    }
    for (from, to, kept) in [
        ("    server:", "    tls-server-name: api.example\n    server:", "    tls-server-name: api.example\n"),
        ("    user: default\n", "    user: default\n    namespace: kube-system\n", "    namespace: kube-system\n"),
        (BOTH, "token: K10a::server:b", "    token: K10a::server:b\n"),
        (BOTH, "token: '12345'", "    token: \"12345\"\n"),
        ("client-key-data: QQ==", "{}", "  user: {}\n"),
    ] {
        let body =
            if to == "{}" { OTHER.replace(&format!("user:\n    {BOTH}"), "user: {}") } else { swapped(from, to) };
        assert!(stored(&body).contains(kept), "{to}: {}", stored(&body));
    }
    let two = swapped("contexts:\n", "contexts:\n- name: second\n  context: {cluster: default, user: default}\n");
    assert_eq!(stored(&two), stored(OTHER), "the current context alone is kept");
}

#[test]
fn h4_what_could_hurt_is_refused_in_every_place_and_spelling() {
    let user = |with: &str| swapped("client-key-data: QQ==", with);
    let cluster = |with: &str| swapped("    server:", &format!("    {with}\n    server:"));
    let aside = |with: &str| swapped("users:\n", &format!("users:\n- name: aside\n  user: {with}\n"));
    for body in [
        user("exec: {command: sh}"),
        user("exec: null"),
        user("\"ex\\x65c\": {command: sh}"),
        user("? exec\n    : {command: sh}"),
        user("Exec: {command: sh}"),
        user("auth-provider: {name: x}"),
        user("tokenFile: /x"),
        user("client-key: /x"),
        user("as: admin"),
        user("as-groups: [system:masters]"),
        user("as-uid: '1'"),
        user("as-user-extra: {a: [b]}"),
        user("<<: {exec: {command: sh}}"),
        user("token: &a abc"),
        user("token: *a"),
        user("token: !!str abc"),
        user("token: ! abc"),
        user("token: !x abc"),
        user("token: !<tag:yaml.org,2002:binary> QQ=="),
        user("token: a\n    token: b"),
        user("token: a\n    'token': b"),
        aside("{exec: {command: sh}}"),
        aside("{token: a, <<: {exec: {command: sh}}}"),
        aside("!!map {token: a}"),
        cluster("proxy-url: http://x"),
        cluster("certificate-authority: /x"),
        cluster("insecure-skip-tls-verify: true"),
        cluster("insecure-skip-tls-verify: yes"),
        cluster("insecure-skip-tls-verify: \"false\""),
        cluster("unknown: 1"),
        cluster("extensions: [{name: x}, {name: x}]"),
        cluster("extensions: [{name: x, exec: {command: sh}}]"),
        cluster("extensions: [{name: x, extension: &a {}}]"),
        swapped("https://", "http://"),
        swapped("https://192", "https://a@192"),
        swapped("clusters:\n", "clusters:\n- name: b\n  cluster: {server: 'https://198.51.100.9'}\n"),
        swapped("clusters:\n", "clusters:\n- name: default\n  cluster: {server: 'https://192.0.2.7:6443'}\n"),
        swapped("kind: Config", "kind: Config\nKind: Config"),
        swapped("kind: Config", "kind: Config\nlegacy: 1"),
        swapped("- name: default\n  cluster:", "- name: default\n  more: 1\n  cluster:"),
        format!("# \u{2028}x\n{OTHER}"),
        OTHER.replace('\n', "\u{85}"),
        "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &('b'..'k').map(|c| format!("{c}: &{c} [*{}]\n", (c as u8 - 1) as char)).collect::<String>(),
        format!("x: [{}]", "1,".repeat(30_000)),
    ] {
        assert!(matches!(fault(&body), Some(BodyFault::Unsafe(_))), "{:?}: {:.300}", fault(&body), body);
    }
}

#[test]
fn h4_what_is_no_kubeconfig_or_leads_nowhere_does_not_spend_the_bearer() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for body in [
        "",
        "   ",
        "# only\n",
        "<html></html>",
        "[]",
        "clusters: []",
        "\u{0}",
        "--- a\n--- b",
        "\t",
        "%YAML 1.1\n---\na: b",
        &deep,
        &format!("%TAG ! tag:yaml.org,2002:\n---\n{OTHER}"),
        &format!("{OTHER}---\n{OTHER}"),
        &swapped("current-context: default\n", ""),
        &swapped("current-context: default", "current-context: other"),
        &swapped("    user: default\n", "    user: other\n"),
        &swapped("    cluster: default\n", "    cluster: other\n"),
        &swapped("client-key-data: QQ==", "client-key-data: '%%%'"),
        &swapped("client-key-data: QQ==", "client-key-data: !!binary '%%%'"),
        &swapped("client-key-data: QQ==", "client-key-data: 12345678"),
        &swapped("client-key-data: QQ==", "token: 12345"),
        &swapped("client-key-data: QQ==", "token: yes"),
        &swapped("client-key-data: QQ==", "token: \"a\\nb\""),
        &swapped("client-key-data: QQ==", "token: ~"),
        &swapped("client-key-data: QQ==", "token: [a]"),
        &swapped("certificate-authority-data: QQ==", "certificate-authority-data: ''"),
        &swapped("    server:", "    tls-server-name: 'a b'\n    server:"),
        &swapped("kind: Config", "kind: Secret"),
        &swapped("apiVersion: v1", "apiVersion: v2"),
        &swapped("    server: https://192.0.2.7:6443\n", ""),
        &swapped("- name: default\n  user:", "- name: \"d\\u00e9\"\n  user:"),
        &swapped("    user: default\n", "    user: default\n    namespace: a/b\n"),
    ] {
        assert!(matches!(fault(body), Some(BodyFault::Invalid(_))), "{:?}: {:.300}", fault(body), body);
    }
    assert!(matches!(Kubeconfig::parse(&[0xff, 0xfe]).err(), Some(BodyFault::Invalid(_))));
}

#[test]
fn a_fault_repeats_no_value() {
    for body in [
        swapped("client-key-data: QQ==", "client-key-data: 'sentinel%'"),
        swapped("client-key-data: QQ==", "sentinel: x"),
    ] {
        let words = fault(&body).map(|fault| fault.to_string());
        assert!(words.as_ref().is_some_and(|words| !words.contains("sentinel")), "{words:?}");
    }
}
