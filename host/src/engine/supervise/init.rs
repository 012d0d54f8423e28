//! The init of a run: the first process of its namespace, or a subreaper where there is none. It starts each command behind the
//! layers, collects whatever ends, and ends with everything that the run started when its supervisor does.

use super::control_group::ControlGroup;
use super::layers::{Layer, LayerState};
use super::messages::{CommandSpec, FromInit, Setup, ToInit};
use super::sweep::{self, Left};
use super::wire::{FrameBuffer, encode_message, receive_with, send_with, standard_input};
use super::{is_first_process, landlock, limits, namespaces, sockets, tree};
use rustix::process::{
    Pid, Signal, kill_process, set_child_subreaper, set_parent_process_death_signal, setpriority_process,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// How far OpenTofu and its providers stand behind the host where both want the processor: about a tenth of its share, which
/// answers keep their time by and a plan, which waits for its cloud most of the time, hardly feels.
const CHILD_NICENESS: i32 = 10;
/// How long a process may outlive OpenTofu.
const OUTLIVE: Duration = Duration::from_secs(5);

/// Runs until its supervisor ends.
///
/// # Errors
/// It was not started by a supervisor, or the system refuses.
pub(super) fn run() -> io::Result<()> {
    // The supervisor's end is told by its socket as well; this is for one that is killed while we are stopped. Without a process
    // namespace what the run started would live on.
    if is_first_process() {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    set_child_subreaper(Some(rustix::process::getpid()))?;
    limits::no_core()?;
    let socket = standard_input()?;
    let (ToInit::Setup(setup), mut beside) = receive_with(&socket)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let of_group = (beside.len() > 3).then(|| beside.split_off(3));
    let group = of_group.map(three).transpose()?.map(ControlGroup::of_files);
    let [output, errors, alive] = three(beside)?;
    let layers = put_up(&setup);
    // In the network that the run has now.
    let listeners = [namespaces::listener()?, namespaces::listener()?];
    let failed = layers.iter().find(|state| state.missing.is_some() && !setup.trial);
    let first = match failed {
        Some(state) => {
            FromInit::Refused(format!("{}: {}", state.layer.as_str(), state.missing.clone().unwrap_or_default()))
        }
        None => FromInit::Ready(layers.clone()),
    };
    send_with(&socket, &first, &[listeners[0].as_fd(), listeners[1].as_fd()])?;
    let held = layers.into_iter().filter(|state| state.missing.is_none()).map(|state| state.layer).collect();
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<io::Result<_>>()?;
    // Who answers there holds them alone: when that one is gone, OpenTofu learns it at once.
    drop(listeners);
    let mut init = Init {
        writable: setup.own.iter().cloned().collect(),
        setup: *setup,
        layers: held,
        ports,
        output: output.into(),
        errors: errors.into(),
        _alive: alive,
        group,
        command: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(init.serve(socket));
    sweep::kill_all(init.group.as_ref());
    match ended {
        // The supervisor is gone, which the host learns from that itself.
        Err(why) if matches!(why.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
        ended => ended,
    }
}

fn three(files: Vec<OwnedFd>) -> io::Result<[OwnedFd; 3]> {
    files.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// What is put up by this process. What holds for a command alone is tried, and put up with it.
fn put_up(setup: &Setup) -> Vec<LayerState> {
    let mut states: Vec<LayerState> = Vec::new();
    // Before the tree is another, which may have no `/proc`; once more after it, where this one is read-only.
    let early = setup.layers.contains(&Layer::ProcessLimit).then(limits::processes);
    for layer in Layer::ALL.into_iter().filter(|layer| setup.layers.contains(layer)) {
        let tried = match layer {
            Layer::NetworkNamespace => namespaces::network(),
            Layer::MountNamespace => namespaces::mounts().and_then(|()| tree::make(&setup.places, &setup.own)),
            Layer::ProcessLimit if early.as_ref().is_some_and(Result::is_ok) => Ok(()),
            Layer::ProcessLimit => limits::processes(),
            Layer::ResourceLimits => limits::resources(),
            // Put up for each command: this process keeps none from it.
            Layer::SocketFamilies => sockets::try_filter(),
            // Put up around each command. Here it is asked for alone.
            Layer::Files | Layer::Scopes | Layer::Ports => landlock::has(layer),
            // The supervisor has entered them.
            Layer::UserNamespace | Layer::PidNamespace => continue,
        };
        states.push(LayerState::of(layer, tried));
    }
    let made = |state: &&mut LayerState| state.layer == Layer::MountNamespace && state.missing.is_none();
    if let Some(state) = states.iter_mut().find(made) {
        *state = LayerState::of(Layer::MountNamespace, tree::close(&setup.own));
    }
    states
}

struct Init {
    setup: Setup,
    layers: Vec<Layer>,
    /// Where the run's state backend and proxy listen.
    ports: Vec<u16>,
    /// Own folders of the run that its tree lets it write now.
    writable: BTreeSet<PathBuf>,
    output: File,
    errors: File,
    /// Open as long as this process is: the host waits for its end.
    _alive: OwnedFd,
    /// Of its commands, where there is one.
    group: Option<ControlGroup>,
    command: Option<Going>,
}

/// The command that goes on.
struct Going {
    pid: Pid,
    ended: Option<(i32, Instant)>,
    /// What it started is being killed, because it outlived it.
    leftovers_killed: bool,
}

impl Init {
    async fn serve(&mut self, socket: UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let mut socket = tokio::net::UnixStream::from_std(socket)?;
        let (mut frames, mut children) = (FrameBuffer::default(), signal(SignalKind::child())?);
        // Whoever ends a service with all its processes means the run, which the supervisor ends in order. A signal that is handled,
        // not ignored, is none of what this process starts inherits.
        let _heard = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        loop {
            let over = self.command.as_ref().and_then(|going| going.ended).map(|(_, at)| at + OUTLIVE);
            tokio::select! {
                frame = frames.next(&mut socket) => match frame? {
                    Some(frame) => match frame.message()? {
                        ToInit::Command(command) => {
                            let said = self.start(&command);
                            tell(&socket, &said).await?;
                        }
                        ToInit::Interrupt => self.interrupt(),
                        ToInit::Kill => self.kill(),
                        ToInit::Setup(_) => return Err(io::ErrorKind::InvalidData.into()),
                    },
                    None => return Ok(()),
                },
                _ = children.recv() => {}
                () = sleep_until(over.unwrap_or_else(Instant::now)), if over.is_some() => {
                    if self.kills_leftovers_first() {
                        tell(&socket, &FromInit::LeftoversKilled).await?;
                    }
                    self.kill();
                }
            }
            if let Some(status) = self.collect() {
                tell(&socket, &FromInit::Ended(status)).await?;
            }
        }
    }

    fn start(&mut self, command: &CommandSpec) -> FromInit {
        if self.command.is_some() {
            return FromInit::NotStarted("a command of this run goes on".to_owned());
        }
        match self.open_folders(&command.own).and_then(|()| self.spawn(command)) {
            Ok(pid) => {
                self.command = Some(Going { pid, ended: None, leftovers_killed: false });
                FromInit::Started
            }
            Err(why) => FromInit::NotStarted(why.to_string()),
        }
    }

    /// Lets the command write the folders that it may write, and no other.
    fn open_folders(&mut self, own: &[PathBuf]) -> io::Result<()> {
        if !self.layers.contains(&Layer::MountNamespace) {
            return Ok(());
        }
        for folder in &self.setup.own {
            let (writable, now) = (own.contains(folder), self.writable.contains(folder));
            if writable != now {
                tree::set_writable(folder, writable)?;
                if writable {
                    self.writable.insert(folder.clone())
                } else {
                    self.writable.remove(folder)
                };
            }
        }
        Ok(())
    }

    /// On a thread of its own: what restricts it stays. This process itself stays free, to end what it started.
    fn spawn(&self, spec: &CommandSpec) -> io::Result<Pid> {
        let mut command = Command::new(&spec.binary);
        command
            .args(&spec.arguments)
            .current_dir(&self.setup.folder)
            .env_clear()
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(self.output.try_clone()?)
            .stderr(self.errors.try_clone()?)
            .process_group(0);
        let mut in_thread = || {
            std::thread::scope(|scope| {
                let start = || {
                    // Where the system refuses, the run goes on as before.
                    let _ = setpriority_process(None, CHILD_NICENESS);
                    if !self.layers.is_empty() {
                        limits::drop_rights()?;
                    }
                    landlock::restrict(&self.layers, &self.setup.places, &spec.own, &self.ports)?;
                    if self.layers.contains(&Layer::SocketFamilies) {
                        sockets::restrict()?;
                    }
                    command.spawn()
                };
                scope.spawn(start).join().map_err(|_| io::Error::other("the thread that starts OpenTofu broke"))?
            })
        };
        let started = match &self.group {
            Some(group) => group.start_in(in_thread),
            None => in_thread(),
        }?;
        Pid::from_raw(started.id().cast_signed()).ok_or_else(|| io::Error::other("the process has no id"))
    }

    /// The command alone: its providers must live on to finish what was begun.
    fn interrupt(&self) {
        if let Some(going) = self.command.as_ref().filter(|going| going.ended.is_none()) {
            let _ = kill_process(going.pid, Signal::INT);
        }
    }

    /// Whether what the command left is killed for the first time.
    fn kills_leftovers_first(&mut self) -> bool {
        self.command.as_mut().is_some_and(|going| !std::mem::replace(&mut going.leftovers_killed, true))
    }

    fn kill(&mut self) {
        let Some(going) = &mut self.command else { return };
        // Killed and collected below; where some are left after all, the end of this process is theirs.
        let pid = going.pid;
        if going.ended.is_none() {
            let _ = kill_process(pid, Signal::KILL);
        }
        while going.ended.is_none() {
            sweep::collect(|ended, status| {
                if ended == pid {
                    going.ended = Some((status.as_raw(), Instant::now()));
                }
            });
            std::thread::sleep(Duration::from_millis(1));
        }
        sweep::kill_all(self.group.as_ref());
    }

    /// The status of the command once it ended and nothing of it is left.
    fn collect(&mut self) -> Option<i32> {
        let command = &mut self.command;
        let left = sweep::collect(|ended, status| {
            if let Some(going) = command.as_mut().filter(|going| going.pid == ended) {
                going.ended = Some((status.as_raw(), Instant::now()));
            }
        });
        let (status, _) = command.as_ref().and_then(|going| going.ended)?;
        if left == Left::Some {
            return None;
        }
        *command = None;
        Some(status)
    }
}

async fn tell(socket: &tokio::net::UnixStream, message: &FromInit) -> io::Result<()> {
    let bytes = encode_message(message)?;
    let mut sent = 0;
    while sent < bytes.len() {
        socket.writable().await?;
        match socket.try_write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
