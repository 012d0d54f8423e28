//! All checks in their order, and how each is made: on a thread of its own, and not for ever, because a disk that does not answer
//! holds whoever asks it. It knows no check's insides.

use super::finding::Finding;
use super::{folders, network, place, process, programs};
use crate::config::Config;
use crate::outbound::Outbound;
use std::sync::{Arc, OnceLock};
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

/// What is looked at, and what earlier checks found for later ones.
pub(super) struct Site {
    pub(super) config: Config,
    /// The way out, once the trust store is read. Where that cannot be, what needs it has nothing to say.
    pub(super) outbound: OnceLock<Outbound>,
    runtime: Handle,
}

impl Site {
    /// Needs the runtime.
    pub(super) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, outbound: OnceLock::new(), runtime: Handle::current() })
    }

    fn wait<T>(&self, check: impl Future<Output = T>) -> T {
        self.runtime.block_on(check)
    }
}

/// One check.
pub(super) struct Check {
    name: &'static str,
    time: Duration,
    /// What it rests on that may not answer.
    on: &'static str,
    look: fn(&Site) -> Vec<Finding>,
}

const fn check(name: &'static str, time: Duration, on: &'static str, look: fn(&Site) -> Vec<Finding>) -> Check {
    Check { name, time, on, look }
}

/// Every check.
pub(super) const ALL: [Check; 21] = [
    check("environment", FILES, "the environment", |site| process::environment(&site.config)),
    check("user", FILES, "the system", |_| process::user()),
    check("open files", FILES, "the system", |_| process::open_files()),
    check("records", FILES, "CATALYST_DEPLOYMENTS_DIR", |site| folders::records_folder(&site.config)),
    check("kubeconfigs", FILES, "CATALYST_KUBECONFIGS_DIR", |site| folders::kubeconfigs_folder(&site.config)),
    check("states", FILES, "CATALYST_STATE_DIR", |site| folders::states_folder(&site.config)),
    check("work folders", FILES, "CATALYST_TOFU_WORKDIR", |site| folders::work_folders(&site.config)),
    check("audit log", FILES, "CATALYST_AUDIT_LOG", |site| folders::audit_log(&site.config)),
    check("space", FILES, "the disks of the folders above", |site| folders::space(&site.config)),
    check("one disk", FILES, "the disks of the folders above", |site| folders::one_disk(&site.config)),
    check("kept records", RECORDS, "CATALYST_DEPLOYMENTS_DIR", |site| folders::records(&site.config)),
    check("state key", RECORDS, "CATALYST_STATE_DIR or CATALYST_KUBECONFIGS_DIR", |site| {
        process::state_key(&site.config)
    }),
    check("tofu", PROGRAMS, "CATALYST_TOFU_BIN", |site| site.wait(programs::tofu(&site.config))),
    check("cache", FILES, "CATALYST_CACHE_DIR", |site| programs::cache(&site.config)),
    check("plugins", PROGRAMS, "CATALYST_PLUGINS_DIR, CATALYST_PLUGIN_LIMITS or CATALYST_PROVIDER_MIRROR", |site| {
        site.wait(programs::plugins_and_mirror(&site.config))
    }),
    check("trust store", FILES, "SSL_CERT_FILE", network::trust),
    check("authentication", NETWORK, "CATALYST_AUTH_TOKENS or the files of an account", |site| {
        site.wait(process::authentication(site))
    }),
    check("proxy", NETWORK, "HTTPS_PROXY", |site| site.wait(network::proxy(&site.config))),
    check("address", NETWORK, "the folders above, CATALYST_LISTEN or CATALYST_METRICS_LISTEN", |site| {
        site.wait(place::lock_and_address(site))
    }),
    check("pool domains", NETWORK, "POOL_DOMAIN_MANAGER_URL", |site| site.wait(network::pool_domain_manager(site))),
    check("public URL", FILES, "CATALYST_API_PUBLIC_URL", |site| network::public_url(&site.config)),
];

impl Check {
    /// Makes it; a check that does not come back is a finding, and its thread is left behind.
    pub(super) async fn make(&self, site: &Arc<Site>) -> Vec<Finding> {
        let (site, look) = (site.clone(), self.look);
        let made = tokio::task::spawn_blocking(move || look(&site));
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
        let site = Site::new(Config::from_map(&BTreeMap::new()).unwrap());
        let time = Duration::from_millis(50);
        let hung = check("hung", time, "the disk", |_| {
            std::thread::sleep(Duration::from_secs(2));
            Vec::new()
        });
        let said = format!("{:?}", hung.make(&site).await);
        assert!(said.contains("the disk gave no answer within") && said.contains("Fail"), "{said}");
        let broken = check("broken", FILES, "", |_| panic!("x"));
        assert!(format!("{:?}", broken.make(&site).await).contains("the check broke"));
    }
}
