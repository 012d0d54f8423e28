//! Where a request wants its machines, with the pointer at which the person wrote each choice.

use crate::{DeploymentRequest, Pointer};

/// One choice of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The text, trimmed; blank when not given.
    pub value: String,
    /// Where it stands in the request body.
    pub pointer: Pointer,
}

/// The first region and its machines: `regions[0]` when regions were given, else the singular keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Region of the cloud.
    pub region: Choice,
    /// Machine type of the servers.
    pub control_plane_size: Choice,
    /// Machine type of the workers.
    pub worker_size: Choice,
    /// Number of workers, as asked for.
    pub worker_count: i64,
    /// Where the number of workers stands.
    pub worker_count_pointer: Pointer,
}

impl Placement {
    /// Reads the placement of a request.
    pub fn of(request: &DeploymentRequest) -> Self {
        let at = |key: &str| match request.regions.first() {
            Some(_) => Pointer::to("regions").index(0).key(key),
            None => Pointer::to(if key == "cloudRegion" { "region" } else { key }),
        };
        let choice = |key: &str, text: &str| Choice { value: text.trim().to_owned(), pointer: at(key) };
        let (region, control_plane_size, worker_size, worker_count) = match request.regions.first() {
            Some(slot) => (&slot.cloud_region, &slot.control_plane_size, &slot.worker_size, slot.worker_count),
            None => (&request.region, &request.control_plane_size, &request.worker_size, request.worker_count),
        };
        Self {
            region: choice("cloudRegion", region),
            control_plane_size: choice("controlPlaneSize", control_plane_size),
            worker_size: choice("workerSize", worker_size),
            worker_count,
            worker_count_pointer: at("workerCount"),
        }
    }
}
