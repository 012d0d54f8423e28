//! Whether a host may be reached, and the connection to it.

use super::RunHosts;
use super::grant::{HostGrant, HostPattern};
use super::refusal::RefusalRule;
use super::relay::Stream;
use super::target::Target;
use super::upstream::Upstream;
use crate::outbound::{
    Destinations, Host, NameFault, NamedBy, NotAllowed, Unreachable, UnreachableCause, is_metadata_or_link_local,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// One address; the next one is tried after it. Go's own client gives a proxy 30 seconds in all.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// From the name to a connection, over all addresses and the operator's proxy.
const OPEN_TIME: Duration = Duration::from_secs(20);
/// Entries that a refusal lists; the others are counted.
const LISTED: usize = 8;

/// Which hosts a step may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Where providers are installed from. No code of a provider runs, and no secret is needed.
    Install,
    /// The hosts of the run's cloud.
    Cloud,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReach {
    /// Its name in words and counts.
    pub step: Cow<'static, str>,
    /// What it may reach.
    pub reach: Reach,
}

/// Why a connection is not made.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) rule: RefusalRule,
    /// What failed, where nothing but that stood in the way.
    pub(super) cause: Option<UnreachableCause>,
    pub(super) why: String,
}

impl Denied {
    fn by(rule: RefusalRule, why: String) -> Self {
        Self { rule, cause: None, why }
    }
}

impl From<Unreachable> for Denied {
    fn from(Unreachable { cause, why }: Unreachable) -> Self {
        Self { rule: RefusalRule::Unreachable, cause: Some(cause), why }
    }
}

/// What holds for all runs.
pub(super) struct Policy {
    pub(super) destinations: Destinations,
    pub(super) upstream: Option<Upstream>,
}

impl Policy {
    /// Connects to a target that the step may reach.
    ///
    /// # Errors
    /// [`Denied`]; nothing was sent.
    pub(super) async fn open(
        &self,
        hosts: &RunHosts,
        step: &StepReach,
        target: &Target,
    ) -> Result<Box<dyn Stream>, Denied> {
        let grant = decide(hosts, step, target)?;
        let deadline = Instant::now() + OPEN_TIME;
        if let Some(address) = grant.address {
            return dial(&[address], deadline).await;
        }
        judge_address(grant, &target.host)?;
        if let Some(upstream) = &self.upstream
            && let Some(proxy) = upstream.of(target)
        {
            // The operator's proxy resolves the name: what it leads to is judged there or nowhere.
            if grant.named_by == NamedBy::Stranger {
                self.destinations.judge_unresolved(&target.host).map_err(not_allowed)?;
            }
            // What it took to reach the proxy itself has a limit of its own.
            let late = |_| too_late(UnreachableCause::ProxyRefused(None), "the proxy of this host: no connection");
            return Ok(timeout_at(deadline, upstream.open(&proxy, target)).await.map_err(late)??);
        }
        let late = |_| too_late(UnreachableCause::Resolver, "its name cannot be resolved: the resolver gave no answer");
        let found = timeout_at(deadline, self.destinations.addresses(&target.host, grant.named_by)).await;
        let found = found.map_err(late)?.map_err(|fault| match fault {
            NameFault::NotAllowed(refused) => not_allowed(refused),
            NameFault::Unresolved(Unreachable { cause, why }) => {
                Unreachable::new(cause, format!("its name cannot be resolved: {why}")).into()
            }
        })?;
        let addresses: Vec<SocketAddr> =
            found.into_iter().map(|address| SocketAddr::new(address, target.port)).collect();
        dial(&addresses, deadline).await
    }
}

/// More than [`OPEN_TIME`] went by.
fn too_late(cause: UnreachableCause, what: &str) -> Denied {
    Unreachable::new(cause, format!("{what} within {} s", OPEN_TIME.as_secs())).into()
}

/// The entry by which a target may be reached.
fn decide<'a>(hosts: &'a RunHosts, step: &StepReach, target: &Target) -> Result<&'a HostGrant, Denied> {
    let (own, others) = match step.reach {
        Reach::Install => (&hosts.install, &hosts.cloud),
        Reach::Cloud => (&hosts.cloud, &hosts.install),
    };
    let by_host = |grant: &&HostGrant| grant.covers(&target.host);
    let by_port = |grant: &&HostGrant| grant.covers(&target.host) && grant.port == target.port;
    if let Some(grant) = own.iter().find(by_port) {
        return Ok(grant);
    }
    let denied = |rule, why| Err(Denied::by(rule, why));
    if own.iter().any(|grant| by_host(&grant)) {
        return denied(RefusalRule::Port, format!("may be reached on other ports only ({})", listed(own)));
    }
    if others.iter().any(|grant| by_port(&grant)) {
        let why = match step.reach {
            Reach::Install => "may be reached in plan, apply and destroy, and init only installs providers",
            Reach::Cloud => "may be reached in init only, where providers are installed",
        };
        return denied(RefusalRule::Step, why.to_owned());
    }
    let why = match (step.reach, own.is_empty()) {
        (Reach::Install, false) => format!("is none of the hosts that providers are installed from ({})", listed(own)),
        (Reach::Install, true) => "is asked for in init, which may reach no host here".to_owned(),
        (Reach::Cloud, false) => format!("is none of the hosts that this run may reach ({})", listed(own)),
        (Reach::Cloud, true) => "is asked for by a run that may reach no host".to_owned(),
    };
    denied(RefusalRule::Host, why)
}

/// A wide network of the operator holds no metadata service; an entry of its own does.
fn judge_address(grant: &HostGrant, host: &Host) -> Result<(), Denied> {
    match (&grant.hosts, host) {
        (HostPattern::Network(network), Host::Address(address))
            if is_metadata_or_link_local(*address) && network.prefix_len() < network.max_prefix_len() =>
        {
            let why =
                "is a link-local address or one of a metadata service, which needs an entry of its own".to_owned();
            Err(Denied::by(RefusalRule::Address, why))
        }
        _ => Ok(()),
    }
}

fn not_allowed(refused: NotAllowed) -> Denied {
    let why = format!("{}; allowed are public addresses, and what CATALYST_ALLOWED_CLOUDS names", refused.rule);
    Denied::by(RefusalRule::Address, why)
}

/// The first address that takes the connection.
async fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<Box<dyn Stream>, Denied> {
    let mut last = Unreachable::new(UnreachableCause::UnknownName, "its name has no address");
    for address in addresses {
        let late = |_| too_late(UnreachableCause::TimedOut, "no connection");
        match timeout_at(deadline, connect_to(*address)).await.map_err(late)? {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(why) => last = why,
        }
    }
    Err(last.into())
}

/// A connection without delay of small packets, within [`CONNECT_TIME`].
pub(super) async fn connect_to(address: SocketAddr) -> Result<TcpStream, Unreachable> {
    let place = shown(address.ip());
    let late = |_| {
        let why = format!("{place} does not answer within {} s", CONNECT_TIME.as_secs());
        Unreachable::new(UnreachableCause::TimedOut, why)
    };
    let stream = timeout(CONNECT_TIME, TcpStream::connect(address)).await.map_err(late)?;
    let stream = stream.map_err(|why| Unreachable::new(UnreachableCause::Connection, format!("{place}: {why}")))?;
    // Without it the connection works and is slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn shown(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn listed(grants: &[HostGrant]) -> String {
    let mut words: Vec<String> = grants.iter().take(LISTED).map(ToString::to_string).collect();
    if grants.len() > LISTED {
        words.push(format!("{} more", grants.len() - LISTED));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::AllowedClouds;

    const PLAN: &StepReach = &StepReach { step: Cow::Borrowed("plan"), reach: Reach::Cloud };
    const INIT: &StepReach = &StepReach { step: Cow::Borrowed("init"), reach: Reach::Install };

    fn grants(texts: &[&str]) -> Vec<HostGrant> {
        texts.iter().map(|text| HostGrant::parse(text, NamedBy::Stranger).unwrap()).collect()
    }

    fn hosts(install: &[&str], cloud: &[&str]) -> RunHosts {
        RunHosts { install: grants(install), cloud: grants(cloud) }
    }

    fn target(text: &str) -> Target {
        Target::read(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_step_reaches_its_own_hosts_on_their_ports() {
        let cloud = ["api.cloud.example", ".regions.example:5000", "both.example:8443", "203.0.113.0/24:8774"];
        let hosts = hosts(&["registry.example", "both.example"], &cloud);
        let judged = |step, text: &str| decide(&hosts, step, &target(text)).map(|_| ()).map_err(|denied| denied.rule);
        for (step, text, expect) in [
            (PLAN, "api.cloud.example:443", Ok(())),
            (PLAN, "API.cloud.example.:443", Ok(())),
            (PLAN, "a.regions.example:5000", Ok(())),
            (PLAN, "203.0.113.7:8774", Ok(())),
            (PLAN, "both.example:8443", Ok(())),
            (INIT, "registry.example:443", Ok(())),
            (INIT, "both.example:443", Ok(())),
            (PLAN, "api.cloud.example:80", Err(RefusalRule::Port)),
            (PLAN, "both.example:443", Err(RefusalRule::Port)),
            (PLAN, "registry.example:443", Err(RefusalRule::Step)),
            (INIT, "api.cloud.example:443", Err(RefusalRule::Step)),
            (PLAN, "regions.example:5000", Err(RefusalRule::Host)),
            (PLAN, "xapi.cloud.example:443", Err(RefusalRule::Host)),
            (PLAN, "api.cloud.example.evil.example:443", Err(RefusalRule::Host)),
            (PLAN, "203.0.114.7:8774", Err(RefusalRule::Host)),
            (INIT, "evil.example:443", Err(RefusalRule::Host)),
        ] {
            assert_eq!(judged(step, text), expect, "{} {text}", step.step);
        }
    }

    #[test]
    fn a_refusal_says_what_may_be_reached() {
        let many: Vec<String> = (0..20).map(|n| format!("h{n}.example")).collect();
        let many = hosts(&[], &many.iter().map(String::as_str).collect::<Vec<_>>());
        let why = decide(&many, PLAN, &target("evil.example:443")).unwrap_err().why;
        assert!(
            why.starts_with("is none of the hosts that this run may reach (h0.example:443, ")
                && why.ends_with(", 12 more)"),
            "{why}"
        );
        let why = decide(&RunHosts::default(), PLAN, &target("evil.example:443")).unwrap_err().why;
        assert_eq!(why, "is asked for by a run that may reach no host");
    }

    #[tokio::test]
    async fn a_granted_name_leads_to_allowed_addresses_only() {
        let policy = Policy { destinations: Destinations::new(AllowedClouds::default()), upstream: None };
        let open = async |grant: &HostGrant, text: &str| {
            let hosts = RunHosts { cloud: vec![grant.clone()], ..RunHosts::default() };
            policy.open(&hosts, PLAN, &target(text)).await.map(|_| ()).unwrap_err()
        };
        let named = HostGrant::parse("localhost", NamedBy::Stranger).unwrap();
        let denied = open(&named, "localhost:443").await;
        assert_eq!(denied.rule, RefusalRule::Address, "{denied:?}");
        assert!(denied.why.contains("CATALYST_ALLOWED_CLOUDS"), "{denied:?}");
        let inside = HostGrant::parse("127.0.0.0/8", NamedBy::Stranger).unwrap();
        assert_eq!(open(&inside, "127.0.0.1:443").await.rule, RefusalRule::Address);
        for network in ["169.254.0.0/16:80", "0.0.0.0/0:80", "[::/0]:80"] {
            let wide = HostGrant::parse(network, NamedBy::Operator).unwrap();
            let asked = if network.contains("::") { "[fd00:ec2::254]:80" } else { "169.254.169.254:80" };
            assert_eq!(open(&wide, asked).await.rule, RefusalRule::Address, "{network}");
        }
    }
}
