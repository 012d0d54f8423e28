//! Lines of a controller's log: each once, also after the stream broke.

use super::*;
use futures::io::Cursor as Bytes;

const AFTER: &str = "2026-01-01T00:00:05.000000001Z";

fn cursor() -> Cursor {
    Cursor::new("2026-01-01T00:00:00Z".parse().unwrap())
}

fn line(stamp: &str, component: &str) -> String {
    format!(
        "{stamp} {{\"level\":\"error\",\"HelmRelease\":{{\"name\":\"bp-{component}\",\"namespace\":\"flux-system\"}}}}\n"
    )
}

async fn run(text: &str, cursor: &mut Cursor) -> Vec<Observation> {
    let (out, mut seen) = mpsc::channel(10_000);
    pump(Bytes::new(text.as_bytes()), cursor, &out).await.unwrap();
    drop(out);
    let mut all = Vec::new();
    while let Some(one) = seen.recv().await {
        all.push(one);
    }
    all
}

fn components(seen: &[Observation]) -> Vec<&str> {
    seen.iter()
        .map(|o| match o {
            Observation::Log { component, .. } => component.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn c8_a_resumed_stream_tells_no_line_twice_and_loses_none() {
    let mut cursor = cursor();
    let (first, second) = (line("2026-01-01T00:00:01.5Z", "a"), line(AFTER, "b"));
    let seen = run(&format!("{}{first}", line("2025-12-31T23:59:59Z", "old")), &mut cursor).await;
    assert_eq!(components(&seen), ["a"]);
    // sinceTime has whole seconds: the first line comes once more.
    let seen = run(&format!("{first}{second}"), &mut cursor).await;
    assert_eq!(components(&seen), ["b"]);
    assert_eq!(cursor.since, AFTER.parse().unwrap());
}

#[tokio::test]
async fn c9_error_lines_come_as_warnings_without_their_stamp() {
    let seen = run(&line(AFTER, "a"), &mut cursor()).await;
    let Some(Observation::Log { level, line, .. }) = seen.first() else { panic!("{seen:?}") };
    assert_eq!(*level, Level::Warn);
    assert!(line.starts_with("{\"level\""));
}

#[tokio::test]
async fn a_line_without_a_stamp_or_an_end_is_read() {
    let text = "level=info helmrelease=flux-system/bp-a\nlevel=info helmrelease=flux-system/bp-b";
    assert_eq!(components(&run(text, &mut cursor()).await), ["a", "b"]);
}

#[tokio::test]
async fn a_huge_line_is_cut_and_the_next_one_read() {
    let text = format!("helmrelease=flux-system/bp-a {}\n{}", "x".repeat(3 * MAX_LINE), line(AFTER, "b"));
    let seen = run(&text, &mut cursor()).await;
    assert_eq!(components(&seen), ["a", "b"]);
    let Some(Observation::Log { line, .. }) = seen.first() else { panic!() };
    assert!(line.len() <= MAX_TEXT + '…'.len_utf8());
}

#[tokio::test]
async fn bytes_that_are_no_text_do_no_harm() {
    let (out, mut seen) = mpsc::channel(10);
    let bytes = b"\xff\xfe\x00\nhelmrelease=flux-system/bp-a \xff\n\n\n";
    pump(Bytes::new(&bytes[..]), &mut cursor(), &out).await.unwrap();
    assert!(matches!(seen.recv().await, Some(Observation::Log { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_thinned_and_counted() {
    let mut cursor = cursor();
    let seen = run(&"helmrelease=flux-system/bp-a\n".repeat(BURST as usize + 100), &mut cursor).await;
    assert_eq!(seen.len(), BURST as usize);
    tokio::time::advance(Duration::from_secs(1)).await;
    let seen = run("helmrelease=flux-system/bp-a\n", &mut cursor).await;
    let Some(Observation::Remark { message, .. }) = seen.first() else { panic!("{seen:?}") };
    assert!(message.starts_with("100 lines"), "{message}");
    assert_eq!(components(&seen[1..]), ["a"]);
}

#[tokio::test]
async fn c11_a_quiet_stream_can_be_cancelled() {
    struct Quiet;
    impl futures::io::AsyncRead for Quiet {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Pending
        }
    }
    let (out, _seen) = mpsc::channel(1);
    let tail = tokio::spawn(async move { pump(futures::io::BufReader::new(Quiet), &mut cursor(), &out).await });
    tokio::task::yield_now().await;
    tail.abort();
    let end = tokio::time::timeout(Duration::from_secs(5), tail).await.unwrap();
    assert!(end.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn nobody_listening_ends_the_pump() {
    let (out, seen) = mpsc::channel(1);
    drop(seen);
    let text = line(AFTER, "a");
    assert_eq!(pump(Bytes::new(text.as_bytes()), &mut cursor(), &out).await, Err(Unheard));
}

/// The production wiring against a stand-in for the API server: no kubelet is needed to see which requests are made.
#[tokio::test(start_paused = true)]
async fn c3_the_tail_finds_the_pod_and_takes_up_where_the_stream_ended() {
    use std::sync::{Arc, Mutex};
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let log = asked.clone();
    let api = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let path = request.uri().to_string();
        let attached = {
            let mut log = log.lock().unwrap();
            log.push(path.clone());
            log.iter().filter(|p| p.contains("/log?")).count()
        };
        let body = if path.contains("/log?") {
            line(&format!("2099-01-01T00:00:0{attached}Z"), &format!("c{attached}"))
        } else {
            let pod = |name: &str, phase: &str| {
                format!(r#"{{"metadata":{{"name":"{name}"}},"status":{{"phase":"{phase}"}}}}"#)
            };
            let items = [pod("old", "Succeeded"), pod("helm-controller-1", "Running")].join(",");
            format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{items}]}}"#)
        };
        async move { Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(body.into_bytes()))) }
    });
    let (out, mut seen) = mpsc::channel(10);
    let tail = tokio::spawn(follow(kube::Client::new(api, "default"), Duration::from_secs(1), out));
    let told = [seen.recv().await.unwrap(), seen.recv().await.unwrap()];
    tail.abort();
    assert_eq!(components(&told), ["c1", "c2"]);
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("/api/v1/namespaces/flux-system/pods?"), "{asked:?}");
    assert!(asked[0].contains("labelSelector=app%3Dhelm-controller"), "{asked:?}");
    assert!(asked[0].contains("fieldSelector=status.phase%3DRunning"), "{asked:?}");
    let logs: Vec<&String> = asked.iter().filter(|p| p.contains("/log?")).collect();
    assert!(logs.iter().all(|p| p.contains("/pods/helm-controller-1/log?") && p.contains("follow=true")), "{logs:?}");
    assert!(logs[1].contains("sinceTime=2099-01-01T00%3A00%3A01Z"), "{logs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_pods_were_evicted_many_times_is_heard() {
    let api = tower::service_fn(|request: http::Request<kube::client::Body>| {
        let path = request.uri().to_string();
        let body = if path.contains("/log?") {
            line(AFTER, "a").replace("2026", "2099")
        } else {
            // As an API server does, which lists no more than it is asked for in one answer.
            let evicted = r#"{"metadata":{"name":"old"},"status":{"phase":"Failed"}}"#;
            let running = r#"{"metadata":{"name":"new"},"status":{"phase":"Running"}}"#;
            match path.contains("fieldSelector=status.phase%3DRunning") {
                true => format!(r#"{{"metadata":{{}},"items":[{running}]}}"#),
                false => format!(r#"{{"metadata":{{"continue":"t"}},"items":[{}]}}"#, [evicted; 20].join(",")),
            }
        };
        async move { Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(body.into_bytes()))) }
    });
    let (out, mut seen) = mpsc::channel(10);
    let tail = tokio::spawn(follow(kube::Client::new(api, "default"), Duration::from_secs(1), out));
    let told = tokio::time::timeout(Duration::from_secs(60), seen.recv()).await.unwrap().unwrap();
    tail.abort();
    assert_eq!(components(&[told]), ["a"]);
}
