//! Lists and events of a cluster that answers what it likes, against a stand-in for the API server.

use super::*;
use crate::cluster::object::METADATA;
use kube::api::{DeleteParams, GroupVersionKind, WatchParams};
use serde_json::json;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

const LIMIT: Duration = Duration::from_secs(20);
const OBJECT: Shape = Shape::Keys(&[METADATA, ("list", Shape::Each(usize::MAX, &Shape::Keys(&[("a", Shape::Plain)])))]);
const MIB: usize = 1024 * 1024;

/// A cluster that answers with these, one after the other, and what it was asked.
fn cluster(answers: Vec<(u16, String)>) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, answers) = (asked.clone(), Arc::new(Mutex::new(answers.into_iter())));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        log.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let (status, body) = answers.lock().unwrap().next().expect("one answer more");
        let body = Body::from(body.into_bytes());
        async move { Ok::<_, Infallible>(http::Response::builder().status(status).body(body).unwrap()) }
    });
    (kube::Client::new(service, "default"), asked)
}

fn listing() -> Listing {
    Listing {
        kind: ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods"),
        namespace: Some("n".to_owned()),
        labels: "app=x",
        fields: "",
        shape: &OBJECT,
        page: 2,
        max_pages: 2,
    }
}

async fn listed(answers: &[&str]) -> Result<Vec<String>, String> {
    let (client, _) = cluster(answers.iter().map(|body| (200, (*body).to_owned())).collect());
    let (objects, _) = list(&client, &listing(), LIMIT).await.map_err(|trouble| trouble.why)?;
    Ok(objects.iter().map(|object| object.name().to_owned()).collect())
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let first = r#"{"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"metadata":{"continue":"t","resourceVersion":"7"}}"#;
    let last =
        r#"{"kind":"PodList","metadata":{"resourceVersion":"8"},"items":[{"metadata":{"name":"c"},"spec":{"x":[1]}}]}"#;
    let (client, asked) = cluster(vec![(200, first.to_owned()), (200, last.to_owned())]);
    let (objects, version) = list(&client, &listing(), LIMIT).await.unwrap();
    assert_eq!((objects.len(), version.as_str()), (3, "8"));
    assert_eq!(objects[2].body(), &json!({"metadata": {"name": "c"}}), "nothing else is kept");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            "GET /api/v1/namespaces/n/pods?&labelSelector=app%3Dx&limit=2",
            "GET /api/v1/namespaces/n/pods?&labelSelector=app%3Dx&limit=2&continue=t"
        ]
    );
    assert_eq!(listed(&[r#"{"items":null,"metadata":{}}"#]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_list_that_is_none_or_has_no_end_is_told_in_words() {
    for text in ["", "<html>", "[]", "{}", r#"{"metadata":{}}"#, r#"{"items":[]"#, r#"{"items":7}"#] {
        assert_eq!(listed(&[text]).await, Err("the answer is not one of a Kubernetes API server".to_owned()), "{text}");
    }
    let more = r#"{"items":[{},{}],"metadata":{"continue":"t"}}"#;
    assert_eq!(listed(&[more, more]).await, Err("the cluster lists more than 4 objects of the kind Pod".to_owned()));
}

#[tokio::test]
async fn a_long_list_of_empty_objects_is_refused_by_its_count_and_none_beyond_it_is_kept() {
    let text = format!("{{\"items\":[{}{{}}]}}", "{},".repeat(8 * MIB / 3 - 8));
    assert!((8 * MIB - 64..=8 * MIB).contains(&text.len()), "{}", text.len());
    let room = Room::new();
    let mut objects = Vec::new();
    let page = Page { shape: &OBJECT, room: &room, most: 250, objects: &mut objects };
    assert!(page.read(text.as_bytes()).unwrap().is_over);
    assert_eq!((objects.len(), objects.capacity() <= 512), (250, true));
    let why = listed(&[&text]).await.unwrap_err();
    assert_eq!(why, "the cluster gives more objects of the kind Pod than it was asked for");
}

#[tokio::test]
async fn an_object_of_countless_values_is_refused_by_their_number() {
    let text = format!(r#"{{"items":[{{"list":[{}{{}}]}}]}}"#, r#"{"a":0},"#.repeat(MIB - 8));
    let (values, memory) = (Room::new(), &mut Vec::new());
    let page = Page { shape: &OBJECT, room: &values, most: 250, objects: memory };
    page.read(text.as_bytes()).unwrap();
    assert!(values.is_short());
    let why = listed(&[&text]).await.unwrap_err();
    assert_eq!(why, "the cluster's objects of the kind Pod hold more than is read of them");
    // What no reader asks for is not kept at all, whatever it is.
    let foreign = format!(r#"{{"items":[{{"metadata":{{"name":"a"}},"x":[{}0]}}]}}"#, r#"{"":[{}]},"#.repeat(MIB / 2));
    assert_eq!(listed(&[&foreign]).await, Ok(vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_refusal_is_read_as_far_as_its_message_and_by_the_status_of_the_answer() {
    let causes = format!(r#"{{"message":"no","code":200,"details":{{"causes":[{}{{}}]}}}}"#, "{},".repeat(1000));
    let long = format!(r#"{{"message":"no","details":{{"causes":[{}{{}}]}}}}"#, "{},".repeat(2 * MIB));
    for (status, body, why) in [
        (403, causes.as_str(), "the kubeconfig may not read it (403): no"),
        (503, long.as_str(), "the API server answered 503: "),
        (502, "bad gateway", "the API server answered 502: bad gateway"),
        (302, "", "the API server answered 302: "),
    ] {
        let (client, _) = cluster(vec![(status, body.to_owned())]);
        let refusal = ask(&client, path(&listing().kind, Some("n")).delete("x", &DeleteParams::default())).await;
        let refusal = refusal.unwrap_err();
        assert_eq!((refusal.status, refusal.trouble.why.as_str()), (Some(status), why));
    }
}

#[tokio::test]
async fn only_the_api_servers_own_5xx_in_place_of_a_first_page_is_silence() {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no leader","code":503}"#;
    let page = r#"{"items":[{"metadata":{"name":"a"}}],"metadata":{"continue":"t"}}"#;
    for (answers, is_silence) in [
        (vec![(503, status)], true),
        (vec![(503, "<html>no healthy upstream</html>")], false),
        (vec![(502, r#"{"message":"bad gateway"}"#)], false),
        (vec![(504, "")], false),
        (vec![(200, page), (503, status)], false),
    ] {
        let (client, _) = cluster(answers.iter().map(|(code, body)| (*code, (*body).to_owned())).collect());
        let trouble = list(&client, &listing(), LIMIT).await.unwrap_err();
        assert_eq!(trouble.is_silence, is_silence, "{answers:?}: {}", trouble.why);
    }
}

/// A connection that breaks, or a server that stops, in the middle of a page.
#[tokio::test(start_paused = true)]
async fn a_cluster_whose_answer_has_begun_is_not_silent() {
    use futures::stream::{self, StreamExt as _};
    for (status, breaks) in [(200, true), (200, false), (503, true), (503, false)] {
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let begun = stream::iter([Ok(bytes::Bytes::from_static(b"{\"items\":["))]);
            let end = match breaks {
                true => stream::iter([Err(std::io::Error::other("cut"))]).boxed(),
                false => stream::pending().boxed(),
            };
            let body = axum::body::Body::from_stream(begun.chain(end));
            async move { Ok::<_, Infallible>(http::Response::builder().status(status).body(body).unwrap()) }
        });
        let trouble = list(&kube::Client::new(service, "default"), &listing(), LIMIT).await.unwrap_err();
        assert!(!trouble.is_silence, "{status}, {breaks}: {}", trouble.why);
    }
    // One that gives no answer at all is.
    let service =
        tower::service_fn(|_: http::Request<Body>| std::future::pending::<Result<http::Response<Body>, Infallible>>());
    assert!(list(&kube::Client::new(service, "default"), &listing(), LIMIT).await.unwrap_err().is_silence);
}

#[tokio::test]
async fn what_is_answered_to_a_deletion_is_not_read() {
    let (client, asked) = cluster(vec![(200, "no JSON".to_owned())]);
    ask(&client, path(&listing().kind, None).delete("x", &DeleteParams::default())).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["DELETE /api/v1/pods/x?"]);
}

#[tokio::test]
async fn events_are_read_line_by_line_and_bounded() {
    let event = |kind: &str, object: &str| format!(r#"{{"object":{object},"type":"{kind}"}}"#);
    let short = |line: &str| match WatchedEvent::read(line.as_bytes(), &OBJECT) {
        Some(WatchedEvent::Applied(object)) => format!("applied {}", object.body()),
        Some(WatchedEvent::Deleted(object)) => format!("deleted {}", object.name()),
        Some(WatchedEvent::Bookmark) => "bookmark".to_owned(),
        Some(WatchedEvent::Failed(status)) => format!("failed {status}"),
        None => "none".to_owned(),
    };
    let object = r#"{"metadata":{"name":"a"},"spec":[{}]}"#;
    assert_eq!(short(&event("ADDED", object)), r#"applied {"metadata":{"name":"a"}}"#);
    assert_eq!(short(&event("MODIFIED", object)), r#"applied {"metadata":{"name":"a"}}"#);
    assert_eq!(short(&event("DELETED", object)), "deleted a");
    assert_eq!(short(&event("BOOKMARK", object)), "bookmark");
    assert_eq!(short(&event("ERROR", r#"{"code":410}"#)), "failed 410");
    let flood = format!(r#"{{"list":[{}{{}}]}}"#, r#"{"a":0},"#.repeat(100_000));
    for line in ["", "{", "{}", &event("ODD", object), &event("ADDED", "7"), &event("ADDED", &flood)] {
        assert_eq!(short(line), "none", "{}", &line[..line.len().min(40)]);
    }
    let text = format!("{}\n{}\nlast", event("ADDED", object), "x".repeat(10_000));
    let (client, asked) = cluster(vec![(200, text.clone())]);
    let request = path(&listing().kind, Some("n")).watch(&WatchParams::default(), "7");
    let (mut stream, mut line, mut read) = (lines(&client, request).await.unwrap(), Vec::new(), Vec::new());
    while read_line(&mut stream, &mut line, 100).await.unwrap().is_some() {
        read.push(line.len());
    }
    assert_eq!(read, [text.lines().next().unwrap().len(), 100, 4]);
    assert!(asked.lock().unwrap()[0].contains("watch=true") && asked.lock().unwrap()[0].contains("resourceVersion=7"));
}
