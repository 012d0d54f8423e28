//! What a create would do, without doing it: no id, no record, no secret kept. The bundle holds none; what is secret in it
//! is a hole with a name.

use super::Driver;
use super::create::CreateFault;
use super::examine::Examined;
use super::render::{RenderFault, Rendered};
use super::secrets::complete;
use crate::limits::Subject;
use catalyst_domain::compare::{Consequence, Files, consequences};
use catalyst_domain::provider::{Bundle, Estimate};
use catalyst_domain::record::ProviderRef;
use catalyst_domain::{DeploymentId, Finding, Record};
use serde_json::Value;
use similar::TextDiff;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Lines around a change.
const CONTEXT: usize = 3;
/// How long the differ may look for the smallest diff of one file; after that it gives a larger one.
const DIFF_TIME: Duration = Duration::from_millis(200);

/// Why there is no preview.
#[derive(Debug)]
pub enum PreviewFault {
    /// As for a create.
    Create(CreateFault),
    /// There is no deployment to compare with.
    Unknown,
    /// The deployment to compare with has no bundle yet.
    NothingRendered,
    /// Its bundle cannot be read.
    Storage(catalyst_store::StorageError),
}

/// What a create would do.
pub struct Preview {
    /// Which plugin would render it.
    pub provider: ProviderRef,
    /// Errors and warnings, in the contract's order.
    pub findings: Vec<Finding>,
    /// What would be applied; `None` when a finding is an error.
    pub render: Option<PreviewedRender>,
    /// Compared with a deployment, where that was asked for.
    pub against: Option<Comparison>,
}

/// A render that nobody applies.
pub struct PreviewedRender {
    /// Files, variables, holes.
    pub bundle: Bundle,
    /// SHA-256 of the bundle, as hex; what `expectedRenderDigest` of a create is compared with.
    pub digest: String,
    /// Monthly cost, or why it is not known.
    pub estimate: Result<Estimate, String>,
}

/// How a render differs from the kept one of a deployment.
pub struct Comparison {
    /// The deployment.
    pub id: DeploymentId,
    /// Digest of its kept bundle.
    pub digest: String,
    /// Files of either side, sorted.
    pub files: Vec<FileDiff>,
    /// Variables that differ: name, before, after.
    pub variables: Vec<(String, Option<Value>, Option<Value>)>,
    /// What it means for servers that are there.
    pub consequences: Vec<Consequence>,
}

/// One file of either side.
pub struct FileDiff {
    /// Path in the bundle.
    pub path: String,
    /// `added`, `removed`, `changed` or `same`.
    pub change: &'static str,
    /// Unified diff; `None` for equal files and for those that are no text.
    pub unified: Option<String>,
}

impl Driver {
    /// Previews a create of `body`, compared with the kept bundle of `against`.
    ///
    /// # Errors
    /// [`PreviewFault`].
    pub async fn preview(
        &self,
        subject: &Subject,
        body: &[u8],
        against: Option<&DeploymentId>,
    ) -> Result<Preview, PreviewFault> {
        // A plugin makes so many calls at once, and one subject must not have them all.
        let _lane = self.previews.enter(subject).await;
        let kept = match against {
            Some(id) => Some(self.kept(id).await?),
            None => None,
        };
        let Examined { provider, request, mut secrets, mut findings } =
            self.examine_body(body).await.map_err(PreviewFault::Create)?;
        let descriptor = provider.descriptor();
        let who = ProviderRef {
            id: descriptor.id.clone(),
            version: descriptor.version.clone(),
            digest: provider.digest().to_owned(),
        };
        let refused = |findings| Preview { provider: who.clone(), findings, render: None, against: None };
        if findings.iter().any(Finding::is_error) {
            return Ok(refused(findings));
        }
        // So that the plugin is told of the same names as in a run; the values end with this call.
        complete(&mut secrets, descriptor, &self.settings).map_err(|fault| PreviewFault::Create(fault.into()))?;
        let Rendered { bundle, digest, .. } = match self.render(&provider, &request, &secrets).await {
            Ok(rendered) => rendered,
            Err(RenderFault::Findings(more)) => {
                findings.extend(more);
                return Ok(refused(findings));
            }
            Err(RenderFault::Provider(why)) => return Err(PreviewFault::Create(CreateFault::Provider(why))),
        };
        let estimate = provider.estimate(&request).await.unwrap_or_else(|error| Err(error.to_string()));
        let against = kept.map(|(record, before, before_digest)| {
            let files = diff(&before, &bundle);
            let differ = files.iter().any(|file| file.change != "same");
            let differ = if differ { Files::Differ } else { Files::Same };
            let providers = (record.provider_id().unwrap_or_default(), who.id.as_str());
            Comparison {
                id: record.id.clone(),
                digest: before_digest,
                files,
                variables: changed_variables(&before, &bundle),
                consequences: consequences(&record.request, &request, providers, differ),
            }
        });
        Ok(Preview { provider: who, findings, render: Some(PreviewedRender { bundle, digest, estimate }), against })
    }

    async fn kept(&self, id: &DeploymentId) -> Result<(Arc<Record>, Bundle, String), PreviewFault> {
        let record = self.store.get(id).ok_or(PreviewFault::Unknown)?;
        let bytes = self.store.bundle(id).await.map_err(PreviewFault::Storage)?;
        let bytes = bytes.ok_or(PreviewFault::NothingRendered)?;
        let bundle = serde_json::from_slice(&bytes).map_err(|_| PreviewFault::NothingRendered)?;
        Ok((record, bundle, catalyst_domain::kubeconfig::sha256_hex(&bytes)))
    }
}

fn diff(before: &Bundle, after: &Bundle) -> Vec<FileDiff> {
    let paths: BTreeSet<&str> = before.files.iter().chain(&after.files).map(|file| file.path.as_str()).collect();
    let content = |bundle: &'_ Bundle, path: &str| {
        bundle.files.iter().find(|file| file.path == path).map(|file| file.content.clone())
    };
    let one = |path: &str| {
        let (old, new) = (content(before, path), content(after, path));
        let change = match (&old, &new) {
            (None, _) => "added",
            (_, None) => "removed",
            (old, new) if old == new => "same",
            _ => "changed",
        };
        let text = |content: &Option<Vec<u8>>| String::from_utf8(content.clone().unwrap_or_default()).ok();
        let unified = match (change, text(&old), text(&new)) {
            ("same", ..) | (_, None, _) | (_, _, None) => None,
            (_, Some(old), Some(new)) => Some(unified(path, change, &old, &new)),
        };
        FileDiff { path: path.to_owned(), change, unified }
    };
    paths.into_iter().map(one).collect()
}

fn unified(path: &str, change: &str, old: &str, new: &str) -> String {
    let side = |letter: &str, absent: &str| {
        if change == absent { "/dev/null".to_owned() } else { format!("{letter}/{path}") }
    };
    let diff = TextDiff::configure().timeout(DIFF_TIME).diff_lines(old, new);
    diff.unified_diff().context_radius(CONTEXT).header(&side("a", "added"), &side("b", "removed")).to_string()
}

fn changed_variables(before: &Bundle, after: &Bundle) -> Vec<(String, Option<Value>, Option<Value>)> {
    let names: BTreeSet<&String> = before.variables.keys().chain(after.variables.keys()).collect();
    let pair = |name: &String| (name.clone(), before.variables.get(name).cloned(), after.variables.get(name).cloned());
    names.into_iter().map(pair).filter(|(_, before, after)| before != after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalyst_domain::provider::BundleFile;

    fn bundle(files: &[(&str, &[u8])]) -> Bundle {
        let file = |(path, content): &(&str, &[u8])| BundleFile {
            path: (*path).to_owned(),
            mode: 0o600,
            content: content.to_vec(),
        };
        Bundle {
            files: files.iter().map(file).collect(),
            variables: serde_json::Map::new(),
            secret_variables: Vec::new(),
            deployment_id_variable: None,
            cluster_exists_variable: None,
            nodes: Vec::new(),
            user_data: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn files_are_compared_one_by_one() {
        let before = bundle(&[("a.tf", b"1\n2\n3\n"), ("gone.tf", b"x\n"), ("same.tf", b"s\n"), ("raw", b"\xff")]);
        let after = bundle(&[("a.tf", b"1\nzwei\n3\n"), ("new.tf", b"y\n"), ("same.tf", b"s\n"), ("raw", b"\xfe")]);
        let all = diff(&before, &after);
        let short: Vec<(&str, &str)> = all.iter().map(|file| (file.path.as_str(), file.change)).collect();
        let expect =
            [("a.tf", "changed"), ("gone.tf", "removed"), ("new.tf", "added"), ("raw", "changed"), ("same.tf", "same")];
        assert_eq!(short, expect);
        assert_eq!(all[0].unified.as_deref(), Some("--- a/a.tf\n+++ b/a.tf\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n"));
        assert_eq!(all[2].unified.as_deref(), Some("--- /dev/null\n+++ b/new.tf\n@@ -0,0 +1 @@\n+y\n"));
        assert!(all[3].unified.is_none() && all[4].unified.is_none());
    }
}
