//! OpenTofu's own word on the module: `tofu validate`, where there is an OpenTofu that can be asked.
//!
//! It starts the providers that the module names: programs of strangers, as the component is. They run behind the layers of a run, and
//! where those do not hold they are not started, unless the person who checks says so.

use super::budget::Budget;
use super::ledger::{Ledger, Rule};
use crate::cli::serve::engine_settings;
use crate::config::Config;
use crate::engine::{self, ProviderRun, Validation, WithoutConfinement};
use catalyst_domain::provider::Bundle;
use std::time::Duration;

/// The option that starts providers also where nothing confines them.
const RUN_PROVIDERS: &str = "--run-providers";
/// How the call is named.
const CALL: &str = "tofu validate";
/// Time for it: an `init` that takes a provider from a registry for the first time needs some seconds.
const LONGEST: Duration = Duration::from_secs(25);
/// Less is not worth a beginning.
const LEAST: Duration = Duration::from_secs(2);

/// Asks about the module of the first request that was accepted. Tells whether its providers were run.
pub(super) async fn validate(
    config: &Config,
    ledger: &mut Ledger,
    budget: Budget,
    bundle: Option<&Bundle>,
    without: WithoutConfinement,
) -> ProviderRun {
    let Some(bundle) = bundle else {
        ledger.excuse(Rule::TofuValidate, CALL, "no module was rendered");
        return ProviderRun::NotRun;
    };
    let time = budget.left().min(LONGEST);
    if time < LEAST {
        ledger.leave_out(Rule::TofuValidate, CALL, &budget.over());
        return ProviderRun::NotRun;
    }
    // Where the cache cannot be made, providers are installed without one.
    let cache = config.cache_dir.clone().filter(|folder| std::fs::create_dir_all(folder).is_ok());
    let validated = engine::validate(engine_settings(config, cache), bundle, time, without).await;
    match validated.validation {
        Validation::Valid => ledger.hold(Rule::TofuValidate, Ok(())),
        Validation::Invalid(faults) => {
            for fault in faults {
                let place = if fault.place.is_empty() { String::new() } else { format!("{}: ", fault.place) };
                ledger.hold(Rule::TofuValidate, Err(format!("{place}{}", fault.text)));
            }
        }
        Validation::NotTried(why) => ledger.excuse(Rule::TofuValidate, CALL, &why),
        Validation::NotConfined(lack) => {
            let why = format!(
                "it would start the module's providers, and nothing confines them: {lack} ({RUN_PROVIDERS} starts them all the same)"
            );
            ledger.excuse(Rule::TofuValidate, CALL, &why);
        }
    }
    validated.providers
}

/// Text on the providers that were started, for a person.
pub(super) fn words(providers: ProviderRun) -> &'static str {
    match providers {
        ProviderRun::NotRun => "the module's providers were not started",
        ProviderRun::Confined => {
            "the module's providers were started by `tofu validate`, behind the confinement of a run"
        }
        ProviderRun::Unconfined => {
            "the module's providers were started by `tofu validate` without confinement, as --run-providers says"
        }
    }
}

/// The same for programs.
pub(super) fn word(providers: ProviderRun) -> &'static str {
    match providers {
        ProviderRun::NotRun => "not-run",
        ProviderRun::Confined => "confined",
        ProviderRun::Unconfined => "unconfined",
    }
}
