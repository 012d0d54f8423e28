use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn about(action: &'static str) -> About {
    About {
        caller: Caller::new("ana \u{1b}\"x\"\n", crate::auth::Mode::Token, crate::auth::Scopes::ALL),
        peer: "192.0.2.1:7".parse().unwrap(),
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
            audit.refused(IpAddr::from(n.to_be_bytes()), "invalid-token", None, "create");
            audit.refused("192.0.2.9".parse().unwrap(), "forbidden", Some("ana"), "destroy");
        }
    };
    flood(3_000);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    flood(3_000);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    audit.write(&Line::new(Event::Asked, &about("create"), None)).await.unwrap();
    let lines = lines(&path);
    let of_ana: Vec<_> = lines.iter().filter(|line| line["subject"] == "ana").collect();
    let count = |lines: &[&serde_json::Value]| lines.iter().map(|line| line["count"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of_ana.len(), count(&of_ana)), (2, 6_000), "{of_ana:?}");
    let others: Vec<_> = lines.iter().filter(|line| line["reason"] == "invalid-token").collect();
    assert!(others.len() <= 2_100, "{}", others.len());
    assert_eq!(count(&others) + audit.lost(), 6_000);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_could_not_be_written_is_tried_again_and_says_that_it_goes_on() {
    let (_folder, path, audit) = log();
    audit.writer.is_in_trouble();
    assert!(audit.unusable().is_some());
    let healing = tokio::spawn(audit.clone().heal(CancellationToken::new()));
    while audit.unusable().is_some() {
        tokio::time::sleep(HEAL).await;
    }
    healing.abort();
    let lines = lines(&path);
    assert_eq!((lines.len(), &lines[0]["event"], &lines[0]["count"]), (1, &"resumed".into(), &0.into()));
}
