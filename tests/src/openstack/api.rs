//! From a request to an answer: which service is meant, who may call, and what a refusal looks like there.

use super::offers::{self, REGION};
use super::state::{PROJECT, Refusal, State, text};
use super::{Answer, balancer, compute, network};
use crate::double::{Reply, Seen};
use serde_json::{Value, json};

/// Where Cinder is: the only service here whose address has the project.
const VOLUME_PATH: &str = "volume/v3/5bd1c0f8a4e54e0f9d4a0d6f3b1c2a7e";

/// A call, taken apart.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) words: Vec<&'a str>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
}

/// Status and body; null is none.
pub(super) type Answered = Result<(u16, Value), Refusal>;

impl Call<'_> {
    /// Whether the query asks for nothing that this object is not.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let paging = ["limit", "marker", "sort", "sort_key", "sort_dir", "is_public", "fields"];
        self.query.iter().filter(|(key, _)| !paging.contains(&key.as_str())).all(|(key, wanted)| match &object[key] {
            Value::String(text) => text == wanted,
            Value::Bool(flag) => wanted.eq_ignore_ascii_case(&flag.to_string()),
            Value::Number(number) => number.to_string() == *wanted,
            Value::Null => wanted.is_empty(),
            // Such as tags, of which a query names one.
            Value::Array(all) if all.iter().all(Value::is_string) => all.iter().any(|one| one == wanted),
            _ => true,
        })
    }
}

pub(super) fn answer(state: &mut State, seen: &Seen) -> Reply {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let mut words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let service = if words.is_empty() { "" } else { words.remove(0) };
    let fault = due(state, seen, path);
    if let Some(Answer::Refused(status, kind, message)) = fault {
        return Some((status, refusal(service, &Refusal::new(status, kind, message)).to_string()));
    }
    state.breaks = matches!(fault, Some(Answer::Broken));
    state.hides = match fault {
        Some(Answer::Hidden(status, kind, message)) => Some(Refusal::new(status, kind, message)),
        _ => None,
    };
    let body = serde_json::from_slice(&seen.body).unwrap_or_default();
    let call = Call { method: &seen.method, words, query: pairs(query), body };
    let result = carry_out(state, seen, service, &call);
    if matches!(fault, Some(Answer::Lost)) {
        return None;
    }
    Some(match result {
        Ok((status, body)) => (status, if body.is_null() { String::new() } else { body.to_string() }),
        Err(refused) => {
            // What is asked for to see whether it is still there is no broken rule.
            if seen.method != "GET" || refused.status != 404 {
                state.refused.push(format!("{} {path}: {} {}", seen.method, refused.status, refused.message));
            }
            (refused.status, refusal(service, &refused).to_string())
        }
    })
}

/// The fault that this call runs into.
fn due(state: &mut State, seen: &Seen, path: &str) -> Option<Answer> {
    let body = String::from_utf8_lossy(&seen.body);
    let meant = |fault: &&mut super::Fault| {
        let is_call = fault.method == seen.method && path.ends_with(fault.path_end);
        fault.left > 0 && is_call && body.contains(fault.body)
    };
    let fault = state.faults.iter_mut().find(meant)?;
    fault.left -= 1;
    (fault.left == 0).then(|| fault.answer.clone())
}

/// Each service has a form of its own.
fn refusal(service: &str, refused: &Refusal) -> Value {
    let Refusal { status, kind, message } = refused;
    match service {
        "network" => json!({"NeutronError": {"type": kind, "message": message, "detail": ""}}),
        "load-balancer" => json!({"faultcode": "Client", "faultstring": message, "debuginfo": null}),
        "identity" => json!({"error": {"code": status, "message": message, "title": kind}}),
        _ => {
            let name = match status {
                400 => "badRequest",
                401 => "unauthorized",
                403 => "forbidden",
                404 => "itemNotFound",
                409 => "conflictingRequest",
                429 => "overLimit",
                _ => "computeFault",
            };
            json!({name: {"code": status, "message": message}})
        }
    }
}

fn carry_out(state: &mut State, seen: &Seen, service: &str, call: &Call<'_>) -> Answered {
    if (service, call.method, call.words.as_slice()) == ("identity", "POST", &["v3", "auth", "tokens"]) {
        return token(state, &call.body);
    }
    let known = super::TOKEN_HEADER.split_once(": ").map(|(_, token)| token);
    let given = seen.headers.iter().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        let wanted = name.eq_ignore_ascii_case("x-auth-token");
        wanted.then_some(value)
    });
    if given != known {
        return Err(Refusal::new(401, "Unauthorized", "The request you have made requires authentication."));
    }
    let answered = match service {
        "compute" => compute::answer(state, call),
        "network" => network::answer(state, call),
        "load-balancer" => balancer::answer(state, call),
        "image" => image(call),
        "volume" => volumes(state, call),
        _ => None,
    };
    answered.unwrap_or_else(|| {
        state.unknown.push(format!("{} {}", call.method, seen.path));
        Err(Refusal::new(404, "NotFound", "the double does not play this call"))
    })
}

fn token(state: &State, body: &Value) -> Answered {
    let credential = &body["auth"]["identity"]["application_credential"];
    if (text(&credential["id"]), text(&credential["secret"])) != (&*state.credential.0, &*state.credential.1) {
        return Err(Refusal::new(401, "Unauthorized", "The request you have made requires authentication."));
    }
    let services = [
        ("identity", "keystone", "identity/v3"),
        ("compute", "nova", "compute/v2.1"),
        ("network", "neutron", "network"),
        ("load-balancer", "octavia", "load-balancer"),
        ("image", "glance", "image"),
        ("volumev3", "cinder", VOLUME_PATH),
    ];
    let catalogue: Vec<Value> = services
        .iter()
        .map(|(kind, name, path)| {
            let url = format!("{}/{path}", state.url);
            let endpoint =
                json!({"id": name, "interface": "public", "region": REGION, "region_id": REGION, "url": url});
            json!({"id": name, "type": kind, "name": name, "endpoints": [endpoint]})
        })
        .collect();
    let project = json!({"id": PROJECT, "name": "double", "domain": {"id": "default", "name": "Default"}});
    let user = json!({"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}});
    let token = json!({
        "methods": ["application_credential"], "user": user, "project": project, "catalog": catalogue,
        "roles": [{"id": "m", "name": "member"}], "audit_ids": ["a"], "issued_at": "2026-09-15T12:00:00.000000Z",
        "expires_at": "2099-09-15T12:00:00.000000Z",
    });
    Ok((201, json!({"token": token})))
}

/// Cinder, as far as a search needs it: nothing here makes a volume, and a test plants what a cluster made.
fn volumes(state: &State, call: &Call<'_>) -> Option<Answered> {
    let is_list = call.method == "GET" && call.words == ["v3", PROJECT, "volumes", "detail"];
    is_list.then(|| Ok((200, json!({"volumes": state.each("volumes").collect::<Vec<_>>()}))))
}

fn image(call: &Call<'_>) -> Option<Answered> {
    let image = offers::image();
    match (call.method, call.words.as_slice()) {
        ("GET", ["v2", "images"]) => {
            let found: Vec<Value> = Some(image).into_iter().filter(|image| call.selects(image)).collect();
            Some(Ok((200, json!({"images": found, "schema": "/v2/schemas/images"}))))
        }
        ("GET", ["v2", "images", id]) if *id == offers::IMAGE_ID => Some(Ok((200, image))),
        _ => None,
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}
