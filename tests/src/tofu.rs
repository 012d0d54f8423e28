//! Runs a module of `infra/` with the real OpenTofu and its cloud's own provider, in a folder of its own. Where the cloud is,
//! and which binary speaks to it, the cloud's own room says ([`Site`]).

use anyhow::{Context as _, ensure};
use catalyst_plugin_sdk::Rendered;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run has to know of its cloud.
pub struct Site {
    /// The module in the repository.
    pub module: &'static str,
    /// Source address of the provider.
    pub provider: &'static str,
    /// The provider's binary.
    pub binary: PathBuf,
    /// Environment of OpenTofu: where the API is.
    pub env: Vec<(String, String)>,
    /// Variables that a host would fill with the request's secrets, and further ones that only a site knows.
    pub secrets: Vec<(&'static str, String)>,
}

/// A cloud that a run can talk to.
pub trait Reached {
    /// How.
    ///
    /// # Errors
    /// When the provider cannot be got.
    fn site(&self) -> anyhow::Result<Site>;
}

/// A variable that says where the suite runs; blank is not given.
#[expect(clippy::disallowed_methods, reason = "tests have no config.rs; these say where the suite runs")]
pub fn given(name: &str) -> Option<String> {
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
    pub fn of_bundle(bundle: &Rendered, cloud: &impl Reached, deployment: &str) -> anyhow::Result<Self> {
        let (mut work, site) = Self::empty(cloud)?;
        for file in &bundle.files {
            std::fs::write(work.path().join(&file.path), &file.content)?;
        }
        std::fs::write(work.path().join("catalyst.auto.tfvars.json"), &bundle.variables)?;
        for secret in &bundle.secret_variables {
            let own = site.secrets.iter().find(|(variable, _)| *variable == secret.variable);
            let value = own.map_or_else(|| secret_value(&secret.variable), |(_, value)| value.clone());
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
    pub fn standalone(cloud: &impl Reached) -> anyhow::Result<Self> {
        Self::of_folder(Path::new(cloud.site()?.module), cloud)
    }

    /// The module as it lies in a folder, with its variables where they are there too.
    ///
    /// # Errors
    /// When the folder cannot be copied or the provider cannot be got.
    pub fn of_folder(folder: &Path, cloud: &impl Reached) -> anyhow::Result<Self> {
        let (mut work, site) = Self::empty(cloud)?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default();
            if extension == "tf" || extension == "tftpl" || extension == "json" {
                std::fs::copy(&path, work.path().join(path.file_name().context("a file without a name")?))?;
            }
        }
        for (variable, value) in &site.secrets {
            work.set(variable, value);
        }
        Ok(work)
    }

    fn empty(cloud: &impl Reached) -> anyhow::Result<(Self, Site)> {
        let site = cloud.site()?;
        let folder = tempfile::tempdir()?;
        let rc = mirror(folder.path(), &site)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env = vec![
            ("TF_CLI_CONFIG_FILE".to_owned(), text(&rc)),
            ("TF_IN_AUTOMATION".to_owned(), "1".to_owned()),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text(folder.path())),
        ];
        env.extend(site.env.iter().cloned());
        Ok((Self { folder, env }, site))
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

    /// The same, and these resource instances are replaced, whatever else is planned.
    pub fn plan_replacing(&self, addresses: &[&str]) -> Said {
        let replace: Vec<String> = addresses.iter().map(|address| format!("-replace={address}")).collect();
        let mut args = vec!["plan", "-json", "-input=false", "-out=plan.bin"];
        args.extend(replace.iter().map(String::as_str));
        self.json(&args)
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

/// The version that a module pins its provider to.
///
/// # Errors
/// When it pins none.
pub fn pinned(module: &str) -> anyhow::Result<String> {
    let versions = std::fs::read_to_string(Path::new(module).join("versions.tf"))?;
    let pin = versions.split_once("\"= ").and_then(|(_, rest)| rest.split_once('"')).context("no pinned version")?;
    Ok(pin.0.to_owned())
}

/// A mirror with the one provider, as a site without a registry would have it. Returns the configuration file.
fn mirror(folder: &Path, site: &Site) -> anyhow::Result<PathBuf> {
    let version = pinned(site.module)?;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mirror = folder.join(".mirror");
    let package = mirror.join(format!("registry.opentofu.org/{}/{version}/linux_{arch}", site.provider));
    std::fs::create_dir_all(&package)?;
    let name = site.provider.rsplit('/').next().unwrap_or_default();
    std::os::unix::fs::symlink(&site.binary, package.join(format!("terraform-provider-{name}_v{version}")))?;
    let rc = folder.join(".tofurc");
    let text =
        format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n", mirror.display());
    std::fs::write(&rc, text)?;
    Ok(rc)
}
