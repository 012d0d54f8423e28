//! The secrets of a run that goes on from an earlier one: remembered, left by a crash, or given once more.

use super::Driver;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::request::{self, BodyError};
use catalyst_domain::{Finding, Record, Secrets};

/// Why a run cannot have its secrets.
#[derive(Debug)]
pub enum CredentialsFault {
    /// Request keys whose secrets must be given again.
    Needed(Vec<String>),
    /// What is wrong with those in the body.
    Findings(Vec<Finding>),
}

impl Driver {
    /// The secrets of the last run, from memory or from what a crash left behind, and those of the body, which win. The
    /// body uses the create's own keys; nothing else in it counts.
    pub(super) async fn gather(
        &self,
        record: &Record,
        descriptor: &Descriptor,
        body: &[u8],
    ) -> Result<Secrets, CredentialsFault> {
        let mut secrets = self.kept_secrets(&record.id).await.unwrap_or_default();
        let unreadable = match self.given(descriptor, body) {
            Ok((given, wrong)) if wrong.is_empty() => {
                secrets.merge(given);
                Vec::new()
            }
            Ok((_, wrong)) => return Err(CredentialsFault::Findings(wrong)),
            Err(BodyError(findings)) => findings,
        };
        let absent = |name: &str| secrets.get(name).is_none();
        let required = descriptor.request_secrets().filter(|(spec, _)| spec.required && absent(&spec.name));
        let keys: Vec<String> = required.map(|(_, key)| key.to_owned()).collect();
        match (keys.is_empty(), unreadable.is_empty() || body.is_empty()) {
            (true, _) => Ok(secrets),
            (false, true) => Err(CredentialsFault::Needed(keys)),
            // The credentials may be in there, so what is wrong with it is the better answer.
            (false, false) => Err(CredentialsFault::Findings(unreadable)),
        }
    }

    /// The secrets in a body, and what is wrong with those that it carries; the other rules of a create do not count here.
    fn given(&self, descriptor: &Descriptor, body: &[u8]) -> Result<(Secrets, Vec<Finding>), BodyError> {
        let parsed = request::parse(body)?;
        let carried = descriptor.request_secrets().filter(|(_, key)| parsed.carries(key));
        let pointers: Vec<String> = carried.map(|(_, key)| format!("/{key}")).collect();
        let (_, secrets, mut findings) = parsed.split(descriptor, &self.secret_keys());
        findings.retain(|finding| pointers.contains(&finding.pointer));
        Ok((secrets, findings))
    }
}
