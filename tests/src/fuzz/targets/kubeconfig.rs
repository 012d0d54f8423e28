//! Kubeconfigs: what is stored of them is read alike by our reader, our client and client-go, and does no more than to name one
//! server and credentials.

use crate::fuzz::reader::{Framing, Reader};
use crate::fuzz::{Random, Target, Verdict, caught, ending, kubeconfigs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst::cluster::{WatchSettings, client_config};
use catalyst_domain::kubeconfig::{BodyFault, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

/// What client-go makes of a document; see `tests/tools/client-go/kubeconfig.go`.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    effects: Vec<String>,
    servers: Vec<String>,
    users: Vec<String>,
    contexts: Vec<String>,
    used: Option<Used>,
    k3s: bool,
}

/// What a client of client-go would be made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    context: String,
    cluster: String,
    user: String,
    namespace: String,
    server: String,
    scheme: String,
    host: String,
    userinfo: String,
    tls_server_name: String,
    authority: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    token: String,
    username: String,
    password: String,
}

/// What our reader makes of one that it takes.
struct Ours {
    stored: Vec<u8>,
    read: Kubeconfig,
}

struct Kubeconfigs {
    client_go: Reader,
}

pub(super) fn target() -> anyhow::Result<Box<dyn Target>> {
    let client_go = Reader::start("client-go", &["kubeconfig"], Framing::Length)?;
    Ok(Box::new(Kubeconfigs { client_go }))
}

impl Target for Kubeconfigs {
    fn name(&self) -> &'static str {
        "kubeconfig"
    }

    fn dictionary(&self) -> &'static [&'static str] {
        kubeconfigs::DICTIONARY
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        kubeconfigs::generate(random)
    }

    fn check(&mut self, inputs: &[Vec<u8>]) -> anyhow::Result<Vec<Verdict>> {
        let as_given: Vec<Answer> = self.client_go.ask(inputs)?;
        let mut verdicts = Vec::with_capacity(inputs.len());
        let mut stored = Vec::new();
        for (input, given) in inputs.iter().zip(&as_given) {
            let mut read = None;
            verdicts.push(caught(|| match ours(input) {
                Err(fault) => refused(given, &fault),
                Ok(ours) => {
                    read = Some(ours);
                    Verdict::Holds("taken".to_owned())
                }
            }));
            stored.push(read);
        }
        let texts: Vec<Vec<u8>> = stored.iter().flatten().map(|ours| ours.stored.clone()).collect();
        let mut as_stored = self.client_go.ask::<Answer>(&texts)?.into_iter();
        for (at, ours) in stored.into_iter().enumerate() {
            let Some(ours) = ours else { continue };
            let Some(kept) = as_stored.next() else { continue };
            verdicts[at] = caught(|| match taken(&inputs[at], &as_given[at], &ours, &kept) {
                Ok(how) => Verdict::Holds(how),
                Err(why) => Verdict::Broken(why),
            });
        }
        Ok(verdicts)
    }
}

fn ours(document: &[u8]) -> Result<Ours, BodyFault> {
    let read = Kubeconfig::parse(document)?;
    Ok(Ours { stored: read.stored(document).into_owned(), read })
}

/// A refusal is always safe, but what k3s writes must not be refused.
fn refused(given: &Answer, fault: &BodyFault) -> Verdict {
    let used = given.used.as_ref().filter(|_| given.k3s);
    if used
        .is_some_and(|used| kubeconfigs::is_good_server(&used.server) && used.authority.is_some() && used.key.is_some())
    {
        return Verdict::Broken(format!("what k3s writes is refused: {fault}"));
    }
    Verdict::Holds(format!("refused: {}", ending(&fault.to_string())))
}

fn taken(document: &[u8], given: &Answer, ours: &Ours, kept: &Answer) -> Result<String, String> {
    if given.k3s && ours.stored != document {
        return Err("what k3s writes does not come back byte for byte".to_owned());
    }
    if !kept.effects.is_empty() {
        return Err(format!("what is stored does more: {}", kept.effects.join(", ")));
    }
    let Some(used) = &kept.used else { return Err(format!("client-go cannot use what is stored: {}", kept.error)) };
    let one = |list: &[String]| list.len() == 1;
    if !(one(&kept.servers) && one(&kept.users) && one(&kept.contexts)) {
        return Err("what is stored holds more than one server, user or context".to_owned());
    }
    let server = &ours.read.server;
    let same_server = used.server == server.url() && used.host.eq_ignore_ascii_case(server.host());
    if used.scheme != "https" || !used.userinfo.is_empty() || !same_server {
        let ours = format!("{} ({})", server.url(), server.host());
        return Err(format!("the server is {ours} to us and {} ({}) to client-go", used.server, used.host));
    }
    match self::ours(&ours.stored) {
        // Also the reader's view of what it stored: names, credentials, certificates.
        Ok(again) if again.stored == ours.stored && again.read == ours.read => {}
        Ok(_) => return Err("what is stored is stored otherwise the second time".to_owned()),
        Err(fault) => return Err(format!("what is stored is refused: {fault}")),
    }
    let client = same_client(&ours.read, used)?;
    let meaning = match &given.used {
        Some(before) if before != used => return Err(differences(before, used)),
        Some(_) => "means the same to client-go as what came",
        None => "client-go would not have used what came",
    };
    let verbatim = if ours.stored == document { "as it came" } else { "canonical" };
    Ok(format!("taken {verbatim}; {meaning}; {client}"))
}

/// Names of what differs; never the values, which may be secret where the input is somebody's.
fn differences(before: &Used, after: &Used) -> String {
    let pairs = [
        ("context", before.context == after.context),
        ("cluster", before.cluster == after.cluster),
        ("user", before.user == after.user),
        ("namespace", before.namespace == after.namespace),
        ("server", before.server == after.server),
        ("tls-server-name", before.tls_server_name == after.tls_server_name),
        ("authority", before.authority == after.authority),
        ("certificate", before.certificate == after.certificate),
        ("key", before.key == after.key),
        ("token", before.token == after.token),
        ("username", before.username == after.username),
        ("password", before.password == after.password),
    ];
    let named: Vec<&str> = pairs.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
    format!("client-go reads another {} out of what came than out of what is stored", named.join(", "))
}

/// What our own client is made of, against client-go's.
fn same_client(read: &Kubeconfig, used: &Used) -> Result<&'static str, String> {
    let Ok(config) = client_config(read, &WatchSettings::default()) else { return Ok("our client refuses it") };
    let decoded =
        |text: &Option<String>| text.as_ref().and_then(|text| STANDARD.decode(text.trim()).ok()).unwrap_or_default();
    let pem = decoded(&used.authority);
    let authorities: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(&pem).filter_map(|one| Some(one.ok()?.to_vec())).collect();
    // As its own file format writes it: every credential that it holds, whatever kube learns of.
    let user = serde_json::to_value(&config.auth_info).map_err(|error| error.to_string())?;
    let known = ["client-certificate-data", "client-key-data", "token", "username", "password"];
    let more =
        user.as_object().into_iter().flatten().find(|(key, value)| !value.is_null() && !known.contains(&key.as_str()));
    if let Some((key, _)) = more {
        return Err(format!("our client is made of {key}"));
    }
    let held = |key: &str| user[key].as_str().map(str::to_owned);
    let address = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
    let checks = [
        ("server", address.eq_ignore_ascii_case(&used.host) && config.cluster_url.scheme_str() == Some("https")),
        ("authorities", config.root_cert.clone().unwrap_or_default() == authorities),
        ("tls-server-name", config.tls_server_name.clone().unwrap_or_default() == used.tls_server_name),
        ("certificate", decoded(&held(known[0])) == decoded(&used.certificate)),
        ("key", decoded(&held(known[1])) == decoded(&used.key)),
        ("token", held(known[2]).unwrap_or_default() == used.token),
        ("username", held(known[3]).unwrap_or_default() == used.username),
        ("password", held(known[4]).unwrap_or_default() == used.password),
        ("insecure", !config.accept_invalid_certs && config.proxy_url.is_none()),
    ];
    match checks.iter().find(|(_, same)| !same) {
        Some((name, _)) => Err(format!("our client and client-go use another {name}")),
        None => Ok("our client is made of the same"),
    }
}
