//! One hostile guest for each fear, in families. A fear is one entry of a table that says what the guest is, how it ends and
//! in which words; the entry is the test. A guest of this folder that no entry uses, and a fear of the list without an entry,
//! fail the test.

mod ambient;

mod fears;
mod forms;
mod kinds;
mod loops;
mod memory;
pub mod raw;
mod secrets;
mod stops;
mod words;

use std::sync::Arc;
use std::time::Duration;

use catalyst_sandbox::{CallError, Function, Limits, Provider, Sandbox, Settings};

use crate::fixtures::{asks, context, folder, guest};
use kinds::{End, Fear, Guest};
use raw::Raw;

/// Limits under which a loop ends soon.
fn limits() -> Limits {
    Limits { call_timeout: Duration::from_millis(700), ..Limits::default() }
}

/// Limits under which all but a loop has time, on a busy machine and in a debug build.
fn patient() -> Limits {
    Limits { call_timeout: Duration::from_secs(20), ..Limits::default() }
}

/// Shows that every entry of a family ends as it says, and that a neighbour never notices.
async fn face_all(family: &[Fear]) {
    let cache = tempfile::tempdir().expect("a folder");
    for fear in family {
        let limits = if fear.words.contains("did not end") { limits() } else { patient() };
        let settings =
            Settings { cache_dir: Some(cache.path().to_owned()), limits: limits.into(), ..Settings::default() };
        let told = face(fear, settings).await;
        assert!(told.contains(fear.words), "{}: {told:?} lacks {:?}", fear.name, fear.words);
        assert!(fear.end == End::Harmless || told.len() < 400, "{}: {told:?} is long", fear.name);
        assert!(!told.contains("xyzzy"), "{}: {told:?} quotes the input", fear.name);
        assert!(!told.chars().any(char::is_control), "{}: {told:?} is not for a terminal", fear.name);
    }
}

/// What a person reads of one guest.
async fn face(fear: &Fear, settings: Settings) -> String {
    let sandbox = Sandbox::new(settings).expect("a sandbox");
    let (hostile, neighbour) = (bytes_of(&fear.guest), Raw::called("neighbour").build());
    let dir = folder(&[("hostile.wasm", &hostile), ("neighbour.wasm", &neighbour)]);
    let report = sandbox.load_folder(dir.path()).await;
    let neighbour = sandbox.provider("neighbour").expect("the neighbour serves");
    let told = if fear.end == End::Refused {
        assert_eq!(report.serving.len(), 1, "{} serves", fear.name);
        assert_eq!(report.failures.len(), 1, "{}", fear.name);
        report.failures[0].error.clone()
    } else {
        assert!(report.failures.is_empty(), "{}: {:?}", fear.name, report.failures);
        let provider = sandbox.provider("hostile").expect("the guest serves");
        let first = call(&provider, &fear.guest, fear.end, fear.name).await;
        // Whatever it did, its next call is no other.
        assert_eq!(call(&provider, &fear.guest, fear.end, fear.name).await, first, "{}", fear.name);
        first
    };
    assert_eq!(neighbour.validate(&asks("behave")).await.expect("an answer"), []);
    told
}

fn bytes_of(of: &Guest) -> Vec<u8> {
    match of {
        Guest::Made(make) | Guest::Called(make, _) => make(),
        Guest::Built(name) => guest(name),
        Guest::Asked(_) | Guest::Rendering(..) => guest("by_request"),
    }
}

async fn call(provider: &Arc<Provider>, of: &Guest, end: End, name: &str) -> String {
    let (function, answer) = match of {
        Guest::Asked(behaviour) => {
            (Function::Validate, provider.validate(&asks(behaviour)).await.map(|found| format!("{found:?}")))
        }
        Guest::Rendering(behaviour, text) => {
            let mut request = asks(behaviour);
            request.org_email = (*text).into();
            (Function::Render, provider.render(&request, &context()).await.map(|bundle| format!("{bundle:?}")))
        }
        Guest::Called(_, function) => (*function, ask(provider, *function).await),
        Guest::Made(_) | Guest::Built(_) => panic!("{name}: a guest that is loaded says how it is called"),
    };
    match answer {
        Ok(answer) => {
            assert_eq!(end, End::Harmless, "{name}: {answer}");
            answer
        }
        Err(error) => {
            assert_eq!((error.plugin.as_str(), error.function), ("hostile", function), "{name}");
            assert_eq!(End::of(&error.reason), end, "{name}: {error}");
            error.to_string()
        }
    }
}

/// Any export, with inputs that hold something to allocate for.
async fn ask(provider: &Provider, function: Function) -> Result<String, CallError> {
    let request = asks("xyzzy");
    Ok(match function {
        Function::Describe => panic!("a guest is described when it is loaded"),
        Function::Validate => format!("{:?}", provider.validate(&request).await?),
        Function::Render => format!("{:?}", provider.render(&request, &context()).await?),
        Function::ReadOutputs => format!("{:?}", provider.read_outputs("xyzzy").await?),
        Function::Diagnose => {
            let diagnostic =
                catalyst_domain::provider::Diagnostic { summary: "xyzzy".into(), detail: String::new(), address: None };
            format!("{:?}", provider.diagnose(&diagnostic, &catalyst_domain::provider::Asked::default()).await?)
        }
        Function::Estimate => format!("{:?}", provider.estimate(&request).await?),
        Function::CredentialProbe => format!("{:?}", provider.credential_probe(&serde_json::Map::new()).await?),
        Function::JudgeCredentials => format!("{:?}", provider.judge_credentials(&[]).await?),
    })
}
