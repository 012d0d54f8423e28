//! OpenTelemetry spans of the real binary, as a real collector gets them: off unless asked for, the tree of one deployment, no
//! secret, and a collector that is gone costs nobody anything.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::double::Double;
use catalyst_tests::host::{Host, wait_for};
use catalyst_tests::spans::{Collector, Span};
use catalyst_tests::world::{LIMIT, PULL_TOKEN, TOKEN};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A span of the protocol that somebody else began.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Values that a caller sends beside it.
const STATE: &str = "sentinel-of-the-trace-state-77";
const REQUEST_ID: &str = "sentinel-of-the-request-id-78";
const KEY: &str = "sentinel-of-the-collector-79";

fn request(fqdn: &str) -> Value {
    json!({
        "orgName": "Acme", "orgEmail": "ops@acme.example", "sovereignFQDN": fqdn,
        "regions": [{"provider": "rehearsal", "cloudRegion": "local-1", "controlPlaneSize": "medium"}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
        "rehearsalToken": TOKEN,
    })
}

/// Creates a deployment as a client that is traced itself.
fn create(host: &Host, fqdn: &str) -> String {
    let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let sent = agent
        .post(format!("http://{}/api/v1/deployments", host.address()))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", format!("vendor={STATE}"))
        .header("x-request-id", REQUEST_ID)
        .send(request(fqdn).to_string());
    let mut answer = sent.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

fn until(host: &Host, id: &str, status: &str) {
    wait_for(&format!("status {status}"), LIMIT, || {
        (host.api.get(&format!("/api/v1/deployments/{id}")).json()["status"] == status).then_some(())
    });
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

/// Names of a span and of all above it.
fn line(spans: &[Span], span: &Span) -> Vec<String> {
    let mut names = vec![span.name.clone()];
    let mut at = span;
    while let Some(parent) = spans.iter().find(|parent| parent.id == at.parent) {
        assert_eq!(parent.trace, at.trace);
        names.push(parent.name.clone());
        at = parent;
    }
    names
}

/// A host that sends its spans there, and holds secrets.
fn told_of(collector: &Collector) -> Host {
    Host::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-api-key={KEY},x-tenant=a%20b")),
        ("OTEL_SERVICE_NAME", "catalyst-eu"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("CATALYST_GHCR_PULL_TOKEN", PULL_TOKEN),
    ])
}

#[test]
fn a_deployment_is_a_tree_of_spans_with_a_link_to_who_asked_for_it_and_no_secret_in_it() {
    let collector = Collector::new();
    let mut host = told_of(&collector);
    let id = create(&host, "traced.example");
    until(&host, &id, "flux-bootstrapping");
    assert_eq!(host.api.get("/api/v1/deployments/0000000000000000").status, 404);
    let trace = host.trace();
    // Spans that are still open are told at the end.
    host.down();
    let spans = collector.spans();

    let post = one(&spans, "POST /api/v1/deployments");
    assert_eq!((post.trace.as_str(), post.parent.as_str(), post.kind, post.failed), (TRACE, PARENT, 2, false));
    for (key, value) in
        [("http.request.method", "POST"), ("http.route", "/api/v1/deployments"), ("http.response.status_code", "201")]
    {
        assert_eq!(post.attributes[key], value);
    }
    let run = one(&spans, "deployment");
    assert_eq!((run.parent.as_str(), &run.attributes["deployment.id"]), ("", &id));
    assert_ne!(run.trace, TRACE, "it outlives the request");
    assert_eq!(run.links, [TRACE]);
    for command in ["init", "plan", "apply", "output"] {
        let span = one(&spans, &format!("tofu {command}"));
        assert_eq!(line(&spans, span), [format!("tofu {command}").as_str(), "tofu run", "provision", "deployment"]);
        assert_eq!((span.attributes["process.exit.code"].as_str(), span.failed), ("0", false));
    }
    assert_eq!(one(&spans, "tofu run").attributes["tofu.aim"], "apply");
    assert_eq!(line(&spans, one(&spans, "await kubeconfig")), ["await kubeconfig", "deployment"]);
    let called = |function: &str| {
        let call = |span: &&Span| span.attributes.get("plugin.function").is_some_and(|name| name == function);
        let span = spans.iter().find(|span| span.name == "plugin call" && call(span));
        let span = span.unwrap_or_else(|| panic!("no call of {function}"));
        assert_eq!(span.attributes["plugin.id"], "rehearsal");
        line(&spans, span)[1..].to_vec()
    };
    assert_eq!(called("validate"), ["POST /api/v1/deployments"]);
    assert_eq!(called("render"), ["provision", "deployment"]);
    assert_eq!(called("read-outputs"), ["provision", "deployment"]);
    // The host of these tests traces as much as it can.
    let stored: BTreeSet<String> = spans
        .iter()
        .filter(|span| span.name.starts_with("store "))
        .map(|span| line(&spans, span).pop().unwrap())
        .collect();
    assert!(stored.contains("deployment") && stored.contains("POST /api/v1/deployments"), "{stored:?}");
    assert!(!spans.iter().any(|span| span.name.contains("/readyz")), "probes are no spans");
    let resource = collector.resource();
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
        ("catalyst-eu", "test")
    );
    nothing_but_our_words(&spans);

    for seen in collector.requests() {
        let header = |line: &str| seen.headers.iter().any(|header| header.eq_ignore_ascii_case(line));
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/traces"));
        assert!(header("content-type: application/x-protobuf") && header("x-tenant: a b"), "{:?}", seen.headers);
        assert!(header(&format!("x-api-key: {KEY}")), "{:?}", seen.headers);
    }
    let arrived = collector.everything();
    for secret in [TOKEN, PULL_TOKEN, STATE, REQUEST_ID, "Acme", "ops@acme.example", "traced.example"] {
        assert!(!arrived.contains(secret), "{secret} left the host in a span");
    }
    for (place, text) in [("trace", host.trace()), ("answers", host.api.everything())] {
        assert!(!text.contains(KEY), "the collector's key is in the {place}");
    }
    // The lines keep the span that names the request.
    let answered = trace.lines().find(|line| line.contains("\"answered\"") && line.contains("\"POST\"")).unwrap();
    let answered: Value = serde_json::from_str(answered).unwrap();
    assert_eq!(answered["span"]["request.id"], REQUEST_ID, "{answered}");
    assert!(!trace.contains("plugin.function"), "a line is in a span that is none of its own");
}

/// Attributes are of a few kinds, each from this program and not from outside.
fn nothing_but_our_words(spans: &[Span]) {
    let known: BTreeSet<&str> = [
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "deployment.id",
        "tofu.aim",
        "process.exit.code",
        "error.type",
        "plugin.id",
        "plugin.function",
    ]
    .into();
    for span in spans {
        let strange: Vec<_> = span.attributes.iter().filter(|(key, _)| !known.contains(key.as_str())).collect();
        assert!(strange.is_empty(), "{}: {strange:?}", span.name);
    }
}

#[test]
fn a_run_that_fails_is_seen_and_its_words_are_not() {
    let collector = Collector::new();
    let mut host = Host::start(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/own", collector.url()))]);
    let mut body = request("fails.example");
    body["rehearsalFail"] = json!("plan");
    let answer = host.api.post("/api/v1/deployments", &body.to_string());
    until(&host, answer.json()["id"].as_str().unwrap(), "failed");
    host.down();
    let spans = collector.spans();
    let plan = one(&spans, "tofu plan");
    assert!(plan.failed && plan.attributes["process.exit.code"] == "1", "{plan:?}");
    let run = one(&spans, "tofu run");
    assert!(run.failed && run.attributes["error.type"] == "Failed", "{run:?}");
    assert!(collector.requests().iter().all(|seen| seen.path == "/own"));
    assert!(!collector.everything().contains("resource_unavailable"));
}

#[test]
fn nothing_is_sent_unless_a_collector_is_named() {
    let collector = Collector::new();
    for switched_off in [
        &[("OTEL_SERVICE_NAME", "x")][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "there"), ("OTEL_SDK_DISABLED", "true")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "there"), ("OTEL_TRACES_EXPORTER", "none")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "there"), ("OTEL_TRACES_SAMPLER", "always_off")],
    ] {
        let url = collector.url();
        let env: Vec<(&str, &str)> =
            switched_off.iter().map(|(name, value)| (*name, if *value == "there" { &url } else { *value })).collect();
        let mut host = Host::start(&env);
        assert_eq!(host.api.get("/api/v1/deployments").status, 200);
        host.down();
        assert!(collector.requests().is_empty(), "{switched_off:?}");
    }
}

#[test]
fn a_protocol_that_is_not_spoken_ends_the_start_by_its_name() {
    let mut host = Host::prepare(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let said = host.refused();
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf"), "{said}");
}

#[test]
fn a_collector_that_is_gone_or_never_answers_slows_nobody_and_holds_up_no_end() {
    // A port that nobody listens on, and one that takes connections and says nothing.
    let gone = format!("http://127.0.0.1:{}", catalyst_tests::host::free_port());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let quickest = |host: &Host| {
        let one = || {
            let begun = Instant::now();
            assert_eq!(host.api.get("/api/v1/deployments").status, 200);
            begun.elapsed()
        };
        let mut all: Vec<Duration> = (0..300).map(|_| one()).collect();
        all.sort();
        all[150]
    };
    let mut plain = Host::start(&[("RUST_LOG", "info")]);
    let without = quickest(&plain);
    plain.down();
    for url in [gone, silent_url] {
        // Batches leave at once, so that some are under way.
        let mut host = Host::start(&[
            ("RUST_LOG", "info"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        let with = quickest(&host);
        let begun = Instant::now();
        host.down();
        let took = begun.elapsed();
        println!("{url}: median GET {with:?}, without spans {without:?}; down after {took:?}");
        assert!(took < Duration::from_secs(6), "{took:?}");
        // Twice is far more than a span costs, and far less than a wait for a collector.
        assert!(with < without * 2 + Duration::from_millis(2), "{with:?} with, {without:?} without");
        assert!(
            host.trace().contains("the last spans could not be delivered")
                || host.trace().contains("spans cannot be delivered"),
            "nobody is told:\n{}",
            host.trace()
        );
    }
}

#[test]
fn opentofu_is_told_nothing_of_the_collector_unless_it_is_named_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let tofu = catalyst_tests::world::tofu_into(folder.path());
    let script = format!("#!/bin/sh\nenv | grep ^OTEL_ >> '{}'\nexec '{}' \"$@\"\n", seen.display(), tofu.display());
    std::fs::write(folder.path().join("tofu"), script).unwrap();
    std::fs::set_permissions(folder.path().join("tofu"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let collector = Double::http(|_| Some((200, String::new())));
    let (tofu, url) = (folder.path().join("tofu").display().to_string(), collector.url());
    for (pass, named) in [("", false), ("OTEL_SERVICE_NAME", true)] {
        let mut host = Host::start(&[
            ("CATALYST_TOFU_BIN", &tofu),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-api-key={KEY}")),
            ("OTEL_SERVICE_NAME", "catalyst"),
            ("CATALYST_TOFU_PASS_ENV", pass),
        ]);
        let answer = host.api.post("/api/v1/deployments", &request("env.example").to_string());
        until(&host, answer.json()["id"].as_str().unwrap(), "flux-bootstrapping");
        host.down();
        let text = std::fs::read_to_string(&seen).unwrap_or_default();
        let lines: BTreeSet<&str> = text.lines().collect();
        let wanted: BTreeSet<&str> = if named { ["OTEL_SERVICE_NAME=catalyst"].into() } else { BTreeSet::new() };
        assert_eq!(lines, wanted, "pass list {pass:?}");
    }
}
