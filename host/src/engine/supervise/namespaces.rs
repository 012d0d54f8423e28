//! The namespaces of a run, entered by its supervisor: a freshly started process with one thread, so that nothing has to be done
//! between fork and exec, and nothing of the host's is touched.

use super::layers::{Layer, LayerState};
use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use rustix::process::{getegid, geteuid};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Enters what is asked for, in the order that rights need: a user namespace gives the right to the others.
pub(super) fn enter(wanted: &[Layer]) -> Vec<LayerState> {
    let each = Layer::ALL.into_iter().filter(|layer| wanted.contains(layer));
    each.filter_map(|layer| {
        let tried = match layer {
            Layer::UserNamespace => user(),
            Layer::NetworkNamespace => network(),
            // Processes: from the next child on, the run's init. With them what processes share by number.
            Layer::PidNamespace => {
                unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC).map_err(io::Error::from)
            }
            Layer::MountNamespace => unshare(CloneFlags::CLONE_NEWNS).map_err(io::Error::from),
            _ => return None,
        };
        Some(LayerState::of(layer, tried))
    })
    .collect()
}

/// The user of this process is root within: it may make the other namespaces, and is nobody else outside.
fn user() -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

fn network() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
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

/// Listeners on free ports of 127.0.0.1, of the network that this process is in.
///
/// # Errors
/// The system refuses.
pub(super) fn listeners<const N: usize>() -> io::Result<[TcpListener; N]> {
    let each: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    each.try_into().map_err(|_| io::Error::other("not all listeners were made"))
}
