//! The table of the status machine: a record and a fact give the new record, or a refusal.

use crate::bearer::{self, BearerHolder};
use crate::fact::{Fact, Outcome, Repair};
use crate::kubeconfig::Server;
use crate::provider::Endpoints;
use crate::record::ServerFault;
use crate::{Record, Refused, Status, dns, left, read_token, remaining};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Text of a deployment whose node did not call back.
const NODE_SILENT: &str = "the first node never handed in its kubeconfig: see /var/log/cloud-init-output.log and \
                           /var/log/catalyst-boot.log on the control-plane server";

fn node_silent(record: &Record) -> String {
    if record.kubeconfig_refusal.is_empty() {
        return NODE_SILENT.to_owned();
    }
    format!("{NODE_SILENT}; what it handed in before was refused: {}", record.kubeconfig_refusal)
}

/// Applies one fact.
///
/// # Errors
/// [`Refused`] when the table has no row for it.
#[expect(clippy::too_many_lines, reason = "it is the table: a row for each fact")]
pub fn apply(record: &Record, fact: &Fact, at: Timestamp) -> Result<Record, Refused> {
    let mut next = record.clone();
    let from = record.status;
    match fact {
        Fact::Rendered { digest, rights, host_secrets } => {
            only(from, &[Status::Provisioning])?;
            next.render_digest.clone_from(digest);
            next.render_rights.clone_from(rights);
            next.render_host_secrets.clone_from(host_secrets);
        }
        Fact::ChildStarted(child) => {
            only(from, &[Status::Provisioning, Status::TofuApplying, Status::Destroying])?;
            next.child = Some(*child);
        }
        Fact::PlanJudged { gives_bearer, replacement, stale } => {
            only(from, &[Status::Provisioning])?;
            next.replacement.clone_from(replacement);
            next.stale_servers.clone_from(stale);
            if *gives_bearer && record.bearer_holder == Some(BearerHolder::Nobody) {
                next.bearer_holder = Some(BearerHolder::Pending { instead_of: None });
            }
        }
        Fact::ApplyBegan => {
            only(from, &[Status::Provisioning])?;
            next.status = Status::TofuApplying;
        }
        Fact::ServersSeen { first, servers } => {
            stays(from)?;
            bearer::servers_seen(&mut next, first, servers);
        }
        Fact::CalledWithNewBearer => {
            stays(from)?;
            if !bearer::called_with_new_bearer(&mut next) {
                return Err(Refused::Stale(from));
            }
        }
        Fact::Applied(endpoints) => {
            only(from, &[Status::TofuApplying])?;
            applied(&mut next, endpoints, at);
        }
        Fact::Phase0Failed { error } => {
            only(from, &[Status::Provisioning, Status::TofuApplying])?;
            fail(&mut next, error, at);
        }
        Fact::DataLossRefused { error, why } => {
            only(from, &[Status::Provisioning])?;
            fail(&mut next, error, at);
            why.clone_into(&mut next.data_loss);
        }
        Fact::KubeconfigReceived { file, sha256, server } => {
            kubeconfig_received(&mut next, file, at)?;
            sha256.clone_into(&mut next.kubeconfig_sha256);
            names_server(&mut next, server);
            next.kubeconfig_refusal.clear();
        }
        Fact::KubeconfigReread { sha256, server } => {
            must_have_kubeconfig(record)?;
            if next.kubeconfig_sha256.is_empty() {
                sha256.clone_into(&mut next.kubeconfig_sha256);
            }
            names_server(&mut next, server);
            next.kubeconfig_checked |= was_checked_before(&next, server);
        }
        Fact::KubeconfigRefused { why } => {
            must_have_kubeconfig(record)?;
            refuse_kubeconfig(&mut next, why);
        }
        Fact::NodeDeadline => {
            only(from, &[Status::FluxBootstrapping, Status::Phase1Watching])?;
            if record.has_kubeconfig() {
                return Err(Refused::Stale(from));
            }
            fail(&mut next, &node_silent(record), at);
        }
        Fact::Phase1Ended { outcome, components } => {
            only(from, &[Status::Phase1Watching])?;
            phase1_ended(&mut next, outcome, components, at);
        }
        Fact::Phase0Retried { repair, data_loss_accepted, reservation } => {
            claim_phase0(record, *repair)?;
            restart_phase0(&mut next, *data_loss_accepted);
            if let Some(reservation) = reservation {
                dns::reserved(&mut next, reservation);
            }
        }
        Fact::Phase1Retried => {
            claim_phase1(record)?;
            watch(&mut next, at);
        }
        Fact::DestroyRequested | Fact::DestroyWithVolumesRequested => {
            claim_destroy(from)?;
            begin_destroy(&mut next);
            next.delete_volumes = matches!(fact, Fact::DestroyWithVolumesRequested);
        }
        Fact::RemainingSeen(resources) => {
            only(from, &[Status::Destroying])?;
            next.remaining = remaining::bounded(resources);
        }
        Fact::FluxResumed => {
            stays(from)?;
            next.resume_flux = false;
        }
        Fact::DestroyFinished => {
            only(from, &[Status::Destroying])?;
            next.status = Status::Destroyed;
            forget_bearer(&mut next);
            forget_what_a_state_has(&mut next);
            end(&mut next, at);
        }
        Fact::DestroyFailed { error } => {
            only(from, &[Status::Destroying])?;
            fail(&mut next, error, at);
        }
        Fact::Interrupted { error } => {
            if from.is_terminal() {
                return Err(Refused::Stale(from));
            }
            fail(&mut next, error, at);
        }
        Fact::LeftBehind(resources) => {
            if from == Status::Destroyed {
                return Err(Refused::Stale(from));
            }
            (next.left, next.left_more) = left::bounded(resources);
        }
        Fact::WatchResumed => {
            only(from, &[Status::Ready, Status::Failed])?;
            if !record.has_kubeconfig() || record.phase1_finished() {
                return Err(Refused::Stale(from));
            }
            watch(&mut next, at);
            dns::watch_resumed(&mut next);
        }
        Fact::Dns(fact) => dns::apply(&mut next, fact)?,
        Fact::ReadTokenGiven(token) => read_token::given(&mut next, token, at)?,
        Fact::ReadTokensEnded => next.read_tokens.clear(),
    }
    Ok(next)
}

fn only(from: Status, allowed: &[Status]) -> Result<(), Refused> {
    if allowed.contains(&from) { Ok(()) } else { Err(Refused::Stale(from)) }
}

// Where nothing is left, nothing was handed out.
fn stays(from: Status) -> Result<(), Refused> {
    if from == Status::Destroyed { Err(Refused::Stale(from)) } else { Ok(()) }
}

fn applied(next: &mut Record, endpoints: &Endpoints, at: Timestamp) {
    bearer::run_completed(next);
    (next.data_loss_accepted, next.destroy_begun) = (false, false);
    // It belongs to a cluster that lives.
    next.remaining.clear();
    let fqdn = next.request.sovereign_fqdn.clone();
    // Merged, not replaced: a pointer to a kubeconfig that came early survives.
    let result = next.result_mut();
    let old_address = result.load_balancer_ip.clone();
    result.control_plane_ip.clone_from(&endpoints.control_plane_ip);
    result.load_balancer_ip.clone_from(&endpoints.load_balancer_ip);
    result.console_url.clone_from(&endpoints.console_url);
    result.gitops_repo_url = format!("https://gitea.{fqdn}");
    next.kubeconfig_hosts.clone_from(&endpoints.kubeconfig_hosts);
    next.phase0_finished_at = Some(at);
    next.child = None;
    dns::applied(next, &old_address);
    check_early_kubeconfig(next);
    if next.has_kubeconfig() {
        watch(next, at);
    } else {
        next.status = Status::FluxBootstrapping;
    }
}

/// Holds a kubeconfig that came before the outputs against them. One of another cluster is dropped, and its bearer counts again.
fn check_early_kubeconfig(next: &mut Record) {
    if !next.has_kubeconfig() {
        return;
    }
    match server_fault(next) {
        None => next.kubeconfig_checked = true,
        Some(why) => refuse_kubeconfig(next, &why),
    }
}

/// Whether this release checked the server before, and forgot the outputs with a destroy or a retry since: components were seen
/// there. The earlier service checked none.
fn was_checked_before(record: &Record, server: &str) -> bool {
    let is_unknown = |server| record.check_server(&server) == Err(ServerFault::Unknown);
    let seen = record.result.as_ref().is_some_and(|result| !result.component_states.is_empty());
    seen && record.schema > 0 && Server::parse(server).is_ok_and(is_unknown)
}

fn server_fault(record: &Record) -> Option<String> {
    match Server::parse(&record.kubeconfig_server) {
        Ok(server) => record.check_server(&server).err().map(|fault| fault.to_string()),
        Err(_) => Some("it was never read, so the server that it names is not known".to_owned()),
    }
}

fn names_server(next: &mut Record, server: &str) {
    server.clone_into(&mut next.kubeconfig_server);
    next.kubeconfig_checked = server_fault(next).is_none();
}

fn must_have_kubeconfig(record: &Record) -> Result<(), Refused> {
    if record.has_kubeconfig() { Ok(()) } else { Err(Refused::Stale(record.status)) }
}

fn refuse_kubeconfig(next: &mut Record, why: &str) {
    next.forget_kubeconfig();
    why.clone_into(&mut next.kubeconfig_refusal);
}

fn kubeconfig_received(next: &mut Record, file: &str, at: Timestamp) -> Result<(), Refused> {
    if !next.takes_kubeconfig() {
        return Err(Refused::NoBearer);
    }
    if next.has_kubeconfig() {
        return Err(Refused::AlreadySet);
    }
    file.clone_into(&mut next.result_mut().kubeconfig_path);
    if matches!(next.status, Status::FluxBootstrapping | Status::Phase1Watching) {
        watch(next, at);
    }
    Ok(())
}

fn phase1_ended(next: &mut Record, outcome: &Outcome, components: &BTreeMap<String, String>, at: Timestamp) {
    let result = next.result_mut();
    result.component_states.clone_from(components);
    result.phase1_finished_at = Some(at);
    match outcome {
        Outcome::Ready => ready(next, at),
        Outcome::Failed(error) => fail(next, error, at),
    }
}

fn begin_destroy(next: &mut Record) {
    begin(next, Status::Destroying);
    forget_phase0(next);
    next.destroy_begun = true;
    next.data_loss.clear();
}

fn claim_phase0(record: &Record, repair: Option<Repair>) -> Result<(), Refused> {
    match record.status {
        Status::Failed => Ok(()),
        Status::Ready if repair.is_some() => Ok(()),
        Status::Ready => Err(Refused::Healthy),
        Status::Destroyed => Err(Refused::Gone),
        busy => Err(Refused::Busy(busy)),
    }
}

fn claim_phase1(record: &Record) -> Result<(), Refused> {
    match record.status {
        Status::Failed if record.phase0_done() && record.has_kubeconfig() => Ok(()),
        Status::Failed | Status::Ready => Err(Refused::ManualRetry),
        Status::Destroyed => Err(Refused::Gone),
        busy => Err(Refused::Busy(busy)),
    }
}

fn claim_destroy(from: Status) -> Result<(), Refused> {
    match from {
        Status::Ready | Status::Failed | Status::FluxBootstrapping | Status::Phase1Watching => Ok(()),
        Status::Destroyed => Err(Refused::Gone),
        busy => Err(Refused::Busy(busy)),
    }
}

fn restart_phase0(next: &mut Record, data_loss_accepted: bool) {
    begin(next, Status::Provisioning);
    forget_phase0(next);
    next.data_loss_accepted = data_loss_accepted;
    next.resume_flux |= next.destroy_begun && next.has_cluster();
    next.delete_volumes = false;
    next.data_loss.clear();
}

fn forget_bearer(next: &mut Record) {
    next.kubeconfig_bearer_hash.clear();
    next.bearer_holder = None;
    next.replacement = None;
    next.stale_servers.clear();
    next.resume_flux = false;
    next.forget_kubeconfig();
}

// What is half applied or half destroyed is not complete, and must not be watched after a restart.
fn forget_phase0(next: &mut Record) {
    next.schema = crate::record::SCHEMA;
    next.phase0_finished_at = None;
    // They may be others after the next apply.
    next.kubeconfig_hosts.clear();
}

/// The state tells of it anew when the run that begins has ended. What is in no state is known from here alone.
fn forget_what_a_state_has(next: &mut Record) {
    next.left.retain(|resource| !resource.in_state);
    next.left_more = 0;
}

fn begin(next: &mut Record, status: Status) {
    next.status = status;
    next.error.clear();
    forget_what_a_state_has(next);
    next.finished_at = None;
    next.child = None;
}

fn watch(next: &mut Record, at: Timestamp) {
    begin(next, Status::Phase1Watching);
    next.phase1_started_at = Some(at);
    next.result_mut().phase1_finished_at = None;
}

fn ready(next: &mut Record, at: Timestamp) {
    next.status = Status::Ready;
    next.error.clear();
    end(next, at);
}

fn fail(next: &mut Record, error: &str, at: Timestamp) {
    next.status = Status::Failed;
    error.clone_into(&mut next.error);
    end(next, at);
}

fn end(next: &mut Record, at: Timestamp) {
    next.finished_at = Some(at);
    next.child = None;
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "transition_destroy_tests.rs"]
mod destroy_tests;
