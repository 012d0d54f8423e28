//! The secrets of a run that goes on from an earlier one: remembered, left by a crash, or given once more.

use super::Driver;
use catalyst_domain::provider::{Bundle, Descriptor};
use catalyst_domain::{Finding, Record, Secrets, request};

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
        let mut secrets = match self.vault.get(&record.id) {
            Some(kept) => kept,
            None => self.leftover(record).await,
        };
        let mut wrong = Vec::new();
        if let Ok(parsed) = request::parse(body) {
            let given: Vec<String> = descriptor
                .request_secrets()
                .filter(|(_, key)| parsed.carries(key))
                .map(|(_, key)| key.to_owned())
                .collect();
            let (_, from_body, findings) = parsed.split(descriptor);
            secrets.merge(from_body);
            wrong.extend(findings.into_iter().filter(|f| given.iter().any(|key| f.pointer == format!("/{key}"))));
        }
        if !wrong.is_empty() {
            return Err(CredentialsFault::Findings(wrong));
        }
        let absent = |name: &str| secrets.get(name).is_none();
        let required = descriptor.request_secrets().filter(|(spec, _)| spec.required && absent(&spec.name));
        let keys: Vec<String> = required.map(|(_, key)| key.to_owned()).collect();
        if keys.is_empty() { Ok(secrets) } else { Err(CredentialsFault::Needed(keys)) }
    }

    /// What an interrupted run left in its work folder.
    async fn leftover(&self, record: &Record) -> Secrets {
        let bundle = self.store.bundle(&record.id).await.ok().flatten();
        let bundle = bundle.and_then(|bytes| serde_json::from_slice::<Bundle>(&bytes).ok());
        match bundle {
            Some(bundle) => {
                let found = self.engine.leftover_secrets(&record.id, &bundle.secret_variables);
                found.ok().flatten().unwrap_or_default()
            }
            None => Secrets::default(),
        }
    }
}
