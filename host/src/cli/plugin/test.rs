//! `catalyst plugin test`: what a component answers to a folder of requests, held against what it answered before.
//!
//! Beside `solo.json` lies `solo.expected/`: `findings.json`, and where there is a module `bundle.json` and `module/`.

mod snapshot;

use super::component::open_loaded;
use super::guest::GuestOutput;
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
     --update writes what the component answers now: new cases are added, and answers that differ are replaced. It ends with 0 \
     unless a case has no answer; the difference is shown, and that of your repository is to be read before it is committed.\n\
     JSON: verdict (pass or fail) and cases, each with name, outcome (same, written, updated, missing, differs or failed), error \
     and differences (file, kind, diff).",
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
    /// Write what the component answers now: add what is missing, and replace what differs.
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It answers as before.
    Same,
    /// There was nothing to compare with, and now there is.
    Written,
    /// It answered otherwise before, and the new answer took the place of that.
    Updated,
    /// There is nothing to compare with.
    Missing,
    /// It answered otherwise before.
    Differs,
    /// It gave no answer.
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

pub(super) async fn test(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let requests = requests(&arguments.folder)?;
    let component = open_loaded(config, &arguments.file, guest).await?;
    let mut cases = Vec::new();
    for request in &requests {
        let name = request.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = request.with_extension(EXPECTED);
        let case = match asked::ask(&component.provider, request, guest).await {
            Ok(answer) => settle(name, &folder, &Snapshot::of(&answer)?, arguments)?,
            Err(error) if error.is::<Usage>() => return Err(error),
            Err(error) => {
                Case { name, outcome: Outcome::Failed, error: Some(format!("{error:#}")), differences: Vec::new() }
            }
        };
        cases.push(case);
    }
    let good = cases.iter().all(|case| matches!(case.outcome, Outcome::Same | Outcome::Written | Outcome::Updated));
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
        outcome = if before.is_none() { Outcome::Written } else { Outcome::Updated };
    }
    Ok(Case { name, outcome, error: None, differences })
}

fn page(cases: &[Case], good: bool) -> Page {
    let mut page = Page::default();
    for case in cases {
        let (tone, word, detail) = match case.outcome {
            Outcome::Same => (Tone::Good, "same", ""),
            Outcome::Written => (Tone::Good, "written", "the first answer of this case; look at it, then commit it"),
            Outcome::Updated => {
                (Tone::Warn, "updated", "the new answer took the old one's place; the difference is below")
            }
            Outcome::Missing => (Tone::Bad, "missing", "nothing to compare with; --update writes the answer"),
            Outcome::Differs => (Tone::Bad, "differs", "--update puts the new answer in the old one's place"),
            Outcome::Failed => (Tone::Bad, "failed", case.error.as_deref().unwrap_or_default()),
        };
        page.verdict(tone, word, &case.name, detail);
        for difference in &case.differences {
            show(&mut page, difference);
        }
    }
    page.gap();
    page.line(if good { Tone::Good } else { Tone::Bad }, &summary(cases));
    page
}

/// How many cases came to what; what did not happen is left out, but for those that are as they were.
fn summary(cases: &[Case]) -> String {
    let count = |outcome: Outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let mut words = vec![format!("{} of {} cases are as they were", count(Outcome::Same), cases.len())];
    for (outcome, what) in [
        (Outcome::Written, "written for the first time"),
        (Outcome::Updated, "updated"),
        (Outcome::Missing, "with nothing to compare with"),
        (Outcome::Differs, "different"),
        (Outcome::Failed, "without an answer"),
    ] {
        let number = count(outcome);
        words.extend((number > 0).then(|| format!("{number} {what}")));
    }
    words.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn case(outcome: Outcome) -> Case {
        Case { name: "a".to_owned(), outcome, error: None, differences: Vec::new() }
    }

    #[test]
    fn the_last_line_says_what_became_of_the_cases() {
        let all = [Outcome::Same, Outcome::Written, Outcome::Written, Outcome::Updated].map(case);
        let words = "1 of 4 cases are as they were, 2 written for the first time, 1 updated";
        assert_eq!(summary(&all), words);
        assert_eq!(summary(&[case(Outcome::Same)]), "1 of 1 cases are as they were");
        let bad = [Outcome::Missing, Outcome::Differs, Outcome::Failed].map(case);
        let words = "0 of 3 cases are as they were, 1 with nothing to compare with, 1 different, 1 without an answer";
        assert_eq!(summary(&bad), words);
    }
}
