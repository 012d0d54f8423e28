//! Questions before a create, and the hook beside them.

use catalyst_tests::double::Double;
use catalyst_tests::host::Host;
use catalyst_tests::pdm::Pdm;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

const CLOUD: &str = "api.hetzner.cloud";
const CREDENTIAL: &str = "Sentinel01234567890123456789012345678901234567890123456789012345";

fn validate(host: &Host, body: &str) -> (u16, Value) {
    let answer = host.api.post("/api/v1/credentials/validate", body);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{body}");
    (answer.status, answer.json())
}

#[test]
fn h8_a_credential_goes_to_its_own_cloud_and_the_answer_says_what_was_proven() {
    let status = Arc::new(Mutex::new(Some(200_u16)));
    let rule = status.clone();
    let (cloud, _folder, trust) =
        Double::https(CLOUD, move |_| rule.lock().unwrap().map(|status| (status, "{}".to_owned())));
    let host = Host::start(&[("HTTPS_PROXY", &cloud.url()), ("SSL_CERT_FILE", trust.to_str().unwrap())]);
    let body = json!({"token": format!(" {CREDENTIAL}\n"), "provider": "hetzner"}).to_string();

    let (code, answer) = validate(&host, &body);
    assert_eq!((code, &answer["valid"]), (200, &json!(true)), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("reading") && !message.contains("read/write"), "{message}");
    let seen = cloud.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].headers.iter().any(|line| line.ends_with(&format!("Bearer {CREDENTIAL}"))), "not filled in");
    assert!(!seen[0].path.contains(CREDENTIAL));

    let rows = [(401, 200), (403, 200), (429, 503), (500, 503), (302, 503)];
    for (upstream, ours) in rows {
        *status.lock().unwrap() = Some(upstream);
        let (code, answer) = validate(&host, &body);
        assert_eq!((code, &answer["valid"]), (ours, &json!(false)), "{upstream}: {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    *status.lock().unwrap() = None;
    let (code, answer) = validate(&host, &body);
    assert_eq!((code, &answer["valid"]), (503, &json!(false)), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains(CLOUD), "{answer}");

    // None of these may reach the cloud.
    let before = cloud.seen().len();
    for provider in ["aws", "azure", "oci", "huawei", "", "  ", "../hetzner"] {
        let (code, answer) = validate(&host, &json!({"token": CREDENTIAL, "provider": provider}).to_string());
        assert_eq!((code, &answer["valid"]), (400, &json!(false)), "{provider}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("hetzner") && message.contains(provider.trim()), "{message}");
    }
    for body in ["", "{", "[]", r#"{"token":1,"provider":"hetzner"}"#] {
        let (code, answer) = validate(&host, body);
        assert_eq!((code, &answer["valid"]), (400, &json!(false)), "{body}");
        assert!(answer["message"].as_str().unwrap().contains("invalid request body"));
    }
    let (code, answer) = validate(&host, r#"{"token":"short","provider":"hetzner"}"#);
    assert_eq!(code, 400);
    assert!(answer["message"].as_str().unwrap().contains("64"), "{answer}");
    let made_up = format!("demo-mode-{}", "x".repeat(54));
    let (code, answer) = validate(&host, &json!({"token": made_up, "provider": "hetzner"}).to_string());
    assert_eq!((code, &answer["valid"]), (200, &json!(false)), "{answer}");
    // A cloud without an API proves nothing.
    let (code, answer) = validate(&host, r#"{"token":"anything","provider":"rehearsal"}"#);
    assert_eq!((code, &answer["valid"]), (503, &json!(false)), "{answer}");
    assert_eq!(cloud.seen().len(), before);

    assert!(!host.trace().contains(CREDENTIAL), "the trace holds the credential");
    assert!(!host.api.everything().contains(CREDENTIAL), "an answer holds the credential");
}

#[test]
fn a_pools_names_are_asked_of_its_manager_and_others_of_dns() {
    let pdm = Pdm::start();
    pdm.give("taken", "active", "somebody");
    pdm.give("held", "reserved", "somebody");
    let host = Host::start(&[("POOL_DOMAIN_MANAGER_URL", &pdm.http.url())]);
    let check = |body: Value| {
        let answer = host.api.post("/api/v1/subdomains/check", &body.to_string());
        (answer.status, answer.json())
    };
    let in_pool = |label: &str| check(json!({"subdomain": label, "poolDomain": "omani.works"}));

    assert_eq!(in_pool(" Free "), (200, json!({"available": true, "fqdn": "free.omani.works"})));
    assert_eq!(pdm.http.count("GET", "/check"), 1);
    for (label, reason) in [("taken", "active-state"), ("held", "reserved-state")] {
        let fqdn = format!("{label}.omani.works");
        let expect = json!({"available": false, "reason": reason, "detail": "it is taken", "fqdn": fqdn});
        assert_eq!(in_pool(label), (200, expect));
    }
    for label in ["", "-bad-", "1abc", "a.b", "a_b", &"a".repeat(64)] {
        let (code, answer) = in_pool(label);
        assert_eq!((code, &answer["reason"], answer.get("fqdn")), (200, &json!("invalid-format"), None), "{label}");
    }
    assert_eq!(pdm.http.count("GET", "/check"), 3, "an invalid label is not asked for");
    for body in ["", "{", r#"{"subdomain":1}"#] {
        let answer = host.api.post("/api/v1/subdomains/check", body);
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["reason"], &json["available"]),
            (400, &json!("invalid-format"), &json!(false))
        );
    }
    // B-4: an error's body is no verdict.
    for fault in [0, 500, 422, 404] {
        pdm.fail("check", &[fault]);
        let (code, answer) = in_pool("free");
        assert_eq!((code, &answer["reason"]), (200, &json!("pdm-unavailable")), "{fault}: {answer}");
        assert_eq!(answer["fqdn"], "free.omani.works");
    }
    let before = pdm.http.seen().len();
    let (code, answer) = check(json!({"subdomain": "www", "poolDomain": "nobody.invalid"}));
    assert_eq!((code, &answer["fqdn"]), (200, &json!("www.nobody.invalid")), "{answer}");
    // Which one depends on whether this machine reaches a resolver; the look-up itself has tests with one of its own.
    let known = answer["available"] == true || answer["reason"] == "lookup-error";
    assert!(known, "{answer}");
    assert_eq!(pdm.http.seen().len(), before);
}

fn generate(host: &Host, body: &str) -> Value {
    let answer = host.api.post("/api/v1/sshkey/generate", body);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    answer.json()
}

#[test]
fn h14_a_key_pair_is_fresh_in_openssh_format_with_a_comment_of_one_word() {
    let host = Host::start(&[]);
    let pair = generate(&host, r#"{"fqdn":" acme.omani.works "}"#);
    let public = pair["publicKey"].as_str().unwrap();
    assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" catalyst@acme.omani.works"), "{public}");
    // The field's own tool opens it and finds the same key and fingerprint.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, pair["privateKey"].as_str().unwrap()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keygen = |arguments: &[&str]| {
        let out = Command::new(catalyst_tests::tools::path("ssh-keygen").unwrap())
            .args(arguments)
            .arg(&file)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let opened = keygen(&["-y", "-f"]);
    let two = |text: &str| text.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(two(&opened), two(public));
    assert!(keygen(&["-l", "-f"]).contains(pair["fingerprint"].as_str().unwrap()));

    for body in ["", "{", "null", r#"{"fqdn":7}"#, r#"{"fqdn":"  "}"#] {
        assert!(generate(&host, body)["publicKey"].as_str().unwrap().ends_with(" catalyst"), "{body}");
    }
    let hostile = generate(&host, &json!({"fqdn": "a\nssh-ed25519 AAAA root"}).to_string());
    let hostile = hostile["publicKey"].as_str().unwrap();
    assert_eq!((hostile.lines().count(), hostile.split(' ').count()), (1, 3), "{hostile}");
    assert_ne!(generate(&host, "")["publicKey"], generate(&host, "")["publicKey"]);

    let mut stream = std::net::TcpStream::connect(host.address()).unwrap();
    let chunked = "POST /api/v1/sshkey/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   8\r\n{\"fqdn\":\r\nc\r\n\"ch.example\"\r\n1\r\n}\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("catalyst@ch.example"), "{answer}");
    let private = pair["privateKey"].as_str().unwrap().lines().nth(2).unwrap();
    assert!(!host.trace().contains(private), "the trace holds a private key");
}

#[test]
fn a_registrar_is_reached_through_the_manager_byte_for_byte() {
    let pdm = Pdm::start();
    let host = Host::start(&[("POOL_DOMAIN_MANAGER_URL", &format!("{}/", pdm.http.url()))]);
    let post = |path: &str, body: &str| host.api.post(&format!("/api/v1/registrar/{path}"), body);
    let code = |path: &str, body: &str| {
        let answer = post(path, body);
        (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
    };
    let body = r#"{ "domain":" A.example ","token":" registrar-sentinel ", "more":[1]}"#;

    let answer = post("%20Dynadot/validate", body);
    assert_eq!(answer.json(), json!({"valid": true, "registrar": "dynadot", "domain": "a.example"}));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let answer = post("ovh/set-ns", "not even JSON");
    assert_eq!((answer.status, answer.json()["error"].clone()), (429, json!("rate-limited")));
    let seen = pdm.http.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].path.as_str(), &seen[0].body[..]), ("/api/v1/registrar/dynadot/validate", body.as_bytes()));
    assert_eq!((seen[1].path.as_str(), &seen[1].body[..]), ("/api/v1/registrar/ovh/set-ns", &b"not even JSON"[..]));

    let large = format!(r#"{{"domain":"a","token":"{}"}}"#, "x".repeat(16_384));
    for action in ["validate", "set-ns"] {
        assert_eq!(code(&format!("gandi/{action}"), body), (404, "unsupported-registrar".into()));
        assert_eq!(code(&format!("ovh/{action}"), &large), (400, "request-too-large".into()));
    }
    let edge = format!(r#"{{"domain":"a","token":"{}"}}"#, "x".repeat(16_384 - 25));
    assert_eq!((edge.len(), post("ovh/validate", &edge).status), (16_384, 200));
    for (body, status, error) in [
        ("{", 400, "invalid-body"),
        (r#"{"domain":3,"token":"t"}"#, 400, "invalid-body"),
        (r#"{"domain":"  ","token":"t"}"#, 422, "missing-domain"),
        (r#"{"domain":"a.example","token":""}"#, 422, "missing-token"),
        ("null", 422, "missing-domain"),
    ] {
        assert_eq!(code("ovh/validate", body), (status, error.to_owned()), "{body}");
    }
    assert_eq!(post("ovh/validate", r#"{"domain":"a.example","token":" "}"#).status, 200, "a token is not trimmed");
    pdm.fail("validate", &[0]);
    assert_eq!(code("ovh/validate", body), (502, "pdm-unreachable".into()));
    assert!(!host.trace().contains("registrar-sentinel"), "the trace holds the registrar token");
}

#[test]
fn h18_the_dns_hook_writes_six_records_and_says_no_secret() {
    let (registrar, _folder, trust) = Double::https("api.dynadot.com", |_| {
        Some((200, r#"{"SetDns2Response":{"ResponseHeader":{"Status":"success"}}}"#.to_owned()))
    });
    let run = |domain: &str, ip: &str| {
        let mut command = Command::new(catalyst_tests::host::built("release/catalyst"));
        command.arg("dns").env_clear();
        command.envs([("DYNADOT_API_KEY", "key-sentinel"), ("DYNADOT_API_SECRET", "secret-sentinel")]);
        command.envs([("DOMAIN", domain), ("SUBDOMAIN", "acme"), ("LB_IP", ip)]);
        command.envs([("HTTPS_PROXY", registrar.url().as_str()), ("SSL_CERT_FILE", trust.to_str().unwrap())]);
        let out = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    let (code, out, err) = run("omani.works", "192.0.2.7");
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().count(), 6, "{out}");
    let seen = registrar.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|call| call.path.contains("add_dns_to_current_setting=yes")));
    for (domain, ip, word) in [("example.org", "192.0.2.7", "managed-domain allowlist"), ("omani.works", "x", "LB_IP")]
    {
        let (code, _, err) = run(domain, ip);
        assert_eq!(code, Some(1));
        assert!(err.contains("catalyst-dns:") && err.contains(word), "{err}");
        assert!(!err.contains("sentinel"), "{err}");
    }
    assert_eq!(registrar.seen().len(), 6, "a wrong input calls nobody");
}

#[test]
fn questions_are_answered_alike_behind_an_ingress_that_authenticates() {
    catalyst_tests::host::behind_an_ingress(|| {
        h8_a_credential_goes_to_its_own_cloud_and_the_answer_says_what_was_proven();
        a_pools_names_are_asked_of_its_manager_and_others_of_dns();
        h14_a_key_pair_is_fresh_in_openssh_format_with_a_comment_of_one_word();
        a_registrar_is_reached_through_the_manager_byte_for_byte();
    });
}
