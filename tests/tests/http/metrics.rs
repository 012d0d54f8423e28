//! The numbers of a server, as OpenMetrics and as Prometheus' classic text.

use crate::callers::{Mode, Scene};
use crate::client::{raw, request};
use crate::kit::{Server, create_body, id, record};
use catalyst_domain::Status;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

pub async fn scrape(server: &Server) -> String {
    let reply = server.get("/metrics").await;
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = reply.text();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    text
}

pub fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_deployments_wrong_bearers_and_the_store_are_counted() {
    let server = Server::with(&[record(1, Status::Failed), record(2, Status::Ready)]).await;
    for _ in 0..3 {
        server.get(&format!("/api/v1/deployments/{}", id(1))).await;
    }
    server.get(&format!("/api/v1/deployments/{}", id(9))).await;
    server.get("/nothing/at/all").await;
    server.ask("SENTINEL", "/healthz", &[], b"").await;
    server.put(&id(1), Some("Bearer wrong"), "x").await;
    let text = scrape(&server).await;
    let route = r#"route="/api/v1/deployments/{id}""#;
    for (series, expect) in [
        (format!(r#"catalyst_http_requests_total{{method="GET",{route},status="200"}}"#), 3.0),
        (format!(r#"catalyst_http_requests_total{{method="GET",{route},status="404"}}"#), 1.0),
        (format!(r#"catalyst_http_request_duration_seconds_count{{method="GET",{route}}}"#), 4.0),
        (r#"catalyst_http_requests_total{method="GET",route="none",status="404"}"#.to_owned(), 1.0),
        (r#"catalyst_http_requests_total{method="other",route="/healthz",status="405"}"#.to_owned(), 1.0),
        (r#"catalyst_deployments{status="failed"}"#.to_owned(), 1.0),
        (r#"catalyst_deployments{status="ready"}"#.to_owned(), 1.0),
        (r#"catalyst_deployments{status="destroying"}"#.to_owned(), 0.0),
        ("catalyst_wrong_bearers_total".to_owned(), 1.0),
        ("catalyst_viewers".to_owned(), 0.0),
        ("catalyst_store_usable".to_owned(), 1.0),
        ("catalyst_audit_usable".to_owned(), 1.0),
        (r#"catalyst_tofu_runs_now{state="running"}"#.to_owned(), 0.0),
        (r#"catalyst_plugins{state="failed"}"#.to_owned(), 0.0),
        (r#"catalyst_store_duration_seconds_count{operation="count"}"#.to_owned(), 3.0),
    ] {
        assert_eq!(value(&text, &series), Some(expect), "{series} in\n{text}");
    }
    assert!(value(&text, r#"catalyst_plugins{state="serving"}"#).unwrap() >= 2.0);
    assert!(!text.contains("SENTINEL") && !text.contains("nothing") && !text.contains(id(1).as_str()), "{text}");
}

/// The series of a text, without their values.
fn series(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

/// What Prometheus' own tool finds wrong with a classic text.
fn linted(text: &str) -> String {
    let mut command = Command::new(catalyst_tests::tools::path("promtool").unwrap());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() {
        String::new()
    } else {
        format!("{} {}", output.status, String::from_utf8_lossy(&said))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_gets_the_format_that_it_asks_for_and_the_same_series_in_both() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let asked = async |accept: &str| server.ask("GET", "/metrics", &[("accept", accept)], b"").await;
    // Each scrape is counted by the next one.
    scrape(&server).await;
    for accept in ["application/openmetrics-text;version=1.0.0", "text/plain;q=0.1, */*", "*/*"] {
        let reply = asked(accept).await;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{accept}");
        assert!(reply.text().ends_with("# EOF\n"), "{accept}");
    }
    let reply = asked("text/plain;version=0.0.4;q=0.5,*/*;q=0.1").await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
    let classic = reply.text();
    for line in ["# TYPE catalyst_http_requests_total counter", "# TYPE catalyst_build_info gauge"] {
        assert!(classic.lines().any(|one| one == line), "{line} in\n{classic}");
    }
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"), "{classic}");
    let open = scrape(&server).await;
    assert_eq!(series(&classic), series(&open));
    assert_eq!(linted(&classic), "");
    assert!(!linted("a 1\n").is_empty(), "the tool looks at what it is given");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_and_the_disks_below_its_folders_are_told() {
    let server = Server::with(&[]).await;
    let text = scrape(&server).await;
    let of = |name: &str| value(&text, name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    let (resident, reserved) = (of("process_resident_memory_bytes"), of("process_virtual_memory_bytes"));
    assert!(resident > 1e6 && resident < reserved, "{resident} of {reserved}");
    let (open, most) = (of("process_open_fds"), of("process_max_fds"));
    assert!(open > 3.0 && open < most, "{open} of {most}");
    assert!(of("process_cpu_seconds_total") > 0.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - of("process_start_time_seconds");
    assert!((-2.0..24.0 * 3600.0).contains(&age), "{age}");
    for folder in ["deployments", "kubeconfigs", "state"] {
        let room = |name: &str| of(&format!(r#"catalyst_disk_{name}_bytes{{folder="{folder}"}}"#));
        let (free, size) = (room("free"), room("size"));
        assert!(free > 0.0 && free <= size, "{folder}: {free} of {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_its_phases_and_who_was_not_let_in_are_counted() {
    let scene = Scene::start(Mode::Token).await;
    let bearer = scene.bearer("admin");
    let admin = [("authorization", bearer.as_str())];
    let mut body = create_body("a.example");
    body["rehearsalFail"] = "plan".into();
    let made = scene.server.ask("POST", "/api/v1/deployments", &admin, body.to_string().as_bytes()).await;
    let path = format!("/api/v1/deployments/{}", made.json()["id"].as_str().unwrap());
    scene.server.get(&path).await;
    scene.server.ask("GET", &path, &[("authorization", "Bearer x")], b"").await;
    scene.server.ask("DELETE", &path, &[("authorization", &scene.bearer("read"))], b"").await;
    let failed = async {
        loop {
            let state = scene.server.ask("GET", &path, &admin, b"").await.json();
            if state["status"] == "failed" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), failed).await.unwrap();
    let text = scene.server.ask("GET", "/metrics", &admin, b"").await.text();
    for (series, expect) in [
        (r#"catalyst_tofu_runs_total{aim="apply",outcome="failed"}"#, 1.0),
        (r#"catalyst_phase_duration_seconds_count{status="provisioning",next="failed"}"#, 1.0),
        (r#"catalyst_auth_failures_total{reason="missing-token"}"#, 1.0),
        (r#"catalyst_auth_failures_total{reason="invalid-token"}"#, 1.0),
        (r#"catalyst_auth_failures_total{reason="forbidden"}"#, 1.0),
        (r#"catalyst_store_duration_seconds_count{operation="create"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expect), "{series} in\n{text}");
    }
    scene.server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_their_own_serves_them_to_everybody_and_nothing_else() {
    let scene = Scene::start(Mode::Token).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = scene.server.app.clone();
    let served = tokio::spawn(catalyst::http::serve_metrics(listener, app.clone(), app.stopping.clone()));
    let numbers = raw(address, &request("GET", "/metrics", &[], b"")).await;
    assert!(numbers.status == 200 && numbers.text().contains("catalyst_build_info"), "{numbers:?}");
    assert_eq!(raw(address, &request("GET", "/healthz", &[], b"")).await.text(), "ok");
    assert_eq!(raw(address, &request("GET", "/readyz", &[], b"")).await.status, 200);
    for path in ["/", "/api/v1/deployments", "/api/v1/openapi.json"] {
        assert_eq!(raw(address, &request("GET", path, &[], b"")).await.refusal(), (404, "not-found".into()), "{path}");
    }
    assert_eq!(scene.server.get("/metrics").await.refusal(), (401, "missing-token".into()));
    scene.server.stop();
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_told_by_version_and_bytes_with_its_times_and_its_breaker() {
    let server = Server::with(&[]).await;
    let provider = server.app.sandbox.provider("rehearsal").unwrap();
    let reply = server.post("/api/v1/previews", &create_body("measured.example")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = scrape(&server).await;
    let (version, digest) = (&provider.descriptor().version, &provider.digest()[..12]);
    let info = format!(
        r#"catalyst_plugin_info{{plugin="rehearsal",version="{version}",interface="1.1.0",digest="{digest}"}}"#
    );
    for (series, expect) in [
        (info.as_str(), 1.0),
        (r#"catalyst_plugin_breaker{plugin="rehearsal",state="closed"}"#, 1.0),
        (r#"catalyst_plugin_breaker{plugin="rehearsal",state="open"}"#, 0.0),
        (r#"catalyst_plugin_breaker_openings_total{plugin="rehearsal"}"#, 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expect), "{series} in\n{text}");
    }
    let times = |part: &str| value(&text, &format!("catalyst_plugin_call_duration_seconds_{part}")).unwrap();
    let made = times(r#"count{plugin="rehearsal"}"#);
    assert!(made >= 2.0 && times(r#"sum{plugin="rehearsal"}"#) > 0.0, "{text}");
    let bounds = text.lines().filter(|line| {
        line.starts_with("catalyst_plugin_call_duration_seconds_bucket{") && line.contains(r#"plugin="rehearsal""#)
    });
    let counts: Vec<f64> = bounds.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!((counts.len(), counts.last()), (12, Some(&made)), "{text}");
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(!text.contains("catalyst_plugin_file_failed{"), "{text}");
}
