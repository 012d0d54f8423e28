//! Writes a kubeconfig in the layout in which k3s writes its own: that of client-go, keys in alphabetical order.

use super::Kubeconfig;
use super::plain::is_text;
use std::fmt::Write as _;

/// The document.
pub(super) fn canonical(config: &Kubeconfig) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    let user = &config.credentials;
    page.raw("apiVersion: v1\nclusters:\n- cluster:\n");
    page.line("    certificate-authority-data", config.authority_data.as_deref());
    page.line("    server", Some(config.server.url()));
    page.line("    tls-server-name", config.tls_server_name.as_deref());
    page.line("  name", Some(&config.cluster_name));
    page.raw("contexts:\n- context:\n");
    page.line("    cluster", Some(&config.cluster_name));
    page.line("    namespace", config.namespace.as_deref());
    page.line("    user", Some(&config.user_name));
    page.line("  name", Some(&config.context_name));
    page.line("current-context", Some(&config.context_name));
    page.raw("kind: Config\n");
    // client-go wrote it up to Kubernetes 1.33 also where it is empty.
    page.raw(if config.has_preferences { "preferences: {}\n" } else { "" });
    page.raw("users:\n");
    page.line("- name", Some(&config.user_name));
    page.raw(if user.is_empty() { "  user: {}\n" } else { "  user:\n" });
    page.line("    client-certificate-data", user.client_certificate_data.as_deref());
    page.line("    client-key-data", user.client_key_data.as_ref().map(|key| key.expose()));
    page.line("    password", user.password.as_ref().map(|password| password.expose()));
    page.line("    token", user.token.as_ref().map(|token| token.expose()));
    page.line("    username", user.username.as_deref());
    page.0
}

struct Page(String);

impl Page {
    fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// A key with its value; nothing where there is none. A value is plain where every parser reads that as this text,
    /// else in double quotes, whose escapes are those of JSON.
    fn line(&mut self, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        // Writing to a string cannot fail.
        let _ = if is_text(value) {
            writeln!(self.0, "{key}: {value}")
        } else {
            writeln!(self.0, "{key}: {}", serde_json::Value::from(value))
        };
    }
}
