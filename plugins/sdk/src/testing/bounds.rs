//! Where plugin and module have to agree: a value that the module would refuse at plan is a finding when the request is
//! made, and nothing is refused that the module takes. OpenTofu itself judges for the module.
//!
//! The values of what [`crate::sovereign`] reads stand here once, on both sides of every bound; those of a cloud's own
//! settings are its plugin's.

use serde_json::Value;

use super::Module;
use crate::{DeploymentRequest, DomainMode, Provisioner, RenderContext};

/// A variable of the module, how a request says it, and values on both sides of every bound.
pub struct Field {
    /// Its name.
    pub variable: &'static str,
    /// How a request says it.
    pub put: fn(&mut DeploymentRequest, &Value),
    /// What it is set to, one after the other.
    pub values: Vec<Value>,
}

/// A variable of the module that the host supplies.
pub struct HostField {
    /// Its name.
    pub variable: &'static str,
    /// How a host says it.
    pub put: fn(&mut RenderContext, String),
    /// What it is set to, one after the other.
    pub values: Vec<String>,
}

/// A plugin beside its module.
pub struct Judge {
    /// The module.
    pub module: Module,
    /// A request that both take.
    pub request: DeploymentRequest,
    /// A host that both take.
    pub context: RenderContext,
    /// The variables of a bundle with those that a host adds.
    pub complete: fn(&str) -> Value,
}

impl Judge {
    /// Values of a request that one of the two alone refuses, each with its words.
    ///
    /// # Errors
    /// When the plugin refuses the request that both should take, or gives no bundle where it has no error.
    pub fn disagreements<P: Provisioner>(&self, fields: &[Field]) -> Result<Vec<String>, String> {
        let good = self.good::<P>()?;
        let mut found = Vec::new();
        for Field { variable, put, values } in fields {
            for value in values {
                let mut request = self.request.clone();
                put(&mut request, value);
                let findings = P::validate(&request);
                let said = if findings.has_errors() {
                    let taken = self.module.accepts(&with(&good, variable, value)).is_ok();
                    taken.then(|| format!("only the plugin: {findings:?}"))
                } else {
                    let bundle = P::render(&request, &self.context).map_err(|findings| format!("{findings:?}"))?;
                    let refused = self.module.accepts(&(self.complete)(&bundle.variables)).err();
                    refused.map(|words| format!("only the module: {words}"))
                };
                found.extend(said.map(|words| format!("{variable} = {value}: {words}")));
            }
        }
        Ok(found)
    }

    /// As [`Self::disagreements`], for what a host supplies.
    ///
    /// # Errors
    /// When the plugin refuses the request that both should take.
    pub fn host_disagreements<P: Provisioner>(&self) -> Result<Vec<String>, String> {
        let good = self.good::<P>()?;
        let mut found = Vec::new();
        for HostField { variable, put, values } in host_fields() {
            for value in values {
                let mut context = self.context.clone();
                put(&mut context, value.clone());
                let by_plugin = P::render(&self.request, &context).is_ok();
                let by_module = self.module.accepts(&with(&good, variable, &value.clone().into())).is_ok();
                if by_plugin != by_module {
                    found
                        .push(format!("{variable} = {value}: taken by the plugin {by_plugin}, the module {by_module}"));
                }
            }
        }
        Ok(found)
    }

    fn good<P: Provisioner>(&self) -> Result<Value, String> {
        let bundle = P::render(&self.request, &self.context).map_err(|findings| format!("{findings:?}"))?;
        let variables = (self.complete)(&bundle.variables);
        self.module.accepts(&variables).map(|()| variables)
    }
}

fn with(good: &Value, variable: &str, value: &Value) -> Value {
    let mut variables = good.clone();
    variables[variable] = value.clone();
    variables
}

/// A value as the text that it is; anything else is blank.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Texts as values.
pub fn texts<const N: usize>(values: [&str; N]) -> Vec<Value> {
    values.into_iter().map(Value::from).collect()
}

/// Sets a cloud's own key of a request.
pub fn set(request: &mut DeploymentRequest, key: &str, value: &Value) {
    let mut extra: Value = serde_json::from_str(&request.extra).unwrap_or_default();
    extra[key] = value.clone();
    request.extra = extra.to_string();
}

/// Well-formed keys of no one, by name and the bytes of the blob behind the name; broken ones beside them.
pub fn ssh_keys() -> Vec<Value> {
    use base64::Engine as _;
    let part = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(), bytes].concat();
    let key = |name: &str, parts: &[&[u8]]| {
        let blob: Vec<u8> = std::iter::once(name.as_bytes()).chain(parts.iter().copied()).flat_map(part).collect();
        format!("{name} {}", base64::engine::general_purpose::STANDARD.encode(blob))
    };
    let point = |length: usize| [&[4_u8][..], &vec![7; length]].concat();
    let modulus = |bits: usize| [&[0_u8, 0x80][..], &vec![7; bits / 8 - 1]].concat();
    let mut keys = vec![key("ssh-ed25519", &[&[7; 32]]), key("ssh-ed25519", &[&[7; 31]]), key("ssh-dss", &[&[7; 32]])];
    for (curve, length) in [("nistp256", 64), ("nistp384", 96), ("nistp521", 132)] {
        let name = format!("ecdsa-sha2-{curve}");
        keys.push(key(&name, &[curve.as_bytes(), &point(length)]));
        keys.push(key(&name, &[curve.as_bytes(), &point(length - 2)]));
    }
    for (bytes, application) in [(32, &b"ssh:"[..]), (32, b"ssh:a laptop"), (31, b"ssh:")] {
        keys.push(key("sk-ssh-ed25519@openssh.com", &[&vec![7; bytes], application]));
    }
    for length in [64, 62] {
        keys.push(key("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &point(length), b"ssh:"]));
    }
    keys.push(format!("no-pty {}", keys[0]));
    keys.extend([2048, 3072, 4096, 1024].map(|bits| key("ssh-rsa", &[&[1, 0, 1], &modulus(bits)])));
    keys.push(format!("{} me@example.test", keys[0]));
    keys.extend(["ssh-ed25519 AAAA", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----"].map(str::to_owned));
    keys.push(keys[0].replacen("ssh-ed25519", "ssh-rsa", 1));
    keys.into_iter().map(Value::from).collect()
}

/// Who asks for a cluster, and under which name.
pub fn names() -> Vec<Field> {
    let label = "a".repeat(63);
    let long = |bytes: usize| format!("{label}.{label}.{label}.{}.test", "b".repeat(bytes - 3 * 64 - 5));
    let mail = |bytes: usize| format!("{}@example.test", "x".repeat(bytes - 13));
    let mut domains = texts([
        "a.b",
        "1a.b2",
        "a-1.omani.works",
        "acme",
        "A.b",
        "a_b.c",
        "-a.b",
        "a-.b",
        "a.1b",
        "a..b",
        "a.b.",
        "é.b",
    ]);
    domains.extend([
        long(240).into(),
        long(241).into(),
        format!("{label}a.test").into(),
        format!("{label}.test").into(),
    ]);
    let mut people =
        texts(["A", "日本", "a\u{e000}", "a\u{0}b", "a\nb", "\u{7f}x", "<\u{301}", ">\u{323}x", "<e\u{301}>"]);
    people.extend(["x", "é"].map(|letter| letter.repeat(200).into()));
    people.extend([("x", 201), ("👩", 200), ("👩", 201)].map(|(letter, count)| letter.repeat(count).into()));
    let mut mails = texts(["a@b.c", "a@b", "@b.c", "a@.c", "a@b.", "a@b@c.d", "a b@c.d", "é@b.c", "<\u{301}@b.c"]);
    mails.extend([mail(254).into(), mail(255).into()]);
    vec![
        Field { variable: "sovereign_fqdn", put: |r, v| r.sovereign_fqdn = text(v), values: domains },
        Field { variable: "org_name", put: |r, v| r.org_name = text(v), values: people },
        Field { variable: "org_email", put: |r, v| r.org_email = text(v), values: mails },
        Field {
            variable: "sovereign_subdomain",
            put: |r, v| (r.domain_mode, r.subdomain) = (DomainMode::Pool, text(v)),
            values: texts([
                "acme",
                "a-1",
                "-a",
                "a-",
                "A",
                "a_b",
                "a.b",
                "a..b",
                "a.-b",
                "a.",
                &label,
                &format!("{label}a"),
                // Two labels that would pass alone.
                &format!("{0}.{0}", "a".repeat(31)),
                &format!("{0}.{0}", "a".repeat(40)),
            ]),
        },
    ]
}

/// Versions of what a first server installs.
pub fn versions() -> Vec<Field> {
    vec![
        Field {
            variable: "k3s_version",
            put: |r, v| set(r, "k3sVersion", v),
            values: texts([
                "v1.32.1+k3s1",
                "v1.32.1",
                "1.32.1+k3s1",
                "v1.32+k3s1",
                "v1.32.1+k3s",
                "latest",
                "v1.32.1+k3s1;id",
                &format!("v1.32.{}1+k3s1", "0".repeat(20)),
                &format!("v1.32.{}1+k3s1", "0".repeat(21)),
            ]),
        },
        Field {
            variable: "helm_version",
            put: |r, v| set(r, "helmVersion", v),
            values: texts([
                "v3.17.0",
                "3.17.0",
                "v3.17",
                "latest",
                &format!("v3.{}1.0", "0".repeat(26)),
                &format!("v3.{}1.0", "0".repeat(27)),
            ]),
        },
        Field {
            variable: "cilium_version",
            put: |r, v| set(r, "ciliumVersion", v),
            values: texts([
                "1.16.5", "1.17.0", "1.15.9", "1.9.1", "1.100.0", "v1.16.5", "2.0.0", "1.016.5", "01.16.5", "1.16.05",
            ]),
        },
        Field {
            variable: "flux_version",
            put: |r, v| set(r, "fluxVersion", v),
            values: texts([
                "v2.5.0",
                "v1.5.0",
                "2.5.0",
                "v2.5",
                "v02.5.0",
                "v2.05.0",
                "v2.5.99999999999",
                "v2.0.0",
                "v2.2.3",
                "v2.3.0",
                "v2.10.0",
            ]),
        },
    ]
}

/// What the host itself supplies: its own address and the repository.
fn host_fields() -> Vec<HostField> {
    let long = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
    let branch = |length: usize| "b".repeat(length);
    vec![
        HostField {
            variable: "catalyst_api_url",
            put: |host, url| host.public_url = url,
            values: [
                "https://a.test/x",
                "https://[2001:db8::1]:8443",
                "http://127.0.0.1:8080/x",
                "http://[::1]:80",
                "http://localhost",
                "http://a.test",
                "http://localhost.a.test",
                "http://127.0.0.1@a.test",
                "https://a.test/x?y",
                "https://a@b.test",
                "https://a.test/é",
                "ftp://a.test",
                "https://",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([long("https://", 256), long("https://", 257)])
            .collect(),
        },
        HostField {
            variable: "gitops_repo_url",
            put: |host, url| host.gitops_repo_url = url,
            values: [
                "https://a.test/x.git",
                "http://a.test",
                "ssh://git@a.test/x",
                "git@a.test:x",
                "file:///x",
                "https://a b",
                "https://a\"b",
                "https://a\\b",
                "https://a<b",
                "https://é.test",
                "https://",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([long("https://", 256), long("https://", 257)])
            .collect(),
        },
        HostField {
            variable: "gitops_branch",
            put: |host, branch| host.gitops_branch = branch,
            values: ["main", "release/1.2", "-x", "a b", "a\"b"]
                .map(str::to_owned)
                .into_iter()
                .chain([branch(200), branch(201)])
                .collect(),
        },
    ]
}
