//! Every fear of the tables is faced: its guest ends as it says, in words for people, and a neighbour never notices.

use std::time::Duration;

use catalyst_sandbox::{Compiled, Function, Limits, Provider, Sandbox, Settings};

use crate::fixtures::{asks, folder, guest, sandbox};
use crate::hostile::kinds::{End, Fear};
use crate::hostile::raw::Raw;
use crate::hostile::{ambient, ask, bytes_of, call, forms, loops, memory, secrets, stops, words};

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
        let first = told(&provider, fear).await;
        // Whatever it did, its next call is no other.
        assert_eq!(told(&provider, fear).await, first, "{}", fear.name);
        first
    };
    assert_eq!(neighbour.validate(&asks("behave")).await.expect("an answer"), []);
    told
}

#[tokio::test]
async fn what_never_ends_is_ended() {
    face_all(loops::FEARS).await;
}

#[tokio::test]
async fn what_eats_is_stopped_at_its_share() {
    face_all(memory::FEARS).await;
}

#[tokio::test]
async fn what_breaks_the_border_breaks_alone() {
    face_all(stops::FEARS).await;
}

#[tokio::test]
async fn what_floods_or_fools_is_cut_or_refused() {
    face_all(words::FEARS).await;
}

#[tokio::test]
async fn no_secret_comes_to_a_guest_or_leaves_with_it() {
    face_all(secrets::FEARS).await;
}

#[tokio::test]
async fn what_looks_around_sees_the_same_each_time() {
    face_all(ambient::FEARS).await;
}

#[tokio::test]
async fn what_is_no_plugin_is_told_why() {
    face_all(forms::FEARS).await;
}

async fn told(provider: &Provider, fear: &Fear) -> String {
    let (function, answer) = call(provider, &fear.guest).await;
    match answer {
        Ok(answer) => {
            assert_eq!(fear.end, End::Harmless, "{}: {answer}", fear.name);
            answer
        }
        Err(error) => {
            assert_eq!((error.plugin.as_str(), error.function), ("hostile", function), "{}", fear.name);
            assert_eq!(End::of(&error.reason), fear.end, "{}: {error}", fear.name);
            error.to_string()
        }
    }
}

/// The fear "truncated": at every length, and with every byte changed in turn. Most are refused; what still loads is held to
/// the same limits as any guest, and the sandbox goes on.
#[tokio::test]
async fn damaged_bytes_are_refused_or_harmless() {
    let whole = Raw::new().build();
    let sandbox = sandbox(limits());
    let dir = folder(&[]);
    let file = dir.path().join("hostile.wasm");
    for keep in (0..whole.len()).step_by(97).chain([4, 7, 8, 9, whole.len() - 1]) {
        std::fs::write(&file, &whole[..keep]).expect("a file");
        let report = sandbox.load_folder(dir.path()).await;
        let [failure] = report.failures.as_slice() else { panic!("{keep} bytes serve: {report:?}") };
        // Cut between two sections it is whole, and lacks something.
        let told = ["is not a ", "implements another world", "does not fit the provisioner world: no export"];
        assert!(told.iter().any(|begin| failure.error.starts_with(begin)), "{keep}: {}", failure.error);
    }
    for at in (0..whole.len()).step_by(31) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        std::fs::write(&file, &changed).expect("a file");
        let report = sandbox.load_folder(dir.path()).await;
        assert!(report.failures.len() == 1 || report.serving.len() == 1, "{at}: {report:?}");
        for failure in report.failures {
            // Names of the component are quoted, with the line breaks and tabs that a text may have.
            let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
            let plain = failure.error.len() < 2100 && !failure.error.chars().any(strange);
            assert!(plain && !failure.error.is_empty(), "{at}: {:?}", failure.error);
        }
    }
    std::fs::write(&file, &whole).expect("a file");
    let report = sandbox.load_folder(dir.path()).await;
    assert_eq!(report.serving[0].compiled(), Compiled::Now);
    ask(&report.serving[0], Function::Validate).await.expect("an answer");
}

/// The fear "lying digest": a lock that names other bytes under this name.
#[tokio::test]
async fn a_pin_of_other_bytes_lets_nothing_in() {
    let bytes = guest("by_request");
    let dir = folder(&[
        ("hostile.wasm", &bytes),
        ("plugins.lock", format!("sha256:{}  hostile.wasm\n", "ab".repeat(32)).as_bytes()),
    ]);
    let report = sandbox(limits()).load_folder(dir.path()).await;
    assert!(report.serving.is_empty());
    let told = &report.failures[0].error;
    assert!(
        told.starts_with("has the digest sha256:")
            && told.contains(&format!("plugins.lock has sha256:{}", "ab".repeat(32))),
        "{told}"
    );
}
