//! What a scene asks of Hetzner's double.

use crate::kit::Turn;
use catalyst_tests::hetzner::module::{MODULE, TOKEN};
use catalyst_tests::hetzner::{Answer, Project};
use catalyst_tests::scene::SceneCloud;
use serde_json::{Value, json};

/// A host with the double as its cloud, and the cluster that its servers would become.
pub type Scene = catalyst_tests::scene::Scene<Hetzner>;

/// A project of the double.
pub struct Hetzner {
    pub project: Project,
    _turn: Turn,
}

impl SceneCloud for Hetzner {
    const SERVER: &'static str = "hcloud_server";
    const MODULE: &'static str = MODULE;
    const PROVIDER: &'static str = "hetznercloud/hcloud";
    const TOOL: &'static str = "hcloud";

    fn start() -> Self {
        let turn = Turn::wait();
        let project = Project::start(TOKEN);
        project.balance_at("127.0.0.1");
        Self { project, _turn: turn }
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("CATALYST_TOFU_PASS_ENV", "HCLOUD_ENDPOINT".to_owned()), ("HCLOUD_ENDPOINT", self.project.endpoint())]
    }

    fn settings(&self) -> Value {
        json!({"hetznerProjectID": "12345"})
    }

    fn credentials(&self) -> Value {
        json!({"hetznerToken": TOKEN})
    }

    fn region(&self, workers: usize) -> Value {
        json!({"provider": "hetzner", "cloudRegion": "fsn1", "controlPlaneSize": "cpx42", "workerSize": "cpx32",
               "workerCount": workers})
    }

    fn servers(&self) -> Vec<Value> {
        self.project.all("servers")
    }

    fn user_data(&self, name: &str) -> Option<String> {
        self.project.user_data(name)
    }

    fn damage_next_first_server(&self) {
        let refused = Answer::Refused(422, "invalid_input", "the network is not there yet");
        self.project.fail_with_body("POST", "/actions/attach_to_network", "\"10.0.1.2\"", refused);
    }

    fn refuse_next_deletion(&self) {
        self.project.fail("DELETE", "", 1, Answer::Refused(403, "protected", "the server is protected"));
    }

    fn remove_server(&self, name: &str) {
        self.project.remove_server(name);
    }
}
