//! What a scene asks of OpenStack's double.

use crate::kit::Turn;
use catalyst_tests::openstack::module::{CREDENTIAL, Cloud, MODULE};
use catalyst_tests::openstack::{Answer, Project};
use catalyst_tests::scene::SceneCloud;
use serde_json::{Value, json};

/// A project of the double.
pub struct Openstack {
    cloud: Cloud,
    _turn: Turn,
}

impl Openstack {
    fn project(&self) -> &Project {
        self.cloud.project()
    }
}

impl SceneCloud for Openstack {
    const SERVER: &'static str = "openstack_compute_instance_v2";
    const MODULE: &'static str = MODULE;
    const PROVIDER: &'static str = "terraform-provider-openstack/openstack";
    const TOOL: &'static str = "openstack";

    fn start() -> Self {
        let turn = Turn::wait();
        let cloud = Cloud::double();
        cloud.project().float_at("127.0.0.1");
        Self { cloud, _turn: turn }
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        // The double's identity service is on loopback, where a request may lead only if that is allowed.
        vec![("CATALYST_ALLOWED_CLOUDS", "127.0.0.1".to_owned())]
    }

    fn settings(&self) -> Value {
        json!({"openstackAuthUrl": self.cloud.auth_url, "openstackExternalNetwork": self.cloud.external_network,
               "openstackImage": self.cloud.image})
    }

    fn credentials(&self) -> Value {
        json!({"openstackApplicationCredentialID": CREDENTIAL.0, "openstackApplicationCredentialSecret": CREDENTIAL.1})
    }

    fn region(&self, workers: usize) -> Value {
        json!({"provider": "openstack", "cloudRegion": self.cloud.region, "controlPlaneSize": self.cloud.flavour,
               "workerSize": self.cloud.flavour, "workerCount": workers})
    }

    fn servers(&self) -> Vec<Value> {
        self.project().all("servers")
    }

    fn user_data(&self, name: &str) -> Option<String> {
        self.project().user_data(name).and_then(|bytes| String::from_utf8(bytes).ok())
    }

    fn damage_next_first_server(&self) {
        // The provider asks again after 409 and 5xx, and takes any other answer for the end.
        let silent = Answer::Hidden(403, "Forbidden", "Policy doesn't allow this to be performed.");
        self.project().fail_with_body("POST", "/servers", "-cp1\"", silent);
    }

    fn refuse_next_deletion(&self) {
        self.project().fail("DELETE", "", 1, Answer::Refused(409, "Conflict", "Instance is locked"));
    }

    fn remove_server(&self, name: &str) {
        self.project().remove_server(name);
    }
}
