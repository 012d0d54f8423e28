//! Runs `infra/hetzner` with the real OpenTofu and Hetzner's own provider, against the double or a real project.
//!
//! `HCLOUD_PROVIDER` names another provider binary. `HCLOUD_ENDPOINT` with `HCLOUD_TOKEN` sends the suite to a real API, which
//! costs money; tests that need the cloud to misbehave stay with the double.

use super::Project;
use anyhow::{Context as _, ensure};
use catalyst_plugin_sdk::Rendered;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The module in the repository.
pub const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/hetzner");
/// A token of the right length for the double.
pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01";

/// The cloud that a run talks to.
pub struct Cloud {
    /// The double, unless the run is told to use a real project.
    pub double: Option<Project>,
    endpoint: String,
    token: String,
}

impl Cloud {
    /// What the environment names, else the double.
    ///
    /// # Panics
    /// When there is an endpoint without a token: the double in its place would be a silent skip.
    pub fn start() -> Self {
        match (given("HCLOUD_ENDPOINT"), given("HCLOUD_TOKEN")) {
            (Some(endpoint), Some(token)) => Self::at(endpoint, token),
            (Some(endpoint), None) => panic!("{endpoint} needs HCLOUD_TOKEN"),
            (None, _) => Self::double(),
        }
    }

    /// Some API that is not asked what it is.
    pub fn at(endpoint: String, token: String) -> Self {
        Self { double: None, endpoint, token }
    }

    /// The double, whatever the environment says.
    pub fn double() -> Self {
        let project = Project::start(TOKEN);
        Self { endpoint: project.endpoint(), token: TOKEN.to_owned(), double: Some(project) }
    }

    /// The double of this run.
    pub fn project(&self) -> &Project {
        self.double.as_ref().unwrap_or_else(|| panic!("this test needs the double"))
    }

    /// What the API lists with this label.
    pub fn labelled(&self, kind: &str, label: &str) -> Vec<Value> {
        let url = format!("{}/{kind}?per_page=50&label_selector={}", self.endpoint, label.replace('/', "%2F"));
        let mut answer = ureq::get(&url).header("Authorization", &format!("Bearer {}", self.token)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        json[kind].as_array().unwrap_or_else(|| panic!("no {kind} in {json}")).clone()
    }
}

/// Whether the environment names an API.
pub fn is_real() -> bool {
    given("HCLOUD_ENDPOINT").is_some()
}

#[expect(clippy::disallowed_methods, reason = "tests have no config.rs; these say where the suite runs")]
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One diagnostic of OpenTofu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `error` or `warning`.
    pub severity: String,
    /// One line.
    pub summary: String,
    /// More of it.
    pub detail: String,
    /// Resource, where one is named.
    pub address: Option<String>,
}

/// What a step said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Exit status.
    pub status: i32,
    /// Planned actions by resource: `create`, `update`, `delete`, `replace`.
    pub planned: BTreeMap<String, String>,
    /// Diagnostics.
    pub diagnostics: Vec<Words>,
    /// Values of the outputs.
    pub outputs: Value,
    /// Everything, as it came.
    pub text: String,
}

impl Said {
    /// The errors.
    pub fn errors(&self) -> Vec<Words> {
        self.diagnostics.iter().filter(|words| words.severity == "error").cloned().collect()
    }

    /// Fails the test unless the step succeeded.
    #[track_caller]
    pub fn passed(self) -> Self {
        assert_eq!(self.status, 0, "{:#?}", self.errors());
        self
    }

    /// How many resources are to get this action.
    pub fn count(&self, action: &str) -> usize {
        self.planned.values().filter(|planned| *planned == action).count()
    }
}

/// A folder with the module, ready to run.
pub struct Work {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Work {
    /// The module as a plugin rendered it, with its variables and, for each secret it names, a value.
    ///
    /// # Errors
    /// When the folder cannot be written or the provider cannot be got.
    pub fn of_bundle(bundle: &Rendered, cloud: &Cloud, deployment: &str) -> anyhow::Result<Self> {
        let mut work = Self::empty(cloud)?;
        for file in &bundle.files {
            std::fs::write(work.path().join(&file.path), &file.content)?;
        }
        std::fs::write(work.path().join("catalyst.auto.tfvars.json"), &bundle.variables)?;
        for secret in &bundle.secret_variables {
            let value = match secret.variable.as_str() {
                "hcloud_token" => cloud.token.clone(),
                name => secret_value(name),
            };
            work.set(&secret.variable, &value);
        }
        if let Some(variable) = &bundle.deployment_id_variable {
            work.set(variable, deployment);
        }
        Ok(work)
    }

    /// The module as it lies in the repository, for use without a host.
    ///
    /// # Errors
    /// When the folder cannot be written or the provider cannot be got.
    pub fn standalone(cloud: &Cloud) -> anyhow::Result<Self> {
        Self::of_folder(Path::new(MODULE), cloud)
    }

    /// The module as it lies in a folder, with its variables where they are there too.
    ///
    /// # Errors
    /// When the folder cannot be copied or the provider cannot be got.
    pub fn of_folder(folder: &Path, cloud: &Cloud) -> anyhow::Result<Self> {
        let mut work = Self::empty(cloud)?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default();
            if extension == "tf" || extension == "tftpl" || extension == "json" {
                std::fs::copy(&path, work.path().join(path.file_name().context("a file without a name")?))?;
            }
        }
        work.set("hcloud_token", &cloud.token);
        Ok(work)
    }

    fn empty(cloud: &Cloud) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let rc = mirror(folder.path())?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let env = vec![
            ("HCLOUD_ENDPOINT".to_owned(), cloud.endpoint.clone()),
            ("TF_CLI_CONFIG_FILE".to_owned(), text(&rc)),
            ("TF_IN_AUTOMATION".to_owned(), "1".to_owned()),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text(folder.path())),
        ];
        Ok(Self { folder, env })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a variable from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        let name = format!("TF_VAR_{variable}");
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.to_owned()));
    }

    /// Writes the variables of a bundle anew; secrets stay.
    pub fn set_variables(&self, variables: &str) {
        std::fs::write(self.path().join("catalyst.auto.tfvars.json"), variables).unwrap();
    }

    /// Runs OpenTofu.
    pub fn run(&self, args: &[&str]) -> Output {
        let tofu = crate::tools::path("tofu").unwrap();
        let mut command = Command::new(tofu);
        command.args(args).current_dir(self.path()).env_clear().envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Said {
        let output = self.run(args);
        let mut said = Said { status: output.status.code().unwrap_or(-1), ..Said::default() };
        said.text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for line in said.text.clone().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            read_line(&line, &mut said);
        }
        said
    }

    /// `init` and `validate`.
    ///
    /// # Errors
    /// OpenTofu's words.
    pub fn init(&self) -> anyhow::Result<()> {
        for args in [&["init", "-input=false", "-no-color"][..], &["validate", "-no-color"]] {
            let output = self.run(args);
            let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{args:?}: {words}");
        }
        Ok(())
    }

    /// `plan` into a file. The status is 0 also when there is something to do.
    pub fn plan(&self) -> Said {
        self.json(&["plan", "-json", "-input=false", "-out=plan.bin"])
    }

    /// `apply` of the file.
    pub fn apply(&self) -> Said {
        self.json(&["apply", "-json", "-input=false", "plan.bin"])
    }

    /// `destroy` without asking.
    pub fn destroy(&self) -> Said {
        self.json(&["destroy", "-json", "-input=false", "-auto-approve"])
    }
}

fn read_line(line: &Value, said: &mut Said) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match line["type"].as_str() {
        Some("planned_change") => {
            let change = &line["change"];
            said.planned.insert(text(&change["resource"]["addr"]), text(&change["action"]));
        }
        Some("diagnostic") => {
            let words = &line["diagnostic"];
            said.diagnostics.push(Words {
                severity: text(&words["severity"]),
                summary: text(&words["summary"]),
                detail: text(&words["detail"]),
                address: words["address"].as_str().map(str::to_owned),
            });
        }
        Some("outputs") => {
            let values = line["outputs"].as_object().into_iter().flatten();
            said.outputs = values.map(|(name, output)| (name.clone(), output["value"].clone())).collect();
        }
        _ => {}
    }
}

/// What a host would have made; each variable gets another.
pub fn secret_value(variable: &str) -> String {
    catalyst_domain::kubeconfig::sha256_hex(format!("secret of {variable}").as_bytes())
}

/// A mirror with the one provider, as a site without a registry would have it. Returns the configuration file.
fn mirror(folder: &Path) -> anyhow::Result<PathBuf> {
    let provider = match given("HCLOUD_PROVIDER") {
        Some(path) => PathBuf::from(path),
        None => crate::tools::path("hcloud")?,
    };
    let versions = std::fs::read_to_string(Path::new(MODULE).join("versions.tf"))?;
    let version =
        versions.split_once("\"= ").and_then(|(_, rest)| rest.split_once('"')).context("no pinned version")?.0;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mirror = folder.join(".mirror");
    let package = mirror.join(format!("registry.opentofu.org/hetznercloud/hcloud/{version}/linux_{arch}"));
    std::fs::create_dir_all(&package)?;
    std::os::unix::fs::symlink(&provider, package.join(format!("terraform-provider-hcloud_v{version}")))?;
    let rc = folder.join(".tofurc");
    let text =
        format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n", mirror.display());
    std::fs::write(&rc, text)?;
    Ok(rc)
}
