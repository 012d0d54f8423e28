//! What a deployment has in the cloud when a run of it failed: what its state names, and what was made and is in no state. It
//! stands on the record beside the error, and in the log.

use super::{Driver, Hand, created, tofu_state};
use crate::engine::masking;
use catalyst_domain::tofu_state::{Object, is_value};
use catalyst_domain::{DeploymentId, Entry, Fact, LeftResource, Level, Record, Timestamp, phase};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of names in one entry of the log: some 200 resources.
const NAMES_BYTES: usize = 16 * 1024;

impl Driver {
    /// All of it. `made` is what a run made beyond what the record knows, ids by address.
    pub(super) async fn left(&self, record: &Record, made: &BTreeMap<String, String>) -> Vec<LeftResource> {
        let state = self.engine.newest_state(&record.id).await;
        let kept = state.ok().and_then(|state| tofu_state::objects(state.as_deref()).ok());
        let Some(kept) = kept else {
            // What is not known to be lost stays as it was known.
            let more = made.iter().map(|(address, id)| LeftResource::new(address, id, false));
            return record.left.iter().cloned().chain(more).collect();
        };
        let mut lost: BTreeSet<(String, String)> = BTreeSet::new();
        // What a state had when the last run ended, and has no more although none ran since, is lost as well.
        lost.extend(record.left.iter().map(|left| (left.address.clone(), left.id.clone())));
        lost.extend(made.iter().map(|(address, id)| (address.clone(), id.clone())));
        if self.has_state_aside(&record.id).await {
            // The state that would tell cannot be read, so the log has to.
            let named: BTreeSet<&str> = kept.iter().map(|resource| resource.address.as_str()).collect();
            let created = created::by_log(&*self.store, &record.id).await.unwrap_or_default();
            lost.extend(created.into_iter().filter(|(address, _)| !named.contains(address.as_str())));
        }
        lost.retain(|(address, id)| !is_value(address) && !kept.iter().any(|r| r.address == *address && r.id == *id));
        // Values that stand in a state alone are in no cloud, unless a cloud is nothing but such values.
        let only_values = kept.iter().all(|resource| is_value(&resource.address));
        let kept = kept.iter().filter(|resource| only_values || !is_value(&resource.address));
        let mask = masking(&self.vault.get(&record.id).unwrap_or_default());
        let left = |address: &str, id: &str, in_state| LeftResource::new(&mask(address), &mask(id), in_state);
        let in_state = kept.map(|resource| left(&resource.address, &resource.id, true));
        let mut all: Vec<_> = in_state.chain(lost.iter().map(|(address, id)| left(address, id, false))).collect();
        // As a record has them.
        all.sort();
        all.dedup();
        all
    }

    /// Writes it on the record, where it is not there. `false` when that could not be done.
    pub(super) async fn note_left(&self, id: &DeploymentId, made: &BTreeMap<String, String>) -> bool {
        let Some(record) = self.store.get(id) else { return true };
        let left = self.left(&record, made).await;
        if left == record.left {
            return true;
        }
        match self.store.record(id, &Fact::LeftBehind(left), Timestamp::now()).await {
            Ok(_) | Err(catalyst_store::RecordError::Refused(_)) => true,
            Err(error) => {
                tracing::error!(deployment.id = %id, %error, "cannot record what is left in the cloud");
                false
            }
        }
    }

    /// Says in the log which files were set aside, with what the log says was created.
    pub(super) async fn tell_set_aside(&self, id: &DeploymentId, notices: Vec<String>) {
        let state = self.engine.newest_state(id).await.ok().flatten();
        let created = created::by_log(&*self.store, id).await;
        let kept = tofu_state::objects(state.as_deref()).unwrap_or_default();
        let entry = |text: String| Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text);
        let entries = notices.into_iter().chain([created_words(created.as_ref(), &kept)]).map(entry).collect();
        if let Err(error) = self.store.append(id, entries).await {
            tracing::error!(deployment.id = %id, %error, "cannot log which files were set aside");
        }
        self.note_left(id, &BTreeMap::new()).await;
    }

    /// Logs a warning of the host. A log that cannot be written holds nothing up.
    pub(super) async fn warn(&self, id: &DeploymentId, text: String) {
        let entry = Entry::new(Timestamp::now(), phase::HOST, Level::Warn, text);
        if let Err(error) = self.store.append(id, vec![entry]).await {
            tracing::error!(deployment.id = %id, %error, "a warning is not in the log");
        }
    }

    async fn has_state_aside(&self, id: &DeploymentId) -> bool {
        self.engine.has_state_aside(id) || self.store.has_state_aside(id).await.unwrap_or_default()
    }
}

impl Hand {
    /// Says in the log and on the record what a run that failed in this phase left. Call it before the failure is told, which is
    /// the last word of a run.
    pub(super) async fn tell_left(&self, phase: &str, made: &BTreeMap<String, String>) {
        let Some(record) = self.record() else { return };
        let left = self.driver.left(&record, made).await;
        if !left.is_empty() {
            // A phase that is kept whatever it takes.
            self.say(phase, Level::Warn, left_words(&left, &self.id)).await;
        }
        if left != record.left {
            self.fact(Fact::LeftBehind(left)).await;
        }
    }
}

/// The names of what is left, those that no state has apart.
pub(super) fn left_words(left: &[LeftResource], id: &DeploymentId) -> String {
    let named = |in_state| names(left.iter().filter(|r| r.in_state == in_state).map(|r| (&*r.address, &*r.id)));
    let kept = named(true)
        .map(|names| format!("left in the cloud: {names}; a retry goes on from it, and a destroy removes it"));
    let lost = named(false).map(|names| {
        format!(
            "made and in no state, so neither a retry nor a destroy knows of it: {names}; look for it in the cloud, where a \
             label or a tag of it has the value {id}"
        )
    });
    kept.into_iter().chain(lost).collect::<Vec<_>>().join(". ")
}

fn created_words(created: Result<&BTreeMap<String, String>, &String>, kept: &[Object]) -> String {
    let created = match created {
        Ok(created) => created,
        Err(why) => return format!("what was created cannot be told, for the log cannot be read either: {why}"),
    };
    let all = created.iter().map(|(address, id)| (address.as_str(), id.as_str()));
    let Some(names_of_all) = names(all.clone()) else { return "the log names nothing that was created".to_owned() };
    let is_lost = |address: &str| !is_value(address) && !kept.iter().any(|r| r.address == address);
    match names(all.filter(|(address, _)| is_lost(address))) {
        None => format!("the log says that this was created: {names_of_all}; the kept state lacks nothing of it"),
        Some(lost) => format!("the log says that this was created: {names_of_all}; not in the kept state: {lost}"),
    }
}

/// `address (id), address (id)` within bounds; `None` where there is none.
fn names<'a>(resources: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let (mut text, mut more) = (String::new(), 0_usize);
    for (address, id) in resources {
        if text.len() > NAMES_BYTES {
            more += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(address);
        if !id.is_empty() {
            text.push_str(&format!(" ({id})"));
        }
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_with_what_to_do_about_it_and_within_bounds() {
        let id = DeploymentId::from_bytes([1; 8]);
        let one = |address: &str, in_state| LeftResource::new(address, "7", in_state);
        let text = left_words(&[one("t.a", true), one("t.b", false)], &id);
        assert!(text.starts_with("left in the cloud: t.a (7); a retry goes on from it"), "{text}");
        assert!(
            text.contains("made and in no state, so neither a retry nor a destroy knows of it: t.b (7);"),
            "{text}"
        );
        assert!(text.ends_with("has the value 0101010101010101"), "{text}");
        assert_eq!(left_words(&[], &id), "");
        let many: Vec<_> = (0..2_000).map(|n| one(&format!("type.name_of_a_resource[{n}]"), true)).collect();
        let text = left_words(&many, &id);
        assert!(text.len() < NAMES_BYTES + 512 && text.contains(" more; a retry"), "{}", text.len());
    }

    #[test]
    fn what_the_log_says_was_created_is_held_against_the_state() {
        let created: BTreeMap<String, String> =
            [("t.a", "1"), ("t.b", "2"), ("terraform_data.c", "3")].map(|(a, i)| (a.to_owned(), i.to_owned())).into();
        let state =
            br#"{"resources":[{"mode":"managed","type":"t","name":"a","instances":[{"attributes":{"id":"1"}}]}]}"#;
        let text = created_words(Ok(&created), &tofu_state::objects(Some(state)).unwrap());
        assert!(text.contains("t.a (1), t.b (2), terraform_data.c (3); not in the kept state: t.b (2)"), "{text}");
        assert!(created_words(Ok(&BTreeMap::new()), &[]).contains("nothing"));
        assert!(created_words(Err(&"line 3".to_owned()), &[]).ends_with("line 3"));
    }
}
