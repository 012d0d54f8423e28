//! `catalyst plugin check`: loads a component as a host would, makes requests from what it says of itself, makes every
//! call in two sandboxes, and holds all answers to the rules. No cloud is asked, and no request of a person is needed.

mod files;
mod ledger;
mod rules;
mod samples;
mod twins;

use super::component::{Component, Opened, open};
use super::page::{Page, Tone};
use super::permissions::Permissions;
use super::{Report, asked, example, inspect};
use crate::config::Config;
use catalyst_domain::Request;
use catalyst_domain::provider::Descriptor;
use ledger::{Ledger, Line, Rule, Verdict};
use samples::Sample;
use serde_json::{Value, json};
use std::path::PathBuf;
use twins::Twins;

pub(super) const HELP: &str = concat!(
    example!("catalyst plugin check acme.wasm", "catalyst plugin check acme.wasm --request cases/solo.json --json"),
    "\nA rule passes, fails with its reasons, or was not run because there was nothing to hold to it.\n\
     JSON: file, verdict (pass or fail), rules (rule, verdict, meaning, held, reasons), and of a component that loads: id, \
     version, interface, digest, bytes, calls, slowestCallMilliseconds, permissions.",
);

/// Arguments of `catalyst plugin check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
    /// A request that must be accepted, instead of those made from the catalogue and the settings schema.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
}

pub(super) async fn check(config: &Config, arguments: &Arguments) -> anyhow::Result<Report> {
    let mut ledger = Ledger::default();
    let mut pair = Vec::new();
    for _ in 0..2 {
        match open(config, &arguments.file).await? {
            Opened::Loaded(component) => pair.push(component),
            // Not tried twice: a component may be refused because its compiler ran out of time.
            Opened::Refused(why) => {
                ledger.hold(Rule::Load, Err(format!("it {why}")));
                return Ok(unloaded(arguments, ledger));
            }
        }
    }
    let [component, twin] = <[Component; 2]>::try_from(pair).map_err(|_| anyhow::anyhow!("two loads gave not two"))?;
    ledger.hold(Rule::Load, Ok(()));
    let same = component.provider.descriptor() == twin.provider.descriptor();
    ledger.expect(Rule::Deterministic, same, || "describe: two calls gave two answers".to_owned());
    let given = given(arguments, &component)?;
    let mut twins = Twins::new(component.provider.clone(), twin.provider, ledger);
    rules::walk(&mut twins, given).await;
    Ok(report(arguments, &component, twins))
}

/// A plain request of a component's first region.
pub(super) fn default_request(descriptor: &Descriptor) -> Request {
    samples::default_request(descriptor)
}

fn given(arguments: &Arguments, component: &Component) -> anyhow::Result<Option<Sample>> {
    let Some(file) = &arguments.request else { return Ok(None) };
    let descriptor = component.provider.descriptor();
    let (request, _, _) = asked::read(file, descriptor)?.split(descriptor, &[]);
    Ok(Some(Sample { name: file.display().to_string(), request }))
}

fn unloaded(arguments: &Arguments, ledger: Ledger) -> Report {
    let mut page = Page::default();
    page.line(Tone::Head, &arguments.file.display().to_string());
    let lines = ledger.into_lines();
    list(&mut page, &lines);
    page.gap();
    page.line(Tone::Bad, "fail: a host would not load it");
    Report {
        page,
        json: json!({"file": arguments.file, "verdict": "fail", "rules": lines}),
        good: false,
        aside: Page::default(),
    }
}

fn report(arguments: &Arguments, component: &Component, twins: Twins) -> Report {
    let (provider, descriptor) = (&component.provider, component.provider.descriptor());
    let permissions = Permissions::of(provider);
    let good = twins.ledger.is_good();
    let milliseconds = twins.slowest.0.as_secs_f64() * 1000.0;
    let lines = twins.ledger.into_lines();
    let mut page = Page::default();
    inspect::identity(&mut page, component);
    page.gap();
    permissions.show(&mut page);
    page.gap();
    page.line(Tone::Head, "Rules");
    list(&mut page, &lines);
    page.gap();
    page.line(
        Tone::Dim,
        &format!("{} calls; the slowest took {milliseconds:.1} ms ({})", twins.calls, twins.slowest.1),
    );
    let failed = lines.iter().filter(|line| line.verdict == Verdict::Fail).count();
    if good {
        page.line(Tone::Good, "pass");
    } else {
        page.line(Tone::Bad, &format!("fail: {failed} of {} rules", lines.len()));
    }
    let json: Value = json!({
        "file": arguments.file,
        "verdict": if good { "pass" } else { "fail" },
        "rules": lines,
        "id": descriptor.id,
        "version": descriptor.version,
        "interface": provider.interface_version(),
        "digest": inspect::digest(provider),
        "bytes": component.bytes,
        "calls": twins.calls,
        "slowestCallMilliseconds": milliseconds,
        "permissions": permissions,
    });
    Report { page, json, good, aside: Page::default() }
}

fn list(page: &mut Page, lines: &[Line]) {
    for line in lines {
        let (tone, word) = match line.verdict {
            Verdict::Pass => (Tone::Good, "pass"),
            Verdict::Fail => (Tone::Bad, "FAIL"),
            Verdict::NotRun => (Tone::Dim, "not run"),
        };
        page.verdict(tone, word, line.rule, line.meaning);
        for reason in &line.reasons {
            page.line(Tone::Bad, &format!("            {reason}"));
        }
    }
}
