//! The supervisor of a run: holds OpenTofu's output, ends it at the run's deadline or when the host is gone, and ends all that
//! the run started. It goes on when the host is stopped.

use super::alarm::{now_ms, until};
use super::layers::{Layer, LayerState};
use super::outbox::Outbox;
use super::output::{Output, Whole};
use super::stopping::{Due, Stopping};
use super::wire::{
    Event, Exit, Frame, FrameBuffer, FromInit, Interruption, Kind, Setup, ToInit, ToSupervisor, encode_message,
    receive_with, send_with, standard_input,
};
use super::{Role, THIS_PROGRAM, limits, namespaces, program, sweep};
use rustix::process::{getpid, set_child_subreaper};
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Room in a pipe of OpenTofu.
const PIPE_SIZE: usize = 1024 * 1024;
/// How long the run's init may take to end all and itself.
const INIT_LONGEST: Duration = Duration::from_secs(15);
/// How long a command may take to begin, in milliseconds.
const START_LONGEST_MS: u64 = 60_000;
/// The status of a command whose end nobody saw: killed.
const KILLED: i32 = 9;

/// Runs until the host lets go and nothing of the run is left.
///
/// # Errors
/// It was not started by a host, or the system refuses.
pub(super) fn run() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    limits::no_core()?;
    let host = standard_input()?;
    let (ToSupervisor::Setup(setup), _) = receive_with(&host)? else { return Err(ErrorKind::InvalidData.into()) };
    let started = start(&setup);
    let (init, pipes, layers, listeners) = match started {
        Ok(started) => started,
        Err(why) => return send_with(&host, &Event::Refused(why.to_string()), &[]),
    };
    let beside: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    send_with(&host, &Event::Ready(layers), &beside)?;
    // The host alone answers there: when it is gone, OpenTofu learns that at once.
    drop(listeners);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { Supervisor::new(&setup, init, pipes)?.serve(host).await });
    sweep::kill_all();
    ended
}

/// The run's init.
struct Init {
    process: Child,
    socket: UnixStream,
}

impl Init {
    /// Lets it end, or makes it.
    fn end(mut self) {
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

type Started = (Init, [OwnedFd; 2], Vec<LayerState>, Vec<TcpListener>);

fn start(setup: &Setup) -> io::Result<Started> {
    let mut layers = namespaces::enter(&setup.layers);
    if !setup.trial
        && let Some(LayerState { layer, missing: Some(why) }) = layers.iter().find(|state| state.missing.is_some())
    {
        return Err(io::Error::other(format!("{}: {why}", layer.as_str())));
    }
    let alone = layers.iter().any(|state| state.layer == Layer::NetworkNamespace && state.missing.is_none());
    let listeners = if alone { namespaces::listeners::<2>()?.into() } else { Vec::new() };
    let (init, pipes, more) = start_init(setup)?;
    layers.extend(more);
    // Of the tree that init has made: a restarted host finds the run by it.
    std::env::set_current_dir(&setup.folder)?;
    Ok((init, pipes, layers, listeners))
}

fn start_init(setup: &Setup) -> io::Result<(Init, [OwnedFd; 2], Vec<LayerState>)> {
    let (socket, far) = UnixStream::pair()?;
    let mut command = program(Path::new(THIS_PROGRAM), Role::Init);
    command.current_dir("/").stdin(OwnedFd::from(far)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn()?;
    drop(command);
    let (output, output_end) = pipe()?;
    let (errors, errors_end) = pipe()?;
    let alive = std::io::stdout();
    let asked = send_with(
        &socket,
        &ToInit::Setup(Box::new(setup.clone())),
        &[output_end.as_fd(), errors_end.as_fd(), alive.as_fd()],
    );
    let answer = asked.and_then(|()| receive_with::<FromInit>(&socket));
    let layers = match answer {
        Ok((FromInit::Ready(layers), _)) => layers,
        other => {
            let _ = process.kill();
            let _ = process.wait();
            return Err(match other {
                Ok((FromInit::Refused(why), _)) => io::Error::other(why),
                Ok(_) => ErrorKind::InvalidData.into(),
                Err(why) => io::Error::new(why.kind(), format!("the init of the run did not begin: {why}")),
            });
        }
    };
    Ok((Init { process, socket }, [output, errors], layers))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    // A user near its limit of pipe memory gives less room.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader.into(), writer.into()))
}

struct Supervisor {
    init: Init,
    outputs: [Output; 2],
    outbox: Outbox,
    stopping: Stopping,
    whole: Option<Whole>,
    /// A command is about to begin, until then at most: nothing that it writes is told before that it did.
    starting: Option<u64>,
    /// Who wanted the command to end before it began.
    wanted: Option<Interruption>,
    host_gone: bool,
    init_gone: bool,
    folder: PathBuf,
}

impl Supervisor {
    fn new(setup: &Setup, init: Init, [output, errors]: [OwnedFd; 2]) -> io::Result<Self> {
        let outputs = [Output::new(output, Kind::OutputLine)?, Output::new(errors, Kind::ErrorLine)?];
        let stopping = Stopping::new(setup.deadline_ms, setup.grace_ms);
        let outbox = Outbox::default();
        let folder = setup.folder.clone();
        let (host_gone, init_gone) = (false, false);
        let (whole, starting, wanted) = (None, None, None);
        Ok(Self { init, outputs, outbox, stopping, whole, starting, wanted, host_gone, init_gone, folder })
    }

    async fn serve(mut self, host: UnixStream) -> io::Result<()> {
        host.set_nonblocking(true)?;
        let (mut from_host, to_host) = tokio::net::UnixStream::from_std(host)?.into_split();
        let init = self.init.socket.try_clone()?;
        init.set_nonblocking(true)?;
        let mut from_init = tokio::net::UnixStream::from_std(init)?;
        let (mut host_frames, mut init_frames) = (FrameBuffer::default(), FrameBuffer::default());
        let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        while !self.host_gone || self.starting.is_some() || self.stopping.is_going() {
            let due = self.starting.or(self.stopping.next());
            let has_news = !self.host_gone && !self.outbox.next().is_empty();
            let [output, errors] = &self.outputs;
            tokio::select! {
                frame = host_frames.next(&mut from_host), if !self.host_gone => match frame {
                    Ok(Some(frame)) => self.from_host(&frame)?,
                    Ok(None) | Err(_) => self.lose_host(),
                },
                frame = init_frames.next(&mut from_init), if !self.init_gone => match frame {
                    Ok(Some(frame)) => self.from_init(&frame)?,
                    Ok(None) | Err(_) => self.lose_init()?,
                },
                ready = output.pipe.readable(), if self.starting.is_none() && !self.init_gone => { ready?; self.read(0)?; }
                ready = errors.pipe.readable(), if self.starting.is_none() && !self.init_gone => { ready?; self.read(1)?; }
                () = until(due) => self.ring()?,
                _ = interrupt.recv() => self.lose_host(),
                _ = end.recv() => self.lose_host(),
                ready = to_host.writable(), if has_news => {
                    let sent = ready.and_then(|()| to_host.try_write(self.outbox.next()));
                    match sent {
                        Ok(bytes) => self.outbox.advance(bytes),
                        Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => self.lose_host(),
                    }
                }
            }
        }
        drop(from_init);
        self.init.end();
        super::spool::write(&self.folder, self.outbox.undelivered())
    }

    fn from_host(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.message()? {
            ToSupervisor::Command(command) => {
                self.whole = command.whole_output.then(Whole::default);
                if self.init_gone {
                    return self.outbox.event(&Event::NotStarted("the init of the run is gone".to_owned()));
                }
                (self.starting, self.wanted) = (Some(now_ms() + START_LONGEST_MS), None);
                self.tell_init(&ToInit::Command(command))
            }
            ToSupervisor::Stop => self.ask(Interruption::Stopped),
            ToSupervisor::Taken(lines) => {
                self.outbox.taken(lines);
                Ok(())
            }
            ToSupervisor::Setup(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn from_init(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.message()? {
            FromInit::Started => {
                self.starting = None;
                self.stopping.started();
                self.outbox.event(&Event::Started)?;
                self.wanted.take().map_or(Ok(()), |why| self.ask(why))
            }
            FromInit::NotStarted(why) => {
                self.starting = None;
                self.outbox.event(&Event::NotStarted(why))
            }
            FromInit::Ended(wait_status) => self.ended(wait_status),
            FromInit::Ready(_) | FromInit::Refused(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Tells the end of a command, after all that it wrote.
    fn ended(&mut self, wait_status: i32) -> io::Result<()> {
        for index in 0..self.outputs.len() {
            while self.read(index)? {}
            self.outputs[index].finish(&mut self.outbox)?;
        }
        let whole = self.whole.take();
        let output_too_long = whole.as_ref().is_some_and(|whole| whole.too_long);
        if let Some(whole) = whole.filter(|whole| !whole.too_long) {
            self.outbox.whole(&whole.bytes);
        }
        self.stopping.ended();
        self.outbox.event(&Event::Ended(Exit { wait_status, output_too_long }))
    }

    fn read(&mut self, index: usize) -> io::Result<bool> {
        self.outputs[index].read(&mut self.whole, &mut self.outbox)
    }

    fn lose_host(&mut self) {
        self.host_gone = true;
        // An init that cannot be told is gone, which its socket says as well.
        let _ = self.ask(Interruption::HostGone);
    }

    fn lose_init(&mut self) -> io::Result<()> {
        self.init_gone = true;
        sweep::kill_all();
        if self.starting.take().is_some() {
            return self.outbox.event(&Event::NotStarted("the init of the run is gone".to_owned()));
        }
        if self.stopping.is_going() { self.ended(KILLED) } else { Ok(()) }
    }

    fn ask(&mut self, why: Interruption) -> io::Result<()> {
        if self.starting.is_some() {
            self.wanted.get_or_insert(why);
            return Ok(());
        }
        match self.stopping.ask(why, now_ms()) {
            Some(due) => self.act(due),
            None => Ok(()),
        }
    }

    fn ring(&mut self) -> io::Result<()> {
        if self.starting.is_some() {
            // A disk that does not give the program out, for one; told when init is gone.
            self.starting = Some(u64::MAX);
            return self.init.process.kill();
        }
        match self.stopping.due(now_ms()) {
            Some(due) => self.act(due),
            None => Ok(()),
        }
    }

    fn act(&mut self, due: Due) -> io::Result<()> {
        match due {
            Due::Interrupt(why) => {
                self.outbox.event(&Event::Interrupted(why))?;
                self.tell_init(&ToInit::Interrupt)
            }
            Due::InterruptAgain => {
                self.outbox.event(&Event::InterruptedAgain)?;
                self.tell_init(&ToInit::Interrupt)
            }
            Due::Kill => {
                self.outbox.event(&Event::Killed)?;
                self.tell_init(&ToInit::Kill)
            }
            // Everything in its namespace goes with it; its end is told by its socket.
            Due::Abandon => self.init.process.kill(),
        }
    }

    /// Messages are small, and init reads at once; one that does not is as good as gone.
    fn tell_init(&mut self, message: &ToInit) -> io::Result<()> {
        let bytes = encode_message(message)?;
        let mut socket = &self.init.socket;
        let mut sent = 0;
        let until = Instant::now() + INIT_LONGEST;
        while sent < bytes.len() && Instant::now() < until {
            match io::Write::write(&mut socket, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(why) if why.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                // Its end is told by its socket.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}
