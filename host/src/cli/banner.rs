//! What an operator sees at the start: plugins, folders, address.

use crate::config::Config;
use catalyst_sandbox::Sandbox;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::SocketAddr;

/// Tells what was started: a table on a terminal, a trace event otherwise. The sandbox has traced what it loaded.
pub fn show(config: &Config, sandbox: &Sandbox, tofu: &str, address: SocketAddr) {
    if std::io::stderr().is_terminal() {
        #[expect(clippy::print_stderr, reason = "the banner is for the person at the terminal")]
        {
            eprint!("{}", text(config, sandbox, tofu, address));
        }
        return;
    }
    tracing::info!(http.address = %address, tofu.version = tofu, "serving");
}

fn text(config: &Config, sandbox: &Sandbox, tofu: &str, address: SocketAddr) -> String {
    let mut out = format!("\nCatalyst {} on http://{address}\n\n", env!("CARGO_PKG_VERSION"));
    for plugin in sandbox.providers() {
        let described = plugin.descriptor();
        let digest = plugin.digest().get(..12).unwrap_or_default();
        let _ = writeln!(out, "  plugin   {} {}  sha256:{digest}", described.id, described.version);
        let _ = writeln!(out, "           imports {}", imports(plugin.imports()));
    }
    for failure in sandbox.failures() {
        let _ = writeln!(out, "  NOT LOADED {}: {}", failure.file, failure.error);
    }
    for (name, path) in [
        ("plugins", &config.plugins_dir),
        ("records", &config.deployments_dir),
        ("kubecfg", &config.kubeconfigs_dir),
        ("state", &config.state_dir),
        ("work", &config.tofu.workdir),
    ] {
        let _ = writeln!(out, "  {name:<8} {}", path.display());
    }
    let _ = writeln!(out, "  tofu     {tofu}\n");
    out
}

fn imports(names: &[String]) -> String {
    let wasi = names.iter().filter(|name| name.starts_with("wasi:")).count();
    let mut own: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.starts_with("wasi:")).collect();
    let deterministic = format!("{wasi} deterministic WASI interfaces");
    if wasi > 0 {
        own.push(&deterministic);
    }
    if own.is_empty() { "nothing".to_owned() } else { own.join(", ") }
}
