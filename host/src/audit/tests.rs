//! Lines of the audit log: whole on disk, never too many, none lost.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn about(action: &'static str) -> About {
    About {
        caller: Caller::new("ana \u{1b}\"x\"\n", crate::auth::Mode::Token, crate::auth::Scopes::ALL),
        peer: "192.0.2.1:7".parse().unwrap(),
        client: None,
        request: "r-1".to_owned(),
        action,
        deployment: Some(DeploymentId::from_bytes([1; 8])),
    }
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn log() -> (tempfile::TempDir, PathBuf, Arc<Audit>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(path.clone(), CancellationToken::new()).unwrap();
    (folder, path, audit)
}

#[tokio::test]
async fn a_line_is_whole_on_disk_when_it_is_written_and_others_cannot_read_it() {
    let (_folder, path, audit) = log();
    audit.write(&Line::new(Event::Asked, &about("create"), None)).await.unwrap();
    audit.write(&Line::new(Event::Answered, &about("create"), Some(201))).await.unwrap();
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    let expect = serde_json::json!({"time": lines[1]["time"], "event": "answered", "request": "r-1", "action": "create",
        "subject": "ana  \"x\"", "mode": "token", "peer": "192.0.2.1:7", "deployment": "0101010101010101", "status": 201});
    assert_eq!(lines[1], expect);
    assert_eq!(lines[0]["event"], "asked");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_restart_goes_on_after_a_torn_line_and_a_moved_file_is_begun_anew() {
    let (folder, path, audit) = log();
    audit.write(&Line::new(Event::Asked, &about("destroy"), None)).await.unwrap();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"time\":\"20");
    std::fs::write(&path, text).unwrap();
    let again = Audit::open(path.clone(), CancellationToken::new()).unwrap();
    again.write(&Line::new(Event::Answered, &about("destroy"), Some(202))).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(),
        2,
        "{text}"
    );
    let moved = folder.path().join("audit.1");
    std::fs::rename(&path, &moved).unwrap();
    again.reopen().await;
    again.write(&Line::new(Event::Asked, &about("retry"), None)).await.unwrap();
    assert_eq!(lines(&path)[0]["action"], "retry");
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), text);
}

#[tokio::test]
async fn many_writers_get_each_a_line_of_its_own() {
    let (_folder, path, audit) = log();
    let all: Vec<_> = (0..500)
        .map(|_| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.write(&Line::new(Event::Asked, &about("create"), None)).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(lines(&path).len(), 500);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_at_once_and_then_together_however_many_there_are() {
    let (_folder, path, audit) = log();
    let flood = |count: u32| {
        for n in 0..count {
            // Whoever is refused as a node names a deployment, and proves nothing by that.
            let (reason, subject) =
                if n % 2 == 0 { ("invalid-token", None) } else { ("invalid-bearer", Some("0badc0de")) };
            audit.refused(IpAddr::from(n.to_be_bytes()), reason, subject, "create");
            audit.refused("192.0.2.9".parse().unwrap(), "forbidden", Some("ana"), "destroy");
        }
    };
    flood(3_000);
    // Who is known is told apart, however many others there are.
    audit.refused("192.0.2.10".parse().unwrap(), "forbidden", Some("bob"), "destroy");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    flood(3_000);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    // A line has a time to be written in, and the thread that writes knows no other clock than the true one.
    tokio::time::resume();
    audit.write(&Line::new(Event::Asked, &about("create"), None)).await.unwrap();
    let lines = lines(&path);
    let of_ana: Vec<_> = lines.iter().filter(|line| line["subject"] == "ana").collect();
    let count = |lines: &[&serde_json::Value]| lines.iter().map(|line| line["count"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of_ana.len(), count(&of_ana)), (2, 6_000), "{of_ana:?}");
    assert!(lines.iter().any(|line| line["subject"] == "bob" && line["peer"] == "192.0.2.10"), "{lines:?}");
    let others: Vec<_> =
        lines.iter().filter(|line| line["reason"] != "forbidden" && line["event"] == "refused").collect();
    assert!(others.len() <= 210, "{}", others.len());
    assert_eq!(count(&others) + audit.lost(), 6_000);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_could_not_be_written_is_tried_again_and_says_that_it_goes_on() {
    let (_folder, path, audit) = log();
    audit.writer.is_in_trouble();
    assert!(audit.unusable().is_some());
    let healing = tokio::spawn(audit.clone().heal(CancellationToken::new()));
    tokio::task::yield_now().await;
    tokio::time::advance(HEAL).await;
    tokio::time::resume();
    while audit.unusable().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    healing.abort();
    let lines = lines(&path);
    assert_eq!((lines.len(), &lines[0]["event"], &lines[0]["count"]), (1, &"resumed".into(), &0.into()));
}

#[tokio::test]
async fn what_was_counted_or_left_open_is_on_disk_after_the_last_flush() {
    let (_folder, path, audit) = log();
    let peer = "192.0.2.9".parse().unwrap();
    for _ in 0..7 {
        audit.refused(peer, "invalid-token", None, "create");
        audit.refused(peer, "forbidden", Some("ana"), "destroy");
        // So that the first of each is told before the others come.
        tokio::task::yield_now().await;
    }
    audit.note(&Line::new(Event::Unanswered, &about("create"), None));
    audit.flush(Duration::from_secs(5)).await.unwrap();
    let lines = lines(&path);
    let count = |reason: &str| {
        let of = lines.iter().filter(|line| line["reason"] == reason);
        of.map(|line| line["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((count("invalid-token"), count("forbidden")), (7, 7), "{lines:?}");
    assert!(lines.iter().any(|line| line["event"] == "unanswered"), "{lines:?}");
    assert!(lines.len() <= 5, "{lines:?}");
    audit.flush(Duration::from_secs(5)).await.unwrap();
    assert_eq!(self::lines(&path).len(), lines.len(), "and nothing twice");
}

/// A log on a disk that takes a little and then nothing, until the other end is read.
fn stuck(deadline: Duration) -> (std::io::PipeReader, Arc<Audit>) {
    let (reader, pipe) = std::io::pipe().unwrap();
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(pipe));
    let writer = Writer::start(PathBuf::new(), writer::Log::over(file), deadline).unwrap();
    let refusals = Refusals::new(writer.clone(), CancellationToken::new());
    // More than a pipe holds.
    writer.try_send(Job::Line("x".repeat(1 << 20), None));
    (reader, Arc::new(Audit { writer, refusals }))
}

#[tokio::test]
async fn a_disk_that_does_not_answer_holds_a_line_up_to_its_deadline_and_the_next_ones_not_at_all() {
    let (_reader, audit) = stuck(Duration::from_millis(300));
    let line = Line::new(Event::Asked, &about("create"), None);
    let begun = std::time::Instant::now();
    let error = audit.write(&line).await.unwrap_err();
    assert!(error.to_string().contains("the disk did not answer"), "{error}");
    assert!((300..3_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(audit.unusable(), Some(error.clone()), "readiness tells of it");
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(audit.write(&line).await.unwrap_err(), error);
    }
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(audit.lost(), 50);
    let begun = std::time::Instant::now();
    assert!(audit.flush(Duration::from_millis(200)).await.is_err(), "the end of the process does not wait for it");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_disk_that_answers_again_makes_the_log_usable_or_says_why_not() {
    let (mut reader, audit) = stuck(Duration::from_millis(200));
    assert!(audit.write(&Line::new(Event::Asked, &about("create"), None)).await.is_err());
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    while audit.writer.stuck().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A pipe cannot be synced, so what is on disk is unknown, and that is what is told now.
    let why = audit.unusable().map(|error| error.to_string()).unwrap_or_default();
    assert!(why.contains("sync failed"), "{why}");
}

#[tokio::test]
async fn a_change_of_grants_is_a_line_with_what_came_and_what_went() {
    let (_folder, path, audit) = log();
    let change = catalyst_sandbox::GrantChange {
        file: "acme.wasm".to_owned(),
        plugin: "acme".to_owned(),
        basis: Some(catalyst_sandbox::grants::Basis::Granted),
        granted: vec!["host api.acme.example".to_owned()],
        revoked: Vec::new(),
    };
    audit.write(&Line::grants(change)).await.unwrap();
    let lines = lines(&path);
    let expect = serde_json::json!({"time": lines[0]["time"], "event": "changed", "action": "grants", "plugin": "acme",
        "file": "acme.wasm", "basis": "granted", "granted": ["host api.acme.example"], "revoked": []});
    assert_eq!(lines[0], expect);
}
