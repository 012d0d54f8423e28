//! What of OpenTofu's states a rehearsal takes.

use super::*;
use serde_json::json;

struct Host(tempfile::TempDir, DeploymentId);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), DeploymentId::from_bytes([7; 8]))
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let folder = self.0.path().join(self.1.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    fn look(&self) -> Result<Found, StateError> {
        look(self.0.path(), &self.1)
    }

    fn error(&self) -> StateError {
        match self.look() {
            Err(error) => error,
            Ok(_) => panic!("the state was taken"),
        }
    }

    fn nodes(&self) -> Nodes {
        match self.look() {
            Ok(Found::Nodes(nodes)) => nodes,
            Ok(Found::NotYet(why)) => panic!("not yet: {why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn state(outputs: serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"version": 4, "serial": 1, "outputs": outputs, "resources": []})).unwrap()
}

fn user_data(text: &str) -> serde_json::Value {
    json!({"value": {"cp1": text, "w1": "#cloud-config\n"}, "type": ["object", {}], "sensitive": true})
}

#[test]
fn the_newest_state_counts_and_other_files_do_not() {
    let host = Host::new();
    host.write("00000009.tfstate", state(json!({"user_data": user_data("old")})));
    host.write("00000010.tfstate", state(json!({"user_data": user_data("new"), "api_port": {"value": 16443}})));
    host.write("bundle.json", "{}");
    host.write("x.tfstate", "broken");
    let nodes = host.nodes();
    assert_eq!(nodes.user_data["cp1"], "new");
    assert_eq!(nodes.user_data.len(), 2);
    assert_eq!(nodes.api_port, Some(16_443));
}

#[test]
fn a_run_that_goes_on_is_waited_for() {
    let host = Host::new();
    host.write("bundle.json", "{}");
    assert!(matches!(host.look(), Ok(Found::NotYet(_))));
    host.write("00000001.tfstate", "");
    assert!(matches!(host.look(), Ok(Found::NotYet(_))));
    host.write("00000002.tfstate", state(json!({})));
    assert!(matches!(host.look(), Ok(Found::NotYet(_))));
}

#[test]
fn what_cannot_be_rehearsed_is_told() {
    let host = Host::new();
    let unknown = host.error();
    assert!(matches!(unknown, StateError::Unknown { .. }));
    assert!(unknown.to_string().contains("0707070707070707"), "{unknown}");
    let cases = [
        (state(json!({"control_plane_ip": {"value": "192.0.2.1"}})), "NotRehearsable"),
        (state(json!({"user_data": {"value": {"cp1": 7}}})), "NotRehearsable"),
        (state(json!({"user_data": {"value": {}}})), "NotRehearsable"),
        (br#"{"meta":{"key_provider.x":"y"},"encrypted_data":"AAAA","encryption_version":"v0"}"#.to_vec(), "Encrypted"),
        (b"catalyst-state\0\x01\xff\x80".to_vec(), "Encrypted"),
        (vec![0xff, 0x00, 0x80], "NotAState"),
        (b"sentinel-secret".to_vec(), "NotAState"),
        (b"[1]".to_vec(), "NotAState"),
    ];
    for (number, (bytes, want)) in cases.into_iter().enumerate() {
        host.write(&format!("{:08}.tfstate", number + 1), bytes);
        let error = host.error();
        assert!(format!("{error:?}").starts_with(want), "{number}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("sentinel"), "{error}");
    }
}
