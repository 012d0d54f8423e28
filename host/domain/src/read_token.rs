//! Tokens that open one deployment: whoever creates one gets such a token, so that a browser can follow it without one that
//! opens anything else. Only digests are kept. A token ends with its week, and soon after its deployment is destroyed.

use crate::kubeconfig::sha256_hex;
use crate::{Record, Status, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Tokens of one deployment. There is one, and one more for each create that was sent again because its answer was lost.
pub const MOST: usize = 8;

/// How long a token opens its deployment: longer than any takes. Who comes later comes as a caller who is known.
pub const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long it still opens one that is destroyed, so that a page which follows a destroy sees how it ended.
pub const LAST_LOOK: SignedDuration = SignedDuration::from_hours(1);

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadToken {
    /// SHA-256 of its text, as hex.
    pub sha256: String,
    /// What it opens.
    pub opens: Opens,
    /// When it was given; where a record does not tell, when its deployment was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<Timestamp>,
}

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opens {
    /// State and log.
    Reading,
    /// The kubeconfig too: who made the deployment may take it.
    ReadingAndKubeconfig,
}

/// What a token opens of this deployment now. All digests are compared, in constant time.
pub fn opened(record: &Record, token: &str, now: Timestamp) -> Option<Opens> {
    let given = sha256_hex(token.as_bytes());
    let mut found = None;
    for kept in &record.read_tokens {
        if bool::from(kept.sha256.as_bytes().ct_eq(given.as_bytes())) {
            found = Some(kept);
        }
    }
    found.filter(|kept| lasts(record, kept, now)).map(|kept| kept.opens)
}

fn lasts(record: &Record, kept: &ReadToken, now: Timestamp) -> bool {
    let gone = |ended: Timestamp| now.duration_since(ended) >= LAST_LOOK;
    if record.status == Status::Destroyed && record.finished_at.is_none_or(gone) {
        return false;
    }
    now.duration_since(kept.given_at.unwrap_or(record.started_at)) < LASTS
}

/// Keeps one more; the oldest goes where there are too many.
pub(crate) fn given(next: &mut Record, token: &ReadToken) {
    next.read_tokens.push(token.clone());
    let over = next.read_tokens.len().saturating_sub(MOST);
    next.read_tokens.drain(..over);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NewRecord, ProviderRef};
    use crate::transition::apply;
    use crate::{DeploymentId, Fact, Request};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn record(status: Status) -> Record {
        let provider = ProviderRef { id: "p".into(), version: "0".into(), digest: String::new() };
        let mut record = Record::new(NewRecord {
            id: DeploymentId::from_bytes([1; 8]),
            request: Request::default(),
            kubeconfig_bearer_hash: String::new(),
            provider,
            at: NOW,
        });
        record.status = status;
        record.finished_at = status.is_terminal().then_some(NOW);
        record
    }

    fn token(text: &str, opens: Opens) -> ReadToken {
        ReadToken { sha256: sha256_hex(text.as_bytes()), opens, given_at: Some(NOW) }
    }

    fn after(time: SignedDuration) -> Timestamp {
        NOW.checked_add(time).unwrap()
    }

    #[test]
    fn a_token_opens_what_it_was_given_for_whatever_the_deployment_does() {
        for status in Status::ALL {
            let mut record = record(status);
            for (text, opens) in [("a", Opens::Reading), ("b", Opens::ReadingAndKubeconfig)] {
                let fact = Fact::ReadTokenGiven(token(text, opens));
                let next = apply(&record, &fact, NOW).unwrap();
                assert_eq!(next.status, status);
                record = next;
            }
            assert_eq!(opened(&record, "a", NOW), Some(Opens::Reading));
            assert_eq!(opened(&record, "b", NOW), Some(Opens::ReadingAndKubeconfig));
            for wrong in ["", "c", &sha256_hex(b"a")] {
                assert_eq!(opened(&record, wrong, NOW), None, "{wrong}");
            }
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
            let ended = apply(&record, &Fact::ReadTokensEnded, NOW).unwrap();
            assert_eq!((ended.status, opened(&ended, "a", NOW), opened(&ended, "b", NOW)), (status, None, None));
        }
    }

    #[test]
    fn a_token_ends_with_its_week_whatever_becomes_of_its_deployment() {
        let second = SignedDuration::from_secs(1);
        for status in [Status::Provisioning, Status::Ready, Status::Failed] {
            let mut record = record(status);
            given(&mut record, &token("a", Opens::Reading));
            assert_eq!(opened(&record, "a", after(LASTS - second)), Some(Opens::Reading));
            assert_eq!(opened(&record, "a", after(LASTS)), None);
            // One that was given later has a week of its own; of one that does not tell, the deployment's age counts.
            given(&mut record, &ReadToken { given_at: Some(after(LASTS)), ..token("b", Opens::Reading) });
            given(&mut record, &ReadToken { given_at: None, ..token("c", Opens::Reading) });
            assert_eq!(opened(&record, "b", after(LASTS)), Some(Opens::Reading));
            assert_eq!(opened(&record, "c", after(LASTS - second)), Some(Opens::Reading));
            assert_eq!(opened(&record, "c", after(LASTS)), None);
        }
        let early = r#"{"sha256":"x","opens":"reading"}"#;
        assert_eq!(serde_json::from_str::<ReadToken>(early).unwrap().given_at, None);
    }

    #[test]
    fn a_token_dies_with_its_deployment_once_its_page_could_see_the_end() {
        let mut record = record(Status::Destroyed);
        given(&mut record, &token("a", Opens::Reading));
        assert_eq!(opened(&record, "a", NOW), Some(Opens::Reading));
        assert_eq!(opened(&record, "a", after(LAST_LOOK)), None);
        record.finished_at = None;
        assert_eq!(opened(&record, "a", NOW), None, "nobody knows since when");
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let mut record = record(Status::Ready);
        for n in 0..=MOST {
            given(&mut record, &token(&n.to_string(), Opens::Reading));
        }
        let opened = |n: usize| opened(&record, &n.to_string(), NOW);
        assert_eq!((record.read_tokens.len(), opened(0)), (MOST, None));
        assert!(opened(1).is_some() && opened(MOST).is_some());
    }
}
