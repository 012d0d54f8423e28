//! How a supervisor begins: it enters its namespaces and starts the run's init, which puts up the other layers.

use super::control_group::{self, ControlGroup};
use super::layers::{Layer, LayerState, every_state};
use super::messages::{FromInit, Setup, ToInit};
use super::wire::{receive_with, send_with};
use super::{Role, THIS_PROGRAM, namespaces, program};
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Room in a pipe of OpenTofu.
const PIPE_SIZE: usize = 1024 * 1024;
/// How long the run's init may take to end all and itself.
pub(super) const INIT_LONGEST: Duration = Duration::from_secs(15);

/// The run's init.
pub(super) struct Init {
    pub(super) process: Child,
    pub(super) socket: UnixStream,
}

impl Init {
    /// Lets it end, or makes it.
    pub(super) fn end(mut self) {
        drop(self.socket);
        let until = Instant::now() + INIT_LONGEST;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What a run has before its first command.
pub(super) struct Started {
    pub(super) init: Init,
    /// Reading ends of the pipes of OpenTofu.
    pub(super) pipes: [OwnedFd; 2],
    pub(super) layers: Vec<LayerState>,
    /// Listener of the state backend, in the network of the run.
    pub(super) state: TcpListener,
    /// Listener of the proxy, there as well.
    pub(super) proxy: TcpListener,
    /// The control group of its commands, where it has one.
    pub(super) group: Option<(control_group::Folder, ControlGroup)>,
}

/// Makes the namespaces and starts init.
///
/// # Errors
/// A layer does not hold, or the system refuses.
pub(super) fn start(setup: &Setup) -> io::Result<Started> {
    let mut layers = namespaces::user_of_supervisor(&setup.layers);
    refuse_missing(setup, &layers)?;
    // A restarted host finds the run by it.
    std::env::set_current_dir(&setup.folder)?;
    let (mut init, more) = start_init(setup)?;
    let has_namespace = more.as_ref().is_some_and(|state| state.missing.is_none());
    let group = (!has_namespace).then(control_group::make);
    layers.extend(more.map(|state| LayerState { missing: with_group(state.missing, group.as_ref()), ..state }));
    let group = group.and_then(Result::ok);
    let (output, output_end) = pipe()?;
    let (errors, errors_end) = pipe()?;
    let alive = std::io::stdout();
    let of_init = ToInit::Setup(Box::new(Setup { proxy: None, ..setup.clone() }));
    let begun = refuse_missing(setup, &layers)
        .and_then(|()| {
            let mut beside = vec![output_end.as_fd(), errors_end.as_fd(), alive.as_fd()];
            beside.extend(group.iter().flat_map(|(_, group)| group.files()));
            send_with(&init.socket, &of_init, &beside)
        })
        .and_then(|()| receive_with::<FromInit>(&init.socket))
        .and_then(|(answer, beside)| match answer {
            FromInit::Ready(more) => {
                layers.extend(more);
                every_state(&setup.layers, &layers)?;
                let listeners =
                    <[OwnedFd; 2]>::try_from(beside).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
                Ok(listeners.map(TcpListener::from))
            }
            FromInit::Refused(why) => Err(io::Error::other(why)),
            _ => Err(ErrorKind::InvalidData.into()),
        });
    match begun {
        Ok([state, proxy]) => Ok(Started { init, pipes: [output, errors], layers, state, proxy, group }),
        Err(why) => {
            let _ = init.process.kill();
            let _ = init.process.wait();
            Err(io::Error::new(why.kind(), format!("the init of the run did not begin: {why}")))
        }
    }
}

/// Why there is no process namespace, and what ends the processes of a run in its place.
fn with_group<T>(missing: Option<String>, group: Option<&io::Result<T>>) -> Option<String> {
    missing.map(|why| match group {
        Some(Ok(_)) => format!("{why}; the processes of a run are ended by a control group"),
        Some(Err(no_group)) => format!("{why}; nor is there a control group: {no_group}"),
        None => why,
    })
}

fn refuse_missing(setup: &Setup, layers: &[LayerState]) -> io::Result<()> {
    match layers.iter().find(|state| state.missing.is_some() && !setup.trial) {
        Some(LayerState { layer, missing: Some(why) }) => Err(io::Error::other(format!("{}: {why}", layer.as_str()))),
        _ => Ok(()),
    }
}

/// Starts init as the first of a process namespace, where that is asked for. On a thread that lives as long as this process: the kernel
/// ends init with the thread that started it, and a thread that made a process namespace can start no other thread.
fn start_init(setup: &Setup) -> io::Result<(Init, Option<LayerState>)> {
    let (socket, far) = UnixStream::pair()?;
    let mut command = program(Path::new(THIS_PROGRAM), Role::Init);
    // What goes wrong in it is traced by the host, as what goes wrong here.
    command.current_dir("/").stdin(OwnedFd::from(far)).stdout(Stdio::null()).stderr(Stdio::inherit());
    let wanted = setup.layers.contains(&Layer::PidNamespace);
    let (started, starting) = channel();
    let start = move || {
        let made = wanted.then(|| LayerState::of(Layer::PidNamespace, namespaces::processes()));
        // Nobody waits any more where the process ends.
        let _ = started.send((command.spawn(), made));
        drop(command);
        loop {
            std::thread::park();
        }
    };
    std::thread::Builder::new().name("init".to_owned()).spawn(start)?;
    let (process, made) = starting.recv().map_err(|_| io::Error::other("the thread that starts init broke"))?;
    Ok((Init { process: process?, socket }, made))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    // A user near its limit of pipe memory gives less room.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader.into(), writer.into()))
}
