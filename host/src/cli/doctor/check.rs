//! All checks in their order, and how each is made: on a thread of its own, and not for ever, because a disk that does not answer
//! holds whoever asks it. It knows no check's insides.

use super::finding::Finding;
use super::{folders, network, place, process, programs};
use crate::config::Config;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A check of a few files takes milliseconds; no disk that is of use takes this long.
const FILES: Duration = Duration::from_secs(10);
/// Thousands of records on a slow disk.
const RECORDS: Duration = Duration::from_secs(60);
/// Answers from the network have limits of their own, which are shorter.
const NETWORK: Duration = Duration::from_secs(30);
/// Programs that start, and components that are compiled one after the other.
const PROGRAMS: Duration = Duration::from_secs(180);

/// One check.
pub(super) struct Check {
    name: &'static str,
    time: Duration,
    /// What it rests on that may not answer.
    on: &'static str,
    look: fn(&Config, &Handle) -> Vec<Finding>,
}

const fn check(
    name: &'static str,
    time: Duration,
    on: &'static str,
    look: fn(&Config, &Handle) -> Vec<Finding>,
) -> Check {
    Check { name, time, on, look }
}

/// Every check.
pub(super) const ALL: [Check; 21] = [
    check("environment", FILES, "the environment", |config, _| process::environment(config)),
    check("user", FILES, "the system", |_, _| process::user()),
    check("open files", FILES, "the system", |_, _| process::open_files()),
    check("records", FILES, "CATALYST_DEPLOYMENTS_DIR", |config, _| folders::records_folder(config)),
    check("kubeconfigs", FILES, "CATALYST_KUBECONFIGS_DIR", |config, _| folders::kubeconfigs_folder(config)),
    check("states", FILES, "CATALYST_STATE_DIR", |config, _| folders::states_folder(config)),
    check("work folders", FILES, "CATALYST_TOFU_WORKDIR", |config, _| folders::work_folders(config)),
    check("audit log", FILES, "CATALYST_AUDIT_LOG", |config, _| folders::audit_log(config)),
    check("space", FILES, "the disks of the folders above", |config, _| folders::space(config)),
    check("one disk", FILES, "the disks of the folders above", |config, _| folders::one_disk(config)),
    check("kept records", RECORDS, "CATALYST_DEPLOYMENTS_DIR", |config, _| folders::records(config)),
    check("state key", RECORDS, "CATALYST_STATE_DIR", |config, _| process::state_key(config)),
    check("tofu", PROGRAMS, "CATALYST_TOFU_BIN", |config, on| on.block_on(programs::tofu(config))),
    check("cache", FILES, "CATALYST_CACHE_DIR", |config, _| programs::cache(config)),
    check(
        "plugins",
        PROGRAMS,
        "CATALYST_PLUGINS_DIR, CATALYST_PLUGIN_LIMITS or CATALYST_PROVIDER_MIRROR",
        |config, on| on.block_on(programs::plugins_and_mirror(config)),
    ),
    check("trust store", FILES, "SSL_CERT_FILE", |config, _| network::trust(config)),
    check("authentication", NETWORK, "CATALYST_AUTH_TOKENS or the files of an account", |config, on| {
        on.block_on(process::authentication(config))
    }),
    check("proxy", NETWORK, "HTTPS_PROXY", |config, on| on.block_on(network::proxy(config))),
    check("address", NETWORK, "the folders above, CATALYST_LISTEN or CATALYST_METRICS_LISTEN", |config, on| {
        on.block_on(place::lock_and_address(config))
    }),
    check("pool domains", NETWORK, "POOL_DOMAIN_MANAGER_URL", |config, on| {
        on.block_on(network::pool_domain_manager(config))
    }),
    check("public address", FILES, "CATALYST_API_PUBLIC_URL", |config, _| network::public_url(config)),
];

impl Check {
    /// Makes it; a check that does not come back is a finding, and its thread is left behind.
    pub(super) async fn make(&self, config: &Arc<Config>) -> Vec<Finding> {
        let (config, look) = (config.clone(), self.look);
        let made = tokio::task::spawn_blocking(move || look(&config, &Handle::current()));
        match tokio::time::timeout(self.time, made).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => vec![Finding::fail(self.name, "the check broke", "report it, with what stands above")],
            Err(_) => vec![self.no_answer()],
        }
    }

    fn no_answer(&self) -> Finding {
        let found = format!("{} gave no answer within {} s", self.on, self.time.as_secs());
        let advice =
            "look there: a disk or a mount that hangs, or a pipe where a file is wanted, holds the host as well";
        Finding::fail(self.name, found, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn a_check_that_does_not_come_back_and_one_that_breaks_are_findings() {
        let config = Arc::new(Config::from_map(&BTreeMap::new()).unwrap());
        let time = Duration::from_millis(50);
        let hung = check("hung", time, "the disk", |_, _| {
            std::thread::sleep(Duration::from_secs(2));
            Vec::new()
        });
        let said = format!("{:?}", hung.make(&config).await);
        assert!(said.contains("the disk gave no answer within") && said.contains("Fail"), "{said}");
        let broken = check("broken", FILES, "", |_, _| panic!("x"));
        assert!(format!("{:?}", broken.make(&config).await).contains("the check broke"));
    }
}
