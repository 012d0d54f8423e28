//! Findings about addresses of a request, with names that lead where a double says.

use super::*;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Mutex;

/// Names and where they lead; what is not among them takes for ever.
struct Zone(Vec<(&'static str, Vec<&'static str>)>, Mutex<usize>);

#[async_trait]
impl Lookup for Zone {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        *self.1.lock().unwrap() += 1;
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, addresses)) if addresses.is_empty() => Err(std::io::Error::other("no such name")),
            Some((_, addresses)) => Ok(addresses.iter().map(|ip| (ip.parse::<IpAddr>().unwrap(), 0).into()).collect()),
            None => std::future::pending().await,
        }
    }
}

fn descriptor() -> Descriptor {
    let schema = json!({"properties": {"authUrl": {"format": "uri"}}}).to_string();
    Descriptor {
        id: "c".into(),
        display_name: "C".into(),
        version: "1.0.0".into(),
        secrets: Vec::new(),
        tofu_providers: Vec::new(),
        bearer_resource: None,
        catalogue: catalyst_domain::provider::Catalogue {
            as_of: String::new(),
            currency: String::new(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        },
        user_data_limit: 1,
        settings_schema: schema,
        api_hosts: Vec::new(),
    }
}

fn destinations(list: &str) -> (Destinations, Arc<Zone>) {
    let zone = Arc::new(Zone(
        vec![
            ("public.example", vec!["93.184.216.34"]),
            ("private.example", vec!["10.1.2.3"]),
            ("mixed.example", vec!["93.184.216.34", "::1"]),
            ("gone.example", vec![]),
            ("keystone.cloud.svc", vec!["10.96.0.7"]),
            ("localhost", vec!["127.0.0.1"]),
        ],
        Mutex::default(),
    ));
    let allowed = Arc::new(AllowedClouds::parse(list).unwrap());
    (Destinations { allowed, lookup: zone.clone(), fixed: Arc::default() }, zone)
}

async fn judged(list: &str, settings: Value) -> Vec<String> {
    let found = destinations(list).0.judge(settings.as_object().unwrap(), &descriptor()).await;
    assert!(found.iter().all(|finding| finding.is_error() && finding.code == CODE), "{found:?}");
    found.into_iter().map(|finding| format!("{} {}", finding.pointer, finding.message)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_address_that_is_not_allowed_is_named_with_key_rule_and_setting() {
    for (url, rule) in [
        ("http://127.0.0.1:5000/v3", "127.0.0.1 is a loopback address"),
        ("http://169.254.169.254/latest", "169.254.169.254 is an address of a cloud's metadata service"),
        ("https://keystone.cloud.svc/v3", "keystone.cloud.svc is a name of .svc"),
        ("https://localhost/v3", "localhost is a name of .localhost"),
        ("https://keystone", "keystone is a single label"),
        ("https://private.example/v3", "private.example leads to 10.1.2.3, which is a private address"),
        ("https://mixed.example/v3", "mixed.example leads to ::1, which is a loopback address"),
        ("http://127.1", "the address has an IPv4 address that is not written"),
        ("keystone.internal", "keystone.internal is a name of .internal"),
    ] {
        let found = judged("", json!({"authUrl": url})).await;
        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(found[0].starts_with("/authUrl authUrl: ") && found[0].contains(rule), "{found:?}");
        assert!(found[0].contains("CATALYST_ALLOWED_CLOUDS"), "{found:?}");
    }
    let both = judged("", json!({"a": {"b": ["http://10.0.0.1"]}, "authUrl": "https://private.example"})).await;
    assert!(both.len() == 2 && both[0].starts_with("/a/b/0 a: "), "{both:?}");
}

#[tokio::test(start_paused = true)]
async fn public_ones_those_of_the_list_and_those_that_nobody_knows_pass() {
    for (list, url) in [
        ("", "https://public.example/v3"),
        ("", "https://gone.example/v3"),
        ("", "https://slow.example/v3"),
        ("10.0.0.0/8", "https://private.example/v3"),
        ("private.example", "https://private.example/v3"),
        ("*.example", "https://private.example/v3"),
        ("127.0.0.0/8", "http://127.0.0.1:5000/v3"),
        ("127.0.0.0/8", "http://localhost:5000/v3"),
        ("10.96.0.0/12", "https://keystone.cloud.svc"),
        (".svc", "https://keystone.cloud.svc"),
    ] {
        assert_eq!(judged(list, json!({"authUrl": url})).await, [""; 0], "{list} {url}");
    }
}

#[tokio::test]
async fn a_request_makes_the_host_ask_for_a_few_names_only() {
    let (destinations, zone) = destinations("");
    let many: Vec<String> = (0..=MAX_NAMES).map(|n| format!("https://n{n}.example")).collect();
    let found = destinations.judge(json!({"x": many}).as_object().unwrap(), &descriptor()).await;
    assert_eq!((found.len(), found[0].code.as_str(), *zone.1.lock().unwrap()), (1, "too-many-addresses", 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_address_the_operator_says_is_not_asked_for() {
    let (destinations, zone) = destinations("");
    let address = "10.9.9.9:8443".parse().unwrap();
    let fixed = destinations
        .with_fixed([("private.example", address), ("keystone.cloud.svc", address)].map(|(n, a)| (n.to_owned(), a)));
    for url in ["https://private.example:5000/v3", "https://keystone.cloud.svc/v3"] {
        let settings = json!({"authUrl": url});
        assert_eq!(fixed.judge(settings.as_object().unwrap(), &descriptor()).await.len(), 0, "{url}");
        assert_eq!(destinations.judge(settings.as_object().unwrap(), &descriptor()).await.len(), 1, "{url}");
    }
    let others =
        json!({"authUrl": "https://localhost/", "x": "https://a.private.example", "y": "http://10.9.9.9:8443"});
    let found = fixed.judge(others.as_object().unwrap(), &descriptor()).await;
    assert!(found.iter().any(|f| f.pointer == "/authUrl") && found.iter().any(|f| f.pointer == "/y"), "{found:?}");
    assert!(*zone.1.lock().unwrap() > 0);
}

#[test]
fn without_the_network_addresses_and_inside_names_are_judged() {
    let judged = |list: &str, url: &str| {
        let allowed = AllowedClouds::parse(list).unwrap();
        judge_offline(&allowed, json!({"authUrl": url}).as_object().unwrap(), &descriptor()).len()
    };
    for url in ["http://127.0.0.1", "https://keystone.cloud.svc", "https://keystone", "http://127.1", "//[::1]"] {
        assert_eq!(judged("", url), 1, "{url}");
    }
    assert_eq!(judged("", "https://private.example"), 0);
    assert_eq!(judged("127.0.0.0/8", "http://127.0.0.1") + judged(".svc", "https://keystone.cloud.svc"), 0);
}

#[tokio::test]
async fn the_name_of_a_cluster_leads_to_its_own_addresses_or_to_public_ones() {
    let zone = Zone(
        vec![
            ("public.example.org", vec!["93.184.215.14"]),
            ("inside.example.org", vec!["127.0.0.1"]),
            ("mixed.example.org", vec!["93.184.215.14", "10.0.0.8"]),
            ("own.example.org", vec!["10.0.0.7"]),
            ("metadata.example.org", vec!["169.254.169.254"]),
            ("nowhere.example.org", vec![]),
        ],
        Mutex::new(0),
    );
    let destinations = Destinations { allowed: Arc::default(), lookup: Arc::new(zone), fixed: Arc::default() };
    let own: Vec<IpAddr> = ["10.0.0.7", "169.254.169.254"].map(|address| address.parse().unwrap()).into();
    for (name, allowed) in [("public.example.org", true), ("own.example.org", true)] {
        assert_eq!(destinations.address_of(name, &own).await.is_ok(), allowed, "{name}");
    }
    for name in ["inside.example.org", "mixed.example.org", "metadata.example.org"] {
        let fault = destinations.address_of(name, &own).await.unwrap_err();
        assert!(matches!(&fault, NameFault::NotAllowed(_)), "{name}: {fault}");
    }
    let fault = destinations.address_of("nowhere.example.org", &own).await.unwrap_err();
    assert!(matches!(fault, NameFault::Unresolved(_)), "{fault}");
    assert!(destinations.judge_for_proxy("kubernetes.default.svc").is_err());
    assert!(destinations.judge_for_proxy("public.example.org").is_ok());
}
