//! What a watch tells and decides of Kustomizations, sources, and releases that wait for either.

use super::{AT_ONCE, PATIENCE, Watching, begin, failure, settings};
use catalyst::cluster::{ComponentState, Observation, WatchSettings};
use catalyst_domain::{Level, Outcome};
use catalyst_tests::flux::Stage;
use catalyst_tests::kube::{Cluster, Options};
use serde_json::json;
use std::time::Duration;

const NO_PATH: &str =
    "kustomization path not found: stat /tmp/kustomization-878691743/clusters/x: no such file or directory";
const REFUSED: &str =
    "failed to login to OCI registry: GET \"https://registry.example/v2/\": response status code 401: Unauthorized";

impl Watching {
    /// Waits for a remark of this weight that has all the words.
    async fn remark(&mut self, weight: Level, words: &[&str]) -> String {
        let what = format!("{weight:?} with {words:?}");
        let wanted = |level: &Level, message: &str| *level == weight && words.iter().all(|part| message.contains(part));
        let found =
            self.until(&what, |o| matches!(o, Observation::Remark { level, message } if wanted(level, message))).await;
        let Observation::Remark { message, .. } = found else { panic!() };
        message
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_what_keeps_flux_from_the_kit_is_told_at_once_and_with_what_helps() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut watching = begin(&cluster, WatchSettings { timeout: PATIENCE * 2, ..settings(Duration::from_secs(1)) });
    cluster.bootstrap_kit_fails("ArtifactFailed", NO_PATH).await.unwrap();
    watching
        .remark(Level::Warn, &["bootstrap-kit: kustomization path not found", "(ArtifactFailed)", "./clusters/x"])
        .await;
    // A cluster without the kinds of sources is watched all the same; once they are there they are followed.
    cluster.install_source_kinds().await.unwrap();
    let branch = json!({"branch": "main"});
    let refused =
        "failed to checkout and determine revision: unable to clone 'https://git.example/kit': authentication required";
    cluster.git_repository(branch.clone(), ("False", "GitOperationFailed", refused)).await.unwrap();
    watching
        .remark(
            Level::Warn,
            &["GitRepository openova:", "authentication required (GitOperationFailed)", "spec.secretRef"],
        )
        .await;
    cluster.git_repository(branch, ("True", "Succeeded", "stored artifact for revision 'main@sha1:0'")).await.unwrap();
    watching.remark(Level::Info, &["GitRepository openova is ready again"]).await;
    cluster.bootstrap_kit_fails("BuildFailed", "kustomize build failed: accumulating resources: a.yaml").await.unwrap();
    watching.remark(Level::Warn, &["kustomize build failed", "https://git.example/kit (branch main)"]).await;
    watching.goes_on().await;
    cluster.bootstrap_kit(Some(&["bp-a"])).await.unwrap();
    watching.remark(Level::Info, &["Kustomization bootstrap-kit is ready again"]).await;
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    assert_eq!(watching.end().await.outcome, Outcome::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_a_folder_that_a_tag_will_never_have_ends_the_wait_and_says_so() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.install_source_kinds().await.unwrap();
    cluster.git_repository(json!({"tag": "v1.0.0"}), ("True", "Succeeded", "stored artifact")).await.unwrap();
    cluster.bootstrap_kit_fails("ArtifactFailed", NO_PATH).await.unwrap();
    let mut watching = begin(&cluster, settings(Duration::from_secs(1)));
    watching.remark(Level::Warn, &["kustomization path not found"]).await;
    let ended = watching.end().await;
    let why = failure(&ended);
    assert!(
        why.starts_with("Flux cannot go on by itself: Kustomization bootstrap-kit: kustomization path not found"),
        "{why}"
    );
    assert!(why.contains("(tag v1.0.0)") && why.contains("before its time"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_releases_that_blink_behind_a_failed_one_keep_no_verdict_away() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.release("bp-a", Stage::RetriesExceeded).await.unwrap();
    let dependants = ["bp-b", "bp-c", "bp-d", "bp-e"];
    for name in dependants {
        cluster.release(name, Stage::WaitsFor("bp-a")).await.unwrap();
    }
    let mut watching = begin(&cluster, WatchSettings { timeout: PATIENCE * 2, ..settings(Duration::from_secs(4)) });
    // The last of the first list.
    watching.state("e", ComponentState::Pending).await;
    let mut rounds = 0;
    while !watching.end.is_finished() {
        for name in dependants {
            let stage = if rounds % 2 == 0 { Stage::Checked } else { Stage::WaitsFor("bp-a") };
            cluster.release(name, stage).await.unwrap();
        }
        rounds += 1;
        assert!(rounds < 200, "no verdict");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(rounds > 4, "nothing blinked");
    while let Ok(one) = watching.seen.try_recv() {
        assert!(!matches!(one, Observation::Component { .. }), "an entry for a blink: {one:#?}");
    }
    let ended = watching.end().await;
    assert_eq!(failure(&ended), "1 failed component(s): a (RetriesExceeded)");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_t11_a_late_source_is_waited_for_and_one_that_refuses_is_degraded_with_its_reason() {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.install_source_kinds().await.unwrap();
    // More is to come, so that nothing is ready before.
    cluster.bootstrap_kit(None).await.unwrap();
    cluster.release("bp-a", Stage::SourceNotSeen).await.unwrap();
    let patience = Duration::from_secs(4);
    let settings =
        WatchSettings { source_patience: patience, refusal_patience: patience * 2, ..settings(Duration::from_secs(1)) };
    let mut watching = begin(&cluster, settings);
    let first = watching.until("the first state", |o| matches!(o, Observation::Component { .. })).await;
    let Observation::Component { state, level, message, .. } = first else { panic!() };
    assert_eq!((state, level), (ComponentState::Installing, Level::Info), "{message}");
    assert!(message.starts_with("Waiting for its source: could not get Source object"), "{message}");
    cluster.release("bp-a", Stage::Installed).await.unwrap();
    watching.state("a", ComponentState::Installed).await;

    // The release tells what it saw first; its chart tells why.
    cluster.helm_chart("bp-b", ("False", "AuthenticationFailed", REFUSED)).await.unwrap();
    watching
        .remark(Level::Warn, &["HelmChart flux-system-bp-b: ", "401: Unauthorized (AuthenticationFailed)", "Secret"])
        .await;
    cluster
        .release("bp-b", Stage::WaitsForSource("latest generation of object has not been reconciled"))
        .await
        .unwrap();
    watching.state("b", ComponentState::Installing).await;
    let degraded = watching.state("b", ComponentState::Degraded).await;
    let Observation::Component { level, message, .. } = degraded else { panic!() };
    assert!(level == Level::Warn && message.contains("401: Unauthorized"), "{message}");
    let ended = watching.end().await;
    let why = failure(&ended);
    assert!(why.contains("have refused the cluster for 8 s") && why.contains("a retry watches"), "{why}");
    assert_eq!(ended.components["b"], "degraded");
}
