//! OpenTofu's own word on the module: `tofu validate`, where there is an OpenTofu that can be asked.

use super::budget::Budget;
use super::ledger::{Ledger, Rule};
use crate::cli::serve::engine_settings;
use crate::config::Config;
use crate::engine::{self, Validation};
use catalyst_domain::provider::Bundle;
use std::time::Duration;

/// How the call is named.
const CALL: &str = "tofu validate";
/// Time for it: an `init` that takes a provider from a registry for the first time needs some seconds.
const LONGEST: Duration = Duration::from_secs(25);
/// Less is not worth a beginning.
const LEAST: Duration = Duration::from_secs(2);

/// Asks about the module of the first request that was accepted.
pub(super) async fn validate(config: &Config, ledger: &mut Ledger, budget: Budget, bundle: Option<&Bundle>) {
    let Some(bundle) = bundle else {
        return ledger.excuse(Rule::TofuValidate, CALL, "no module was rendered");
    };
    let time = budget.left().min(LONGEST);
    if time < LEAST {
        return ledger.leave_out(Rule::TofuValidate, CALL, &budget.over());
    }
    // Where the cache cannot be made, providers are installed without one.
    let cache = config.cache_dir.clone().filter(|folder| std::fs::create_dir_all(folder).is_ok());
    match engine::validate(engine_settings(config, cache), bundle, time).await {
        Validation::Valid => ledger.hold(Rule::TofuValidate, Ok(())),
        Validation::Invalid(faults) => {
            for fault in faults {
                let place = if fault.place.is_empty() { String::new() } else { format!("{}: ", fault.place) };
                ledger.hold(Rule::TofuValidate, Err(format!("{place}{}", fault.text)));
            }
        }
        Validation::NotTried(why) => ledger.excuse(Rule::TofuValidate, CALL, &why),
    }
}
