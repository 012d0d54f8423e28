//! What is read of records on disk.

use super::*;

#[test]
fn a_record_of_the_earlier_service_is_read() {
    let text = r#"{"id":"0123456789abcdef","status":"phase1-watching","request":{"orgName":"A","sovereignFQDN":"a.example",
        "cloudToken":"<redacted>","workerCount":2,"regions":null},"result":{"sovereignFQDN":"a.example",
        "controlPlaneIP":"192.0.2.1","loadBalancerIP":"192.0.2.2","consoleURL":"","gitopsRepoURL":"",
        "kubeconfigPath":"/var/lib/catalyst/kubeconfigs/0123456789abcdef.yaml"},
        "startedAt":"2026-04-29T10:00:00.123456789Z","finishedAt":"0001-01-01T00:00:00Z","events":null}"#;
    let record: Record = serde_json::from_str(text).unwrap();
    assert_eq!(record.schema, 0);
    assert_eq!(record.created_by, None);
    assert_eq!(record.finished_at, None);
    assert!(record.has_kubeconfig() && record.phase0_done() && !record.phase1_finished());
    let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(again, record);
}
