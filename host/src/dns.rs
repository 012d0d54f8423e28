//! Names on the internet: the clients of the pool-domain manager, of registrars through it, of Dynadot, and host look-ups.
//! It must not know a deployment's state, a route or a status of our own API; callers turn its typed outcomes into those.

pub mod commit;
pub mod dynadot;
pub mod lookup;
pub mod managed;
pub mod names;
pub mod pdm;
pub mod registrar;
pub mod release;
pub mod retry;
