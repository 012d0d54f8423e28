//! What is there: deployments and providers.

use crate::kit::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_paged_filtered_and_says_what_is_wrong_with_a_query() {
    const COUNT: usize = 230;
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::prepare(&[]);
    for number in 0..COUNT {
        let id = format!("{:016x}", number * 7_919 % 1_000_003);
        let status = if number % 10 == 0 { "failed" } else { "destroyed" };
        // Three of each second, so that the id decides as well.
        let started = format!("2026-04-29T10:{:02}:{:02}Z", number / 180, number / 3 % 60);
        scene.plant(
            "deployments",
            &format!("{id}.json"),
            &json!({"schema": 1, "id": id, "status": status, "startedAt": started, "finishedAt": started,
                "request": {"sovereignFQDN": format!("a{number}.example")},
                "provider": {"id": if number % 2 == 0 { "even" } else { "odd" }, "version": "1.0.0", "digest": "d"}}),
        );
    }
    scene.host.up();
    let page = |query: &str| {
        let answer = scene.api().get(&format!("/api/v1/deployments{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()
    };
    let ids = |page: &Value| -> Vec<String> {
        page["deployments"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut all, mut query) = (Vec::new(), "?limit=100".to_owned());
    loop {
        let page = page(&query);
        all.extend(page["deployments"].as_array().unwrap().iter().cloned());
        // What begins in the middle of the reading comes at its end.
        if all.len() == 100 {
            scene.create(&request("new.example"));
        }
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=100&after={next}");
    }
    assert_eq!(all.len(), COUNT + 1);
    let places: Vec<(String, String)> = all.iter().map(|d| (d["startedAt"].to_string(), d["id"].to_string())).collect();
    assert!(places.is_sorted() && places.iter().collect::<BTreeSet<_>>().len() == COUNT + 1);
    assert_eq!(all.last().unwrap()["sovereignFQDN"], "new.example");

    assert_eq!(ids(&page("")).len(), 50);
    assert_eq!(ids(&page("?limit=200&status=failed")).len(), COUNT / 10);
    assert_eq!(ids(&page("?limit=200&provider=odd")).len(), COUNT / 2);
    assert_eq!(page("?fqdn=A7.Example.")["deployments"][0]["sovereignFQDN"], "a7.example");
    assert_eq!(page("?fqdn=none.example"), json!({"deployments": [], "next": null}));
    let last = page("?limit=1&fqdn=a7.example");
    assert_eq!(last["next"], Value::Null, "a full page that is the last one has no next");
    for (query, pointer) in [
        ("?limit=0", "?limit"),
        ("?limit=201", "?limit"),
        ("?limit=x", "?limit"),
        ("?status=happy", "?status"),
        ("?after=nonsense", "?after"),
        ("?colour=red", "?colour"),
        ("?limit=1&limit=2", "?limit"),
    ] {
        let answer = scene.api().get(&format!("/api/v1/deployments{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert_eq!(answer.json()["findings"][0]["pointer"], pointer, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_say_what_they_are_and_which_files_did_not_load() {
    let _some = SOME.acquire().await.unwrap();
    let plugins = tempfile::tempdir().unwrap();
    let rehearsal = catalyst_tests::host::built("plugins/rehearsal.wasm");
    std::fs::copy(rehearsal, plugins.path().join("rehearsal.wasm")).unwrap();
    std::fs::write(plugins.path().join("broken.wasm"), "no component").unwrap();
    let scene = Scene::start(&[("CATALYST_PLUGINS_DIR", plugins.path().to_str().unwrap())]);
    let all = scene.api().get("/api/v1/providers").json();
    let one = &all["providers"][0];
    assert_eq!((&one["id"], &one["file"]), (&json!("rehearsal"), &json!("rehearsal.wasm")));
    assert!(
        one["digest"].as_str().unwrap().len() == 64 && one["interfaceVersion"].as_str().unwrap().starts_with("1.1")
    );
    assert!(
        one["imports"].as_array().unwrap().iter().all(|i| i.as_str().is_some_and(|name| name.contains(":"))),
        "{one}"
    );
    assert_eq!(all["failures"][0]["file"], "broken.wasm");
    assert_eq!(all["failures"][0]["previousServes"], false);

    let full = scene.api().get("/api/v1/providers/rehearsal").json();
    let of = &full["descriptor"];
    assert_eq!(of["settingsSchema"]["properties"]["rehearsalApiPort"]["type"], "integer");
    let token = of["secrets"].as_array().unwrap().iter().find(|s| s["name"] == "rehearsal-token").unwrap();
    assert_eq!(token["source"], json!({"kind": "request", "key": "rehearsalToken"}));
    assert_eq!(of["catalogue"]["regions"][0]["id"], "local-1");
    check(&scene.api().get("/api/v1/providers/none"), 404, "provider-not-found");
}
