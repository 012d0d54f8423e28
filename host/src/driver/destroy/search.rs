//! Searches the cloud for what a destroy does not remove. The plugin says what to ask and reads the answers; the host sends, to hosts
//! that are granted, with the credentials of the request and no other secret.

use super::cluster::ClusterLook;
use super::outcome::Looked;
use crate::driver::{Driver, Hand, tofu_state};
use crate::engine::{masking, masking_whole};
use crate::outbound::{LEFTOVER_SEARCH, Url, probe_within};
use catalyst_domain::provider::{
    CloudService, Descriptor, LeftoverQuery, LeftoverSearch, MadeResource, ProbeResponse, SESSION_TOKEN,
};
use catalyst_domain::remaining::{NamedBy, after_search, after_whole_search, in_order, merged};
use catalyst_domain::tofu_state::is_value;
use catalyst_domain::{DeploymentId, Fact, Level, Record, RemainingResource, Secrets, phase};
use catalyst_sandbox::Provider;

/// Resources of a state that a plugin is told of (`wit/`, `leftover-query`).
const MADE: usize = 1_000;
/// Names in one entry of the log.
const NAMES: usize = 20;

/// What a search goes by beside the record.
pub(super) struct SearchBasis {
    /// What is OpenTofu's to remove, or was when the destroy began; or why that is not known.
    pub(super) made: Result<Vec<MadeResource>, String>,
    /// What earlier destroys saw. The cluster may have struck it out by now, and the cloud may have it still.
    pub(super) seen_before: Vec<RemainingResource>,
    /// All secrets of the deployment as they were when the destroy began: what is remembered of them may end with the run.
    pub(super) secrets: Secrets,
}

impl Driver {
    /// What a search of this destroy goes by: the state before its run, and the credentials.
    pub(super) async fn search_basis(&self, record: &Record) -> SearchBasis {
        SearchBasis {
            made: self.made(&record.id).await,
            seen_before: record.remaining.clone(),
            secrets: self.vault.get(&record.id).unwrap_or_default(),
        }
    }

    async fn made(&self, id: &DeploymentId) -> Result<Vec<MadeResource>, String> {
        let state = self.engine.newest_state(id).await.map_err(|error| not_known(&error))?;
        made_of(state.as_deref())
    }
}

/// What a state names; nothing where there is no state.
///
/// # Errors
/// The state cannot be read. What it names would count as left by OpenTofu, and as removed where it names nothing.
fn made_of(state: Option<&[u8]>) -> Result<Vec<MadeResource>, String> {
    let objects = tofu_state::objects(state).map_err(|fault| not_known(&fault))?;
    let objects = objects.into_iter().filter(|object| !is_value(&object.address));
    Ok(objects.map(|object| MadeResource { address: object.address, id: object.id }).take(MADE).collect())
}

fn not_known(fault: &dyn std::error::Error) -> String {
    format!("what OpenTofu made there is not known, since its state cannot be used: {fault}")
}

/// What the state has after a run, and then what it had before. A cloud may show for a while what the run removed, and it is told by
/// its network and its servers what was attached to them; what only the later state has was never OpenTofu's to leave.
///
/// # Errors
/// What one of them has is not known.
fn made_by_both(
    after: Result<Vec<MadeResource>, String>,
    before: Result<Vec<MadeResource>, String>,
) -> Result<Vec<MadeResource>, String> {
    let (mut all, before) = (after?, before?);
    let gone: Vec<MadeResource> = before.into_iter().filter(|made| !all.contains(made)).collect();
    all.extend(gone);
    all.truncate(MADE);
    Ok(all)
}

/// What a search came to.
pub(super) struct CloudSearch {
    pub(super) found: Vec<RemainingResource>,
    not_searched: Vec<String>,
    /// Whether the cloud itself showed all of it, so that what it did not show is gone.
    is_whole: bool,
}

impl Hand {
    /// What is known beside OpenTofu's state when the run of a destroy has ended. It is on the record before the end is told.
    pub(super) async fn look_after_run(
        &self,
        record: &Record,
        cluster: ClusterLook,
        basis: SearchBasis,
        before: &[RemainingResource],
    ) -> Looked {
        let made = made_by_both(self.driver.made(&self.id).await, basis.made);
        let basis = SearchBasis { made, ..basis };
        let search = self.search_cloud(record, &basis, &merged(before, &record.remaining)).await;
        let looked = looked(record, cluster, search);
        if looked.remaining != record.remaining {
            self.fact(Fact::RemainingSeen(looked.remaining.clone())).await;
        }
        looked
    }

    /// What is in the cloud and belongs to a deployment, but for what OpenTofu made. `known` is what an earlier search found.
    pub(super) async fn search_cloud(
        &self,
        record: &Record,
        basis: &SearchBasis,
        known: &[RemainingResource],
    ) -> CloudSearch {
        let searched = match self.driver.provider_of(record) {
            Some(provider) if provider.searches_leftovers() => tokio::select! {
                () = self.stop.cancelled() => Err("the host is going down".to_owned()),
                searched = self.ask_cloud(record, &provider, basis, known) => searched,
            },
            Some(provider) => Err(format!("the plugin of {} does not search it", provider.descriptor().display_name)),
            None => Err("its plugin is not loaded".to_owned()),
        };
        match searched {
            Ok(search) => {
                for names in new_names(&search.found, known).chunks(NAMES) {
                    let text = format!("found in the cloud, and not OpenTofu's to remove: {}", names.join("; "));
                    self.say_of_others(phase::TOFU_DESTROY, Level::Warn, text).await;
                }
                search
            }
            Err(why) => {
                let mask = masking(&basis.secrets);
                CloudSearch {
                    // What was known before may still be there.
                    found: known.to_vec(),
                    not_searched: vec![format!("its cloud ({})", mask(&why))],
                    is_whole: false,
                }
            }
        }
    }

    /// What is in the cloud while the servers are still there, where the cluster could not be asked. It is on the record before
    /// they go: volumes are known by the servers that they are attached to.
    pub(super) async fn look_before_run(
        &self,
        record: &Record,
        cluster: &ClusterLook,
        basis: &SearchBasis,
    ) -> Vec<RemainingResource> {
        if *cluster == ClusterLook::CleanedUp {
            return Vec::new();
        }
        let found = self.search_cloud(record, basis, &record.remaining).await.found;
        let all = after_search(&record.remaining, &found);
        if all != record.remaining {
            self.fact(Fact::RemainingSeen(all)).await;
        }
        found
    }

    /// # Errors
    /// Why the cloud was not searched.
    async fn ask_cloud(
        &self,
        record: &Record,
        provider: &Provider,
        basis: &SearchBasis,
        known: &[RemainingResource],
    ) -> Result<CloudSearch, String> {
        // Without it, what OpenTofu has would pass for what it left.
        let made = basis.made.clone()?;
        let mut secrets = of_request(&basis.secrets, provider.descriptor());
        let region = region(record);
        let session = self.driver.cloud_session(record, provider, &secrets, &region).await.transpose()?;
        let services = session.as_ref().map(|session| session.services.clone()).unwrap_or_default();
        if let Some(session) = session {
            secrets.insert(SESSION_TOKEN, session.token);
        }
        let known = merged(known, &basis.seen_before);
        let query = LeftoverQuery {
            deployment_id: self.id.to_string(),
            sovereign_fqdn: record.request.sovereign_fqdn.clone(),
            region,
            settings: record.request.extra.clone(),
            made,
            known: known.iter().map(RemainingResource::marked).collect(),
            services,
        };
        let mut masked = basis.secrets.clone();
        masked.merge(secrets.clone());
        let judged = self.judged(provider, &query, &secrets, &masked).await;
        kept(judged, &masked)
    }

    /// What the plugin reads in the answers to its probes. They are sent with `secrets`; the plugin gets them without any of `masked`. The
    /// error is not masked yet.
    async fn judged(
        &self,
        provider: &Provider,
        query: &LeftoverQuery,
        secrets: &Secrets,
        masked: &Secrets,
    ) -> Result<JudgedSearch, String> {
        let probes = provider.leftover_probe(query).await.map_err(|error| error.to_string())??;
        let outbound = self.driver.settings.outbound.with_fixed(provider.rights().addresses());
        let mut hosts = provider.probe_hosts(&probes);
        hosts.extend(query.services.iter().filter_map(host_and_port));
        let answers = probe_within(&outbound, &probes, &hosts, secrets, LEFTOVER_SEARCH).await;
        let answers = without_secrets(answers.map_err(|error| error.to_string())?, masked);
        let search = provider.judge_leftovers(query, &answers).await.map_err(|error| error.to_string())?;
        Ok(JudgedSearch { search, has_asked: !probes.is_empty() })
    }
}

/// What a plugin made of the answers of its cloud.
struct JudgedSearch {
    search: LeftoverSearch,
    has_asked: bool,
}

/// Answers as a plugin may read them: a cloud gives back what its servers were made with.
fn without_secrets(answers: Vec<ProbeResponse>, secrets: &Secrets) -> Vec<ProbeResponse> {
    let mask = masking_whole(secrets);
    let masked = |answer: ProbeResponse| {
        let body = mask(&String::from_utf8_lossy(&answer.body)).into_bytes();
        ProbeResponse { body, ..answer }
    };
    answers.into_iter().map(masked).collect()
}

/// What was found and not known before, as the log names it. What is known for another reason by now is not told again.
fn new_names(found: &[RemainingResource], known: &[RemainingResource]) -> Vec<String> {
    let new = found.iter().filter(|found| !known.iter().any(|known| known.is(found)));
    new.map(ToString::to_string).collect()
}

/// What is kept of a search, without any secret of the deployment: a cloud, or what runs in it, may give back in an answer whatever it
/// was given, such as the user data of a server.
///
/// # Errors
/// That of the search, without any secret either.
fn kept(judged: Result<JudgedSearch, String>, secrets: &Secrets) -> Result<CloudSearch, String> {
    let mask = masking(secrets);
    let JudgedSearch { search, has_asked } = judged.map_err(|why| mask(&why))?;
    let LeftoverSearch { found, not_searched } = search;
    // Masked first: of a secret that is cut, the beginning would stay.
    let cut = |found: RemainingResource| {
        RemainingResource::new(&mask(&found.kind), &mask(&found.name), &mask(&found.id), &mask(&found.reason))
            .by(NamedBy::Cloud)
    };
    Ok(CloudSearch {
        found: found.into_iter().map(cut).collect(),
        is_whole: has_asked && not_searched.is_empty(),
        not_searched: not_searched.iter().map(|words| format!("in its cloud: {}", mask(words))).collect(),
    })
}

/// Region of a deployment.
fn region(record: &Record) -> String {
    let first = record.request.regions.first().map(|slot| slot.cloud_region.clone());
    first.unwrap_or_else(|| record.request.region.clone())
}

/// Where a service is, as a sender of probes compares it.
fn host_and_port(service: &CloudService) -> Option<String> {
    let url = Url::parse(&service.url).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// What both looks came to. What an earlier destroy saw counts until the cluster, or the whole of the cloud where a search found it
/// before, shows otherwise.
fn looked(record: &Record, cluster: ClusterLook, search: CloudSearch) -> Looked {
    let CloudSearch { found, not_searched, is_whole } = search;
    let not_asked = match cluster {
        ClusterLook::CleanedUp => None,
        ClusterLook::NotAsked(why) => Some(format!("what the cluster made by itself, in the cluster ({why})")),
    };
    let remaining = match is_whole {
        true => after_whole_search(&record.remaining, &found),
        false => after_search(&record.remaining, &found),
    };
    Looked { not_looked_at: not_asked.into_iter().chain(not_searched).collect(), remaining: in_order(remaining) }
}

/// The secrets that came with the request: what was minted, and what is the host's own, goes to no cloud's API.
fn of_request(secrets: &Secrets, descriptor: &Descriptor) -> Secrets {
    let mut own = Secrets::default();
    for (spec, _) in descriptor.request_secrets() {
        if let Some(value) = secrets.get(&spec.name) {
            own.insert(&spec.name, value.clone());
        }
    }
    own
}

#[cfg(test)]
mod tests;
