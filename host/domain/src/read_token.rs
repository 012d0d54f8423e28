//! Tokens that open one deployment: whoever creates one gets such a token, so that a browser can follow it without one that
//! opens anything else. Only digests are kept. A token ends with its week, and soon after its deployment is destroyed.

use crate::kubeconfig::sha256_hex;
use crate::{Record, Refused, Status, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Tokens of one deployment that its create and people who asked for one hold: a page and a few colleagues. None of them is
/// given up for a later one.
pub const MOST: usize = 8;
/// Tokens of creates that were sent again because their answer was lost. They have places of their own, so that such a
/// create is answered whatever was asked for since; the oldest makes room for the next.
pub const MOST_REPLAYED: usize = 4;

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
    /// Whether a later token may take its place.
    #[serde(default, skip_serializing_if = "Tenure::is_kept")]
    pub tenure: Tenure,
}

/// Whether a later token may take a token's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tenure {
    /// None may: that of the create itself, and those that somebody asked for.
    #[default]
    Kept,
    /// That of another answer to the same create may.
    Replayed,
}

impl Tenure {
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
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

/// Keeps one more. Those that have ended make room.
///
/// # Errors
/// [`Refused::ReadTokensTaken`] where [`MOST`] are kept already. A token of a create that was sent again takes the place of the
/// oldest of its kind and is never refused.
pub(crate) fn given(next: &mut Record, token: &ReadToken, now: Timestamp) -> Result<(), Refused> {
    let record = next.clone();
    next.read_tokens.retain(|kept| lasts(&record, kept, now));
    let same = |kept: &&ReadToken| kept.tenure == token.tenure;
    let count = next.read_tokens.iter().filter(same).count();
    match token.tenure {
        Tenure::Kept if count >= MOST => {
            let ends = |kept: &ReadToken| kept.given_at.unwrap_or(record.started_at).checked_add(LASTS).ok();
            let first = next.read_tokens.iter().filter(same).filter_map(ends).min();
            return Err(Refused::ReadTokensTaken { count, until: first.unwrap_or(now) });
        }
        Tenure::Replayed if count >= MOST_REPLAYED => {
            if let Some(oldest) = next.read_tokens.iter().position(|kept| kept.tenure == Tenure::Replayed) {
                next.read_tokens.remove(oldest);
            }
        }
        Tenure::Kept | Tenure::Replayed => {}
    }
    next.read_tokens.push(token.clone());
    Ok(())
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
        ReadToken { sha256: sha256_hex(text.as_bytes()), opens, given_at: Some(NOW), tenure: Tenure::Kept }
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
            given(&mut record, &token("a", Opens::Reading), NOW).unwrap();
            assert_eq!(opened(&record, "a", after(LASTS - second)), Some(Opens::Reading));
            assert_eq!(opened(&record, "a", after(LASTS)), None);
            // One that was given later has a week of its own; of one that does not tell, the deployment's age counts.
            given(&mut record, &ReadToken { given_at: Some(after(LASTS)), ..token("b", Opens::Reading) }, NOW).unwrap();
            given(&mut record, &ReadToken { given_at: None, ..token("c", Opens::Reading) }, NOW).unwrap();
            assert_eq!(opened(&record, "b", after(LASTS)), Some(Opens::Reading));
            assert_eq!(opened(&record, "c", after(LASTS - second)), Some(Opens::Reading));
            assert_eq!(opened(&record, "c", after(LASTS)), None);
        }
        let early = r#"{"sha256":"x","opens":"reading"}"#;
        let early = serde_json::from_str::<ReadToken>(early).unwrap();
        assert_eq!((early.given_at, early.tenure), (None, Tenure::Kept));
    }

    #[test]
    fn a_token_dies_with_its_deployment_once_its_page_could_see_the_end() {
        let mut record = record(Status::Destroyed);
        given(&mut record, &token("a", Opens::Reading), NOW).unwrap();
        assert_eq!(opened(&record, "a", NOW), Some(Opens::Reading));
        assert_eq!(opened(&record, "a", after(LAST_LOOK)), None);
        record.finished_at = None;
        assert_eq!(opened(&record, "a", NOW), None, "nobody knows since when");
    }

    fn opens(record: &Record, text: &str, now: Timestamp) -> bool {
        opened(record, text, now).is_some()
    }

    #[test]
    fn no_token_is_pushed_out_and_those_that_ended_make_room() {
        let mut record = record(Status::Ready);
        let at = |text: &str, given: Timestamp| ReadToken { given_at: Some(given), ..token(text, Opens::Reading) };
        given(&mut record, &at("0", NOW), NOW).unwrap();
        let later = after(SignedDuration::from_hours(1));
        for n in 1..MOST {
            given(&mut record, &at(&n.to_string(), later), later).unwrap();
        }
        let before = record.clone();
        for _ in 0..2 * MOST {
            let refused = given(&mut record, &at("more", later), later).unwrap_err();
            assert_eq!(refused, Refused::ReadTokensTaken { count: MOST, until: after(LASTS) });
        }
        let until = after(LASTS).saturating_add(SignedDuration::from_nanos(123_456_789)).unwrap();
        let told = Refused::ReadTokensTaken { count: MOST, until }.to_string();
        assert!(told.contains(&format!("ends at {};", crate::event::seconds(after(LASTS)))), "{told}");
        assert_eq!(record, before);
        assert!((0..MOST).all(|n| opens(&record, &n.to_string(), later)) && !opens(&record, "more", later));
        // The week of the first is over, and no other's.
        given(&mut record, &at("more", after(LASTS)), after(LASTS)).unwrap();
        assert!(!opens(&record, "0", after(LASTS)) && opens(&record, "1", after(LASTS)));
        assert!(opens(&record, "more", after(LASTS)) && record.read_tokens.len() == MOST);
    }

    #[test]
    fn a_create_that_is_sent_again_is_answered_and_pushes_out_only_its_like() {
        let mut record = record(Status::Ready);
        for n in 0..MOST {
            given(&mut record, &token(&n.to_string(), Opens::Reading), NOW).unwrap();
        }
        for n in 0..3 * MOST_REPLAYED {
            let replayed = ReadToken { tenure: Tenure::Replayed, ..token(&format!("r{n}"), Opens::Reading) };
            record = apply(&record, &Fact::ReadTokenGiven(replayed), NOW).unwrap();
            assert!(opens(&record, &format!("r{n}"), NOW), "each answer has a token that opens");
        }
        assert_eq!(record.read_tokens.len(), MOST + MOST_REPLAYED);
        assert!((0..MOST).all(|n| opens(&record, &n.to_string(), NOW)));
        assert!(!opens(&record, "r0", NOW));
        let asked = Fact::ReadTokenGiven(token("more", Opens::Reading));
        assert!(matches!(apply(&record, &asked, NOW), Err(Refused::ReadTokensTaken { .. })));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn what_an_earlier_release_kept_is_pushed_out_no_more() {
        let mut record = record(Status::Ready);
        let early = |n: usize| serde_json::json!({"sha256": sha256_hex(n.to_string().as_bytes()), "opens": "reading"});
        record.read_tokens = (0..MOST).map(|n| serde_json::from_value(early(n)).unwrap()).collect();
        let refused = given(&mut record, &token("more", Opens::Reading), NOW).unwrap_err();
        assert_eq!(refused, Refused::ReadTokensTaken { count: MOST, until: after(LASTS) });
        assert!(opens(&record, "0", NOW));
    }
}
