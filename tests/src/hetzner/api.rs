//! From a request to an answer: who may call, which object is meant, and the calls that are the same for every kind.

use super::state::{KINDS, Refusal, State};
use super::{Answer, create, network, offers, rules};
use crate::double::{Reply, Seen};
use serde_json::{Value, json};

pub(super) fn answer(state: &mut State, seen: &Seen) -> Reply {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let fault = due(state, &seen.method, path, &seen.body);
    if let Some(Answer::Refused(status, code, message)) = fault {
        return Some(refusal(&Refusal::new(status, code, message)));
    }
    let result = carry_out(state, seen, path, query);
    if matches!(fault, Some(Answer::Lost)) {
        return None;
    }
    Some(match result {
        Ok((status, body)) => (status, if body.is_null() { String::new() } else { body.to_string() }),
        Err(refused) => {
            state.refused.push(format!("{} {path}: {} {}", seen.method, refused.code, refused.message));
            refusal(&refused)
        }
    })
}

/// The fault that this call runs into.
fn due(state: &mut State, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
    let body = String::from_utf8_lossy(body);
    let mut meant = state
        .faults
        .iter_mut()
        .filter(|fault| fault.left > 0 && fault.method == method && path.ends_with(fault.path_end))
        .filter(|fault| body.contains(fault.body));
    let fault = meant.next()?;
    fault.left -= 1;
    (fault.left == 0).then(|| fault.answer.clone())
}

fn refusal(refused: &Refusal) -> (u16, String) {
    let error = json!({"code": refused.code, "message": refused.message, "details": refused.details});
    (refused.status, json!({"error": error}).to_string())
}

fn carry_out(state: &mut State, seen: &Seen, path: &str, query: &str) -> Result<(u16, Value), Refusal> {
    let bearer = seen.headers.iter().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        let bearer = value.strip_prefix("Bearer ");
        bearer.filter(|_| name.eq_ignore_ascii_case("authorization"))
    });
    if bearer != Some(state.token.as_str()) {
        return Err(Refusal::new(401, "unauthorized", "unable to authenticate"));
    }
    let body: Value = if seen.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&seen.body).map_err(|error| Refusal::new(400, "json_error", error.to_string()))?
    };
    let words: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let known = KINDS.iter().find(|(plural, _)| Some(plural) == words.first());
    match (seen.method.as_str(), words.as_slice(), known) {
        ("GET", ["actions"], _) => {
            let ids = query_values(query, "id").into_iter().filter_map(|id| id.parse().ok());
            let actions: Vec<Value> = ids.map(|id| state.finished_action(id)).collect();
            Ok((200, json!({"actions": actions})))
        }
        ("GET", [kind], None) if offers::all(kind).is_some() => {
            let offered = offers::all(kind).unwrap_or_default();
            Ok((200, json!({*kind: select(offered, query)})))
        }
        ("GET", [kind], Some(_)) => Ok((200, json!({*kind: select(state.list(kind), query)}))),
        ("POST", [_], Some((kind, one))) => create::create(state, kind, one, &body),
        ("GET", [kind, id], Some((_, one))) => {
            let object = state.get(kind, number(id)?)?;
            Ok((200, json!({*one: state.shown(kind, object)})))
        }
        ("PUT", [_, id], Some((kind, one))) => update(state, kind, one, number(id)?, &body),
        ("DELETE", [kind, id], Some(_)) => create::delete(state, kind, number(id)?),
        ("POST", [_, id, "actions", verb], Some((kind, _))) => {
            let id = number(id)?;
            state.get(kind, id)?;
            network::act(state, kind, id, verb, &body)
        }
        _ => {
            state.unknown.push(format!("{} {path}", seen.method));
            Err(Refusal::new(404, "not_found", "the double does not play this call"))
        }
    }
}

/// Name and labels, which alone may be changed like this.
fn update(state: &mut State, kind: &'static str, one: &str, id: u64, body: &Value) -> Result<(u16, Value), Refusal> {
    if let Some(name) = body["name"].as_str() {
        rules::name(state, kind, name, Some(id))?;
        state.get_mut(kind, id)?["name"] = name.into();
    }
    if body["labels"].is_object() {
        rules::labels(&body["labels"])?;
        state.get_mut(kind, id)?["labels"] = body["labels"].clone();
    }
    let object = state.get(kind, id)?;
    Ok((200, json!({one: state.shown(kind, object)})))
}

fn number(word: &str) -> Result<u64, Refusal> {
    word.parse().map_err(|_| Refusal::field("id", "must be a number"))
}

fn query_values(query: &str, key: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| decoded(value)).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Those of a list that the query asks for.
fn select(all: Vec<Value>, query: &str) -> Vec<Value> {
    let [names, architectures, selectors] =
        ["name", "architecture", "label_selector"].map(|key| query_values(query, key));
    let fits = |wanted: &[String], value: &Value| wanted.is_empty() || wanted.iter().any(|want| value == want);
    let labelled = |object: &Value| {
        let wanted = selectors.iter().flat_map(|selector| selector.split(','));
        let mut pairs = wanted.filter_map(|term| term.split_once('='));
        pairs.all(|(key, value)| object["labels"][key] == value)
    };
    let chosen = all.into_iter().filter(|object| {
        fits(&names, &object["name"]) && fits(&architectures, &object["architecture"]) && labelled(object)
    });
    chosen.collect()
}
