//! What a web page and a made-up name can do to a host that asks nobody for a token, and that programs, nodes and the pages of
//! the host itself come through.

use crate::callers::{Mode, Scene};
use crate::client::{Reply, raw};
use crate::kit::{BEARER, Server, Setup, applied, create_body, id, kubeconfig, record};
use catalyst::http::{AllowedHosts, BrowserSettings, ROUTES, WebOrigin};
use catalyst_domain::{Record, ResultInfo, Status};
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

const EVIL: &str = "https://evil.example";

/// A record with a kubeconfig, and one that waits for its own.
fn records() -> Vec<Record> {
    let mut ready = applied(1, Status::Ready);
    ready.result = Some(ResultInfo { kubeconfig_path: format!("{}.yaml", ready.id), ..ResultInfo::default() });
    vec![ready, record(2, Status::Failed)]
}

async fn server() -> Server {
    Server::start(Setup { records: records(), ..Setup::default() }).await
}

/// A request whose `Host` is among the headers, or nowhere.
async fn ask_as(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    ask_at(server.address, line, headers, body).await
}

async fn ask_at(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut head = format!("{line}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    raw(address, format!("{head}\r\n{body}").as_bytes()).await
}

/// Every route, with deployment 1 where it names one.
fn every_route() -> impl Iterator<Item = (&'static str, String)> {
    let path = |path: &str| {
        let path = path.replace("/deployments/{id}", &format!("/deployments/{}", id(1)));
        path.replace("{id}", "rehearsal").replace("{phase}", "tofu-apply").replace("{registrar}", "dynadot")
    };
    ROUTES.iter().map(move |(method, route)| (*method, path(route)))
}

fn is_probe(path: &str) -> bool {
    ["/healthz", "/readyz"].contains(&path)
}

fn is_refused(reply: &Reply, code: &str) {
    assert_eq!(reply.refusal(), (if code == "invalid-host" { 400 } else { 403 }, code.to_owned()), "{reply:?}");
    assert!(!reply.text().contains("stored"), "the kubeconfig is given away: {reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), None, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_creates_nothing_and_reads_nothing() {
    let server = server().await;
    let body = create_body("stolen.example").to_string();
    let plain = [("origin", EVIL), ("content-type", "text/plain")];
    let create = server.ask("POST", "/api/v1/deployments", &plain, body.as_bytes()).await;
    is_refused(&create, "foreign-origin");
    let detail = create.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("Origin") && detail.contains("CORS_ORIGIN"), "{detail}");
    assert_eq!(server.store.list().len(), 2, "a deployment was made");

    let path = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    assert!(server.get(&path).await.text().contains("stored"), "there is something to give away");
    is_refused(&server.ask("GET", &path, &[("origin", EVIL)], b"").await, "foreign-origin");

    for pretence in [
        [("origin", EVIL)].as_slice(),
        &[("origin", "null")],
        &[("origin", "http://localhost:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "nonsense")],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        &[("origin", EVIL), ("x-forwarded-host", "evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", EVIL), ("authorization", "Bearer x"), ("content-type", "application/json")],
    ] {
        for (method, path) in every_route() {
            let reply = server.ask(method, &path, pretence, b"").await;
            if is_probe(&path) {
                assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
                assert_ne!(reply.status, 403, "{path}");
            } else {
                is_refused(&reply, "foreign-origin");
            }
        }
    }
    assert_eq!(server.store.list().len(), 2);
    let lines = server.audited();
    let refused = lines.iter().find(|line| line["event"] == "refused" && line["reason"] == "foreign-origin");
    assert!(refused.is_some(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_made_to_lead_here_opens_nothing() {
    let server = server().await;
    let rebound =
        [("host", "evil.example:8080"), ("origin", "http://evil.example:8080"), ("sec-fetch-site", "same-origin")];
    for (method, path) in every_route() {
        for host in ["evil.example:8080", "evil.example", "localhost.evil.example", "localhost.", "127.1", "EVIL"] {
            let reply = ask_as(&server, &format!("{method} {path} HTTP/1.1"), &[("host", host)], "").await;
            if is_probe(&path) || path == "/metrics" || method == "PUT" {
                assert_ne!(reply.status, 400, "{method} {path}: {reply:?}");
                assert!(!reply.text().contains("foreign-host"), "{method} {path}: {reply:?}");
            } else {
                is_refused(&reply, "foreign-host");
            }
        }
        let page = ask_as(&server, &format!("{method} {path} HTTP/1.1"), &rebound, "").await;
        let exempt = is_probe(&path) || path == "/metrics" || method == "PUT";
        assert_eq!(page.status == 403, !exempt, "{method} {path}: {page:?}");
    }
    let detail = ask_as(&server, "GET /api/v1/deployments HTTP/1.1", &rebound, "").await.json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("CATALYST_ALLOWED_HOSTS"), "{detail}");

    let port = server.address.port();
    for host in [
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        "localhost".to_owned(),
        "a.localhost".to_owned(),
        format!("127.0.0.1:{port}"),
        "127.0.0.1:".to_owned(),
        format!("[::1]:{port}"),
        "[::1]".to_owned(),
        "192.0.2.7:80".to_owned(),
    ] {
        let own = format!("http://{host}");
        for headers in [&[("host", host.as_str())] as &[(&str, &str)], &[("host", &host), ("origin", &own)]] {
            let reply = ask_as(&server, "GET /api/v1/deployments HTTP/1.1", headers, "").await;
            assert_eq!(reply.status, 200, "{headers:?}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_of_a_request_is_judged_where_it_names_a_host() {
    let server = server().await;
    let get = async |target: &str, host: &str| {
        ask_as(&server, &format!("GET {target} HTTP/1.1"), &[("host", host)], "").await
    };
    let list = "/api/v1/deployments";
    assert_eq!(get(&format!("http://localhost{list}"), "evil.example").await.status, 200);
    is_refused(&get(&format!("http://evil.example{list}"), "localhost").await, "foreign-host");
    is_refused(&get(&format!("http://evil.example:80{list}"), "127.0.0.1").await, "foreign-host");
    let own = [("host", "localhost"), ("origin", "http://localhost")];
    let page = ask_as(&server, &format!("GET http://127.0.0.1{list} HTTP/1.1"), &own, "").await;
    is_refused(&page, "foreign-origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_exactly_one_valid_host_is_refused_however_callers_are_known() {
    for mode in [Mode::None, Mode::Token] {
        let scene = Scene::with(mode, records()).await;
        let server = &scene.server;
        for line in [
            "GET /healthz HTTP/1.1",
            "GET /api/v1/deployments HTTP/1.1",
            "GET /nothing HTTP/1.1",
            "POST /api/v1/deployments HTTP/1.1",
            "BREW /healthz HTTP/1.1",
        ] {
            let wrong: [&[(&str, &str)]; 9] = [
                &[],
                &[("host", "")],
                &[("host", "localhost"), ("host", "localhost")],
                &[("host", "localhost"), ("Host", "evil.example")],
                &[("host", "local host")],
                &[("host", "me@localhost")],
                &[("host", "localhost/x")],
                &[("host", "localhost:80:80")],
                &[("host", "::1")],
            ];
            for headers in wrong {
                let reply = ask_as(server, line, headers, "").await;
                is_refused(&reply, "invalid-host");
                assert!(reply.header("x-request-id").is_some(), "{line} {headers:?}");
            }
        }
        let preflight = [("origin", EVIL), ("access-control-request-method", "GET")];
        is_refused(&ask_as(server, "OPTIONS /healthz HTTP/1.1", &preflight, "").await, "invalid-host");
        is_refused(
            &ask_as(server, "GET http://me@localhost/healthz HTTP/1.1", &[("host", "a")], "").await,
            "invalid-host",
        );
        let twice = [("host", "a"), ("host", "b")];
        is_refused(&ask_as(server, "GET /healthz HTTP/1.0", &twice, "").await, "invalid-host");
        assert_eq!(ask_as(server, "GET /healthz HTTP/1.0", &[], "").await.status, 200, "as before");
        let list = ask_as(server, "GET /api/v1/deployments HTTP/1.0", &[], "").await;
        assert_eq!(list.status, if mode == Mode::None { 200 } else { 401 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_only_an_origin_that_was_named_is_let_in() {
    let preflight = async |server: &Server, origin: &str| {
        let asked = [("origin", origin), ("access-control-request-method", "POST")];
        let reply = server.ask("OPTIONS", "/api/v1/deployments", &asked, b"").await;
        assert_eq!(reply.status, 200);
        reply.headers.iter().filter(|(name, _)| name.starts_with("access-control")).count()
    };
    let any = server().await;
    for origin in [EVIL, "null", "http://localhost"] {
        assert_eq!(preflight(&any, origin).await, 0, "{origin}");
    }
    let own = any.ask("GET", "/api/v1/deployments", &[("origin", "http://localhost")], b"").await;
    assert_eq!(
        (own.status, own.header("access-control-allow-origin")),
        (200, None),
        "a page needs no leave of its own host"
    );

    const PAGE: &str = "https://wizard.example";
    let named = Server::start(Setup { records: records(), origin: PAGE, ..Setup::default() }).await;
    assert!(preflight(&named, PAGE).await > 0);
    assert_eq!(preflight(&named, EVIL).await, 0);
    let across = [("origin", PAGE), ("sec-fetch-site", "cross-site")];
    let read = named.ask("GET", "/api/v1/deployments", &across, b"").await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(PAGE)));
    let text = [&across[..], &[("content-type", "text/plain")]].concat();
    let refused = named.ask("POST", "/api/v1/sshkey/generate", &text, b"{}").await;
    assert_eq!(refused.refusal(), (415, "unsupported-media-type".into()));
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE), "its page can read why");
    is_refused(&named.ask("GET", "/api/v1/deployments", &[("origin", EVIL)], b"").await, "foreign-origin");
    is_refused(
        &named.ask("GET", "/api/v1/deployments", &[("origin", "http://wizard.example")], b"").await,
        "foreign-origin",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_of_a_page_is_json_and_programs_send_what_they_like() {
    let server = server().await;
    let key = "/api/v1/sshkey/generate";
    let retry = format!("/api/v1/deployments/{}/phases/cilium/retry", id(2));
    for page in [("origin", "http://localhost"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")] {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"]
        {
            let reply = server.ask("POST", key, &[page, ("content-type", kind)], b"{}").await;
            assert_eq!(reply.refusal(), (415, "unsupported-media-type".into()), "{page:?} {kind}");
        }
        for kind in ["application/json", "APPLICATION/JSON;charset=utf-8"] {
            assert_eq!(
                server.ask("POST", key, &[page, ("content-type", kind)], b"{}").await.status,
                200,
                "{page:?} {kind}"
            );
        }
        assert_eq!(server.ask("POST", key, &[page], b"{}").await.status, 415, "{page:?}: a body of no type");
        assert_eq!(server.ask("POST", key, &[page], b"").await.status, 200, "{page:?}");
        assert_ne!(server.ask("POST", &retry, &[page], b"").await.status, 415, "{page:?}: the wizard's retry");
    }
    for kind in ["application/x-www-form-urlencoded", "text/plain", "nonsense"] {
        assert_eq!(server.ask("POST", key, &[("content-type", kind)], b"{}").await.status, 200, "{kind} of curl");
    }
    assert_eq!(server.ask("POST", key, &[], b"{}").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_kubeconfig_comes_by_whatever_name_and_as_yaml() {
    let server = server().await;
    let bearer = format!("Bearer {BEARER}");
    let headers = [
        ("host", "catalyst.example.org"),
        ("user-agent", "curl/8.5.0"),
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-yaml"),
    ];
    let line = format!("PUT /api/v1/deployments/{}/kubeconfig HTTP/1.1", id(2));
    let page = [&headers[..], &[("origin", EVIL)]].concat();
    is_refused(&ask_as(&server, &line, &page, &kubeconfig("x")).await, "foreign-origin");
    let reply = ask_as(&server, &line, &headers, &kubeconfig("x")).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_hosts_and_the_public_address_are_answered() {
    let settings = |hosts: &str| BrowserSettings {
        allowed_hosts: if hosts.is_empty() { AllowedHosts::default() } else { AllowedHosts::parse(hosts).unwrap() },
        public_origin: WebOrigin::parse("https://console.example"),
    };
    let get = async |server: &Server, host: &str| {
        ask_as(server, "GET /api/v1/deployments HTTP/1.1", &[("host", host)], "").await.status
    };
    let public = Server::start(Setup { browsers: settings(""), ..Setup::default() }).await;
    assert_eq!((get(&public, "console.example").await, get(&public, "evil.example").await), (200, 403));

    let listed = Server::start(Setup { browsers: settings("api.example"), ..Setup::default() }).await;
    for (host, status) in [("api.example:1", 200), ("localhost", 200), ("console.example", 403), ("x.api.example", 403)]
    {
        assert_eq!(get(&listed, host).await, status, "{host}");
    }
    let open = Setup { browsers: settings("api.example"), listen: "0.0.0.0:0", ..Setup::default() };
    let open = Server::start(open).await;
    for (host, status) in [("api.example", 200), ("localhost", 403), ("127.0.0.1", 403), ("evil.example", 403)] {
        assert_eq!(get(&open, host).await, status, "{host}");
    }
    assert_eq!(ask_as(&open, "GET /readyz HTTP/1.1", &[("host", "10.0.0.7:8080")], "").await.status, 200, "a kubelet");
    // Where callers have tokens, a list holds as well, and nothing else about names changes.
    let scene = Scene::under(Mode::Token, Setup { browsers: settings("api.example"), ..Setup::default() }).await;
    assert_eq!((get(&scene.server, "api.example").await, get(&scene.server, "evil.example").await), (401, 403));
    let scene = Scene::start(Mode::Token).await;
    let evil = [("host", "evil.example"), ("origin", EVIL), ("content-type", "text/plain")];
    assert_eq!(ask_as(&scene.server, "POST /api/v1/deployments HTTP/1.1", &evil, "{}").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_own_address_answers_to_every_valid_name() {
    let server = server().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let close = CancellationToken::new();
    let served = tokio::spawn(catalyst::http::serve_metrics(listener, server.app.clone(), close.clone()));
    for (headers, status) in [
        (&[("host", "10.42.0.7:9090")] as &[_], 200),
        (&[("host", "catalyst.catalyst.svc")], 200),
        (&[], 400),
        (&[("host", "a"), ("host", "a")], 400),
    ] {
        let reply = ask_at(address, "GET /metrics HTTP/1.1", headers, "").await;
        assert_eq!(reply.status, status, "{headers:?}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    close.cancel();
    served.await.unwrap().unwrap();
}
