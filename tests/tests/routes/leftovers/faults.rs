//! Secrets of killed runs where a step of keeping them fails, or comes in another order.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_could_not_be_sealed_stay_until_they_are() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_apply("not-sealed.example");
    // A file in the place of the folder, so no sealed file can be written.
    let folder = scene.sealed(&id).parent().unwrap().to_owned();
    std::fs::write(&folder, "").unwrap();
    scene.host.up();
    scene.until(&id, "failed");
    wait_for("a try to seal them", LIMIT, || {
        scene.host.trace().contains("secrets of an interrupted run stay in plain").then_some(())
    });
    assert!(scene.work(&id).join(VARIABLES).exists(), "they are nowhere else on disk");
    std::fs::remove_file(&folder).unwrap();
    // The next look is that of a retry, in the process that has them in memory as well.
    scene.close("plan");
    check(&scene.retry(&id, ""), 200, "provisioning");
    scene.wait_at("plan");
    assert!(scene.sealed(&id).exists());
    scene.open("plan");
    scene.until(&id, "flux-bootstrapping");
    wait_for("the used secrets to go", LIMIT, || (!scene.sealed(&id).exists()).then_some(()));
    scene.nothing_in_plain(&id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_ends_with_the_host_leaves_its_own_secrets_sealed() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_init("two-tokens.example");
    scene.host.up();
    scene.until(&id, "failed");
    wait_for("the first token to be sealed", LIMIT, || scene.sealed(&id).exists().then_some(()));
    let first = std::fs::read(scene.sealed(&id)).unwrap();
    scene.close("init");
    let another = "b".repeat(NEEDED.len());
    check(&scene.retry(&id, &json!({"hetznerToken": another}).to_string()), 200, "provisioning");
    let has_another = |scene: &Scene| {
        let variables = std::fs::read_to_string(scene.work(&id).join(VARIABLES));
        variables.is_ok_and(|text| text.contains(&another)).then_some(())
    };
    wait_for("the run with the other token", LIMIT, || has_another(&scene));
    scene.host.down();
    assert_ne!(std::fs::read(scene.sealed(&id)).unwrap(), first);
    scene.host.up();
    scene.until(&id, "failed");
    scene.close("init");
    check(&scene.retry(&id, ""), 200, "provisioning");
    wait_for("a run with the other token again", LIMIT, || has_another(&scene));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_record_that_cannot_be_read_at_a_start_are_kept_for_the_next() {
    let _some = SOME.acquire().await.unwrap();
    let mut scene = Scene::start(&WITH_KEY);
    let id = scene.killed_in_init("unread.example");
    let record = scene.host.folder().join("deployments").join(format!("{id}.json"));
    let whole = std::fs::read_to_string(&record).unwrap();
    // Who has no record that can be read is not taken up, so what still runs there ends by itself.
    let work = scene.work(&id).canonicalize().unwrap();
    wait_for("OpenTofu to end", LIMIT, || {
        let works_there = |process: &std::fs::DirEntry| {
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == work)
        };
        (!std::fs::read_dir("/proc").unwrap().flatten().any(|process| works_there(&process))).then_some(())
    });
    // Cut, of a version to come, of another deployment, empty.
    let other = whole.replace(&id, "00000000000000bb");
    for (start, damaged) in [&whole[..whole.len() / 2], r#"{"schema": 999}"#, &other, ""].into_iter().enumerate() {
        std::fs::write(&record, damaged).unwrap();
        scene.host.up();
        wait_for("the look at what runs left", LIMIT, || {
            let looks = scene.host.trace().matches("its record could not be read at the start").count();
            (looks > start).then_some(())
        });
        assert!(scene.work(&id).join(VARIABLES).exists());
        scene.host.down();
    }
    std::fs::write(&record, &whole).unwrap();
    scene.host.up();
    scene.until(&id, "failed");
    scene.nothing_in_plain(&id);
    // Sealed ones stay as well, though what they are of is not served.
    scene.host.down();
    std::fs::write(&record, "{").unwrap();
    scene.host.up();
    scene.host.down();
    assert!(scene.sealed(&id).exists());
    std::fs::write(&record, &whole).unwrap();
    scene.host.up();
    scene.until(&id, "failed");
    scene.close("init");
    check(&scene.retry(&id, ""), 200, "provisioning");
    wait_for("a run with its token", LIMIT, || {
        let variables = std::fs::read_to_string(scene.work(&id).join(VARIABLES));
        variables.is_ok_and(|text| text.contains(NEEDED)).then_some(())
    });
}
