//! `catalyst plugin render`: a component's module for one request, as files to read or to plan with plain OpenTofu.

use super::super::rehearse::empty_folder;
use super::super::render as shared;
use super::component::open_loaded;
use super::guest::GuestOutput;
use super::page::{Page, Tone, plain};
use super::{Report, Usage, asked, example};
use crate::config::Config;
use anyhow::Context as _;
use catalyst_domain::Finding;
use catalyst_domain::provider::{Bundle, Descriptor};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(super) const HELP: &str = concat!(
    example!(
        "catalyst plugin render acme.wasm --request cases/solo.json --out /tmp/solo",
        "tofu -chdir=/tmp/solo init"
    ),
    "\nBeside the module lies terraform.tfvars.json with what is known, and secrets.tfvars.example with a placeholder for \
     each secret. Findings go to standard error, with --json into the object alone; one that refuses the request \
     ends with exit status 1 and writes nothing.\n\
     JSON: folder, files, findings (pointer, code, message, severity), secretVariables, userData, warnings; refused is true \
     when there is no module.",
);

/// Where each variable that a secret fills is named.
const SECRETS: &str = "secrets.tfvars.example";

/// Arguments of `catalyst plugin render`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The body of a create, as JSON; `-` reads standard input. Secrets in it are left out.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Folder for the module; it must be empty or not be there.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) async fn render(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let component = open_loaded(config, &arguments.file, guest).await?;
    let descriptor = component.provider.descriptor();
    let answer = asked::ask(&component.provider, &arguments.request, guest).await?;
    let (mut page, aside) = (Page::default(), told(&answer.findings));
    let Some(bundle) = answer.bundle else {
        page.line(Tone::Bad, "the request is refused; nothing was written");
        let json = json!({"refused": true, "findings": answer.findings});
        return Ok(Report { page, json, good: false, aside });
    };
    let folder = empty_folder(&arguments.out).map_err(|error| Usage(format!("{error:#}")))?;
    shared::write(&folder, &bundle)?;
    write_secrets(&folder, &bundle, descriptor).with_context(|| format!("cannot write {SECRETS}"))?;
    show(&mut page, &bundle, &folder);
    let json = json!({
        "refused": false,
        "folder": folder,
        "files": bundle.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        "findings": answer.findings,
        "secretVariables": bundle.secret_variables,
        "userData": bundle.user_data,
        "warnings": bundle.warnings,
    });
    Ok(Report { page, json, good: true, aside })
}

fn show(page: &mut Page, bundle: &Bundle, folder: &Path) {
    page.line(Tone::Good, &format!("{} files are in {}", bundle.files.len() + 2, folder.display()));
    for file in &bundle.files {
        page.line(Tone::Plain, &format!("  {} ({} bytes)", file.path, file.content.len()));
    }
    for size in &bundle.user_data {
        page.field("user data", &format!("{}: at most {} of {} bytes", size.node, size.bytes, size.limit));
    }
}

fn told(findings: &[Finding]) -> Page {
    let mut page = Page::default();
    for finding in findings {
        let (word, tone) = if finding.is_error() { ("error", Tone::Bad) } else { ("warning", Tone::Warn) };
        page.line(tone, &format!("{word}: {}: {} ({})", finding.pointer, finding.message, finding.code));
    }
    page
}

fn write_secrets(folder: &Path, bundle: &Bundle, descriptor: &Descriptor) -> std::io::Result<()> {
    let mut text = String::from("# A value for each placeholder; OpenTofu's state will hold them.\n");
    for hole in &bundle.secret_variables {
        let label = descriptor.secrets.iter().find(|spec| spec.name == hole.secret).map_or("", |spec| &spec.label);
        // The names are identifiers, which the sandbox made sure of; the label is free text.
        let _ = writeln!(text, "{} = \"{{{{secret:{}}}}}\" # {}", hole.variable, hole.secret, plain(label));
    }
    let mut file = std::fs::File::options().write(true).create_new(true).open(folder.join(SECRETS))?;
    file.write_all(text.as_bytes())
}
