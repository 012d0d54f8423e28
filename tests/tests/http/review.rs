//! Tokens of a real cluster, reviewed by its own API.

use crate::callers::records;
use crate::kit::{Server, Setup};
use catalyst::auth::{self, Authenticator, CookieSettings, Fault, ReviewSettings, ScopeMap, Standing, Way};
use catalyst_domain::SecretValue;
use catalyst_tests::kube::{Cluster, Kinds, Options};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, PostParams};
use serde_json::json;
use std::time::{Duration, Instant};

/// A token of a service account, made for this audience.
async fn token(cluster: &Cluster, account: &str, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), "flux-system");
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": [audience], "expirationSeconds": 3600}})).unwrap();
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    made.status.unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_real_cluster_reviews_its_own_tokens_and_knows_no_others() {
    let cluster = Cluster::start(Options { kinds: Kinds::None, ..Options::default() }).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), "flux-system");
    for name in ["catalyst", "reader", "stranger"] {
        let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
    }
    // No more than the chart gives.
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "catalyst-reviews"},
        "rules": [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}],
    }))
    .unwrap();
    Api::all(cluster.client()).create(&PostParams::default(), &role).await.unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "catalyst-reviews"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "catalyst-reviews"},
        "subjects": [{"kind": "ServiceAccount", "name": "catalyst", "namespace": "flux-system"}],
    }))
    .unwrap();
    Api::all(cluster.client()).create(&PostParams::default(), &binding).await.unwrap();

    let account = tempfile::tempdir().unwrap();
    let own = token(&cluster, "catalyst", "https://kubernetes.default.svc").await;
    std::fs::write(account.path().join("token"), own).unwrap();
    std::fs::write(account.path().join("ca.crt"), cluster.authority()).unwrap();
    let settings = ReviewSettings {
        api: format!("https://{}", cluster.address()).parse().unwrap(),
        account: account.path().to_owned(),
        audience: Some("catalyst".to_owned()),
        scopes: ScopeMap::parse("user:system:serviceaccount:flux-system:reader=read").unwrap(),
    };
    // The API takes a moment to know a new binding.
    let reviewer = auth::Kubernetes::new(settings.clone(), &catalyst::outbound::Settings::default()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(Fault::Unavailable(why)) = reviewer.identify(&SecretValue::new("a.b.c"), Standing::Good).await {
        assert!(Instant::now() < until, "{why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let settings = auth::Settings { way: Way::Kubernetes(settings), cookie: CookieSettings::default() };
    let server = Server::start(Setup { records: records(), auth: settings, ..Setup::default() }).await;
    let right = token(&cluster, "reader", "catalyst").await;
    // In the middle of the signature: the last character has bits that count for nothing.
    let (message, signature) = right.rsplit_once('.').unwrap();
    let altered = format!("{message}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    for (token, status) in [
        (&right, 200),
        (&token(&cluster, "stranger", "catalyst").await, 403),
        (&token(&cluster, "reader", "somebody-else").await, 401),
        (&altered, 401),
        (&"a.b.c".to_owned(), 401),
    ] {
        let bearer = format!("Bearer {token}");
        let reply = server.ask("GET", "/api/v1/deployments", &[("authorization", &bearer)], b"").await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}
