//! `infra/openstack`, as the plugin renders it, on the real OpenTofu and OpenStack's own provider: what it makes, what it
//! leaves alone, and how it fails. The cloud behind them is a double, unless `OPENSTACK_AUTH_URL` names a real one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod boot;
mod changes;
mod failures;
mod faults;
mod kit;
mod life;
mod names;
mod replace;
mod scene;
mod shape;
