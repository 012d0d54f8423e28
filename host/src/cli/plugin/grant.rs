//! `catalyst plugin grant`: the lines of `plugins.lock` that let a component serve and its bundles do what it declares.
//!
//! It prints them for somebody to read, or puts them into a lock. It takes no right away: that is an editor's work.

use super::component::{Component, open_loaded};
use super::guest::GuestOutput;
use super::inspect::digest;
use super::page::{Page, Tone};
use super::{Report, Usage, example};
use crate::config::Config;
use anyhow::Context as _;
use catalyst_sandbox::grants::{self, Grant, GrantLine, Rights};
use catalyst_sandbox::{LOCK_FILE, check_lock};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = concat!(
    example!(
        "catalyst plugin grant /plugins/acme.wasm",
        "catalyst plugin grant /plugins/*.wasm --write",
        "catalyst plugin grant /plugins/old.wasm --write \\",
        "    --argument 'acme/acme token secret:cloud-token'",
    ),
    "\nFrom the first grant of a lock on, every plugin that serves needs its own, so the first time all files are named at once.\n\
     With --write the lock also gets the line `grant * nothing`: a file without a grant of its own may do nothing.\n\
     A component of contract 1.0 cannot say which arguments its module sets in its providers' blocks: name each by --argument.\n\
     JSON: lock (null where nothing was written), files (name, digest, grants).",
);

/// Arguments of `catalyst plugin grant`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The components, under the names by which they serve.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Put the lines into the plugins.lock beside the components, in place of their pins there and beside their grants.
    #[arg(long)]
    write: bool,
    /// A further argument that the bundle of the component may set: provider, argument and source as in `plugins.lock`, where the
    /// source is secret:NAME, request:KEY, fixed, address or address:KEY.
    #[arg(long, value_name = "GRANT")]
    argument: Vec<String>,
    /// A further host that runs may reach. NAME=IP:PORT leads a name to that address. A name, or a suffix such as .example.org, counts
    /// for a component of contract 1.0 alone: one of a later contract reaches no name that it does not declare in `api-hosts`.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

/// What one component gets.
struct Lines {
    file: String,
    digest: String,
    grants: BTreeSet<Grant>,
}

pub(super) async fn grant(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let more = further(arguments)?;
    let mut all = Vec::new();
    let mut aside = Page::default();
    for file in &arguments.files {
        let component = open_loaded(config, file, guest).await?;
        if !more.iter().any(|grant| matches!(grant, Grant::Argument { .. })) {
            remark(&component, file, &mut aside);
        }
        let mut grants = grants::wanted(component.provider.descriptor());
        grants.extend(more.iter().cloned());
        warn_of_hosts(&component, file, &grants, &mut aside);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push(Lines { file: name, digest: digest(&component.provider), grants });
    }
    let lock = arguments.write.then(|| write(&arguments.files, &all)).transpose()?;
    let mut page = Page::default();
    match &lock {
        Some(lock) => page.line(Tone::Good, &format!("{} has the grants of {}", lock.display(), names(&all))),
        None => all.iter().flat_map(Lines::text).for_each(|line| page.line(Tone::Plain, &line)),
    }
    let file = |lines: &Lines| {
        let grants: Vec<String> = lines.grants.iter().map(ToString::to_string).collect();
        json!({"file": lines.file, "digest": lines.digest, "grants": grants})
    };
    let files: Vec<_> = all.iter().map(file).collect();
    Ok(Report { page, json: json!({"lock": lock, "files": files}), good: true, aside })
}

fn further(arguments: &Arguments) -> Result<BTreeSet<Grant>, Usage> {
    let read = |option: &str, kind: &str, text: &String| {
        format!("{kind} {text}").parse().map_err(|error| Usage(format!("--{option} {text}: {error}")))
    };
    let named = arguments.argument.iter().map(|text| read("argument", "argument", text));
    named.chain(arguments.host.iter().map(|text| read("host", "host", text))).collect()
}

/// What the operator has to say in the place of a component of 1.0.
fn remark(component: &Component, file: &Path, aside: &mut Page) {
    let silent = component.provider.descriptor().tofu_providers.iter().filter(|provider| provider.settings.is_none());
    let sources: Vec<&str> = silent.map(|provider| provider.source.as_str()).collect();
    if !sources.is_empty() {
        let text = format!(
            "{}: contract {} cannot say which arguments the module sets for {}; with a grant it may set none that --argument does not name",
            file.display(),
            component.provider.interface_version(),
            sources.join(", ")
        );
        aside.line(Tone::Warn, &text);
    }
}

/// Names the hosts that are granted to a component which could declare them and does not.
fn warn_of_hosts(component: &Component, file: &Path, grants: &BTreeSet<Grant>, aside: &mut Page) {
    let rights = Rights::granted(component.provider.descriptor(), grants.clone());
    for host in rights.hosts_without_effect() {
        let text = format!(
            "{}: the grant of {host} has no effect, because the component does not declare it in api-hosts; use \
             NAME=IP:PORT, or name a URL of it by CATALYST_TOFU_PASS_ENV",
            file.display(),
            host = host.pattern
        );
        aside.line(Tone::Warn, &text);
    }
}

impl Lines {
    fn text(&self) -> Vec<String> {
        let pin = format!("{}  {}", self.digest, self.file);
        let grants = GrantLine::of_file(&self.file, self.grants.iter().cloned());
        [pin].into_iter().chain(grants.iter().map(ToString::to_string)).collect()
    }
}

fn names(all: &[Lines]) -> String {
    all.iter().map(|lines| lines.file.as_str()).collect::<Vec<_>>().join(", ")
}

/// Puts the lines into the lock of the folder that all files are in.
fn write(files: &[PathBuf], all: &[Lines]) -> anyhow::Result<PathBuf> {
    let folder_of = |file: &Path| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let folder = folder_of(files.first().context("no component is named")?);
    if files.iter().any(|file| folder_of(file) != folder) {
        return Err(Usage("--write: the components are not in one folder, which has the lock".to_owned()).into());
    }
    let path = folder.join(LOCK_FILE);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = merged(&before, all)?;
    check_lock(&text).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
    let mut new =
        tempfile::NamedTempFile::new_in(&folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    new.write_all(text.as_bytes()).context("cannot write the lock")?;
    new.as_file().sync_all().context("cannot write the lock")?;
    let mode =
        std::fs::metadata(&path).map_or(0o644, |known| std::os::unix::fs::PermissionsExt::mode(&known.permissions()));
    let rights = std::os::unix::fs::PermissionsExt::from_mode(mode);
    new.as_file().set_permissions(rights).context("cannot write the lock")?;
    new.persist(&path).with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(path)
}

/// The lock with these lines in it. Remarks, providers, other files, and grants that are there stay.
fn merged(before: &str, all: &[Lines]) -> Result<String, Usage> {
    let bare = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let pin_of = |line: &str| {
        bare(line).strip_prefix("sha256:").and_then(|pin| Some(pin.split_once([' ', '\t'])?.1.trim().to_owned()))
    };
    let is_ours = |name: &str| all.iter().any(|lines| lines.file == name);
    if !before.lines().any(|line| GrantLine::is_meant(&bare(line))) {
        let others: Vec<String> = before.lines().filter_map(pin_of).filter(|name| !is_ours(name)).collect();
        if !others.is_empty() {
            return Err(Usage(format!(
                "--write: {LOCK_FILE} has no grants yet, and from the first on every plugin needs its own: name {} as well",
                others.join(", ")
            )));
        }
    }
    let mut text: String = before
        .lines()
        .filter(|line| !pin_of(line).is_some_and(|name| is_ours(&name)))
        .map(|line| format!("{line}\n"))
        .collect();
    let there: BTreeSet<String> =
        before.lines().map(|line| bare(line).split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    // So that a list from which the last grant is taken out grants nothing, also at the next start.
    let others = [GrantLine::others_nothing()];
    for line in others.into_iter().chain(all.iter().flat_map(Lines::text)).filter(|line| !there.contains(line)) {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, grants: &[&str]) -> Lines {
        let grants = grants.iter().map(|line| line.parse().unwrap()).collect();
        Lines { file: file.to_owned(), digest: format!("sha256:{}", "ab".repeat(32)), grants }
    }

    #[test]
    fn lines_are_put_in_once_and_nothing_else_is_lost() {
        let one = [lines("a.wasm", &["host api.a.example", "argument a/a token secret:t"])];
        let first = merged("# ours\nprovider a/a\n", &one).unwrap();
        let pin = format!("sha256:{}  a.wasm", "ab".repeat(32));
        let expect = format!(
            "# ours\nprovider a/a\ngrant * nothing\n{pin}\ngrant a.wasm argument a/a token secret:t\ngrant a.wasm host api.a.example\n"
        );
        assert_eq!(first, expect);
        assert!(check_lock(&first).is_ok());
        let again = merged(&first.replace("sha256:ab", "sha256:00"), &one).unwrap();
        assert_eq!(again.matches("a.wasm\n").count(), 1, "the pin is replaced: {again}");
        assert_eq!(again.matches("grant a.wasm host").count(), 1);
        let wider = merged(&format!("{first}grant a.wasm host more.example\n"), &one).unwrap();
        assert!(wider.contains("more.example"), "no right is taken away");
        assert_eq!(lines("b.wasm", &[]).text()[1], "grant b.wasm nothing");
    }

    #[test]
    fn the_first_grant_of_a_lock_is_not_written_while_others_would_end_by_it() {
        let before = format!("sha256:{}  b.wasm\n", "cd".repeat(32));
        let refused = merged(&before, &[lines("a.wasm", &[])]).unwrap_err().0;
        assert!(refused.contains("name b.wasm as well"), "{refused}");
        let both = [lines("a.wasm", &[]), lines("b.wasm", &[])];
        let text = merged(&before, &both).unwrap();
        assert!(merged(&text, &both[..1]).is_ok(), "from then on one at a time");
    }
}
