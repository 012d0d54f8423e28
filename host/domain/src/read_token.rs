//! Tokens that open one deployment: whoever creates one gets such a token, so that a browser can follow it without one that
//! opens anything else. Only digests are kept.

use crate::Record;
use crate::kubeconfig::sha256_hex;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Tokens of one deployment. There is one, and one more for each create that was sent again because its answer was lost.
pub const MOST: usize = 8;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadToken {
    /// SHA-256 of its text, as hex.
    pub sha256: String,
    /// What it opens.
    pub opens: Opens,
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

/// What a token opens of this deployment. All digests are compared, in constant time.
pub fn opened(record: &Record, token: &str) -> Option<Opens> {
    let given = sha256_hex(token.as_bytes());
    let mut opens = None;
    for kept in &record.read_tokens {
        if bool::from(kept.sha256.as_bytes().ct_eq(given.as_bytes())) {
            opens = Some(kept.opens);
        }
    }
    opens
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
    use crate::{DeploymentId, Fact, Request, Status, Timestamp};

    fn record(status: Status) -> Record {
        let provider = ProviderRef { id: "p".into(), version: "0".into(), digest: String::new() };
        let mut record = Record::new(NewRecord {
            id: DeploymentId::from_bytes([1; 8]),
            request: Request::default(),
            kubeconfig_bearer_hash: String::new(),
            provider,
            at: Timestamp::UNIX_EPOCH,
        });
        record.status = status;
        record
    }

    #[test]
    fn a_token_opens_what_it_was_given_for_whatever_the_deployment_does() {
        for status in Status::ALL {
            let mut record = record(status);
            for (token, opens) in [("a", Opens::Reading), ("b", Opens::ReadingAndKubeconfig)] {
                let fact = Fact::ReadTokenGiven(ReadToken { sha256: sha256_hex(token.as_bytes()), opens });
                let next = apply(&record, &fact, Timestamp::UNIX_EPOCH).unwrap();
                assert_eq!(next.status, status);
                record = next;
            }
            assert_eq!(opened(&record, "a"), Some(Opens::Reading));
            assert_eq!(opened(&record, "b"), Some(Opens::ReadingAndKubeconfig));
            for wrong in ["", "c", &sha256_hex(b"a")] {
                assert_eq!(opened(&record, wrong), None, "{wrong}");
            }
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let mut record = record(Status::Ready);
        for n in 0..=MOST {
            given(&mut record, &ReadToken { sha256: sha256_hex(n.to_string().as_bytes()), opens: Opens::Reading });
        }
        assert_eq!((record.read_tokens.len(), opened(&record, "0")), (MOST, None));
        assert!(opened(&record, "1").is_some() && opened(&record, &MOST.to_string()).is_some());
    }
}
