//! The part of contract 1.1 that a component exports or not: the search in its cloud for what a destroy left there. It is bound beside
//! the world, so that a component without it is a provisioner all the same.

use catalyst_domain::RemainingResource;
use catalyst_domain::provider::{CloudService, LeftoverQuery, LeftoverSearch, Probe, ProbeResponse};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::{Called, Failed, Version};
use crate::error::LoadError;
use crate::state::CallState;

/// Generated from `wit/provisioner-1.1`.
mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/provisioner-1.1",
        world: "leftover-search",
        exports: { default: async },
    });
}

use wit::catalyst::provisioner::credentials;
use wit::exports::catalyst::provisioner::leftovers;

/// Name of the interface among the exports of a component.
const INTERFACE: &str = "catalyst:provisioner/leftovers@1.1.0";

/// The exports of a component that searches its cloud.
pub(crate) struct Leftovers(wit::LeftoverSearchPre<CallState>);

impl Leftovers {
    /// Finds them, where the component has them.
    ///
    /// # Errors
    /// The interface is exported, and is not the contract's.
    pub fn find(version: Version, pre: &InstancePre<CallState>) -> Result<Option<Self>, LoadError> {
        if version != Version::V1_1 || pre.component().get_export_index(None, INTERFACE).is_none() {
            return Ok(None);
        }
        let bound = wit::LeftoverSearchPre::new(pre.clone());
        bound.map(|bound| Some(Self(bound))).map_err(|error| LoadError::World(format!("{error:#}")))
    }

    /// What to ask the cloud, or why that is not possible.
    pub async fn leftover_probe(
        &self,
        store: &mut Store<CallState>,
        query: &LeftoverQuery,
    ) -> Called<Result<Vec<Probe>, String>> {
        let query = of_query(query)?;
        let guest = self.0.instantiate_async(&mut *store).await?;
        let probes = guest.catalyst_provisioner_leftovers().call_leftover_probe(store, &query).await?;
        Ok(probes.map(|probes| probes.into_iter().map(probe).collect()))
    }

    /// What the answers show.
    pub async fn judge_leftovers(
        &self,
        store: &mut Store<CallState>,
        query: &LeftoverQuery,
        responses: &[ProbeResponse],
    ) -> Called<LeftoverSearch> {
        let query = of_query(query)?;
        let of_response = |r: &ProbeResponse| credentials::ProbeResponse { status: r.status, body: r.body.clone() };
        let responses: Vec<credentials::ProbeResponse> = responses.iter().map(of_response).collect();
        let guest = self.0.instantiate_async(&mut *store).await?;
        let search = guest.catalyst_provisioner_leftovers().call_judge_leftovers(store, &query, &responses).await?;
        let found = |f: leftovers::Leftover| RemainingResource {
            kind: f.kind,
            name: f.name,
            id: f.id,
            reason: f.reason,
            named_by: None,
        };
        Ok(LeftoverSearch { found: search.found.into_iter().map(found).collect(), not_searched: search.not_searched })
    }
}

fn of_query(query: &LeftoverQuery) -> Result<leftovers::LeftoverQuery, Failed> {
    let settings = serde_json::to_string(&query.settings).map_err(|error| Failed::Output(error.to_string()))?;
    let known = |known: &RemainingResource| leftovers::Leftover {
        kind: known.kind.clone(),
        name: known.name.clone(),
        id: known.id.clone(),
        reason: known.reason.clone(),
    };
    let service = |service: &CloudService| leftovers::CloudService {
        kind: service.kind.clone(),
        region: service.region.clone(),
        url: service.url.clone(),
    };
    Ok(leftovers::LeftoverQuery {
        deployment_id: query.deployment_id.clone(),
        sovereign_fqdn: query.sovereign_fqdn.clone(),
        region: query.region.clone(),
        settings,
        made: query
            .made
            .iter()
            .map(|made| leftovers::MadeResource { address: made.address.clone(), id: made.id.clone() })
            .collect(),
        known: query.known.iter().map(known).collect(),
        services: query.services.iter().map(service).collect(),
    })
}

fn probe(probe: credentials::Probe) -> Probe {
    Probe {
        method: probe.method,
        url: probe.url,
        headers: probe.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body: probe.body,
    }
}
