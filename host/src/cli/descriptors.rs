//! Room for open files. A shell, systemd and containers start a process with a soft limit of 1,024 and a far higher hard
//! one; the soft one is kept low for programs that use `select`, which this one does not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but clients: logs, records, locks and states, pipes of OpenTofu, watches of clusters, calls
/// to the outside. Some ten for each deployment that is live, and nobody runs more than a hundred of them at once.
const OWN: u64 = 1_024;

/// The least number of clients that a host makes sense with.
const LEAST_CLIENTS: u64 = 64;

/// Raises the soft limit to what `clients` connections and this process need, and gives the number of connections that fits
/// below what could be had. Children inherit the limit.
pub fn room_for(clients: usize) -> usize {
    let now = getrlimit(Resource::Nofile);
    let wanted = wanted(clients);
    let soft = raised(now, wanted);
    if soft != now.current
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: soft, maximum: now.maximum })
    {
        tracing::warn!(%error, limit = now.current, wanted, "the soft limit of open files cannot be raised");
        return fitting(now.current, clients);
    }
    let fits = fitting(soft, clients);
    if fits < clients {
        tracing::warn!(
            limit = soft,
            wanted,
            connections = fits,
            "the hard limit of open files is too low, so fewer connections are taken: raise it (ulimit -Hn, LimitNOFILE=)"
        );
    }
    fits
}

/// The hard limit and what is wanted, where it is below what `clients` connections and this process need.
pub fn hard_limit_below(clients: usize) -> Option<(u64, u64)> {
    let wanted = wanted(clients);
    getrlimit(Resource::Nofile).maximum.filter(|hard| *hard < wanted).map(|hard| (hard, wanted))
}

fn wanted(clients: usize) -> u64 {
    u64::try_from(clients).unwrap_or(u64::MAX).saturating_add(OWN)
}

/// The soft limit to ask for; `None` is no limit.
fn raised(now: Rlimit, wanted: u64) -> Option<u64> {
    let most = now.maximum.map_or(wanted, |hard| wanted.min(hard));
    now.current.map(|soft| soft.max(most))
}

/// How many of the connections fit below a soft limit.
fn fitting(soft: Option<u64>, clients: usize) -> usize {
    let Some(soft) = soft else { return clients };
    // Under a very low limit clients and files share what there is.
    let left = soft.saturating_sub(OWN).max((soft / 2).min(LEAST_CLIENTS));
    usize::try_from(left).unwrap_or(usize::MAX).min(clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_as_far_as_the_hard_one_goes_and_never_lowered() {
        for (soft, hard, expect) in [
            (Some(1_024), Some(524_288), Some(5_120)),
            (Some(1_024), Some(2_048), Some(2_048)),
            (Some(1_024), None, Some(5_120)),
            (Some(65_536), Some(65_536), Some(65_536)),
            (None, None, None),
        ] {
            assert_eq!(raised(Rlimit { current: soft, maximum: hard }, 5_120), expect, "{soft:?} {hard:?}");
        }
    }

    #[test]
    fn fewer_connections_are_taken_where_the_limit_is_low() {
        for (soft, expect) in [
            (None, 4_096),
            (Some(5_120), 4_096),
            (Some(9_999), 4_096),
            (Some(2_048), 1_024),
            (Some(512), 64),
            (Some(20), 10),
        ] {
            assert_eq!(fitting(soft, 4_096), expect, "{soft:?}");
        }
    }
}
