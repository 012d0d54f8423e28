//! From the bytes of a body to a request: JSON, types, and the parting of what is secret.

use super::unknown::{self, SLOT_KEYS};
use super::{RegionSlot, Request};
use crate::finding::{Finding, MAX_FINDINGS};
use crate::json::{self, DuplicateKey, JsonError};
use crate::provider::Descriptor;
use crate::secrets::{SecretValue, Secrets};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Code of the finding about a key that a body gives more than once.
const DUPLICATE_KEY: &str = "duplicate-key";

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError(
    /// What is wrong, all at once.
    pub Vec<Finding>,
);

/// The finding about a key that an object of a body gives more than once.
pub fn given_twice(duplicate: &DuplicateKey) -> Finding {
    let message =
        format!("invalid request body: the key {:?} is given more than once, in this or another case", duplicate.key);
    Finding::error(&duplicate.pointer, DUPLICATE_KEY, message)
}

/// A body as far as its types were right. It may hold secrets until [`Parsed::split`] takes them out, so it cannot be
/// printed.
pub struct Parsed {
    request: Request,
    approved_render_digest: String,
    wrong_types: Vec<Finding>,
    remarks: Vec<Finding>,
}

/// Reads a body. Keys match in any case, unknown keys are kept aside, `null` means "not given", and what follows the
/// first JSON value is ignored, as the earlier service did.
///
/// # Errors
/// A finding for malformed JSON, or one for each key that is given more than once. Wrong types are
/// [`Parsed::take_wrong_types`].
pub fn parse(body: &[u8]) -> Result<Parsed, BodyError> {
    let root = match json::first_value(body) {
        Ok(Value::Object(root)) => root,
        Ok(Value::Null) => Map::new(),
        Ok(_) => return Err(whole("invalid request body: it must be a JSON object")),
        Err(JsonError::Empty) => return Err(whole("invalid request body: it is empty, a JSON object is needed")),
        Err(error @ JsonError::Malformed { .. }) => return Err(whole(&format!("invalid request body: {error}"))),
        Err(JsonError::Duplicate(keys)) => return Err(BodyError(keys.iter().map(given_twice).collect())),
    };
    let (mut fields, mut root) = (Fields { findings: Vec::new(), remarks: Vec::new() }, root);
    let approved_render_digest = fields.digest(&mut root, "expectedRenderDigest");
    let request = fields.request(root);
    Ok(Parsed { request, approved_render_digest, wrong_types: fields.findings, remarks: fields.remarks })
}

impl Parsed {
    /// A finding with pointer for every wrong type; such a field is as if it had not been given.
    pub fn take_wrong_types(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.wrong_types)
    }

    /// A warning for each key that nobody reads: neither the host nor `chosen`, the provider that the request goes to, or any
    /// of `all` where it goes to none. Their values stay out of it.
    pub fn unknown_keys(&self, chosen: Option<&Descriptor>, all: &[&Descriptor]) -> Vec<Finding> {
        let of_body = unknown::of_body(self.request.extra.keys().map(String::as_str), chosen, all);
        self.remarks.iter().cloned().chain(of_body).collect()
    }

    /// The provider that the first region names.
    pub fn provider(&self) -> Option<&str> {
        self.request.provider()
    }

    /// Digest of the render that the sender approved; blank when any will do.
    pub fn approved_render_digest(&self) -> &str {
        &self.approved_render_digest
    }

    /// Whether the body names any region.
    pub fn has_regions(&self) -> bool {
        !self.request.regions.is_empty()
    }

    /// Whether the body carries a key, in any case.
    pub fn carries(&self, key: &str) -> bool {
        self.request.extra.keys().any(|given| is_key(given, key))
    }

    /// The request as it is when no provider is known: every key of a cloud is dropped, so nothing secret is left.
    pub fn without_extra(self) -> Request {
        Request { extra: Map::new(), ..self.request }
    }

    /// Parts the body: secrets that the provider declares, and the request without them. Of the further keys only those
    /// that the provider's settings schema names are kept, and none of `secret_keys`, which are the secrets of all
    /// clouds: what is another one's secret goes no further, whatever a schema says.
    ///
    /// # Errors
    /// Findings for a secret that is missing, too short or long, made up, or no string.
    pub fn split(self, descriptor: &Descriptor, secret_keys: &[String]) -> (Request, Secrets, Vec<Finding>) {
        let mut request = self.request;
        let mut extra = std::mem::take(&mut request.extra);
        let mut secrets = Secrets::default();
        let mut findings = Vec::new();
        for (spec, key) in descriptor.request_secrets() {
            let given = take_any_case(&mut extra, key);
            match check_secret(spec, key, given) {
                Ok(Some(value)) => secrets.insert(&spec.name, value),
                Ok(None) => {}
                Err(finding) => findings.push(finding),
            }
        }
        request.extra = known_settings(extra, descriptor, secret_keys);
        (request, secrets, findings)
    }
}

/// Of further keys those that the provider's settings schema names, spelt as there, and none of `secret_keys`.
pub fn known_settings(
    extra: Map<String, Value>,
    descriptor: &Descriptor,
    secret_keys: &[String],
) -> Map<String, Value> {
    let allowed = settings(&descriptor.settings_schema);
    let mut known = Map::new();
    for (key, value) in extra {
        if secret_keys.iter().any(|secret| is_key(&key, secret)) {
            continue;
        }
        if let Some(name) = allowed.iter().find(|name| is_key(&key, name)) {
            known.insert(name.clone(), value);
        }
    }
    known
}

fn check_secret(
    spec: &crate::provider::SecretSpec,
    key: &str,
    given: Option<Value>,
) -> Result<Option<SecretValue>, Finding> {
    let pointer = format!("/{key}");
    let text = match given {
        Some(Value::String(text)) => SecretValue::new(text.trim()),
        None | Some(Value::Null) => SecretValue::new(""),
        Some(_) => {
            return Err(Finding::error(pointer, "wrong-type", format!("{key}: the {} must be a string", spec.label)));
        }
    };
    if text.is_blank() {
        return match spec.required {
            true => Err(Finding::error(pointer, "required", format!("{key}: a {} is required", spec.label))),
            false => Ok(None),
        };
    }
    if spec.refused_prefixes.iter().any(|prefix| text.expose().starts_with(prefix.as_str())) {
        let message =
            format!("{key}: this {} is made up and can create nothing; give one of the cloud's own", spec.label);
        return Err(Finding::error(pointer, "made-up", message));
    }
    let (min, max, length) = (spec.min_length as usize, spec.max_length as usize, text.expose().len());
    if length < min || length > max {
        let rule = if min == max { format!("exactly {min}") } else { format!("{min} to {max}") };
        let message = format!("{key}: the {} must have {rule} characters, not {length}", spec.label);
        return Err(Finding::error(pointer, "length", message));
    }
    Ok(Some(text))
}

/// Names of the properties of a JSON Schema text; none when it is not one.
pub(super) fn settings(schema: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    schema.get("properties").and_then(Value::as_object).map(|p| p.keys().cloned().collect()).unwrap_or_default()
}

fn take_any_case(map: &mut Map<String, Value>, key: &str) -> Option<Value> {
    let names: Vec<String> = map.keys().filter(|given| is_key(given, key)).cloned().collect();
    let mut last = None;
    for name in names {
        last = map.remove(&name);
    }
    last
}

/// Whether a name is a key in any case. Case is Unicode's, as Go's readers of JSON have it: to them the Kelvin sign is a k and the
/// long s an s.
pub(super) fn is_key(given: &str, key: &str) -> bool {
    json::folded(given) == json::folded(key)
}

pub(super) fn whole(message: &str) -> BodyError {
    BodyError(vec![Finding::error("", "invalid-json", message)])
}

struct Fields {
    findings: Vec<Finding>,
    remarks: Vec<Finding>,
}

impl Fields {
    fn request(&mut self, mut root: Map<String, Value>) -> Request {
        let mut request = Request {
            org_name: self.text(&mut root, "", "orgName"),
            org_email: self.text(&mut root, "", "orgEmail"),
            sovereign_fqdn: self.text(&mut root, "", "sovereignFQDN"),
            sovereign_domain_mode: self.text(&mut root, "", "sovereignDomainMode"),
            sovereign_pool_domain: self.text(&mut root, "", "sovereignPoolDomain"),
            sovereign_subdomain: self.text(&mut root, "", "sovereignSubdomain"),
            region: self.text(&mut root, "", "region"),
            control_plane_size: self.text(&mut root, "", "controlPlaneSize"),
            worker_size: self.text(&mut root, "", "workerSize"),
            worker_count: self.count(&mut root, "", "workerCount"),
            ha_enabled: self.flag(&mut root, "haEnabled"),
            regions: self.regions(&mut root),
            ssh_public_key: self.text(&mut root, "", "sshPublicKey"),
            extra: Map::new(),
        };
        request.mirror_first_region();
        request.extra = root;
        request
    }

    fn text(&mut self, map: &mut Map<String, Value>, at: &str, key: &str) -> String {
        match take_any_case(map, key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(_) => self.wrong(at, key, "a string"),
        }
    }

    fn digest(&mut self, map: &mut Map<String, Value>, key: &str) -> String {
        let text = self.text(map, "", key);
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.is_empty() || (text.len() == 64 && text.bytes().all(hex)) {
            return text;
        }
        self.wrong("", key, "a SHA-256 as 64 lower-case hex characters, as a preview gives it")
    }

    fn count(&mut self, map: &mut Map<String, Value>, at: &str, key: &str) -> i64 {
        match take_any_case(map, key) {
            None | Some(Value::Null) => 0,
            Some(value) => match value.as_i64() {
                Some(count) => count,
                None => self.wrong(at, key, "a whole number"),
            },
        }
    }

    fn flag(&mut self, map: &mut Map<String, Value>, key: &str) -> bool {
        match take_any_case(map, key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => self.wrong("", key, "true or false"),
        }
    }

    fn regions(&mut self, map: &mut Map<String, Value>) -> Vec<RegionSlot> {
        let slots = match take_any_case(map, "regions") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(slots)) => slots,
            Some(_) => return self.wrong("", "regions", "a list of objects"),
        };
        let mut regions = Vec::new();
        for (index, slot) in slots.into_iter().enumerate() {
            let at = format!("/regions/{index}");
            match slot {
                Value::Object(slot) => regions.push(self.slot(slot, &at)),
                _ => regions.push(self.wrong("/regions", &index.to_string(), "an object")),
            }
        }
        regions
    }

    fn slot(&mut self, mut slot: Map<String, Value>, at: &str) -> RegionSlot {
        let read = RegionSlot {
            provider: self.text(&mut slot, at, "provider"),
            cloud_region: self.text(&mut slot, at, "cloudRegion"),
            control_plane_size: self.text(&mut slot, at, "controlPlaneSize"),
            worker_size: self.text(&mut slot, at, "workerSize"),
            worker_count: self.count(&mut slot, at, "workerCount"),
        };
        // More are not shown anyway.
        if self.remarks.len() < MAX_FINDINGS {
            self.remarks.extend(unknown::unknown_keys(at, slot.keys().map(String::as_str), &SLOT_KEYS));
        }
        read
    }

    fn wrong<T: Default>(&mut self, at: &str, key: &str, kind: &str) -> T {
        let pointer = format!("{at}/{key}");
        let message = format!("invalid request body: {pointer} must be {kind}");
        self.findings.push(Finding::error(pointer, "wrong-type", message));
        T::default()
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
