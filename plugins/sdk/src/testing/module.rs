//! A module of `infra/` as the judge of variables, and its README against what it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tofu_binary;

/// A folder with a module and its README.
#[derive(Debug, Clone)]
pub struct Module {
    folder: PathBuf,
}

impl Module {
    /// The module in a folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Text of one of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, name: &str) -> Result<String, String> {
        let path = self.folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Plans the variables alone: no resource, so no provider, but every validation.
    ///
    /// # Errors
    /// OpenTofu's words.
    pub fn accepts(&self, variables: &Value) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(words)?;
        std::fs::write(folder.path().join("variables.tf"), self.file("variables.tf")?).map_err(words)?;
        std::fs::write(folder.path().join("terraform.tfvars.json"), variables.to_string()).map_err(words)?;
        let mut plan = Command::new(tofu_binary());
        plan.args(["plan", "-input=false", "-no-color", "-compact-warnings"]).current_dir(folder.path());
        let output = plan.output().map_err(words)?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Rows of the table below a heading of the README: cells, without the head.
    ///
    /// # Errors
    /// When there is no such heading.
    pub fn table(&self, heading: &str) -> Result<Vec<Vec<String>>, String> {
        let readme = self.file("README.md")?;
        let section = readme.split_once(&format!("## {heading}\n")).ok_or_else(|| format!("no heading {heading}"))?.1;
        let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
        let lines = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows = lines.take_while(|line| line.starts_with('|'));
        Ok(rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect())
    }

    /// Names between backquotes in the first column of a table.
    ///
    /// # Errors
    /// When there is no such heading, or a name stands twice.
    pub fn listed(&self, heading: &str) -> Result<BTreeSet<String>, String> {
        let mut names = BTreeSet::new();
        for row in self.table(heading)? {
            for name in quoted(row.first().map_or("", String::as_str)) {
                if !names.insert(name.trim_end_matches("[n]").trim_end_matches("[…]").to_owned()) {
                    return Err(format!("{heading}: {name} stands twice"));
                }
            }
        }
        Ok(names)
    }

    /// Blocks of a kind in all of the module's files, by their labels with dots between, each with its text.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn blocks(&self, kind: &str) -> Result<BTreeMap<String, String>, String> {
        let entries = std::fs::read_dir(&self.folder).map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(|error| error.to_string())?.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_none_or(|extension| extension != "tf") {
                continue;
            }
            // The first block of a file has no line before it.
            let text = format!("\n{}", self.file(&name)?);
            for block in text.split(&format!("\n{kind} \"")).skip(1) {
                let Some((labels, body)) = block.split_once(" {\n") else { continue };
                let body = body.split_once("\n}").map_or(body, |(body, _)| body);
                found.insert(labels.replace("\" \"", ".").trim_matches('"').to_owned(), body.to_owned());
            }
        }
        Ok(found)
    }

    /// What the README's table of variables says otherwise than the module: names, defaults, which are required and which
    /// sensitive.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn wrong_variables(&self) -> Result<Vec<String>, String> {
        let variables = self.blocks("variable")?;
        let mut wrong = Vec::new();
        for row in self.table("Variables")? {
            let (names, default) = (row.first().map_or("", String::as_str), row.get(1).map_or("", String::as_str));
            for name in quoted(names) {
                let Some(block) = variables.get(name) else {
                    wrong.push(format!("the module has no variable {name}"));
                    continue;
                };
                let own = attribute(block, "default");
                let said = quoted(default).first().map(|said| (*said).to_owned());
                let same = match (&own, &said) {
                    (None, _) => default.contains("required"),
                    (Some(own), Some(said)) => own == said || *own == format!("\"{said}\""),
                    (Some(_), None) => false,
                };
                let sensitive = attribute(block, "sensitive").as_deref() == Some("true");
                if !same || default.contains("sensitive") != sensitive {
                    wrong.push(format!("{name}: `{default}` for {own:?}"));
                }
            }
        }
        let listed = self.listed("Variables")?;
        wrong.extend(
            variables.into_keys().filter(|name| !listed.contains(name)).map(|name| format!("{name} is not listed")),
        );
        Ok(wrong)
    }
}

/// What stands between backquotes.
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn attribute(block: &str, name: &str) -> Option<String> {
    let line = block.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")))?;
    line.split_once("= ").map(|(_, value)| value.to_owned())
}
