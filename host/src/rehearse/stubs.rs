//! Stand-ins for programs that need a machine or a cloud of their own. Each notes its call and does nothing more;
//! `systemctl` also asks [`super::units`] to start a unit that the user data brought along.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Programs that must not reach this machine. `curl` is not among them: the call home is the point of a rehearsal.
const PROGRAMS: [&str; 37] = [
    "apk",
    "apt",
    "apt-get",
    "apt-key",
    "cilium",
    "crictl",
    "dnf",
    "dpkg",
    "fail2ban-client",
    "flux",
    "helm",
    "hostnamectl",
    "ip6tables",
    "iptables",
    "iptables-restore",
    "journalctl",
    "k3s",
    "kubectl",
    "modprobe",
    "mount",
    "nft",
    "poweroff",
    "reboot",
    "service",
    "shutdown",
    "snap",
    "sshd",
    "swapoff",
    "swapon",
    "sysctl",
    "timedatectl",
    "ufw",
    "umount",
    "update-alternatives",
    "useradd",
    "usermod",
    "zypper",
];

/// Where the stand-ins keep what is theirs, below the root of the node.
#[derive(Debug, Clone)]
pub(super) struct Stubs {
    home: PathBuf,
}

const NOTE: &str = r#"#!/bin/sh
# Stands in for a program that needs a machine of its own: notes the call.
home="${0%/*}/.."
printf '%s\n' "$(printf '%s ' "${0##*/}" "$@" | tr '\n' ' ')" >>"$home/calls.log"
"#;

// A timer is noted while it runs. `enable` without `--now`, `stop` of a service, `daemon-reload` and the rest change nothing.
const SYSTEMCTL: &str = r#"
verb='' now=no wait=yes units='' status=0
for word in "$@"; do
  case "$word" in
    --now) now=yes ;;
    --no-block) wait=no ;;
    -* | */*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else units="$units $word"; fi ;;
  esac
done
case "$verb-$now" in
  start-* | restart-* | enable-yes) ;;
  stop-* | disable-yes)
    for unit in $units; do
      case "$unit" in *.timer) rm -f "$home/units/$unit" ;; esac
    done
    exit 0
    ;;
  *) exit 0 ;;
esac
for unit in $units; do
  case "$unit" in
    *.service) ;;
    *.timer) : >"$home/units/$unit"; continue ;;
    *.*) continue ;;
    *) unit="$unit.service" ;;
  esac
  [ -f "$home/../etc/systemd/system/$unit" ] || continue
  request="$home/units/$unit.$$"
  : >"$request.new"
  mv "$request.new" "$request.start"
  [ "$wait" = yes ] || continue
  until [ -e "$request.exit" ]; do sleep 0.05; done
  read -r status <"$request.exit"
done
exit "$status"
"#;

impl Stubs {
    /// Writes the stand-ins.
    pub(super) fn install(root: &Path) -> io::Result<Self> {
        let stubs = Self { home: root.join(".rehearse") };
        std::fs::create_dir_all(stubs.bin())?;
        std::fs::create_dir_all(stubs.units())?;
        for program in PROGRAMS {
            write_program(&stubs.bin().join(program), NOTE)?;
        }
        write_program(&stubs.bin().join("systemctl"), &format!("{NOTE}{SYSTEMCTL}"))?;
        Ok(stubs)
    }

    /// First folder of the node's PATH.
    pub(super) fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// One line for each call: the program's name and its arguments.
    pub(super) fn calls(&self) -> PathBuf {
        self.home.join("calls.log")
    }

    /// `<unit>.<pid>.start` asks for a start; `<unit>.<pid>.exit` answers with the exit status. A timer that runs is a file.
    pub(super) fn units(&self) -> PathBuf {
        self.home.join("units")
    }
}

fn write_program(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
