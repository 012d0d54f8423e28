//! Times: RFC 3339 in UTC with whole seconds, in every answer and in the audit log, whatever precision is kept.

use crate::kit::{Server, id, record};
use catalyst::http::ROUTES;
use catalyst_domain::{Entry, Level, ResultInfo, Status, Timestamp};

/// What a time looks like before its fraction or zone; `0` stands for any digit.
const FORM: &str = "0000-00-00T00:00:00";

/// What stands behind each time of a text: `Z` where it has whole seconds in UTC.
fn behind_times(text: &str) -> Vec<char> {
    let is_time = |at: usize| {
        let found = text.as_bytes().get(at..at + FORM.len());
        let fits = |(byte, form): (&u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { *byte == form };
        found.is_some_and(|found| found.iter().zip(FORM.bytes()).all(fits))
    };
    let behind = |at: usize| text.get(at + FORM.len()..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
    (0..text.len()).filter(|at| is_time(*at)).map(behind).collect()
}

/// A ready deployment whose record has every time to the nanosecond.
fn precise() -> catalyst_domain::Record {
    let at = Timestamp::new(1_750_000_000, 123_456_789).unwrap();
    let mut record = record(1, Status::Ready);
    record.started_at = at;
    record.finished_at = Some(at);
    record.phase0_finished_at = Some(at);
    record.phase1_started_at = Some(at);
    record.result = Some(ResultInfo { phase1_finished_at: Some(at), ..ResultInfo::default() });
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_and_the_audit_log_have_times_of_whole_seconds() {
    let (server, one) = (Server::with(&[precise()]).await, id(1));
    let entry = Entry::new(Timestamp::now(), "tofu", Level::Info, "one");
    server.store.append(&one, vec![entry]).await.unwrap();
    for (_, route) in ROUTES.iter().filter(|(method, _)| *method == "GET") {
        let name = if route.contains("/providers/") { "rehearsal" } else { one.as_str() };
        let path = route.replace("{id}", name);
        let text = server.get(&path).await.text();
        let behind = behind_times(&text);
        assert!(behind.iter().all(|zone| *zone == 'Z'), "{path}: {text}");
        // Start and end; of the watch, twice; and of an entry.
        let least = match *route {
            "/api/v1/deployments" => 2,
            "/api/v1/deployments/{id}" => 4,
            "/api/v1/deployments/{id}/events" | "/api/v1/deployments/{id}/logs" => 5,
            _ => 0,
        };
        assert!(behind.len() >= least, "{path} has {} times: {text}", behind.len());
    }
    let lines = server.audited();
    assert!(!lines.is_empty(), "that a kubeconfig was asked for is written down");
    for line in lines {
        assert_eq!(behind_times(&line.to_string()), ['Z'], "{line}");
    }
}

#[test]
fn a_time_with_a_fraction_or_another_zone_is_found() {
    assert_eq!(behind_times(r#"{"a":"2026-04-29T10:00:00.5Z","b":"2026-04-29T10:00:00Z"}"#), ['.', 'Z']);
    assert_eq!(behind_times("at 2026-04-29T10:00:00+02:00, 2026-04-29"), ['+']);
}
