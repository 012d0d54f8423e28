//! Services of type LoadBalancer: deleted, and waited for until their controllers have removed the load balancers.

use super::api::ClusterApi;
use super::objects::{BalancedService, LOAD_BALANCER_FINALIZER, SERVICE, balanced_services, services};
use super::{CleanupLog, Progress, flux, pause, quota};
use crate::cluster::bounds::RememberedKeys;
use crate::cluster::trouble::Trouble;
use catalyst_domain::remaining::LOAD_BALANCER;
use catalyst_domain::{Level, RemainingResource};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// What a namespace may have no more of: a controller that makes such a Service again, as of a gateway, would go on for ever.
pub(super) const COUNTED: &str = "services.loadbalancers";

/// Deletes them until none is left or the time is up; gives the load balancers that may be left.
pub(super) async fn remove(api: &ClusterApi, log: &CleanupLog, until: Instant) -> Vec<RemainingResource> {
    let begun = Instant::now();
    let (mut progress, mut asked) = (Progress::begin(), RememberedKeys::default());
    let mut left: Vec<BalancedService> = Vec::new();
    loop {
        let trouble = match delete(api, log, &mut asked).await {
            Ok(found) if found.is_empty() => {
                if !asked.is_empty() {
                    log.info("the Services of type LoadBalancer are gone, and their load balancers with them").await;
                }
                return Vec::new();
            }
            Ok(found) => {
                left = found;
                None
            }
            Err(trouble) => Some(trouble.why),
        };
        let seconds = begun.elapsed().as_secs();
        if Instant::now() >= until {
            return given_up(log, &left, trouble, seconds).await;
        }
        if progress.is_due() {
            let head = format!("waiting for {seconds} s until the load balancers of these Services are removed");
            log.names(Level::Info, &head, &shown(&left)).await;
        }
        pause(until).await;
    }
}

/// One pass: those that are there, of which the deletion of each was asked for.
async fn delete(
    api: &ClusterApi,
    log: &CleanupLog,
    asked: &mut RememberedKeys,
) -> Result<Vec<BalancedService>, Trouble> {
    let kind = services();
    let found = balanced_services(&api.list(&kind, None, &SERVICE).await?);
    let is_again = !asked.is_empty();
    let mut new: Vec<BalancedService> = Vec::new();
    for service in &found {
        if asked.insert(service.uid.clone())? {
            new.push(service.clone());
        }
    }
    if !new.is_empty() {
        if is_again {
            // Somebody makes them again: perhaps what was in its midst when Flux was suspended.
            flux::suspend(api, log).await;
        }
        let head = "Services of type LoadBalancer are deleted, so that their controllers remove their load balancers";
        log.names(Level::Info, head, &shown(&new)).await;
        let namespaces: BTreeSet<&str> = new.iter().map(|service| service.object.namespace.as_str()).collect();
        quota::forbid(api, &namespaces, COUNTED).await;
    }
    let mut fault = None;
    for service in found.iter().filter(|service| !service.is_leaving) {
        if let Err(trouble) = api.delete(&kind, &service.object, service.known_uid()).await {
            fault = Some(trouble);
        }
    }
    fault.map_or(Ok(found), Err)
}

async fn given_up(
    log: &CleanupLog,
    left: &[BalancedService],
    trouble: Option<String>,
    seconds: u64,
) -> Vec<RemainingResource> {
    if left.is_empty() {
        let why = trouble.unwrap_or_default();
        let reason = format!("the cluster did not answer when its Services were looked for: {why}");
        log.warn(format!("load balancers of the cluster may be left: {reason}")).await;
        return vec![RemainingResource::not_listed(LOAD_BALANCER, &reason)];
    }
    let reason = match trouble {
        Some(why) => format!("the Service was not seen to go within {seconds} s: {why}"),
        None => format!("its controller has not removed {LOAD_BALANCER_FINALIZER} within {seconds} s"),
    };
    let head =
        format!("these Services did not go within {seconds} s, so their load balancers may be left in the cloud");
    log.names(Level::Warn, &head, &shown(left)).await;
    left.iter().map(|service| service.remaining(&reason)).collect()
}

fn shown(services: &[BalancedService]) -> Vec<String> {
    services.iter().map(BalancedService::shown).collect()
}
