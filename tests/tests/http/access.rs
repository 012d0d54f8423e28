//! Who may do what: every route × every kind of caller × every way that callers are known (H-1), and what a read token is.

use crate::callers::{Mode, READING, READING_KUBECONFIG, READING_OTHER, SCOPES, Scene};
use crate::client::{Reply, raw_from, request};
use crate::kit::{create_body, id};
use catalyst::http::ROUTES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// What opens a route: `-` nothing is asked; `n` the node's own bearer; `r`, `c`, `k` a scope beside admin; `1` a read
/// token of the deployment; `2` one that opens its kubeconfig too.
const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/healthz", "-"),
    ("GET", "/readyz", "-"),
    ("GET", "/metrics", "r"),
    ("GET", "/api/v1/openapi.json", "-"),
    ("GET", "/api/v1/deployments", "r"),
    ("POST", "/api/v1/deployments", "c"),
    ("POST", "/api/v1/credentials/validate", "c"),
    ("POST", "/api/v1/subdomains/check", "c"),
    ("POST", "/api/v1/sshkey/generate", "c"),
    ("GET", "/api/v1/deployments/{id}", "r12"),
    ("DELETE", "/api/v1/deployments/{id}", ""),
    ("GET", "/api/v1/deployments/{id}/events", "r12"),
    ("GET", "/api/v1/deployments/{id}/logs", "r12"),
    ("GET", "/api/v1/deployments/{id}/kubeconfig", "k2"),
    ("PUT", "/api/v1/deployments/{id}/kubeconfig", "n"),
    ("POST", "/api/v1/deployments/{id}/phases/{phase}/retry", "c"),
    ("POST", "/api/v1/deployments/{id}/read-tokens", "r"),
    ("DELETE", "/api/v1/deployments/{id}/read-tokens", ""),
    ("POST", "/api/v1/previews", "c"),
    ("GET", "/api/v1/providers", "rc"),
    ("GET", "/api/v1/providers/{id}", "rc"),
    ("POST", "/api/v1/registrar/{registrar}/validate", "c"),
    ("POST", "/api/v1/registrar/{registrar}/set-ns", "c"),
];

/// What became of a request at the door.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Let,
    Missing,
    Wrong,
    Forbidden,
}

fn met(reply: &Reply) -> Met {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let error = json["error"].as_str().unwrap_or_default();
    let expect = match error {
        "missing-token" => (Met::Missing, 401),
        "invalid-token" => (Met::Wrong, 401),
        "forbidden" => (Met::Forbidden, 403),
        _ => (Met::Let, reply.status),
    };
    assert_eq!(reply.status, expect.1, "{reply:?}");
    assert_eq!(reply.header("www-authenticate").is_some(), reply.status == 401, "{reply:?}");
    if expect.0 != Met::Let {
        assert!(json["detail"].is_string(), "{json}");
    }
    expect.0
}

fn path(route: &str) -> String {
    let id = if route.contains("/providers/") { "rehearsal".to_owned() } else { id(1).to_string() };
    route.replace("{id}", &id).replace("{phase}", "cilium").replace("{registrar}", "dynadot")
}

/// What a request brings to be known by.
#[derive(Debug, Clone, Copy, Default)]
struct Brings<'a> {
    bearer: Option<&'a str>,
    cookie: Option<&'a str>,
}

fn bearer(token: &str) -> Brings<'_> {
    Brings { bearer: Some(token), cookie: None }
}

fn cookie(token: &str) -> Brings<'_> {
    Brings { bearer: None, cookie: Some(token) }
}

/// One request; each kind of caller comes from an address of its own, so that no limit of wrong tokens is met.
async fn ask(scene: &Scene, from: u8, route: (&str, &str), brings: Brings<'_>) -> Reply {
    let authorization = brings.bearer.map(|token| format!("Bearer {token}"));
    let cookie = brings.cookie.map(|token| format!("other=1; catalyst-read={token}"));
    let authorization = authorization.iter().map(|value| ("authorization", value.as_str()));
    let headers: Vec<(&str, &str)> =
        authorization.chain(cookie.iter().map(|value| ("cookie", value.as_str()))).collect();
    let bytes = request(route.0, &path(route.1), &headers, b"");
    raw_from(Ipv4Addr::new(127, 0, 7, from), scene.server.address, &bytes).await
}

#[test]
fn h1_the_table_of_this_test_has_every_route() {
    let here: BTreeSet<(&str, &str)> = TABLE.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(here, ROUTES.iter().copied().collect());
    assert_eq!(TABLE.len(), ROUTES.len());
}

/// One row of the table in one way to know callers.
struct Row<'a> {
    scene: &'a Scene,
    mode: Mode,
    at: (&'static str, &'static str),
    opens: &'static str,
    cells: usize,
}

impl Row<'_> {
    /// Whether anybody is let in.
    fn is_free(&self) -> bool {
        ["-", "n"].contains(&self.opens) || self.mode == Mode::None
    }

    /// Whether the route takes read tokens at all; only where it does is a cookie looked at.
    fn takes_read_tokens(&self) -> bool {
        self.opens.contains(['1', '2'])
    }

    fn opened_by(&self, letter: char) -> Met {
        if self.opens.contains(letter) { Met::Let } else { Met::Forbidden }
    }

    fn opened_by_scopes(&self, scopes: &str) -> Met {
        if scopes == "admin" {
            Met::Let
        } else {
            scopes.chars().next().map_or(Met::Forbidden, |one| self.opened_by(one))
        }
    }

    async fn cell(&mut self, from: u8, brings: Brings<'_>, wanted: Met) -> Reply {
        let reply = ask(self.scene, from, self.at, brings).await;
        let wanted = if self.is_free() { Met::Let } else { wanted };
        assert_eq!(met_at_the_door(&reply), wanted, "{:?}: {:?} by {brings:?}", self.mode, self.at);
        self.cells += 1;
        reply
    }

    /// What is no token of ours, and none at all.
    async fn strangers(&mut self) {
        self.cell(1, Brings::default(), Met::Missing).await;
        self.cell(2, bearer("wrong"), Met::Wrong).await;
        // Any other header counts for nothing where no cookie is asked for.
        let unknown = if self.takes_read_tokens() { Met::Wrong } else { Met::Missing };
        self.cell(7, cookie("wrong"), unknown).await;
    }

    /// Read tokens, as a bearer and as the cookie of a browser.
    async fn read_tokens(&mut self) {
        let of_a_deployment = self.at.1.contains("/deployments/{id}");
        for (n, token, letter) in
            [(0, READING, Some('1')), (1, READING_KUBECONFIG, Some('2')), (2, READING_OTHER, None)]
        {
            let letter = letter.filter(|_| of_a_deployment);
            let opened = letter.map_or(Met::Wrong, |letter| self.opened_by(letter));
            self.cell(10 + n, bearer(token), opened).await;
            let opened = letter.map_or(Met::Wrong, |letter| self.opened_by(letter));
            self.cell(20 + n, cookie(token), if self.takes_read_tokens() { opened } else { Met::Missing }).await;
        }
    }

    /// Callers by their scopes, alone and with the cookie of what they may read anyhow.
    async fn scopes(&mut self) {
        for scopes in SCOPES {
            let Some(token) = self.scene.token(scopes) else { continue };
            let reply = self.cell(3, bearer(&token), self.opened_by_scopes(scopes)).await;
            if reply.status == 403 && !self.is_free() {
                names_what_is_missing(&reply, self.opens);
            }
            let both = Brings { bearer: Some(&token), cookie: Some(READING) };
            let opened = if self.opened_by_scopes(scopes) == Met::Let { Met::Let } else { self.opened_by('1') };
            self.cell(4, both, opened).await;
        }
        // A wrong token is said, whatever comes beside it.
        self.cell(5, Brings { bearer: Some("wrong"), cookie: Some(READING) }, Met::Wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_each_route_lets_in_whom_the_table_says_in_every_way_to_know_callers() {
    for mode in Mode::ALL {
        let scene = Scene::start(mode).await;
        // Whoever an OpenID provider or a cluster knows may have no scope; where nobody is known there is nobody with one.
        let with_scopes = SCOPES.iter().filter(|scopes| scene.token(scopes).is_some()).count();
        for (method, route, opens) in TABLE {
            let mut row = Row { scene: &scene, mode, at: (method, route), opens, cells: 0 };
            row.strangers().await;
            // Before the scopes: an admin ends all read tokens.
            row.read_tokens().await;
            row.scopes().await;
            assert_eq!(row.cells, 3 + 6 + 2 * with_scopes + 1);
        }
        let known = match mode {
            Mode::None => 0,
            Mode::Token => 4,
            Mode::Kubernetes | Mode::Oidc => 5,
        };
        assert_eq!(with_scopes, known, "{mode:?}");
    }
}

/// The node's own route has an answer of its own to who brings nothing.
fn met_at_the_door(reply: &Reply) -> Met {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if json["error"] == "missing-bearer" { Met::Let } else { met(reply) }
}

fn names_what_is_missing(reply: &Reply, opens: &str) {
    let words = [('r', "`read`"), ('c', "`create`"), ('k', "`kubeconfig`")];
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    for (letter, word) in words {
        assert_eq!(detail.contains(word), opens.contains(letter), "{opens}: {detail}");
    }
    assert_eq!(detail.contains("`admin`"), opens.is_empty(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_headers_that_are_no_bearer_are_no_token_and_a_preflight_needs_none() {
    let scene = Scene::start(Mode::Token).await;
    for header in ["Basic abc", "Bearer", "Bearer  ", "x"] {
        let reply = scene.server.ask("GET", "/api/v1/deployments", &[("authorization", header)], b"").await;
        assert_eq!(reply.refusal(), (401, "missing-token".into()), "{header}");
        assert_eq!(reply.all("www-authenticate"), ["Bearer"]);
    }
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let reply = scene.server.ask("OPTIONS", "/api/v1/deployments", &asked, b"").await;
    assert_eq!((reply.status, reply.header("access-control-allow-headers")), (200, Some("Authorization")));
    let refused = scene.server.ask("GET", "/api/v1/deployments", &asked[..1], b"").await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (401, Some("*")),
        "a page can read why"
    );
    // Where nothing is, nothing is asked; and no token is taken from a query.
    assert_eq!(scene.server.get("/nothing").await.status, 404);
    assert_eq!(scene.server.ask("PATCH", "/api/v1/deployments", &[], b"").await.status, 405);
    let token = scene.token("admin").unwrap();
    for name in ["token", "access_token", "authorization"] {
        let reply = scene.server.get(&format!("/api/v1/deployments?{name}={token}")).await;
        assert_eq!(reply.refusal(), (401, "missing-token".into()));
    }
    // Who may read learns what is not there; others do not.
    let unknown = format!("/api/v1/deployments/{}", id(9));
    let bearer = scene.bearer("read");
    assert_eq!(scene.server.ask("GET", &unknown, &[("authorization", &bearer)], b"").await.status, 404);
    let foreign = format!("Bearer {READING}");
    assert_eq!(scene.server.ask("GET", &unknown, &[("authorization", &foreign)], b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_preview_shows_another_deployments_render_only_to_who_may_read() {
    let scene = Scene::start(Mode::Token).await;
    let path = format!("/api/v1/previews?against={}", id(1));
    for (scopes, error) in [("create", "forbidden"), ("admin", "nothing-rendered")] {
        let bearer = scene.bearer(scopes);
        let body = create_body("a.example").to_string();
        let reply = scene.server.ask("POST", &path, &[("authorization", &bearer)], body.as_bytes()).await;
        assert_eq!(reply.refusal().1, error, "{scopes}");
    }
}

/// The cookie of an answer as a browser sends it back.
fn cookie_of(reply: &Reply) -> String {
    reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_who_creates_gets_a_token_and_a_cookie_for_that_deployment_alone() {
    let scene = Scene::start(Mode::Token).await;
    let create = async |fqdn: &str, scopes: &str, key: &str| {
        let bearer = scene.bearer(scopes);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        scene.server.ask("POST", "/api/v1/deployments", &headers, create_body(fqdn).to_string().as_bytes()).await
    };
    let made = create("a.example", "create", "k1").await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")), "{made:?}");
    let body = made.json();
    let (id, token) = (body["id"].as_str().unwrap(), body["readToken"].as_str().unwrap());
    let set = made.header("set-cookie").unwrap();
    assert!(set.contains(&format!("; Path=/api/v1/deployments/{id};")), "{set}");
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    let (bearer, cookie) = (format!("Bearer {token}"), cookie_of(&made));
    assert_eq!(cookie, format!("catalyst-read={token}"));
    let basic = ("authorization", "Basic b3RoZXI=");
    let (as_bearer, as_cookie) = (("authorization", bearer.as_str()), ("cookie", cookie.as_str()));
    for header in [vec![as_bearer], vec![as_cookie], vec![basic, as_cookie]] {
        for (tail, status) in [("", 200), ("/events", 200), ("/kubeconfig", 403)] {
            let reply = scene.server.ask("GET", &format!("/api/v1/deployments/{id}{tail}"), &header, b"").await;
            assert_eq!(reply.status, status, "{header:?} {tail}: {reply:?}");
        }
        let destroy = scene.server.ask("DELETE", &format!("/api/v1/deployments/{id}"), &header, b"").await;
        assert!([401, 403].contains(&destroy.status), "{destroy:?}");
        let other = scene.server.ask("GET", &format!("/api/v1/deployments/{}", crate::kit::id(1)), &header, b"").await;
        assert_eq!(other.status, 401);
    }
    let kept = scene.server.on_disk(&id.parse_id()).read_tokens;
    assert_eq!(kept.len(), 1);
    assert!(!serde_json::to_string(&kept).unwrap().contains(token));

    // Sent again by the same caller: the same deployment with a token of its own. By another one it is another create.
    let again = create("a.example", "create", "k1").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    let second = again.json()["readToken"].as_str().unwrap().to_owned();
    assert!(again.json()["id"] == body["id"] && second != token);
    for token in [token, &second] {
        let bearer = format!("Bearer {token}");
        let reply =
            scene.server.ask("GET", &format!("/api/v1/deployments/{id}"), &[("authorization", &bearer)], b"").await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(create("a.example", "admin", "k1").await.refusal(), (409, "name-taken".into()));

    let by_admin = create("b.example", "admin", "k2").await;
    let id = by_admin.json()["id"].as_str().unwrap().to_owned();
    let cookie = cookie_of(&by_admin);
    let reply =
        scene.server.ask("GET", &format!("/api/v1/deployments/{id}/kubeconfig"), &[("cookie", &cookie)], b"").await;
    assert_eq!(
        reply.refusal(),
        (409, "not-implemented".into()),
        "who may take kubeconfigs lets its page take this one"
    );
    scene.server.down().await;
}

trait ParseId {
    fn parse_id(&self) -> catalyst_domain::DeploymentId;
}

impl ParseId for str {
    fn parse_id(&self) -> catalyst_domain::DeploymentId {
        catalyst_domain::DeploymentId::parse(self).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_no_token_is_told_and_no_cookie_set() {
    let scene = Scene::start(Mode::None).await;
    let made = scene.server.post("/api/v1/deployments", &create_body("a.example")).await;
    assert_eq!((made.status, made.header("set-cookie")), (201, None));
    assert!(made.json().get("readToken").is_none());
    let read = format!("Bearer {READING}");
    let reply = scene.server.ask("GET", "/api/v1/deployments", &[("authorization", &read)], b"").await;
    assert_eq!(reply.status, 200, "what is not asked for is not looked at");
    scene.server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_wrong_tokens_are_limited_by_peer_and_a_right_one_is_let_in() {
    for mode in [Mode::Token, Mode::Oidc] {
        let scene = Scene::start(mode).await;
        let at = ("GET", "/api/v1/deployments");
        let token = scene.token("read").unwrap();
        // Of a signed one only the signature is another.
        let forged = format!("{}AAAA", &token[..token.len() - 4]);
        let mut limited = 0;
        for _ in 0..100 {
            let reply = ask(&scene, 20, at, bearer(&forged)).await;
            if reply.status == 429 {
                limited += 1;
                assert_eq!(reply.refusal(), (429, "too-many-wrong-tokens".into()));
                assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            }
        }
        assert!((20..=41).contains(&limited), "{limited} of 100, 60 of which are answered and more come back in time");
        for from in [20, 21] {
            for _ in 0..50 {
                assert_eq!(ask(&scene, from, at, bearer(&token)).await.status, 200, "{mode:?}");
            }
        }
        assert_eq!(ask(&scene, 21, at, bearer(&forged)).await.status, 401, "another peer");
    }
}
