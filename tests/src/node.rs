//! A server's first boot: its user data is carried out below a root of its own, so that every absolute path is honoured. What
//! needs a machine, a cluster or the internet is played by stand-ins that note how they were called; shell, `sed`, `tar`,
//! `sha256sum` and above all the `curl` that calls home are the real ones.
//!
//! Time is the node's own: `sleep` moves its clock and takes none, so an hour of patience is over at once. The power may be
//! cut at any call ([`Node::cut_power`]), which kills everything that runs.

use catalyst_plugin_sdk::testing::UserData;
use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What k3s writes.
pub const KUBECONFIG: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: aHR0cHM6Ly8xMjcuMC4wLjE6NjQ0Mw==
    server: https://127.0.0.1:6443
  name: default
users:
- name: \"https://127.0.0.1:6443\"
";

/// The unit that carries out a node's steps, and how it is asked for.
const BOOT_UNIT: &str = "catalyst-boot.service";
const START_BOOT: &str = "systemctl start --no-block catalyst-boot.service";

/// What a boot comes to when the power is cut.
pub const POWER_CUT: i32 = -1;

/// Cuts the power where it was asked for: all processes of the node are in one group.
const POWER: &str = r#"[ -e /stub/cuts ] || return 0
while read -r words; do
  case "$call" in *"$words"*) rm /stub/cuts; kill -KILL 0 ;; esac
done </stub/cuts
"#;

/// Notes the call and does nothing.
const NOTE: &str = "#!/bin/sh
call=\"${0##*/} $*\"
printf '%s\\n' \"$call\" >>/stub/calls
. /stub/power
";
const QUIET: [&str; 6] = ["systemctl", "swapoff", "update-alternatives", "helm", "dpkg", "sync"];

/// A mark is made between two moments at which the power may go.
const TOUCH: &str = "/usr/bin/touch \"$@\"\ncall=\"touched $*\"\n. /stub/power\n";
const APT: &str = "[ ! -e /stub/apt ] || . /stub/apt\n";
const FAIL2BAN: &str = "[ ! -e /stub/jail-down ]\n";

/// As the real one: of each keyword the first value counts, in the order of the files' names.
const SSHD: &str = r#"cat /etc/ssh/sshd_config.d/*.conf | awk '{ key = tolower($1) } !(key in seen) { seen[key]; print key, $2 }'
"#;

const IP: &str = r#"#!/bin/sh
case "$*" in
*route*) echo '1.1.1.1 via 172.31.1.1 dev eth0 src 198.18.4.7 uid 0' ;;
*) echo "3: enp7s0    inet $(cat /stub/private-ip)/32 brd 10.0.1.2 scope global dynamic enp7s0" ;;
esac
"#;

const SLEEP: &str =
    "#!/bin/sh\necho $(($(cat /stub/clock) + ${1%.*})) >/stub/clock.new\nmv /stub/clock.new /stub/clock\n";
const DATE: &str = r#"#!/bin/sh
[ "$*" = +%s ] || exec /usr/bin/date "$@"
echo $(($(/usr/bin/date +%s) + $(cat /stub/clock)))
"#;

/// Downloads come from a folder, unless `/stub/net-trouble` knows better; what goes to this machine is the real curl's, with
/// less patience.
const CURL: &str = r#"url='' out='' headers='' before=''
for word in "$@"; do
  case "$before" in --output) out=$word ;; --dump-header) headers=$word ;; esac
  case "$word" in http://* | https://*) url=$word ;; esac
  before=$word
done
case "$url" in
*/cacerts | *:10248/healthz) [ ! -e /stub/nobody-there ] || exit 7; exit 0 ;;
https://*)
  now=$(cat /stub/clock)
  printf '%s %s\n' "$now" "$url" >>/stub/fetched
  [ ! -e /stub/net-trouble ] || . /stub/net-trouble
  file=/stub/net/$(printf %s "$url" | tr / _)
  [ -f "$file" ] || exit 22
  cp "$file" "$out"
  exit 0
  ;;
esac
count=$#
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  if [ "$before" = --max-time ]; then word=2; fi
  set -- "$@" "$word"
  before=$word
  count=$((count - 1))
done
exec /usr/bin/curl "$@"
"#;

const KUBECTL: &str = r#"before=''
for word in "$@"; do
  if [ "$before" = --filename ]; then cp "$word" "/stub/applied/${word##*/}"; fi
  before=$word
done
case "$*" in *readyz*) [ ! -e /stub/never-ready ] ;; esac
"#;

const INSTALL: &str = r#"#!/bin/sh
printf '%s\n' "install $INSTALL_K3S_VERSION download=$INSTALL_K3S_SKIP_DOWNLOAD start=$INSTALL_K3S_SKIP_START: $INSTALL_K3S_EXEC" >>/stub/calls
mkdir -p /etc/rancher/k3s
cp /stub/k3s.yaml /etc/rancher/k3s/k3s.yaml
chmod 0600 /etc/rancher/k3s/k3s.yaml
cp /stub/kubectl /usr/local/bin/kubectl
"#;

/// `/usr` is this machine's but for `/usr/local`, as on a fresh server.
const ENTER: &str = r#"set -eu
root=$1
shift
mount --rbind /usr "$root/usr"
mount --bind "$root/local" "$root/usr/local"
mount --rbind /dev "$root/dev"
mount --bind /etc/alternatives "$root/etc/alternatives"
exec chroot "$root" /usr/bin/env -i LANG=C.UTF-8 \
  PATH=/stub/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
"#;

/// A server before its first boot.
pub struct Node {
    root: tempfile::TempDir,
    /// Commands of every boot.
    bootcmd: Vec<Vec<String>>,
    /// Commands of the first boot, until they are run.
    runcmd: Cell<Vec<Vec<String>>>,
}

impl Node {
    /// Everything that the node finds outside; then cloud-init's early commands, and its files.
    pub fn new(user_data: &str, private_ip: &str) -> Self {
        let parsed = UserData::parse(user_data).unwrap();
        let words = |commands| serde_json::from_value(serde_json::Value::Array(commands)).unwrap();
        let node = Self {
            root: tempfile::tempdir().unwrap(),
            bootcmd: words(parsed.bootcmd),
            runcmd: Cell::new(words(parsed.runcmd)),
        };
        for folder in ["usr", "local/bin", "dev", "etc/alternatives", "tmp", "run", "var/log", "root", "stub/applied"] {
            std::fs::create_dir_all(node.root.path().join(folder)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), node.root.path().join(link)).unwrap();
        }
        node.write("/etc/fstab", "LABEL=root / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n", 0o644);
        node.write("/stub/clock", "0\n", 0o644);
        node.write("/stub/calls", "", 0o644);
        node.write("/stub/power", POWER, 0o644);
        node.write("/stub/private-ip", private_ip, 0o644);
        node.write("/stub/k3s.yaml", KUBECONFIG, 0o600);
        node.write("/stub/kubectl", format!("{NOTE}{KUBECTL}"), 0o755);
        for (name, text) in [("ip", IP), ("sleep", SLEEP), ("date", DATE), ("hostname", "#!/bin/sh\necho node\n")] {
            node.write(&format!("/stub/bin/{name}"), text, 0o755);
        }
        let noting =
            [("sshd", SSHD), ("curl", CURL), ("touch", TOUCH), ("apt-get", APT), ("fail2ban-client", FAIL2BAN)];
        for (name, text) in noting.into_iter().chain(QUIET.map(|name| (name, ""))) {
            node.write(&format!("/stub/bin/{name}"), format!("{NOTE}{text}"), 0o755);
        }
        crate::downloads::publish(&node);
        node.run_all(&node.bootcmd);
        assert!(node.calls().is_empty(), "nothing can be started before its files are there: {}", node.log());
        for file in &parsed.write_files {
            node.write(&file.path, &file.content, u32::from_str_radix(&file.permissions, 8).unwrap());
        }
        node
    }

    /// The file of the node at an absolute path.
    pub fn path(&self, absolute: &str) -> PathBuf {
        let below = absolute.strip_prefix("/usr/").unwrap_or(absolute.trim_start_matches('/'));
        self.root.path().join(below)
    }

    /// Its text; blank when it is not there.
    pub fn read(&self, absolute: &str) -> String {
        std::fs::read_to_string(self.path(absolute)).unwrap_or_default()
    }

    /// Its permissions.
    pub fn mode(&self, absolute: &str) -> u32 {
        std::fs::metadata(self.path(absolute)).unwrap().permissions().mode() & 0o7777
    }

    /// Writes a file.
    pub fn write(&self, absolute: &str, text: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, words: &[String]) -> Output {
        let root = self.root.path().to_str().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", ENTER, "enter", root]).args(words);
        // A group of its own, which ends as a whole when the power is cut.
        let output = command.stdin(Stdio::null()).process_group(0).output().unwrap();
        let mut log = self.read("/var/log/cloud-init-output.log");
        log.push_str(&String::from_utf8_lossy(&output.stdout));
        log.push_str(&String::from_utf8_lossy(&output.stderr));
        self.write("/var/log/cloud-init-output.log", log, 0o640);
        output
    }

    /// Runs a line of shell on the node; its status.
    pub fn shell(&self, line: &str) -> i32 {
        self.run(&["sh", "-c", line].map(str::to_owned)).status.code().unwrap_or(POWER_CUT)
    }

    /// Carries out one step by itself; its status.
    pub fn step(&self, name: &str) -> i32 {
        self.shell(&format!("/usr/local/lib/catalyst/boot.sh {name}"))
    }

    fn run_all(&self, commands: &[Vec<String>]) {
        for words in commands {
            self.run(words);
        }
    }

    fn starts(&self) -> usize {
        self.calls().iter().filter(|call| call.as_str() == START_BOOT).count()
    }

    /// The first time the rest of cloud-init's part, which asks for the boot unit; later what its timer does. The unit's
    /// status: 0 also when there is nothing left to do.
    pub fn boot(&self) -> i32 {
        let first = self.runcmd.take();
        if !first.is_empty() {
            self.run_all(&first);
            assert_eq!(self.starts(), 1, "{}", self.log());
        }
        self.start(BOOT_UNIT).unwrap_or_default()
    }

    /// A boot after a reboot: cloud-init has done everything once, but for what it does at each boot.
    pub fn reboot(&self) -> i32 {
        self.runcmd.take();
        let before = self.starts();
        self.run_all(&self.bootcmd);
        assert_eq!(self.starts(), before + 1, "{}", self.log());
        self.start(BOOT_UNIT).unwrap_or_default()
    }

    /// Starts a oneshot service as systemd would; none when its condition does not hold.
    pub fn start(&self, unit: &str) -> Option<i32> {
        let text = self.read(&format!("/etc/systemd/system/{unit}"));
        let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)).map(str::to_owned);
        assert_eq!(value("Type=").as_deref(), Some("oneshot"), "{unit}: {text}");
        let condition = value("ConditionPathExists=").unwrap();
        let (path, wanted) = condition.strip_prefix('!').map_or((condition.as_str(), true), |path| (path, false));
        let words: Vec<String> = value("ExecStart=").unwrap().split(' ').map(str::to_owned).collect();
        (self.path(path).exists() == wanted).then(|| self.run(&words).status.code().unwrap_or(POWER_CUT))
    }

    /// Cuts the power at the next call that contains words of one of these lines; `touched` and a file's name right after
    /// that is made.
    pub fn cut_power(&self, lines: &[&str]) {
        self.write("/stub/cuts", lines.iter().map(|line| format!("{line}\n")).collect::<String>(), 0o644);
    }

    /// Seconds that the node has slept.
    pub fn clock(&self) -> u64 {
        self.read("/stub/clock").trim().parse().unwrap()
    }

    /// When an address was fetched, in seconds of the node's clock.
    pub fn fetched(&self, url: &str) -> Vec<u64> {
        let all = self.read("/stub/fetched");
        let times = all.lines().filter_map(|line| line.split_once(' ').filter(|(_, fetched)| *fetched == url));
        times.map(|(time, _)| time.parse().unwrap()).collect()
    }

    /// Calls of the stand-ins and of curl, with all their arguments: what `ps` would have shown.
    pub fn calls(&self) -> Vec<String> {
        self.read("/stub/calls").lines().map(str::to_owned).collect()
    }

    /// The first call that contains all of these words.
    #[track_caller]
    pub fn call(&self, words: &[&str]) -> usize {
        let calls = self.calls();
        let found = calls.iter().position(|call| words.iter().all(|word| call.contains(word)));
        found.unwrap_or_else(|| panic!("no call with {words:?} in {calls:#?}\n{}", self.log()))
    }

    /// Files below the root that hold this text, this machine's own parts aside.
    pub fn holding(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        search(self.root.path(), text, &mut found);
        found
    }

    /// What the boot said.
    pub fn log(&self) -> String {
        self.read("/var/log/cloud-init-output.log")
    }
}

fn search(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            search(&path, text, found);
        } else if kind.is_file() && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
}

/// For [`crate::downloads`].
pub(super) fn install_script() -> &'static str {
    INSTALL
}

/// For [`crate::downloads`].
pub(super) fn noting() -> &'static str {
    NOTE
}
