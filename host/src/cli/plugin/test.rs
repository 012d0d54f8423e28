//! `catalyst plugin test`: what a component answers to a folder of requests, held against what it answered before.
//!
//! Beside `solo.json` lies `solo.expected/`: `findings.json`, and where there is a module `bundle.json` and `module/`.

mod snapshot;

use super::component::open_loaded;
use super::page::{Page, Tone};
use super::{Report, Usage, asked, example};
use crate::config::Config;
use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use snapshot::{Difference, Snapshot};
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = concat!(
    example!("catalyst plugin test acme.wasm cases --update", "catalyst plugin test acme.wasm cases"),
    "\nEach <case>.json is the body of a create; <case>.expected/ is what it came to: findings.json, bundle.json and \
     module/. A case without it, one that answers otherwise, and a folder without cases end with exit status 1 or, for \
     the last, 2.\n\
     JSON: verdict (pass or fail) and cases, each with name, outcome (same, written, missing, differs or failed), error and \
     differences (file, kind, diff).",
);

/// What an answer's folder is called after.
const EXPECTED: &str = "expected";
/// Lines of one difference that are shown; all of them stand in the JSON.
const SHOWN: usize = 120;

/// Arguments of `catalyst plugin test`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
    /// Folder of the requests.
    folder: PathBuf,
    /// Write what the component answers now, then read the diff of your repository.
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Same,
    Written,
    Missing,
    Differs,
    Failed,
}

#[derive(Debug, Serialize)]
struct Case {
    name: String,
    outcome: Outcome,
    /// Why the component gave no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    differences: Vec<Difference>,
}

pub(super) async fn test(config: &Config, arguments: &Arguments) -> anyhow::Result<Report> {
    let requests = requests(&arguments.folder)?;
    let component = open_loaded(config, &arguments.file).await?;
    let mut cases = Vec::new();
    for request in &requests {
        let name = request.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = request.with_extension(EXPECTED);
        let case = match asked::ask(&component.provider, request).await {
            Ok(answer) => settle(name, &folder, &Snapshot::of(&answer)?, arguments)?,
            Err(error) if error.is::<Usage>() => return Err(error),
            Err(error) => {
                Case { name, outcome: Outcome::Failed, error: Some(format!("{error:#}")), differences: Vec::new() }
            }
        };
        cases.push(case);
    }
    let good = cases.iter().all(|case| matches!(case.outcome, Outcome::Same | Outcome::Written));
    let json = json!({"verdict": if good { "pass" } else { "fail" }, "cases": cases});
    Ok(Report { page: page(&cases, good), json, good, aside: Page::default() })
}

/// The request files of a folder, by name.
fn requests(folder: &Path) -> Result<Vec<PathBuf>, Usage> {
    let named = |error: std::io::Error| Usage(format!("{}: {error}", folder.display()));
    let mut requests = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let path = entry.map_err(named)?.path();
        if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
            requests.push(path);
        }
    }
    if requests.is_empty() {
        return Err(Usage(format!("{}: has no request (*.json), so there is nothing to test", folder.display())));
    }
    requests.sort();
    Ok(requests)
}

fn settle(name: String, folder: &Path, now: &Snapshot, arguments: &Arguments) -> anyhow::Result<Case> {
    let before = Snapshot::read(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let differences = before.as_ref().map(|before| before.differences(now)).unwrap_or_default();
    let mut outcome = match &before {
        None => Outcome::Missing,
        Some(_) if differences.is_empty() => Outcome::Same,
        Some(_) => Outcome::Differs,
    };
    if arguments.update && outcome != Outcome::Same {
        now.write(folder).with_context(|| format!("cannot write {}", folder.display()))?;
        outcome = Outcome::Written;
    }
    Ok(Case { name, outcome, error: None, differences })
}

fn page(cases: &[Case], good: bool) -> Page {
    let mut page = Page::default();
    for case in cases {
        let (tone, word, detail) = match case.outcome {
            Outcome::Same => (Tone::Good, "same", ""),
            Outcome::Written => (Tone::Warn, "written", "read the difference before you keep it"),
            Outcome::Missing => (Tone::Bad, "missing", "nothing to compare with; --update writes it"),
            Outcome::Differs => (Tone::Bad, "differs", "--update takes the new answer"),
            Outcome::Failed => (Tone::Bad, "failed", case.error.as_deref().unwrap_or_default()),
        };
        page.verdict(tone, word, &case.name, detail);
        for difference in &case.differences {
            show(&mut page, difference);
        }
    }
    page.gap();
    let same = cases.iter().filter(|case| case.outcome == Outcome::Same).count();
    let tone = if good { Tone::Good } else { Tone::Bad };
    page.line(tone, &format!("{same} of {} cases are as they were", cases.len()));
    page
}

fn show(page: &mut Page, difference: &Difference) {
    page.line(Tone::Head, &format!("    {}: {}", difference.file, difference.kind.word()));
    for line in difference.diff.lines().take(SHOWN) {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Dim,
            _ => Tone::Plain,
        };
        page.line(tone, &format!("    {line}"));
    }
    let more = difference.diff.lines().count().saturating_sub(SHOWN);
    if more > 0 {
        page.line(Tone::Dim, &format!("    … {more} more lines; --json has all of them"));
    }
}
