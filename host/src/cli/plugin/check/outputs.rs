//! What `read-outputs` makes of the outputs that the module declares. OpenTofu is not asked for their values: each output gets one
//! that its name suggests, then others, until the component finds its endpoints or says what it misses. What it misses is proven: with
//! that output beside the others it gets further.

use super::ledger::Rule;
use super::twins::Twins;
use catalyst_domain::provider::{Bundle, Endpoints};
use catalyst_sandbox::Function;
use catalyst_sandbox::module_outputs::{self, ModuleOutput};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Questions about the outputs of one module.
const QUESTIONS: usize = 120;
/// Outputs that are looked at: a module with more gets no better answer.
const OUTPUTS: usize = 40;
/// Names that modules usually give what the contract asks for.
const USUAL: [&str; 6] =
    ["control_plane_ip", "load_balancer_ip", "console_url", "kubeconfig_hosts", "sovereign_fqdn", "server_ip"];

/// A kind of value that an output may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Literal,
    Address,
    Host,
    Url,
    Number,
    Addresses,
}

const KINDS: [Kind; 5] = [Kind::Address, Kind::Host, Kind::Url, Kind::Number, Kind::Addresses];

/// An output with the value that it is given.
#[derive(Debug, Clone)]
struct Guess {
    name: String,
    literal: Option<String>,
    kind: Kind,
    /// Tells its address from those of others.
    number: usize,
}

impl Guess {
    fn new(name: &str, literal: Option<String>, number: usize) -> Self {
        let kind = if literal.is_some() { Kind::Literal } else { suggested(name) };
        Self { name: name.to_owned(), literal, kind, number }
    }

    fn of(output: &ModuleOutput, number: usize) -> Self {
        Self::new(&output.name, output.literal.clone(), number)
    }

    fn value(&self) -> Value {
        let address = format!("192.0.2.{}", self.number % 200 + 10);
        match self.kind {
            Kind::Literal => json!(self.literal),
            Kind::Address => json!(address),
            Kind::Host => json!("one.check.example"),
            Kind::Url => json!("https://console.one.check.example"),
            Kind::Number => json!(6443),
            Kind::Addresses => json!([address]),
        }
    }

    fn output(&self) -> Value {
        let kind = match self.kind {
            Kind::Number => json!("number"),
            Kind::Addresses => json!(["list", "string"]),
            _ => json!("string"),
        };
        json!({"sensitive": false, "type": kind, "value": self.value()})
    }
}

/// What the name of an output suggests of its value.
fn suggested(name: &str) -> Kind {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(['_', '-']).collect();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(word));
    if has(&["ips", "addresses"]) {
        Kind::Addresses
    } else if has(&["ip", "ipv4", "ipv6", "address", "addr"]) {
        Kind::Address
    } else if has(&["url", "uri", "console", "endpoint"]) {
        Kind::Url
    } else if has(&["port", "count", "number"]) {
        Kind::Number
    } else {
        Kind::Host
    }
}

/// Holds a module's outputs and `read-outputs` against each other. `name` is the request that the module is for.
pub(super) async fn module(twins: &mut Twins<'_>, name: &str, bundle: &Bundle) {
    let declared = module_outputs::outputs(bundle);
    let public = declared.iter().filter(|output| !output.sensitive).take(OUTPUTS);
    let guesses: Vec<Guess> = public.enumerate().map(|(number, output)| Guess::of(output, number)).collect();
    let what = format!("the outputs of the module of {name}");
    let mut search = Search { what: &what, asked: 0, twins, guesses };
    let Some(mut answer) = search.settle().await else { return };
    let mut missing = Vec::new();
    // Each round proves that outputs are missed, and goes on with them beside the others.
    while let Err(reason) = &answer {
        let Some((outputs, next)) = search.missed(reason, &declared).await else { break };
        missing.extend(outputs.iter().map(|output| lacks(output, &declared, reason)));
        answer = next;
    }
    let given = search.given();
    let twins = search.twins;
    for why in &missing {
        twins.ledger.hold(Rule::Outputs, Err(format!("{what}: {why}")));
    }
    match answer {
        Ok(endpoints) if missing.is_empty() => judge(twins, &what, &endpoints, &given),
        Err(reason) if missing.is_empty() => unsettled(twins, &what, &declared, &reason),
        _ => {}
    }
}

/// No values were found that it takes: which it would get from OpenTofu nobody knows, unless there are none.
fn unsettled(twins: &mut Twins<'_>, what: &str, declared: &[ModuleOutput], reason: &str) {
    let public: Vec<String> =
        declared.iter().filter(|output| !output.sensitive).map(|output| format!("`{}`", output.name)).collect();
    if public.is_empty() {
        let why = format!("{what}: there is no public output, so read-outputs finds no endpoints: {reason}");
        return twins.ledger.hold(Rule::Outputs, Err(why));
    }
    let why = format!("it takes none of the values that were made up for {}: {reason}", public.join(", "));
    twins.ledger.excuse(Rule::Outputs, what, &why);
}

fn judge(twins: &mut Twins<'_>, what: &str, endpoints: &Endpoints, given: &str) {
    let ledger = &mut twins.ledger;
    ledger.require(Rule::Outputs, !endpoints.kubeconfig_hosts.is_empty(), || {
        format!("{what}: read-outputs names no `kubeconfig-hosts`, so no kubeconfig would be accepted")
    });
    for (field, address) in
        [("control-plane-ip", &endpoints.control_plane_ip), ("load-balancer-ip", &endpoints.load_balancer_ip)]
    {
        ledger.require(Rule::Outputs, given.contains(address.as_str()), || {
            format!("{what}: the `{field}` {address} is in no output")
        });
    }
}

fn lacks(output: &str, declared: &[ModuleOutput], reason: &str) -> String {
    match declared.iter().find(|known| known.name == output) {
        Some(known) => format!(
            "the output `{output}` ({}) is sensitive, so the host leaves it out, and read-outputs needs it: {reason}",
            known.file
        ),
        None => format!("the module has no output `{output}`, which read-outputs needs: {reason}"),
    }
}

/// Endpoints, or the reason why there are none.
type Read = Result<Endpoints, String>;

struct Search<'s, 'a> {
    what: &'s str,
    twins: &'s mut Twins<'a>,
    guesses: Vec<Guess>,
    asked: usize,
}

impl Search<'_, '_> {
    /// All values as one text.
    fn given(&self) -> String {
        self.guesses.iter().map(|guess| guess.value().to_string()).collect()
    }

    /// What the component reads from these values; a call without an answer is a reason as well. None where it was not asked.
    async fn read(&mut self) -> Option<Read> {
        self.asked += 1;
        if self.asked > QUESTIONS {
            return None;
        }
        let outputs: Map<String, Value> =
            self.guesses.iter().map(|guess| (guess.name.clone(), guess.output())).collect();
        let text = Value::Object(outputs).to_string();
        let read = self.twins.probe(Rule::Outputs, Function::ReadOutputs, self.what, async |provider| {
            provider.read_outputs(&text).await
        });
        read.await.map(Result::flatten)
    }

    /// Tries other kinds of values for the outputs that a reason names, until it names others or there is none.
    async fn settle(&mut self) -> Option<Read> {
        let mut answer = self.read().await?;
        loop {
            let Err(reason) = &answer else { return Some(answer) };
            let Some(better) = self.better(reason).await else { return Some(answer) };
            answer = better;
        }
    }

    async fn better(&mut self, reason: &str) -> Option<Read> {
        let named: Vec<usize> =
            (0..self.guesses.len()).filter(|index| names_output(reason, &self.guesses[*index].name)).collect();
        let all_the_same = named.is_empty();
        let tried = if all_the_same { (0..self.guesses.len()).collect() } else { named };
        for index in tried {
            let before = self.guesses[index].kind;
            for kind in KINDS.into_iter().filter(|kind| *kind != before) {
                self.guesses[index].kind = kind;
                match self.read().await? {
                    Ok(endpoints) => return Some(Ok(endpoints)),
                    // Of a reason that names no output nothing can be told but that it is gone.
                    Err(other) if !all_the_same && !names_output(&other, &self.guesses[index].name) => {
                        return Some(Err(other));
                    }
                    Err(_) => {}
                }
            }
            self.guesses[index].kind = before;
        }
        None
    }

    /// Outputs that the component misses, and what it says with them.
    async fn missed(&mut self, reason: &str, declared: &[ModuleOutput]) -> Option<(Vec<String>, Read)> {
        let named = identifiers(reason).into_iter().filter(|name| !self.has(name)).collect::<BTreeSet<_>>();
        for name in named {
            if let Some(read) = self.with(&name, reason).await? {
                return Some((vec![name], read));
            }
        }
        // A reason may name nothing: then all that it could be, and what of it is needed.
        let sensitive = declared.iter().filter(|output| output.sensitive).map(|output| output.name.as_str());
        let others: Vec<String> = sensitive.chain(USUAL).filter(|name| !self.has(name)).map(str::to_owned).collect();
        let before = self.guesses.len();
        for name in &others {
            self.guesses.push(Guess::new(name, None, self.guesses.len()));
        }
        let Ok(mut endpoints) = self.read().await? else {
            self.guesses.truncate(before);
            return None;
        };
        for index in (before..self.guesses.len()).rev() {
            let guess = self.guesses.remove(index);
            match self.read().await? {
                Ok(without) => endpoints = without,
                Err(_) => self.guesses.insert(index, guess),
            }
        }
        let needed = self.guesses[before..].iter().map(|guess| guess.name.clone()).collect();
        Some((needed, Ok(endpoints)))
    }

    fn has(&self, name: &str) -> bool {
        self.guesses.iter().any(|guess| guess.name == name)
    }

    /// What it says with a further output, if that gets it further. None where it was not asked.
    async fn with(&mut self, name: &str, reason: &str) -> Option<Option<Read>> {
        let number = self.guesses.len();
        self.guesses.push(Guess::new(name, None, number));
        for kind in [suggested(name)].into_iter().chain(KINDS) {
            self.guesses[number].kind = kind;
            match self.read().await? {
                Ok(endpoints) => return Some(Some(Ok(endpoints))),
                Err(other) if names_output(reason, name) && !names_output(&other, name) => {
                    // Others may need another kind of value now.
                    return Some(Some(self.better(&other).await.unwrap_or(Err(other))));
                }
                Err(_) => {}
            }
        }
        self.guesses.pop();
        Some(None)
    }
}

/// Words of a reason that may be the name of an output.
fn identifiers(reason: &str) -> Vec<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words = reason.split(|c: char| !part(c)).filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let quoted = |word: &str| ['`', '\'', '"'].iter().any(|mark| reason.contains(&format!("{mark}{word}{mark}")));
    words.filter(|word| word.contains('_') || quoted(word)).map(str::to_owned).collect()
}

/// Whether a reason has the name as a word of its own.
fn names_output(reason: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    reason.split(|c: char| !part(c)).any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_suggests_a_value() {
        for (name, kind) in [
            ("control_plane_ip", Kind::Address),
            ("load-balancer-ipv4", Kind::Address),
            ("node_ips", Kind::Addresses),
            ("console_url", Kind::Url),
            ("api_port", Kind::Number),
            ("sovereign_fqdn", Kind::Host),
            ("pip", Kind::Host),
        ] {
            assert_eq!(suggested(name), kind, "{name}");
        }
    }

    #[test]
    fn a_reason_names_outputs_in_words_of_its_own() {
        let reason = "OpenTofu gave no output `control_plane_ip`; see 'lb' and \"x\", not load";
        assert_eq!(identifiers(reason), ["control_plane_ip", "lb", "x"]);
        assert!(names_output(reason, "control_plane_ip") && !names_output(reason, "control_plane"));
    }

    #[test]
    fn values_are_those_of_tofu_output() {
        let mut guess = Guess::new("node_ips", None, 3);
        assert_eq!(guess.output(), json!({"sensitive": false, "type": ["list", "string"], "value": ["192.0.2.13"]}));
        guess.kind = Kind::Number;
        assert_eq!(guess.output(), json!({"sensitive": false, "type": "number", "value": 6443}));
        assert_eq!(Guess::new("a_ip", Some("x".to_owned()), 0).value(), json!("x"));
    }
}
