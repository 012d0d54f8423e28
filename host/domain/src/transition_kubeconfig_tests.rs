//! When the stored kubeconfig counts as this cluster's, and when it is dropped.

use super::*;

fn naming(server: &str) -> Fact {
    Fact::KubeconfigReceived { file: "f.yaml".into(), sha256: "s".into(), server: server.into() }
}

#[test]
fn a_kubeconfig_is_checked_once_the_outputs_are_known_whichever_came_first() {
    let early = after(&fresh(), &[received(), Fact::ApplyBegan]);
    assert!(early.has_kubeconfig() && !early.kubeconfig_checked);
    assert!(after(&early, &[applied()]).kubeconfig_checked);
    assert!(after(&fresh(), &[Fact::ApplyBegan, applied(), received()]).kubeconfig_checked);
    let failed = after(&early, &[facts().remove(4)]);
    assert!(failed.has_kubeconfig() && !failed.kubeconfig_checked, "no outputs, nothing to check it against");
}

#[test]
fn an_early_one_of_another_server_is_dropped_with_the_outputs_and_the_bearer_counts_again() {
    for server in ["https://127.0.0.1:6443", "https://198.51.100.7", "https://192.0.2.20:6443", ""] {
        let early = after(&fresh(), &[naming(server), Fact::ApplyBegan]);
        let dropped = after(&early, &[applied()]);
        assert_eq!(dropped.status, Status::FluxBootstrapping, "{server}");
        assert!(!dropped.has_kubeconfig() && !dropped.kubeconfig_checked && dropped.kubeconfig_sha256.is_empty());
        assert_eq!(dropped.kubeconfig_bearer_hash, early.kubeconfig_bearer_hash);
        assert_eq!(next_steps(&dropped), [Step::AwaitKubeconfig]);
        let host = server.trim_start_matches("https://").split(':').next().unwrap();
        assert!(!dropped.kubeconfig_refusal.is_empty() && dropped.kubeconfig_refusal.contains(host));
        let late = after(&dropped, &[facts().remove(6)]);
        assert!(late.error.contains(host) && late.error.contains("refused"), "{}", late.error);
        let again = after(&dropped, &[received()]);
        assert!(again.kubeconfig_checked && again.kubeconfig_refusal.is_empty());
        assert_eq!(again.status, Status::Phase1Watching);
    }
}

#[test]
fn what_was_checked_stays_so_through_a_failed_destroy_and_a_retry_until_the_next_outputs() {
    let up = after(&fresh(), &[Fact::ApplyBegan, applied(), received()]);
    let failed = after(&up, &[Fact::DestroyRequested, Fact::DestroyFailed { error: "tofu destroy: x".into() }]);
    assert!(failed.kubeconfig_checked && failed.kubeconfig_hosts.is_empty());
    let retried = after(&failed, &[retried(), Fact::ApplyBegan]);
    assert!(retried.kubeconfig_checked);
    let Fact::Applied(mut elsewhere) = applied() else { panic!() };
    elsewhere.kubeconfig_hosts = vec!["192.0.2.99".into()];
    assert!(after(&retried, &[applied()]).kubeconfig_checked);
    assert!(!after(&retried, &[Fact::Applied(elsewhere)]).has_kubeconfig());
}

#[test]
fn one_of_an_earlier_release_is_checked_when_it_is_read_anew_or_refused() {
    let mut old = after(&fresh(), &[Fact::ApplyBegan, applied(), received()]);
    (old.kubeconfig_server, old.kubeconfig_checked) = (String::new(), false);
    let reread = |server: &str| Fact::KubeconfigReread { sha256: "other".into(), server: server.into() };
    let read = after(&old, &[reread("https://192.0.2.2:6443")]);
    assert!(read.kubeconfig_checked);
    assert_eq!(read.kubeconfig_sha256, "s", "the digest of what was handed in stays");
    assert!(!after(&old, &[reread("https://192.0.2.3:6443")]).kubeconfig_checked);
    // Components say something only where the outputs are forgotten, and only in records of ours.
    old.result.as_mut().unwrap().component_states.insert("cilium".into(), "installed".into());
    assert!(!after(&old, &[reread("https://192.0.2.3:6443")]).kubeconfig_checked, "it is another cluster's");
    let forgotten = Record { kubeconfig_hosts: Vec::new(), phase0_finished_at: None, ..old.clone() };
    assert!(after(&forgotten, &[reread("https://192.0.2.2:6443")]).kubeconfig_checked);
    let mut theirs = Record { schema: 0, ..forgotten };
    theirs.result.as_mut().unwrap().control_plane_ip = "192.0.2.2".into();
    theirs.result.as_mut().unwrap().load_balancer_ip.clear();
    assert!(after(&theirs, &[reread("https://192.0.2.2:6443")]).kubeconfig_checked);
    assert!(
        !after(&theirs, &[reread("https://127.0.0.1:6443")]).kubeconfig_checked,
        "one address is enough to compare"
    );
    let refused = after(&old, &[Fact::KubeconfigRefused { why: "unsafe kubeconfig: it has a YAML tag".into() }]);
    assert!(!refused.has_kubeconfig() && refused.takes_kubeconfig());
    assert_eq!((refused.status, &*next_steps(&refused)), (Status::Phase1Watching, &[Step::AwaitKubeconfig][..]));
    let imported = Record {
        schema: 0,
        ..record(Shape { status: Status::Failed, kubeconfig: false, phase0_done: false, name: Name::None })
    };
    assert!(after(&imported, &[received()]).kubeconfig_checked, "no address was kept that it could be compared with");
}
