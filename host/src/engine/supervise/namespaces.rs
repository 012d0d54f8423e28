//! The namespaces of a run. Its supervisor enters that of users and makes that of processes, whose first is the init; the init enters
//! those of the network and of mounts, so the supervisor keeps the network of the host, for the run's proxy. Both are freshly
//! started processes with one thread, so that nothing has to be done between fork and exec, and nothing of the host's is touched.

use super::layers::{Layer, LayerState};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use rustix::process::{getegid, geteuid};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// Ports of the listeners of runs. Where a run has no network of its own, the kernel may let it connect to its two ports on every
/// address; a network policy that lets no packet out to these ports shuts that way. The chart refuses them (`_helpers.tpl`).
pub const RUN_PORTS: RangeInclusive<u16> = 29_100..=29_199;

/// Enters a user namespace where it is asked for. It comes first: it gives the right to the others.
pub(super) fn user_of_supervisor(wanted: &[Layer]) -> Vec<LayerState> {
    let asked = wanted.contains(&Layer::UserNamespace);
    asked.then(|| LayerState::of(Layer::UserNamespace, user())).into_iter().collect()
}

/// Makes one of processes, which the next child of this thread is the first of. With it one of what processes share by number.
///
/// # Errors
/// The kernel refuses.
pub(super) fn processes() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC).map_err(in_words)
}

/// Enters a namespace of mounts.
///
/// # Errors
/// The kernel refuses.
pub(super) fn mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(in_words)
}

/// Why there is no namespace: the kernel's own words say little of these two.
fn in_words(why: Errno) -> io::Error {
    match why {
        Errno::ENOSPC => {
            io::Error::other("the kernel lets this user make no more of them: sysctl user.max_*_namespaces")
        }
        Errno::EPERM => io::Error::other("a seccomp profile, a security module or a sysctl forbids it"),
        why => why.into(),
    }
}

/// The user of this process is root within: it may make the other namespaces, and is nobody else outside.
fn user() -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(in_words)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Enters a network with `lo` alone.
///
/// # Errors
/// The kernel refuses.
pub(super) fn network() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(in_words)?;
    loopback_up()
}

/// Takes the loopback interface up: one message of rtnetlink(7), for which the standard library has no call. The kernel gives it
/// 127.0.0.1 with that.
fn loopback_up() -> io::Result<()> {
    const MESSAGE: usize = 32;
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const NLMSG_ERROR: u16 = 2;
    // The first interface of a namespace is its loopback.
    const LOOPBACK: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(MESSAGE);
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend_from_slice(&32_u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ACK.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&0_u32.to_ne_bytes());
    // struct ifinfomsg: family and padding, type, index, flags, mask of changes.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    // Its first protocol is rtnetlink.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 1024];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let word = |at: usize| answer[..length].get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
    let kind = answer[..length].get(4..6).and_then(|two| <[u8; 2]>::try_from(two).ok()).map(u16::from_ne_bytes);
    match (kind, word(16).map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("the kernel gave an unknown answer to rtnetlink")),
    }
}

/// A listener on 127.0.0.1 of the network that this process is in: on the first free port of [`RUN_PORTS`], else on any.
///
/// # Errors
/// The system refuses.
pub(super) fn listener() -> io::Result<TcpListener> {
    for port in RUN_PORTS.chain([0]) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(why) if why.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
