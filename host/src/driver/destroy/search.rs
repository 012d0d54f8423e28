//! Searches the cloud for what a destroy does not remove. The plugin says what to ask and reads the answers; the host sends, to hosts
//! that are granted, with the credentials of the request and no other secret.

use super::cluster::ClusterLook;
use super::outcome::Looked;
use crate::driver::{Driver, Hand, tofu_state};
use crate::engine::masking;
use crate::outbound::{LEFTOVER_SEARCH, Url, probe_within};
use catalyst_domain::provider::{CloudService, Descriptor, LeftoverQuery, LeftoverSearch, MadeResource, SESSION_TOKEN};
use catalyst_domain::remaining::{ClusterVolumes, NamedBy, after_whole_search, merged};
use catalyst_domain::tofu_state::is_value;
use catalyst_domain::{DeploymentId, Fact, Level, Record, RemainingResource, Secrets, phase};
use catalyst_sandbox::Provider;

/// Resources of a state that a plugin is told of (`wit/`, `leftover-query`).
const MADE: usize = 1_000;
/// Names in one entry of the log.
const NAMES: usize = 20;

/// What a search goes by beside the record.
pub(super) struct SearchBasis {
    /// What is OpenTofu's to remove, or was when the destroy began.
    pub(super) made: Vec<MadeResource>,
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

    async fn made(&self, id: &DeploymentId) -> Vec<MadeResource> {
        let state = self.engine.newest_state(id).await.ok().flatten();
        let objects = tofu_state::objects(state.as_deref()).unwrap_or_default();
        let objects = objects.into_iter().filter(|object| !is_value(&object.address));
        objects.map(|object| MadeResource { address: object.address, id: object.id }).take(MADE).collect()
    }
}

/// What the state has after a run, and then what it had before. A cloud may show for a while what the run removed, and it is told by
/// its network and its servers what was attached to them; what only the later state has was never OpenTofu's to leave.
fn made_by_both(after: Vec<MadeResource>, before: &[MadeResource]) -> Vec<MadeResource> {
    let gone = before.iter().filter(|made| !after.contains(made)).cloned().collect::<Vec<_>>();
    after.into_iter().chain(gone).take(MADE).collect()
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
        let made = made_by_both(self.driver.made(&self.id).await, &basis.made);
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
                let new = search.found.iter().filter(|found| !known.contains(found));
                let names: Vec<String> = new.map(ToString::to_string).collect();
                for names in names.chunks(NAMES) {
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
        let all = merged(&record.remaining, &found);
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
        let mut secrets = of_request(&basis.secrets, provider.descriptor());
        let session = self.driver.cloud_session(record, provider, &secrets).await.transpose()?;
        let services = session.as_ref().map(|session| session.services.clone()).unwrap_or_default();
        if let Some(session) = session {
            secrets.insert(SESSION_TOKEN, session.token);
        }
        let query = LeftoverQuery {
            deployment_id: self.id.to_string(),
            sovereign_fqdn: record.request.sovereign_fqdn.clone(),
            region: region(record),
            settings: record.request.extra.clone(),
            made: basis.made.clone(),
            known: merged(known, &basis.seen_before),
            services,
        };
        let probes = provider.leftover_probe(&query).await.map_err(|error| error.to_string())??;
        let outbound = self.driver.settings.outbound.with_fixed(provider.rights().addresses());
        let mut hosts = provider.probe_hosts(&probes);
        hosts.extend(query.services.iter().filter_map(host_and_port));
        let answers = probe_within(&outbound, &probes, &hosts, &secrets, LEFTOVER_SEARCH).await;
        let answers = answers.map_err(|error| error.to_string())?;
        let judged = provider.judge_leftovers(&query, &answers).await.map_err(|error| error.to_string())?;
        let mut masked = basis.secrets.clone();
        masked.merge(secrets);
        Ok(kept(judged, !probes.is_empty(), &masked))
    }
}

/// What is kept of a search, without any secret of the deployment: a cloud, or what runs in it, may give back in an answer whatever it
/// was given, such as the user data of a server.
fn kept(judged: LeftoverSearch, has_asked: bool, secrets: &Secrets) -> CloudSearch {
    let mask = masking(secrets);
    let LeftoverSearch { found, not_searched } = judged;
    // Masked first: of a secret that is cut, the beginning would stay.
    let cut = |found: RemainingResource| {
        RemainingResource::new(&mask(&found.kind), &mask(&found.name), &mask(&found.id), &mask(&found.reason))
            .by(NamedBy::Cloud)
    };
    CloudSearch {
        found: found.into_iter().map(cut).collect(),
        is_whole: has_asked && not_searched.is_empty(),
        not_searched: not_searched.iter().map(|words| format!("in its cloud: {}", mask(words))).collect(),
    }
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

/// What both looks came to. What an earlier destroy saw counts until the cluster or the whole of the cloud shows otherwise.
fn looked(record: &Record, cluster: ClusterLook, search: CloudSearch) -> Looked {
    let CloudSearch { found, not_searched, is_whole } = search;
    let (not_asked, volumes) = match cluster {
        ClusterLook::CleanedUp if record.delete_volumes => (None, ClusterVolumes::Deleted),
        ClusterLook::CleanedUp => (None, ClusterVolumes::Kept),
        ClusterLook::NotAsked(why) => {
            (Some(format!("what the cluster made by itself, in the cluster ({why})")), ClusterVolumes::NotAsked)
        }
    };
    let remaining = match is_whole {
        true => after_whole_search(&record.remaining, &found, volumes),
        false => merged(&record.remaining, &found),
    };
    Looked { not_looked_at: not_asked.into_iter().chain(not_searched).collect(), remaining }
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
mod tests {
    use super::*;
    use catalyst_domain::Request;
    use catalyst_domain::record::{NewRecord, ProviderRef};

    fn one(kind: &str, id: &str) -> RemainingResource {
        RemainingResource::new(kind, "x", id, "")
    }

    fn record(remaining: Vec<RemainingResource>) -> Record {
        let new = NewRecord {
            id: DeploymentId::from_bytes([1; 8]),
            request: Request::default(),
            kubeconfig_bearer_hash: String::new(),
            provider: ProviderRef { id: "x".into(), version: "1.0.0".into(), digest: "d".into() },
            at: catalyst_domain::Timestamp::UNIX_EPOCH,
        };
        Record { remaining, ..Record::new(new) }
    }

    fn search(found: Vec<RemainingResource>, not_searched: &[&str], is_whole: bool) -> CloudSearch {
        CloudSearch { found, not_searched: not_searched.iter().map(ToString::to_string).collect(), is_whole }
    }

    #[test]
    fn t6_what_the_cluster_named_stays_beside_what_the_cloud_shows() {
        let (volume, late) =
            (one("volume", "42").by(NamedBy::Cluster), one("load balancer", "203.0.113.7").by(NamedBy::Cluster));
        let mut record = record(vec![volume.clone(), late.clone()]);
        let found = one("load balancer", "7").by(NamedBy::Cloud);
        let all = |is_whole| search(vec![found.clone()], &[], is_whole);
        let seen = looked(&record, ClusterLook::CleanedUp, all(true));
        assert_eq!(
            seen.remaining,
            [volume.clone(), found.clone()],
            "a controller that was late has removed its load balancer"
        );
        assert!(seen.not_looked_at.is_empty());
        let unknown = looked(&record, ClusterLook::CleanedUp, all(false));
        assert_eq!(unknown.remaining, [volume, late, found.clone()]);
        record.delete_volumes = true;
        let deleted = looked(&record, ClusterLook::CleanedUp, all(true));
        assert_eq!(deleted.remaining, [found], "and a driver its volume");
    }

    #[test]
    fn t6_a_search_after_the_run_goes_by_the_state_before_it_and_by_that_after_it() {
        let made = |address: &str, id: &str| MadeResource { address: address.to_owned(), id: id.to_owned() };
        let before = [made("x.network", "11"), made("x.cp[0]", "21")];
        let after = made_by_both(vec![made("x.cp[0]", "21"), made("x.late", "31")], &before);
        assert_eq!(after, [made("x.cp[0]", "21"), made("x.late", "31"), made("x.network", "11")]);
        let many: Vec<MadeResource> = (0..MADE + 5).map(|n| made("x.y", &n.to_string())).collect();
        assert_eq!(made_by_both(vec![made("x.late", "0")], &many).len(), MADE);
    }

    #[test]
    fn t6_what_an_earlier_destroy_saw_counts_until_the_whole_cloud_shows_that_it_is_gone() {
        let record = record(vec![one("volume", "42")]);
        let dead = || ClusterLook::NotAsked("no answer".to_owned());
        let gone = looked(&record, dead(), search(Vec::new(), &[], true));
        assert!(gone.remaining.is_empty(), "{:?}", gone.remaining);
        assert_eq!(gone.not_looked_at, ["what the cluster made by itself, in the cluster (no answer)"]);
        let unknown = looked(&record, dead(), search(Vec::new(), &["in its cloud: volumes"], false));
        assert_eq!((unknown.remaining.len(), unknown.not_looked_at.len()), (1, 2));
    }

    #[test]
    fn what_a_search_shows_is_kept_without_any_secret_of_the_deployment() {
        use catalyst_domain::SecretValue;
        let mut secrets = Secrets::default();
        for (name, value) in [("token", "s3ntinel-of-the-request"), ("bearer", "s3ntinel-that-was-minted")] {
            secrets.insert(name, SecretValue::new(value));
        }
        let both = "a s3ntinel-of-the-request s3ntinel-that-was-minted";
        // The beginning of a secret that stands where a text is cut would be shown.
        let long = format!("{} s3ntinel-that-was-minted", "x".repeat(245));
        let resource = |name: &str| RemainingResource {
            kind: both.to_owned(),
            name: name.to_owned(),
            id: both.to_owned(),
            reason: both.to_owned(),
            named_by: None,
        };
        let judged =
            LeftoverSearch { found: vec![resource(both), resource(&long)], not_searched: vec![both.to_owned()] };
        let search = kept(judged, true, &secrets);
        assert_eq!(search.found[0].name, "a *** ***");
        let all = format!("{:?}{:?}", search.found, search.not_searched);
        assert!(!all.contains("s3ntinel") && !search.is_whole, "{all}");
    }

    #[test]
    fn t6_a_search_sends_the_credentials_of_the_request_and_no_other_secret() {
        use catalyst_domain::SecretValue;
        use catalyst_domain::provider::{Catalogue, SecretRole, SecretSource, SecretSpec};
        let secret = |name: &str, source| SecretSpec {
            name: name.into(),
            source,
            role: SecretRole::Ordinary,
            required: false,
            min_length: 1,
            max_length: 64,
            label: name.into(),
            refused_prefixes: Vec::new(),
        };
        let catalogue = Catalogue {
            as_of: "2026-01-01".into(),
            currency: "EUR".into(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        };
        let descriptor = Descriptor {
            id: "cloud".into(),
            display_name: "Cloud".into(),
            version: "1.0.0".into(),
            secrets: vec![
                secret("token", SecretSource::Request("cloudToken".into())),
                secret("images", SecretSource::Host("ghcr-pull-token".into())),
                secret("bearer", SecretSource::Minted),
            ],
            tofu_providers: Vec::new(),
            bearer_resource: None,
            catalogue,
            user_data_limit: 1,
            settings_schema: "{}".into(),
            api_hosts: Vec::new(),
        };
        let mut all = Secrets::default();
        for name in ["token", "images", "bearer"] {
            all.insert(name, SecretValue::new("x"));
        }
        assert_eq!(of_request(&all, &descriptor).names(), ["token"]);
    }
}
