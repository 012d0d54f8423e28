//! Which kubeconfigs make a client, and which never reach kube.

use super::*;
use catalyst_domain::kubeconfig::BodyFault;

const TOKEN: &str = "sentinel-3c1d";

fn text() -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  cluster:\n    server: \
         https://192.0.2.1:6443\ncontexts:\n- name: default\n  context: {{cluster: default, user: default}}\nusers:\n- \
         name: default\n  user:\n    token: {TOKEN}\n"
    )
}

fn parts(text: &str) -> Result<(Cluster, AuthInfo), KubeconfigFault> {
    current(Kubeconfig::from_yaml(text).unwrap())
}

#[tokio::test]
async fn a_plain_kubeconfig_makes_a_client() {
    assert!(connect(text().as_bytes(), &WatchSettings::default()).is_ok());
}

#[tokio::test]
async fn h4_what_could_run_or_read_is_refused_before_kube_sees_it() {
    for (from, to) in [
        (format!("token: {TOKEN}"), "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}".to_owned()),
        (format!("token: {TOKEN}"), "tokenFile: /etc/hostname".to_owned()),
        ("server: https".to_owned(), "proxy-url: http://192.0.2.9\n    server: https".to_owned()),
        ("server: https".to_owned(), "insecure-skip-tls-verify: true\n    server: https".to_owned()),
    ] {
        let fault = connect(text().replace(&from, &to).as_bytes(), &WatchSettings::default()).err();
        assert!(matches!(fault, Some(KubeconfigFault::Rule(BodyFault::Unsafe(_)))), "{to}: {fault:?}");
    }
}

#[test]
fn only_what_is_needed_reaches_kube() {
    let mut user = AuthInfo { token_file: Some("/etc/hostname".to_owned()), ..AuthInfo::default() };
    user.impersonate = Some("admin".to_owned());
    let cluster = Cluster {
        server: Some("https://192.0.2.1:6443".to_owned()),
        proxy_url: Some("http://192.0.2.9".to_owned()),
        insecure_skip_tls_verify: Some(true),
        ..Cluster::default()
    };
    let config = config(cluster, user, &WatchSettings::default()).unwrap();
    assert_eq!((config.proxy_url, config.accept_invalid_certs), (None, false));
    assert_eq!((config.auth_info.token_file, config.auth_info.impersonate), (None, None));
}

#[test]
fn the_proxy_is_the_settings_choice() {
    let choose: ProxyChoice =
        Arc::new(|address| (address.host() == Some("192.0.2.1")).then(|| Uri::from_static("http://192.0.2.7:3128")));
    let settings = WatchSettings { proxy: Some(choose), ..WatchSettings::default() };
    for (host, proxied) in [("192.0.2.1", true), ("192.0.2.2", false)] {
        let (cluster, user) = parts(&text().replace("192.0.2.1", host)).unwrap();
        assert_eq!(config(cluster, user, &settings).unwrap().proxy_url.is_some(), proxied, "{host}");
    }
}

#[test]
fn faults_name_the_part_and_no_value() {
    for (from, to) in [
        ("current-context: default", "current-context: other"),
        ("cluster: default,", "cluster: other,"),
        ("user: default}", "user: other}"),
        ("server: https", "certificate-authority-data: c2VjcmV0\n    server: https"),
        ("server: https", "certificate-authority-data: '%%%'\n    server: https"),
    ] {
        let text = text().replace(from, to);
        let fault = parts(&text).and_then(|(c, u)| config(c, u, &WatchSettings::default())).err();
        let words = fault.unwrap_or_else(|| panic!("{to} was taken")).to_string();
        assert!(!words.contains(TOKEN) && words.starts_with("the kubeconfig cannot be used: "), "{words}");
    }
}
