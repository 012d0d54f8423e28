//! `catalyst plugin check`: loads a component as a host would, makes requests from what it says of itself, makes every
//! call in two sandboxes, and holds all answers to the rules. No cloud is asked, and no request of a person is needed.
//!
//! It ends within a minute, whatever the component does. What there was no time for, and what would only repeat a call that
//! did not end, is told as not tried.

mod budget;
mod files;
mod ledger;
mod outputs;
mod rules;
mod samples;
mod settings;
mod tofu;
mod twins;

use super::component::{Component, LOAD, Opened, open};
use super::guest::GuestOutput;
use super::page::{Page, Tone};
use super::permissions::Permissions;
use super::{Report, asked, example, inspect};
use crate::config::Config;
use crate::engine::{ProviderRun, WithoutConfinement};
use budget::Budget;
use catalyst_domain::Request;
use catalyst_domain::provider::Descriptor;
use ledger::{Ledger, Line, Overall, Rule, Verdict};
use samples::Sample;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use twins::{LoopFound, Twins};

/// Calls that were not tried and are named; the JSON has all of them.
const NOT_TRIED_SHOWN: usize = 3;

pub(super) const HELP: &str = concat!(
    example!("catalyst plugin check acme.wasm", "catalyst plugin check acme.wasm --request cases/solo.json --json"),
    "\nA rule passes, fails with its reasons, is incomplete because something that it asks for was not tried, or was not run at all.\n\
     A check ends within a minute, or the time of --seconds. A function that did not end is named with what it was asked, and is not \
     called again; neither is one that ran out of memory three times.\n\
     `tofu validate` needs OpenTofu (CATALYST_TOFU_BIN, or `tofu` on PATH) and the module's providers (CATALYST_PROVIDER_MIRROR, or \
     their registry); where it cannot be run that is said, and is no failure. It starts the module's providers behind the confinement \
     of a run (docs/confinement.md); where that does not hold they are not started, unless --run-providers is given.\n\
     JSON: file, verdict (pass, fail or incomplete), seconds, rules (rule, verdict, meaning, held, reasons, notTried with why and \
     calls), and of a component that loads: id, version, interface, digest, bytes, calls, slowestCallMilliseconds, loops (function, \
     call, within, skipped; the first is the first), permissions, providers (confined, unconfined or not-run).",
);

/// Arguments of `catalyst plugin check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The component.
    file: PathBuf,
    /// A request that must be accepted, instead of those made from the catalogue and the settings schema.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Seconds that the check may take; what there is no time for is told as not tried.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3600))]
    seconds: u64,
    /// Start the module's providers, programs of strangers, also where this machine does not confine them.
    #[arg(long)]
    run_providers: bool,
}

pub(super) async fn check(config: &Config, arguments: &Arguments, guest: &GuestOutput) -> anyhow::Result<Report> {
    let budget = Budget::begin(Duration::from_secs(arguments.seconds));
    let mut ledger = Ledger::default();
    let opened = budget.within(open(config, &arguments.file, Some(guest.recorder()))).await;
    let said = guest.take(LOAD).map(|fault| fault.words()).unwrap_or_default();
    let component = match opened.transpose()? {
        Some(Opened::Loaded(component)) => component,
        Some(Opened::Refused(why)) => {
            ledger.hold(Rule::Load, Err(format!("it {why}{said}")));
            return Ok(unloaded(arguments, ledger, budget));
        }
        None => {
            let why =
                format!("it was not loaded: its compiler or its `describe` did not end before {}{said}", budget.over());
            ledger.hold(Rule::Load, Err(why));
            return Ok(unloaded(arguments, ledger, budget));
        }
    };
    ledger.hold(Rule::Load, Ok(()));
    let twin = budget.within(open(config, &arguments.file, None)).await.transpose()?;
    let twin = match twin {
        Some(Opened::Loaded(twin)) => {
            let same = component.provider.descriptor() == twin.provider.descriptor();
            ledger.require(Rule::Deterministic, same, || "describe: two calls gave two answers".to_owned());
            Some(twin.provider)
        }
        // A host would not load it either, that time: perhaps its compiler ran out of time.
        Some(Opened::Refused(why)) => {
            ledger.hold(Rule::Load, Err(format!("it {why}")));
            return Ok(unloaded(arguments, ledger, budget));
        }
        None => {
            ledger.leave_out(Rule::Deterministic, "describe", &budget.over());
            None
        }
    };
    let given = given(arguments, &component)?;
    let mut twins = Twins::new(Arc::clone(&component.provider), twin, guest, budget, ledger);
    let module = rules::walk(&mut twins, given).await;
    let without = if arguments.run_providers { WithoutConfinement::Run } else { WithoutConfinement::Refuse };
    let providers = tofu::validate(config, &mut twins.ledger, budget, module.as_ref(), without).await;
    Ok(report(arguments, &component, twins, providers))
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

fn unloaded(arguments: &Arguments, ledger: Ledger, budget: Budget) -> Report {
    let mut page = Page::default();
    page.line(Tone::Head, &arguments.file.display().to_string());
    let lines = ledger.into_lines();
    list(&mut page, &lines);
    page.gap();
    page.line(Tone::Bad, "fail: a host would not load it");
    let (file, seconds) = (&arguments.file, seconds(budget));
    let json = json!({"file": file, "verdict": Overall::Fail, "seconds": seconds, "rules": lines});
    Report { page, json, good: false, aside: Page::default() }
}

/// To a tenth.
fn seconds(budget: Budget) -> f64 {
    (budget.spent().as_secs_f64() * 10.0).round() / 10.0
}

fn report(arguments: &Arguments, component: &Component, twins: Twins<'_>, providers: ProviderRun) -> Report {
    let (provider, descriptor) = (&component.provider, component.provider.descriptor());
    let permissions = Permissions::of(provider);
    let overall = twins.ledger.overall();
    let (milliseconds, seconds) = (twins.slowest.0.as_secs_f64() * 1000.0, seconds(twins.budget));
    let lines = twins.ledger.into_lines();
    let mut page = Page::default();
    inspect::identity(&mut page, component);
    page.gap();
    permissions.show(&mut page);
    page.gap();
    page.line(Tone::Head, "Rules");
    list(&mut page, &lines);
    page.gap();
    loops(&mut page, &twins.loops);
    let tone = if providers == ProviderRun::Unconfined { Tone::Warn } else { Tone::Dim };
    page.line(tone, tofu::words(providers));
    let calls = format!("{} calls in {seconds} s; the slowest took {milliseconds:.1} ms", twins.calls);
    page.line(Tone::Dim, &format!("{calls} ({})", twins.slowest.1));
    let (tone, verdict) = closing(overall, &lines);
    page.line(tone, &verdict);
    let json: Value = json!({
        "file": arguments.file,
        "verdict": overall,
        "seconds": seconds,
        "rules": lines,
        "id": descriptor.id,
        "version": descriptor.version,
        "interface": provider.interface_version(),
        "digest": inspect::digest(provider),
        "bytes": component.bytes,
        "calls": twins.calls,
        "slowestCallMilliseconds": milliseconds,
        "loops": twins.loops,
        "permissions": permissions,
        "providers": tofu::word(providers),
    });
    Report { page, json, good: overall == Overall::Pass, aside: Page::default() }
}

fn closing(overall: Overall, lines: &[Line]) -> (Tone, String) {
    let count = |verdict: Verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    match overall {
        Overall::Pass => (Tone::Good, "pass".to_owned()),
        Overall::Fail => (Tone::Bad, format!("fail: {} of {} rules", count(Verdict::Fail), lines.len())),
        Overall::Incomplete => (Tone::Bad, "incomplete: nothing failed, and not all was tried".to_owned()),
    }
}

fn loops(page: &mut Page, loops: &[LoopFound]) {
    for (index, found) in loops.iter().enumerate() {
        let which = if index == 0 { "the first loop" } else { "a further loop" };
        let within = if found.within.is_empty() { String::new() } else { format!(", in {}", found.within.join(" < ")) };
        let skipped = match found.skipped {
            0 => String::new(),
            calls => format!("; {calls} further calls of {} were left out", found.function),
        };
        page.line(Tone::Bad, &format!("{which}: {}{within}{skipped}", found.call));
    }
}

fn list(page: &mut Page, lines: &[Line]) {
    for line in lines {
        let (tone, word) = match line.verdict {
            Verdict::Pass => (Tone::Good, "pass"),
            Verdict::Fail => (Tone::Bad, "FAIL"),
            Verdict::Incomplete => (Tone::Warn, "part"),
            Verdict::NotRun => (Tone::Dim, "not run"),
        };
        page.verdict(tone, word, line.rule, line.meaning);
        for reason in &line.reasons {
            page.line(Tone::Bad, &format!("            {reason}"));
        }
        for not_tried in &line.not_tried {
            let named = not_tried.calls.iter().take(NOT_TRIED_SHOWN).cloned().collect::<Vec<_>>().join("; ");
            let more = match not_tried.calls.len().saturating_sub(NOT_TRIED_SHOWN) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            page.line(Tone::Warn, &format!("            not tried: {named}{more}: {}", not_tried.why));
        }
    }
}
