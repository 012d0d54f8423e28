//! The proxy that a supervisor serves to its run: the way to the granted hosts, which lives as long as what is behind it.

use super::messages::{ProxyAccess, ProxySetup};
use crate::egress::{Egress, Refusal, RefusalRule, RunProxy, StepReach};
use std::future::pending;
use std::io;
use std::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// A run's proxy and what it refuses. Dropped, it lets nothing through.
pub(super) struct ServedProxy {
    proxy: RunProxy,
    /// Each host once for each step, and not more of them than a proxy tells.
    refusals: UnboundedReceiver<Refusal>,
}

impl ServedProxy {
    /// Serves a run on a listener. Needs the runtime.
    ///
    /// # Errors
    /// The operator's settings, or the listener, cannot be used.
    pub(super) fn serve(of: &ProxySetup, listener: TcpListener) -> io::Result<(Self, ProxyAccess)> {
        let egress = Egress::new(&of.settings).map_err(io::Error::other)?;
        let (tell, refusals) = mpsc::unbounded_channel();
        let on_refusal = move |refusal: &Refusal| {
            // Nobody hears it once the run is over.
            let _ = tell.send(refusal.clone());
        };
        let proxy = egress.serve(listener, of.hosts.clone(), on_refusal)?;
        let access = ProxyAccess { environment: proxy.environment(), password: proxy.password().to_owned() };
        Ok((Self { proxy, refusals }, access))
    }

    /// A command begins.
    pub(super) fn begin(&self, step: StepReach) {
        self.proxy.begin(step);
    }

    /// The command has ended: nothing is let through any more. What was not told of it, and how often each rule refused.
    pub(super) fn end(&mut self) -> (Vec<Refusal>, Vec<(RefusalRule, u64)>) {
        let counts = self.proxy.end_step();
        let untold = std::iter::from_fn(|| self.refusals.try_recv().ok()).collect();
        (untold, counts)
    }
}

/// The next refusal; never where there is no proxy.
pub(super) async fn refusal(served_proxy: &mut Option<ServedProxy>) -> Refusal {
    match served_proxy {
        Some(served_proxy) => match served_proxy.refusals.recv().await {
            Some(refusal) => refusal,
            None => pending().await,
        },
        None => pending().await,
    }
}
