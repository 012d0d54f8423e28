//! A request, read once: a finding for everything that does not fit, and what is to be built.

use serde_json::Value;

use crate::wit::findings::{Finding, Severity};
use crate::wit::request::DeploymentRequest;
use crate::{MACHINES, MODULE, REGIONS, USER_DATA_LIMIT};

const MAX_WORKERS: u32 = 50;
const MAX_TEXT_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 253;
const DEFAULT_API_PORT: i64 = 6443;
/// What may stand around a text; languages differ in what else is blank to them.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
/// What a character of a request may become in user data, where it is JSON within YAML.
const GROWTH: usize = 8;
/// Longest values that only the apply knows, all of them together, in bytes.
pub(crate) const HOLES: usize = 1024;

const KEY_TYPES: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// Worth something only without error findings.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) findings: Vec<Finding>,
    pub(crate) region: String,
    pub(crate) server_size: String,
    pub(crate) worker_size: String,
    pub(crate) workers: u32,
    pub(crate) api_port: i64,
    pub(crate) user_data_bytes: usize,
}

/// Size of a file of the module.
pub(crate) fn bytes_of(name: &str) -> usize {
    MODULE.iter().find(|(path, _)| *path == name).map_or(0, |(_, text)| text.len())
}

impl Plan {
    pub(crate) fn of(request: &DeploymentRequest) -> Self {
        let mut findings = Findings::default();
        let slot = request.regions.first();
        let at = |key: &str| match slot {
            Some(_) => format!("/regions/0/{key}"),
            None => format!("/{}", if key == "cloudRegion" { "region" } else { key }),
        };
        texts(request, &mut findings);
        if !is_dns_name(&request.sovereign_fqdn) {
            let message = "sovereignFQDN must be a lower-case DNS name of at least two labels";
            findings.error("/sovereignFQDN", "dns-name", message);
        }
        if !is_public_key(request.ssh_public_key.trim_matches(BLANKS)) {
            let message = "sshPublicKey must be one line of an OpenSSH public key";
            findings.error("/sshPublicKey", "ssh-public-key", message);
        }
        if request.ha_enabled {
            findings.error("/haEnabled", "no-ha", "haEnabled: one server is built here, not three");
        }
        if request.regions.len() > 1 {
            let message = "only the first region is built; the others are left out";
            findings.add("/regions/1", "one-region", message, Severity::Warning);
        }
        let machines = MACHINES.map(|(name, ..)| name);
        let (region, server_size, worker_size, worker_count) = match slot {
            Some(slot) => (&slot.cloud_region, &slot.control_plane_size, &slot.worker_size, slot.worker_count),
            None => (&request.region, &request.control_plane_size, &request.worker_size, request.worker_count),
        };
        let region = findings.choice(&at("cloudRegion"), region, &REGIONS, "region");
        let server_size = findings.choice(&at("controlPlaneSize"), server_size, &machines, "machine type");
        let worker_size = findings.choice(&at("workerSize"), worker_size, &machines, "machine type");
        let workers = u32::try_from(worker_count).ok().filter(|count| *count <= MAX_WORKERS);
        if workers.is_none() {
            let message = format!("workerCount must be from 0 to {MAX_WORKERS}");
            findings.error(&at("workerCount"), "worker-count", &message);
        }
        let api_port = api_port(&request.extra, &mut findings);
        let words = [&request.org_name, &request.org_email, &request.sovereign_fqdn].map(|text| text.len());
        let user_data_bytes = bytes_of("cloudinit-server.tftpl") + HOLES + GROWTH * words.iter().sum::<usize>();
        if user_data_bytes > USER_DATA_LIMIT as usize {
            let message = format!("the user data of a server may be over {USER_DATA_LIMIT} bytes");
            findings.error("", "user-data-too-large", &message);
        }
        let workers = workers.unwrap_or_default();
        Self { findings: findings.0, region, server_size, worker_size, workers, api_port, user_data_bytes }
    }

    pub(crate) fn refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, pointer: &str, code: &str, message: &str, severity: Severity) {
        let (pointer, code, message) = (pointer.to_owned(), code.to_owned(), message.to_owned());
        self.0.push(Finding { pointer, code, message, severity });
    }

    fn error(&mut self, pointer: &str, code: &str, message: &str) {
        self.add(pointer, code, message, Severity::Error);
    }

    /// A blank choice is the first that there is.
    fn choice(&mut self, pointer: &str, text: &str, known: &[&str], what: &str) -> String {
        let text = text.trim_matches(BLANKS);
        if !text.is_empty() && !known.contains(&text) {
            let message = format!("there is no {what} of that name; there are {}", known.join(", "));
            self.error(pointer, &format!("unknown-{}", what.replace(' ', "-")), &message);
        }
        if text.is_empty() { known[0].to_owned() } else { text.to_owned() }
    }
}

fn texts(request: &DeploymentRequest, findings: &mut Findings) {
    let public_key = request.ssh_public_key.trim_matches(BLANKS);
    for (key, text) in
        [("orgName", request.org_name.as_str()), ("orgEmail", &request.org_email), ("sshPublicKey", public_key)]
    {
        let pointer = format!("/{key}");
        if text.len() > MAX_TEXT_BYTES {
            findings.error(&pointer, "too-long", &format!("{key} is longer than {MAX_TEXT_BYTES} bytes"));
        }
        if text.chars().any(is_forbidden) {
            let message = format!("{key} has a character that cannot be kept as it is");
            findings.error(&pointer, "forbidden-character", &message);
        }
        // OpenTofu composes a mark with the last digit of the `\u003c` that it makes of `<`.
        let after_bracket = text.split(['<', '>']).skip(1).any(|after| after.starts_with(|c: char| !c.is_ascii()));
        if after_bracket {
            let message = format!("{key} has a letter that is not ASCII right after `<` or `>`");
            findings.error(&pointer, "forbidden-character", &message);
        }
    }
}

/// Characters that a later reader drops, refuses or shows in another order.
fn is_forbidden(character: char) -> bool {
    matches!(u32::from(character),
        0..=0x1f | 0x7f..=0x9f | 0xe000..=0xf8ff | 0xf0000.. | 0x200e | 0x200f | 0x2028 | 0x2029 | 0xfeff
        | 0x202a..=0x202e | 0x2066..=0x2069 | 0xfdd0..=0xfdef)
        || u32::from(character) & 0xfffe == 0xfffe
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_NAME_BYTES && text.contains('.') && text.split('.').all(label)
}

/// Type, base64, and after a space whatever stands on the line.
fn is_public_key(text: &str) -> bool {
    let mut parts = text.splitn(3, ' ');
    let (kind, blob, comment) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let digits = blob.trim_end_matches('=');
    kind.is_some_and(|kind| KEY_TYPES.contains(&kind))
        && !digits.is_empty()
        && blob.len() - digits.len() <= 2
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        && !comment.contains(['\r', '\n'])
}

fn api_port(extra: &str, findings: &mut Findings) -> i64 {
    let extra: Value = serde_json::from_str(extra).unwrap_or_default();
    let port = match extra.get("apiPort") {
        None | Some(Value::Null) => return DEFAULT_API_PORT,
        // JSON has one kind of number: 6443.0 is a whole one.
        Some(Value::Number(number)) => number.as_f64().filter(|number| number.fract() == 0.0),
        Some(_) => None,
    };
    match port {
        None => findings.error("/apiPort", "wrong-type", "apiPort must be a whole number"),
        Some(port) if !(1.0..=65_535.0).contains(&port) => {
            findings.error("/apiPort", "port", "apiPort must be from 1 to 65535");
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the bounds above")]
        Some(port) => return port as i64,
    }
    DEFAULT_API_PORT
}
