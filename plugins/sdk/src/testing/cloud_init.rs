//! cloud-init's own schema and shellcheck as judges of user data.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The parts of a `#cloud-config` that tests look at.
#[derive(Debug, Clone, Deserialize)]
pub struct UserData {
    /// Files to write.
    pub write_files: Vec<WrittenFile>,
    /// Commands of every boot, before the files are written; each as a list of words or a line.
    #[serde(default)]
    pub bootcmd: Vec<serde_json::Value>,
    /// Commands of the first boot, after the files were written.
    #[serde(default)]
    pub runcmd: Vec<serde_json::Value>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// One file of `write_files`.
#[derive(Debug, Clone, Deserialize)]
pub struct WrittenFile {
    /// Absolute path.
    pub path: String,
    /// Octal digits.
    pub permissions: String,
    /// Text.
    pub content: String,
}

impl UserData {
    /// Reads user data.
    ///
    /// # Errors
    /// When it is no YAML of this form.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Texts of a test's own plugin: the parser's own bounds are enough. Modes such as 0644 stay text, as cloud-init's are.
        let options = serde_saphyr::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&WrittenFile> {
        self.write_files.iter().find(|file| file.path == path)
    }
}

/// Checks user data with `cloud-init schema`, and its scripts with `shellcheck`. Both must be installed.
///
/// # Errors
/// What the tool said, or that it is not there.
pub fn check_user_data(text: &str) -> Result<UserData, String> {
    let mut checked = check_all_user_data(std::slice::from_ref(&text.to_owned()))?;
    checked.pop().ok_or_else(|| "no user data was given".to_owned())
}

/// The same for many: every text against the schema, and each distinct script once.
///
/// # Errors
/// What the tool said, or that it is not there.
pub fn check_all_user_data(texts: &[String]) -> Result<Vec<UserData>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (first, second) = texts.split_at(texts.len() / 2);
    std::thread::scope(|threads| {
        let other = threads.spawn(|| check_schema(&folder.path().join("first"), first));
        check_schema(&folder.path().join("second"), second)?;
        other.join().map_err(|_| "the thread of the schema ended early".to_owned())?
    })?;
    let parsed: Vec<UserData> = texts.iter().map(|text| UserData::parse(text)).collect::<Result<_, _>>()?;
    let mut scripts = BTreeMap::new();
    for file in parsed.iter().flat_map(|user_data| &user_data.write_files) {
        // What another script reads in has no first line of its own, and says its shell to shellcheck.
        if ["#!", "# shellcheck shell="].iter().any(|start| file.content.starts_with(start)) {
            scripts.entry(&file.content).or_insert(&file.path);
        }
    }
    let mut shellcheck = Command::new("shellcheck");
    for (index, (content, path)) in scripts.iter().enumerate() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let script = folder.path().join(format!("{index}-{name}"));
        std::fs::write(&script, content).map_err(|error| error.to_string())?;
        shellcheck.arg(script);
    }
    if !scripts.is_empty() {
        run(&mut shellcheck, Path::new("a script, named with a number before it"))?;
    }
    Ok(parsed)
}

fn check_schema(path: &Path, texts: &[String]) -> Result<(), String> {
    for text in texts {
        std::fs::write(path, text).map_err(|error| error.to_string())?;
        run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(path), path)?;
    }
    Ok(())
}

fn run(command: &mut Command, about: &Path) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} must be installed for this test: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(format!("{program} refuses {}: {}", about.display(), String::from_utf8_lossy(&words)))
}
