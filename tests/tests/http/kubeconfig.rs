//! `PUT` and `GET …/kubeconfig`.

use crate::kit::{BEARER, Server, Setup, applied, id, kubeconfig, record};
use catalyst_domain::{Record, ResultInfo, Status};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

fn right() -> String {
    format!("Bearer {BEARER}")
}

/// A record whose bearer is used up.
fn used(n: u8) -> Record {
    let mut record = record(n, Status::Failed);
    let kubeconfig_path = format!("{}.yaml", record.id);
    record.result = Some(ResultInfo { kubeconfig_path, ..ResultInfo::default() });
    record.kubeconfig_sha256 = catalyst_domain::kubeconfig::sha256_hex(kubeconfig("stored").as_bytes());
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_place_and_stores_nothing() {
    let mut no_hash = record(2, Status::Failed);
    no_hash.kubeconfig_bearer_hash.clear();
    let server = Server::with(&[record(1, Status::Failed), no_hash, used(3)]).await;
    let right = right();
    let (large, good) = ("x".repeat(2 * 1024 * 1024), kubeconfig("good"));
    for (n, bearer, body, status, error) in [
        (9, None, "", 404, "deployment-not-found"),
        (1, None, "", 401, "missing-bearer"),
        (2, None, "", 401, "missing-bearer"),
        (2, Some("Bearer wrong"), "", 403, "no-bearer-hash"),
        (3, Some("Bearer wrong"), &*large, 403, "invalid-bearer"),
        (3, Some(&*right), "", 403, "already-set"),
        (3, Some(&*right), &*good, 403, "already-set"),
        (3, Some(&*right), &*large, 403, "already-set"),
        (1, Some(&*right), &*large, 422, "body-too-large"),
        (1, Some(&*right), "", 422, "empty-body"),
        (1, Some(&*right), "  \n ", 422, "invalid-kubeconfig"),
        (1, Some(&*right), "<html></html>", 422, "invalid-kubeconfig"),
    ] {
        let reply = server.put(&id(n), bearer, body).await;
        assert_eq!(reply.refusal(), (status, error.to_owned()), "{n} {bearer:?} {} bytes", body.len());
        assert!(reply.json()["detail"].is_string());
    }
    assert!(!server.kubeconfig_file(&id(1)).exists(), "a refused PUT creates no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_what_could_hurt_or_is_nothing_is_refused_and_spends_no_bearer() {
    let server = Server::with(&[applied(1, Status::FluxBootstrapping)]).await;
    let good = kubeconfig("x");
    for (body, error) in [
        (" \n", "invalid-kubeconfig"),
        ("<html></html>", "invalid-kubeconfig"),
        (&good.replace("token: x", "exec: {command: sh}"), "unsafe-kubeconfig"),
        (&good.replace("token: x", "tokenFile: /etc/shadow"), "unsafe-kubeconfig"),
        (&good.replace("192.0.2.7", "198.51.100.1"), "invalid-kubeconfig"),
    ] {
        assert_eq!(server.put(&id(1), Some(&right()), body).await.refusal(), (422, error.into()), "{body}");
        assert!(!server.kubeconfig_file(&id(1)).exists());
    }
    assert_eq!(server.put(&id(1), Some(&right()), &good).await.status, 204);
    server.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bearer_is_read_as_the_contract_says() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    for header in ["Bearer", "Bearer ", "Basic abc", "abcdef", ""] {
        let reply = server.put(&id(1), Some(header), "").await;
        assert_eq!(reply.refusal(), (401, "missing-bearer".into()), "{header:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    for header in [format!("BEARER {BEARER}"), format!("bearer  {BEARER} ")] {
        let reply = server.put(&id(1), Some(&header), "").await;
        assert_eq!(reply.refusal(), (422, "empty-body".into()), "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_204_means_file_and_record_are_there_and_the_bearer_is_used_up() {
    let server = Server::with(&[applied(1, Status::Failed)]).await;
    // Exactly the limit is accepted.
    let mut body = kubeconfig("mine");
    body.push_str(&format!("#{}\n", "x".repeat(catalyst_domain::kubeconfig::MAX_BYTES - body.len() - 2)));
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    assert_eq!(server.get(&path).await.refusal(), (409, "not-implemented".into()));
    let reply = server.put(&id(1), Some(&right()), &body).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    let file = server.kubeconfig_file(&id(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), body);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let record = server.on_disk(&id(1));
    assert!(record.has_kubeconfig());
    assert_eq!(record.status, Status::Failed, "a8: a failure is sticky");

    let got = server.get(&path).await;
    assert_eq!((got.status, got.text()), (200, body.clone()));
    assert_eq!(got.header("content-type"), Some("application/yaml"));
    assert_eq!(got.header("cache-control"), Some("no-store"), "h16");
    assert_eq!(got.header("content-disposition"), Some("attachment; filename=\"c1.example-kubeconfig.yaml\""), "h15");
    for (body, same) in [(body.as_str(), true), ("other", false)] {
        let reply = server.put(&id(1), Some(&right()), body).await;
        assert_eq!(reply.refusal(), (403, "already-set".into()));
        assert_eq!(reply.json()["same"], json!(same));
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(server.get(&path).await.refusal(), (409, "kubeconfig-file-missing".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_layout_comes_back_as_k3s_would_write_it_and_counts_as_the_same() {
    let server = Server::with(&[applied(1, Status::Failed)]).await;
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    let body = format!(
        "# by hand\n{{clusters: [{{name: d, cluster: {{server: 'https://192.0.2.7:6443', disable-compression: true, extensions: \
         [{{name: x, extension: {{a: 1}}}}]}}}}], users: [{{name: d, user: {{token: !!binary {}}}}}], contexts: [{{name: d, context: \
         {{cluster: d, user: d}}}}], current-context: d, kind: Config, apiVersion: v1}}",
        "bWluZQ=="
    );
    assert_eq!(server.put(&id(1), Some(&right()), &body).await.status, 204);
    assert_eq!(server.get(&path).await.text(), kubeconfig("mine"));
    let again = server.put(&id(1), Some(&right()), &body).await.json();
    assert_eq!(again["same"], json!(true), "what was handed in counts, not what is stored of it");
    assert_eq!(server.put(&id(1), Some(&right()), &kubeconfig("mine")).await.json()["same"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_checked_yet_is_kept_and_not_given_out() {
    let server = Server::with(&[record(1, Status::Failed)]).await;
    let path = format!("/api/v1/deployments/{}/kubeconfig", id(1));
    assert_eq!(server.put(&id(1), Some(&right()), &kubeconfig("early")).await.status, 204);
    let reply = server.get(&path).await;
    assert_eq!(reply.refusal(), (409, "kubeconfig-unchecked".into()));
    assert!(!reply.text().contains("early"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_stored_is_read_anew_at_the_start() {
    let record = || {
        let mut record = applied(1, Status::Ready);
        record.result = Some(ResultInfo { kubeconfig_path: format!("{}.yaml", id(1)), ..ResultInfo::default() });
        record.kubeconfig_sha256 = "00".repeat(32);
        record
    };
    let good = kubeconfig("stored");
    let flow = good.replace("    token: stored", "    {token: stored}");
    let exec = "    token: a\n    <<: {exec: {command: /bin/sh, args: [-c, id], apiVersion: client.authentication.k8s.io/v1}}\n";
    for (file, expect) in [
        (good.clone(), Ok(good.clone())),
        (flow, Ok(good.clone())),
        (format!("{good}# by hand\n"), Ok(format!("{good}# by hand\n"))),
        (format!("---\n{good}"), Ok(good.clone())),
        (good.replace("    token: stored\n", exec), Err("a YAML merge key")),
        (good.replace("    token: stored\n", "    token: a\n    exec: {command: sh}\n"), Err("would run a program")),
        (good.replace("192.0.2.7", "127.0.0.1"), Err("names the server 127.0.0.1")),
        ("junk".to_owned(), Err("not a YAML mapping")),
    ] {
        let setup = Setup { records: vec![record()], stored_kubeconfig: Some(file.clone()), ..Setup::default() };
        let server = Server::start(setup).await;
        let reply = server.get(&format!("/api/v1/deployments/{}/kubeconfig", id(1))).await;
        let on_disk = server.on_disk(&id(1));
        match expect {
            Ok(text) => {
                assert_eq!((reply.status, reply.text()), (200, text), "{file}");
                let known = server.store.get(&id(1)).unwrap();
                assert!(known.kubeconfig_checked && known.kubeconfig_sha256 == "00".repeat(32));
            }
            Err(why) => {
                assert_eq!(reply.refusal(), (409, "kubeconfig-refused".into()), "{file}");
                let detail = reply.json()["detail"].as_str().unwrap_or_default().to_owned();
                assert!(detail.contains(why), "{detail}");
                assert!(!on_disk.has_kubeconfig() && on_disk.status == Status::Ready);
                let aside = server.kubeconfig_file(&id(1)).with_extension("yaml.refused");
                assert_eq!(std::fs::read_to_string(aside).unwrap(), file);
                assert!(!server.kubeconfig_file(&id(1)).exists());
                let log = server.get(&format!("/api/v1/deployments/{}/events", id(1))).await.text();
                assert!(log.contains("set aside") && log.contains(why), "{log}");
                assert_eq!(server.put(&id(1), Some(&right()), &good).await.status, 204, "its bearer counts again");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_a_folder_that_cannot_be_used_is_a_503_until_it_can() {
    let records = vec![record(1, Status::Failed)];
    let server = Server::start(Setup { records, kubeconfigs_blocked: true, ..Setup::default() }).await;
    let reply = server.put(&id(1), Some(&right()), &kubeconfig("a")).await;
    assert_eq!(reply.refusal(), (503, "kubeconfigs-dir-unwritable".into()));
    std::fs::remove_file(server.kubeconfig_file(&id(1)).parent().unwrap()).unwrap();
    assert_eq!(server.put(&id(1), Some(&right()), &kubeconfig("a")).await.status, 204, "it heals with the folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_deployment_whose_kubeconfig_file_is_gone_says_so_in_its_state() {
    let with_file = |n, status| {
        let mut record = applied(n, status);
        record.result = Some(ResultInfo { kubeconfig_path: format!("{}.yaml", record.id), ..ResultInfo::default() });
        record
    };
    let mut failed = with_file(3, Status::Failed);
    failed.error = "1 failed component(s): a".to_owned();
    let server = Server::with(&[with_file(1, Status::Ready), with_file(2, Status::Ready), failed]).await;
    let path = |n| format!("/api/v1/deployments/{}", id(n));
    assert_eq!(server.get(&path(2)).await.json().get("error"), None);
    for n in [1, 3] {
        std::fs::remove_file(server.kubeconfig_file(&id(n))).unwrap();
    }
    let state = server.get(&path(1)).await.json();
    assert_eq!(state["status"], "ready", "{state}");
    let error = state["error"].as_str().unwrap();
    assert!(error.contains(&format!("{}.yaml is missing", id(1))) && error.contains("k3s.yaml"), "{error}");
    assert_eq!(server.get(&format!("{}/events", path(1))).await.json()["state"], state);
    let stream = server.get(&format!("{}/logs", path(1))).await.text();
    assert!(stream.contains("event: done") && stream.contains("is missing"), "{stream}");
    assert_eq!(server.on_disk(&id(1)).error, "", "the record says what was, and not what is on the disk");
    let error = server.get(&path(3)).await.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("1 failed component(s): a; the kubeconfig file"), "{error}");
    std::fs::write(server.kubeconfig_file(&id(1)), kubeconfig("stored")).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.get(&path(1)).await.json().get("error").is_some() {
        assert!(std::time::Instant::now() < until, "it does not see that the file is back");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_of_a_destroyed_deployment_has_words_of_its_own() {
    let server = Server::with(&[record(1, Status::Destroyed), record(2, Status::Failed)]).await;
    let path = |n| format!("/api/v1/deployments/{}/kubeconfig", id(n));
    let (gone, not_yet) = (server.get(&path(1)).await, server.get(&path(2)).await);
    for reply in [&gone, &not_yet] {
        assert_eq!(reply.refusal(), (409, "not-implemented".into()));
    }
    assert!(gone.json()["detail"].as_str().unwrap().contains("is destroyed"), "{}", gone.text());
    assert_ne!(gone.json()["detail"], not_yet.json()["detail"]);
    let late = server.put(&id(1), Some(&right()), &kubeconfig("late")).await;
    assert_eq!(late.refusal(), (403, "no-bearer-hash".into()));
    assert!(late.json()["detail"].as_str().unwrap().contains("is destroyed"), "{}", late.text());
}
