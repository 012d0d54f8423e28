//! The kinds of sockets that a command may make, by a filter for its system calls (seccomp(2)).
//!
//! A network namespace holds what belongs to a network. Some families of sockets do not: vsock(7) leads from a virtual machine to what
//! runs it, out of every namespace, and Landlock knows nothing of it. So only the families that OpenTofu and its providers use can be
//! made, and no io_uring(7), which makes sockets without that system call. A system call by the numbers of another architecture (32-bit
//! ones on a 64-bit kernel) kills its process.
//!
//! A filter holds for a thread and what that thread starts, for good.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;
use std::io;

/// Families that may be used: plugins of OpenTofu talk over `AF_UNIX`, the state backend and the proxy are met over IP, and Go and the C
/// library ask the kernel for interfaces and routes over `AF_NETLINK`.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// System calls whose first argument is a family.
const SOCKETS: [i64; 2] = [libc::SYS_socket, libc::SYS_socketpair];
/// Set in the number of a system call of the x32 ABI, whose architecture is that of 64-bit calls; of no use elsewhere.
const X32: i64 = 0x4000_0000;

/// Whether this kernel takes the filter. Tried on a thread of its own, which ends with it.
///
/// # Errors
/// The kernel, or a filter that this process is under already, refuses it.
pub(super) fn try_filter() -> io::Result<()> {
    let tried = std::thread::Builder::new().name("filter".to_owned()).spawn(restrict)?;
    tried.join().map_err(|_| io::Error::other("the thread that tries the filter broke"))?
}

/// Puts this thread, and whatever it starts, under the filter.
///
/// # Errors
/// The kernel, or a filter that this process is under already, refuses it.
pub(super) fn restrict() -> io::Result<()> {
    apply_filter(&program().map_err(io::Error::other)?).map_err(io::Error::other)
}

fn program() -> Result<BpfProgram, seccompiler::Error> {
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules()?, SeccompAction::Allow, refused, architecture)?.try_into()?)
}

/// The system calls that are refused: those without a rule always, the others where a rule matches.
fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::Error> {
    let mut rules = BTreeMap::new();
    for abi in [0, X32] {
        for call in SOCKETS {
            rules.insert(abi | call, vec![other_family()?]);
        }
        rules.insert(abi | libc::SYS_io_uring_setup, Vec::new());
    }
    Ok(rules)
}

/// Matches where the family is none of [`FAMILIES`]. The kernel takes the lower half of the argument alone.
fn other_family() -> Result<SeccompRule, seccompiler::Error> {
    let differs = |family: i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    };
    let conditions = FAMILIES.into_iter().map(differs).collect::<Result<Vec<_>, _>>()?;
    Ok(SeccompRule::new(conditions)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket, socketpair};

    /// What a thread under the filter, or under none, gets for a socket of this family.
    fn made(filtered: bool, family: AddressFamily, kind: SocketType) -> Result<(), Errno> {
        let make = move || {
            if filtered {
                restrict().unwrap();
            }
            socket(family, kind, None).map(drop)
        };
        std::thread::spawn(make).join().unwrap()
    }

    #[test]
    fn only_the_families_of_a_run_can_be_made() {
        let family = |number: u16| AddressFamily::from_raw(number);
        for (own, kind) in [
            (AddressFamily::UNIX, SocketType::STREAM),
            (AddressFamily::INET, SocketType::STREAM),
            (AddressFamily::INET, SocketType::DGRAM),
            (AddressFamily::INET6, SocketType::DGRAM),
            (AddressFamily::NETLINK, SocketType::RAW),
        ] {
            // A machine without IPv6 has none for anybody.
            assert_eq!(made(true, own, kind), made(false, own, kind), "{own:?}");
        }
        assert_eq!(made(true, AddressFamily::UNIX, SocketType::STREAM), Ok(()));
        // vsock, AF_ALG, AF_PACKET, AF_XDP, TIPC, Bluetooth, one that no kernel has.
        for foreign in [40, 38, 17, 44, 30, 31, 99] {
            // Whatever the kernel itself would say of it.
            assert_eq!(made(true, family(foreign), SocketType::STREAM), Err(Errno::PERM), "{foreign}");
        }
        let pair = |family| {
            std::thread::spawn(move || {
                restrict().unwrap();
                socketpair(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).map(drop)
            })
        };
        assert_eq!(pair(AddressFamily::UNIX).join().unwrap(), Ok(()));
        assert_eq!(pair(family(40)).join().unwrap(), Err(Errno::PERM));
        try_filter().unwrap();
        assert_ne!(made(false, family(99), SocketType::STREAM), Err(Errno::PERM), "a trial restricts nobody else");
    }

    #[test]
    fn every_number_of_a_filtered_call_is_filtered() {
        let calls: Vec<i64> = rules().unwrap().into_keys().collect();
        let own = [libc::SYS_socket, libc::SYS_socketpair, libc::SYS_io_uring_setup];
        let mut expected: Vec<i64> = own.into_iter().chain(own.map(|call| call | X32)).collect();
        expected.sort_unstable();
        assert_eq!(calls, expected);
    }
}
