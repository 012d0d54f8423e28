//! Where the API server of a new cluster is. A name in a kubeconfig is one that the caller of the create chose, so where it leads is
//! judged here, and only the address that was judged is connected to.

use super::{Hand, proxy};
use crate::outbound::NameFault;
use catalyst_domain::kubeconfig::Kubeconfig;
use catalyst_domain::{Level, Record, phase};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How often a name is looked up that leads nowhere yet: its record may be published while the cluster comes up.
const AGAIN: Duration = Duration::from_secs(5);

impl Hand {
    /// The address of a server that has a name; none for one that is an address, or that a proxy resolves. It waits for a name that
    /// leads nowhere yet.
    ///
    /// # Errors
    /// Why it is not connected to. `None` where the step was stopped meanwhile.
    pub(super) async fn server_address(
        &self,
        kubeconfig: &Kubeconfig,
        record: &Record,
        budget: Duration,
    ) -> Result<Option<IpAddr>, Option<String>> {
        let (host, settings) = (kubeconfig.server.host(), &self.driver.settings);
        if host.parse::<IpAddr>().is_ok() {
            return Ok(None);
        }
        let refused = |fault: NameFault| Some(format!("the server of the kubeconfig is not connected to: {fault}"));
        let uri = kubeconfig.server.url().parse().ok();
        if uri.zip(proxy::choice(&settings.proxy)).is_some_and(|(uri, choose)| choose(&uri).is_some()) {
            return settings.destinations.judge_for_proxy(host).map(|()| None).map_err(refused);
        }
        let own = own_addresses(record);
        let give_up = Instant::now() + budget;
        let mut is_told = false;
        loop {
            match settings.destinations.address_of(host, &own).await {
                Ok(address) => return Ok(Some(address)),
                Err(fault @ NameFault::NotAllowed(_)) => return Err(refused(fault)),
                Err(fault) if Instant::now() >= give_up => return Err(refused(fault)),
                Err(fault) => {
                    if !std::mem::replace(&mut is_told, true) {
                        self.say(phase::MONITOR, Level::Warn, format!("waiting for the name {host}: {fault}")).await;
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(None),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// The addresses that the outputs told.
fn own_addresses(record: &Record) -> Vec<IpAddr> {
    let told =
        record.result.iter().flat_map(|result| [result.control_plane_ip.clone(), result.load_balancer_ip.clone()]);
    record
        .allowed_hosts()
        .into_iter()
        .chain(told)
        .filter_map(|host| host.trim_matches(['[', ']']).parse().ok())
        .collect()
}
