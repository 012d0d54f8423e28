//! What a plugin, its OpenTofu provider and a node are trusted with: the same words in `catalyst plugin inspect` and in
//! `docs/trust.md`, which a test holds against each other.

use super::page::{Page, Tone};
use serde_json::{Value, json};

/// Who is trusted, and with what.
pub(super) const STATEMENT: [(&str, &str); 3] = [
    (
        "plugin",
        "A plugin is trusted with what is built and with every secret that its module gets: it writes the module, so it can put the \
         cloud's credential, the kubeconfig bearer and the join tokens into whatever that module creates in the cloud. It is not \
         trusted with the host: it has no network, no files, no clock and sees no secret. Its module sets only the provider \
         arguments that it declares and the operator granted, and runs no program of its own.",
    ),
    (
        "provider",
        "An OpenTofu provider is a program that runs with the user's cloud credential. It is trusted with that credential, with \
         everything that the credential allows in the cloud, and with the state of its own deployment. It is not trusted with other \
         deployments, the host's files, processes or environment, nor with any address but those of its cloud. Its version is \
         exact, and the operator can name which ones may run.",
    ),
    (
        "node",
        "A node is trusted with its own cluster: it has the join tokens, the pull token and the one-time bearer, and hands in the \
         kubeconfig that people will use. It is not trusted with the host or with other clusters: its bearer sets the kubeconfig of \
         one deployment once, and what it hands in must lead to an address of that deployment and is stored without anything that runs.",
    ),
];

/// Adds the statement to a page.
pub(super) fn show(page: &mut Page) {
    page.line(Tone::Head, "Trust");
    for (who, what) in STATEMENT {
        page.field(who, what);
    }
}

/// The statement for a program.
pub(super) fn json() -> Value {
    STATEMENT.iter().map(|(who, what)| ((*who).to_owned(), json!(what))).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_says_the_same() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = words(include_str!("../../../../docs/trust.md"));
        for (who, what) in STATEMENT {
            assert!(page.contains(&words(what)), "docs/trust.md does not say what a {who} is trusted with");
        }
    }
}
