//! One hostile guest for each fear, in families. A fear is one entry of a table that says what the guest is, how it ends and
//! in which words; the entry is the test. A guest of this folder that no entry uses, and a fear of the list without an entry,
//! fail the test.

pub mod ambient;
pub mod forms;
pub mod kinds;
pub mod loops;
pub mod memory;
pub mod raw;
pub mod secrets;
pub mod stops;
pub mod words;

use catalyst_sandbox::{CallError, Function, Provider};

use crate::fixtures::{asks, context, guest};
use kinds::{Fear, Guest};

const FAMILIES: [&[Fear]; 7] =
    [loops::FEARS, memory::FEARS, stops::FEARS, forms::FEARS, words::FEARS, secrets::FEARS, ambient::FEARS];

/// Every fear of every table.
pub fn all() -> impl Iterator<Item = &'static Fear> {
    FAMILIES.into_iter().flatten()
}

/// The component of a guest.
pub fn bytes_of(of: &Guest) -> Vec<u8> {
    match of {
        Guest::Made(make) | Guest::Called(make, _) => make(),
        Guest::Built(name) => guest(name),
        Guest::Asked(_) | Guest::Rendering(..) => guest("by_request"),
    }
}

/// Calls a guest that is loaded as its entry says: the export, and what came of it.
pub async fn call(provider: &Provider, of: &Guest) -> (Function, Result<String, CallError>) {
    match of {
        Guest::Asked(behaviour) => {
            (Function::Validate, provider.validate(&asks(behaviour)).await.map(|found| format!("{found:?}")))
        }
        Guest::Rendering(behaviour, text) => {
            let mut request = asks(behaviour);
            request.org_email = (*text).into();
            (Function::Render, provider.render(&request, &context()).await.map(|bundle| format!("{bundle:?}")))
        }
        Guest::Called(_, function) => (*function, ask(provider, *function).await),
        Guest::Made(_) | Guest::Built(_) => panic!("a guest that is loaded says how it is called"),
    }
}

/// Any export, with inputs that hold something to allocate for.
pub async fn ask(provider: &Provider, function: Function) -> Result<String, CallError> {
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
        Function::LeftoverProbe | Function::JudgeLeftovers => panic!("these guests are of contract 1.0"),
    })
}
