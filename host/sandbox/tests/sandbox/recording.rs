//! What guests say, for who asked for it: every line of a call, and where it was stopped. Errors quote nothing of it.

use std::sync::Arc;

use catalyst_sandbox::{
    CallFailure, Function, GuestRecorder, GuestSource, Outcome, Provider, Sandbox, Settings, Suspension,
};

use crate::fixtures::{asks, folder, guest, limits};

/// The guest that misbehaves on demand, recorded.
async fn recorded(suspension: Suspension) -> (Arc<GuestRecorder>, Arc<Provider>) {
    let recorder = Arc::<GuestRecorder>::default();
    let limits = limits().into();
    let settings = Settings { limits, suspension, recorder: Some(Arc::clone(&recorder)), ..Settings::default() };
    let sandbox = Sandbox::new(settings).expect("a sandbox");
    let mut report = sandbox.load_folder(folder(&[("one.wasm", &guest("by_request"))]).path()).await;
    (recorder, report.serving.pop().expect("the guest serves"))
}

#[tokio::test]
async fn a_panic_is_recorded_with_its_words_and_its_place_and_no_error_quotes_it() {
    let (recorder, provider) = recorded(Suspension::AfterFailures).await;
    recorder.take();
    let error = provider.validate(&asks("panic")).await.expect_err("it panics");
    assert!(!error.to_string().contains("secret word"), "{error}");
    let record = recorder.take();
    let texts: Vec<&str> = record.lines.iter().map(|line| line.text.as_str()).collect();
    let at = texts.iter().position(|text| text.contains("panicked at ") && text.contains("by_request.rs:"));
    let at = at.unwrap_or_else(|| panic!("{texts:?}"));
    assert_eq!(texts[at + 1], "the secret word is xyzzy.example.org");
    assert_eq!(record.lines[at].source, GuestSource::Stderr);
    assert_eq!(record.stop.expect("it was stopped").function, Function::Validate);
    assert_eq!(recorder.take(), Default::default(), "what was taken is gone");
}

#[tokio::test]
async fn an_answer_is_recorded_with_its_lines_and_no_stop_and_a_flood_with_its_end() {
    let (recorder, provider) = recorded(Suspension::AfterFailures).await;
    recorder.take();
    provider.validate(&asks("log a placeholder")).await.expect("an answer");
    let record = recorder.take();
    assert_eq!((record.lines.len(), record.stop), (1, None));
    let line = &record.lines[0];
    assert_eq!((line.source, line.text.as_str()), (GuestSource::Log, "{{secret:token}} ${token}"));

    provider.validate(&asks("print")).await.expect("an answer");
    let record = recorder.take();
    assert!(record.left_out > 1000, "{}", record.left_out);
    let last = &record.lines.last().expect("a line").text;
    assert!(last.starts_with("line 999 "), "the trace had no room for it any more: {last}");
}

#[tokio::test]
async fn who_looks_for_faults_is_never_told_to_come_again() {
    let (_, provider) = recorded(Suspension::Never).await;
    for number in 0..12 {
        let request = catalyst_domain::Request { worker_count: number, ..asks("trap") };
        let error = provider.validate(&request).await.expect_err("it traps");
        assert!(matches!(error.reason, CallFailure::Trap(_)), "{error}");
    }
    let stats = provider.stats();
    assert_eq!((stats.count(Outcome::Trap), stats.count(Outcome::Refused), stats.openings), (12, 0, 0));
}
