//! One answer as files: what is written, read back and compared.

use super::super::super::render::Answer;
use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use similar::TextDiff;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// Files by relative path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<String, Vec<u8>>);

/// One file that is not as it was.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Relative path.
    pub file: String,
    /// What became of it.
    pub kind: Kind,
    /// A unified diff; empty where a side is no text.
    pub diff: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Changed,
    Added,
    Removed,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Changed => "is another",
            Self::Added => "is new",
            Self::Removed => "is gone",
        }
    }
}

impl Snapshot {
    /// The files of an answer.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(super) fn of(answer: &Answer) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        files.insert("findings.json".to_owned(), pretty(&answer.findings)?);
        if let Some(bundle) = &answer.bundle {
            let modes: BTreeMap<&str, String> =
                bundle.files.iter().map(|file| (file.path.as_str(), format!("{:04o}", file.mode))).collect();
            let mut rest = json!({
                "variables": bundle.variables,
                "secretVariables": bundle.secret_variables,
                "deploymentIdVariable": bundle.deployment_id_variable,
                "userData": bundle.user_data,
                "warnings": bundle.warnings,
                "modes": modes,
            });
            // What contract 1.0 cannot say leaves no trace in the snapshots of its plugins.
            if let Some(variable) = &bundle.cluster_exists_variable {
                rest["clusterExistsVariable"] = json!(variable);
            }
            if !bundle.nodes.is_empty() {
                rest["nodes"] = json!(bundle.nodes);
            }
            files.insert("bundle.json".to_owned(), pretty(&rest)?);
            for file in &bundle.files {
                files.insert(format!("module/{}", file.path), file.content.clone());
            }
        }
        Ok(Self(files))
    }

    /// The files of a folder; none when there is no such folder.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        if !folder.try_exists()? {
            return Ok(None);
        }
        let mut files = BTreeMap::new();
        let mut left = vec![folder.to_owned()];
        while let Some(dir) = left.pop() {
            for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    left.push(path);
                } else {
                    let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                    files.insert(name, std::fs::read(&path).with_context(|| path.display().to_string())?);
                }
            }
        }
        Ok(Some(Self(files)))
    }

    /// Puts the files in the place of the folder. Everything is made anew, so a link in it leads nowhere.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        if folder.try_exists()? {
            std::fs::remove_dir_all(folder)?;
        }
        for (name, content) in &self.0 {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            let mut file = std::fs::File::options().write(true).create_new(true).open(&path)?;
            file.write_all(content).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// What is another in `now`.
    pub(super) fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut names: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.sort();
        names.dedup();
        names.into_iter().filter_map(|name| difference(name, self.0.get(name), now.0.get(name))).collect()
    }
}

fn difference(name: &str, before: Option<&Vec<u8>>, now: Option<&Vec<u8>>) -> Option<Difference> {
    if before == now {
        return None;
    }
    let kind = match (before, now) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        _ => Kind::Changed,
    };
    let text = |bytes: Option<&Vec<u8>>| bytes.map_or(Ok(""), |bytes| std::str::from_utf8(bytes)).map(str::to_owned);
    let diff = match (text(before), text(now)) {
        (Ok(before), Ok(now)) => TextDiff::from_lines(&before, &now).unified_diff().context_radius(CONTEXT).to_string(),
        _ => String::new(),
    };
    Some(Difference { file: name.to_owned(), kind, diff })
}

fn pretty<T: Serialize>(value: &T) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).context("an answer cannot be written as JSON")?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        Snapshot(files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let before = snapshot(&[("a", "1\n"), ("b", "x\n"), ("same", "s")]);
        let now = snapshot(&[("a", "2\n"), ("c", "y\n"), ("same", "s")]);
        let differences = before.differences(&now);
        let kinds: Vec<_> = differences.iter().map(|d| (d.file.as_str(), d.kind)).collect();
        assert_eq!(kinds, [("a", Kind::Changed), ("b", Kind::Removed), ("c", Kind::Added)]);
        assert!(differences[0].diff.contains("-1\n+2\n"), "{}", differences[0].diff);
        assert!(before.differences(&before).is_empty());
    }

    #[test]
    fn what_is_written_is_read_back_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (outside, inside) = (folder.path().join("outside"), folder.path().join("case.expected"));
        assert_eq!(Snapshot::read(&inside).unwrap(), None);
        std::fs::write(&outside, "mine").unwrap();
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("findings.json")).unwrap();
        let snapshot = snapshot(&[("findings.json", "[]\n"), ("module/files/a", "x")]);
        snapshot.write(&inside).unwrap();
        assert_eq!(Snapshot::read(&inside).unwrap(), Some(snapshot));
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "mine");
    }
}
