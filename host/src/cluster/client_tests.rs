//! Which kubeconfigs make a client, and what of them reaches kube.

use super::*;

const TOKEN: &str = "sentinel-3c1d";

fn text() -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  cluster:\n    server: \
         https://192.0.2.1:6443\ncontexts:\n- name: default\n  context: {{cluster: default, user: default}}\nusers:\n- \
         name: default\n  user:\n    token: {TOKEN}\n"
    )
}

fn parsed(text: &str) -> Kubeconfig {
    Kubeconfig::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[tokio::test]
async fn a_plain_kubeconfig_makes_a_client() {
    assert!(connect(&parsed(&text()), &WatchSettings::default()).is_ok());
}

#[test]
fn h4_what_the_kubeconfig_says_reaches_kube_and_nothing_else() {
    let named = text().replace("    server:", "    tls-server-name: api.example\n    server:");
    let made = client_config(&parsed(&named), &WatchSettings::default()).unwrap();
    assert_eq!(made.cluster_url, Uri::from_static("https://192.0.2.1:6443"));
    assert_eq!(made.tls_server_name.as_deref(), Some("api.example"));
    assert_eq!((made.proxy_url, made.accept_invalid_certs), (None, false));
    let user = made.auth_info;
    assert!(user.token.is_some() && user.token_file.is_none() && user.exec.is_none() && user.impersonate.is_none());
    assert!(user.client_certificate.is_none() && user.client_key.is_none() && user.auth_provider.is_none());
}

#[test]
fn the_proxy_is_the_settings_choice() {
    let choose: ProxyChoice =
        Arc::new(|address| (address.host() == Some("192.0.2.1")).then(|| Uri::from_static("http://192.0.2.7:3128")));
    let settings = WatchSettings { proxy: Some(choose), ..WatchSettings::default() };
    for (host, proxied) in [("192.0.2.1", true), ("192.0.2.2", false)] {
        let kubeconfig = parsed(&text().replace("192.0.2.1", host));
        assert_eq!(client_config(&kubeconfig, &settings).unwrap().proxy_url.is_some(), proxied, "{host}");
        let expect = if proxied { Route::Proxy } else { Route::Direct };
        assert_eq!(route(&kubeconfig, &settings).unwrap(), expect, "{host}");
    }
}

#[test]
fn faults_name_the_part_and_no_value() {
    let data = "certificate-authority-data: c2VjcmV0\n    server: https";
    let fault = client_config(&parsed(&text().replace("server: https", data)), &WatchSettings::default()).err();
    let words = fault.expect("a certificate authority that is none").to_string();
    assert_eq!(words, "the kubeconfig cannot be used: its certificate authority cannot be read");
}

#[test]
fn metadata_services_and_link_local_addresses_are_no_clusters() {
    for host in ["169.254.169.254", "169.254.1.1", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        let fault = client_config(&parsed(&text().replace("192.0.2.1", host)), &WatchSettings::default()).err();
        assert!(fault.is_some_and(|fault| fault.to_string().contains("metadata")), "{host}");
    }
}

#[test]
fn a_named_server_is_connected_to_at_the_address_that_was_judged_and_checked_by_its_name() {
    let named = text().replace("192.0.2.1", "api.example");
    for (address, url) in
        [("198.51.100.7", "https://198.51.100.7:6443/"), ("2001:db8::7", "https://[2001:db8::7]:6443/")]
    {
        let settings = WatchSettings { address: Some(address.parse().unwrap()), ..WatchSettings::default() };
        let made = client_config(&parsed(&named), &settings).unwrap();
        assert_eq!(
            (made.cluster_url.to_string().as_str(), made.tls_server_name.as_deref()),
            (url, Some("api.example"))
        );
    }
}
