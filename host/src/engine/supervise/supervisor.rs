//! The supervisor of a run: holds OpenTofu's output, ends it at the run's deadline or when the host is gone, and ends all that
//! the run started. It goes on when the host is stopped.

use super::alarm::{now_ms, until};
use super::outbox::Outbox;
use super::output::{Output, Whole};
use super::served_proxy::{ServedProxy, refusal};
use super::start::{INIT_LONGEST, Init, Started, start};
use super::stopping::{Due, Stopping};
use super::wire::{
    Begun, Event, Exit, Frame, FrameBuffer, FromInit, Interruption, Kind, Setup, ToInit, ToSupervisor, encode_message,
    receive_with, send_with, standard_input,
};
use super::{limits, sweep};
use crate::egress::RefusalRule;
use crate::engine::stage::remove_folder_at;
use rustix::process::{getpid, set_child_subreaper};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

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
    let temporary = setup.temporary.clone();
    let ended = begin(*setup, host);
    sweep::kill_all();
    // What is left of it is the host's to remove, where that lives.
    let _ = temporary.map(|folder| remove_folder_at(&folder));
    ended
}

fn begin(setup: Setup, host: UnixStream) -> io::Result<()> {
    let started = match start(&setup) {
        Ok(started) => started,
        Err(why) => return send_with(&host, &Event::Refused(why.to_string()), &[]),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(setup, started, host))
}

async fn supervise(setup: Setup, started: Started, host: UnixStream) -> io::Result<()> {
    let Started { init, pipes, layers, state, proxy } = started;
    let (served_proxy, access) = match setup.proxy.map(|of| ServedProxy::serve(&of, proxy)).transpose() {
        Ok(served) => served.unzip(),
        Err(why) => {
            init.end();
            return send_with(&host, &Event::Refused(why.to_string()), &[]);
        }
    };
    send_with(&host, &Event::Ready(Begun { layers, proxy: access }), &[state.as_fd()])?;
    // The host alone answers there: when it is gone, OpenTofu learns that at once.
    drop(state);
    let stopping = Stopping::new(setup.deadline_ms, setup.grace_ms);
    Supervisor::new(setup.spool, stopping, init, pipes, served_proxy)?.serve(host).await
}

struct Supervisor {
    init: Init,
    served_proxy: Option<ServedProxy>,
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
    spool: PathBuf,
}

impl Supervisor {
    fn new(
        spool: PathBuf,
        stopping: Stopping,
        init: Init,
        [output, errors]: [OwnedFd; 2],
        served_proxy: Option<ServedProxy>,
    ) -> io::Result<Self> {
        let outputs = [Output::new(output, Kind::OutputLine)?, Output::new(errors, Kind::ErrorLine)?];
        let outbox = Outbox::default();
        let (host_gone, init_gone) = (false, false);
        let (whole, starting, wanted) = (None, None, None);
        Ok(Self { init, served_proxy, outputs, outbox, stopping, whole, starting, wanted, host_gone, init_gone, spool })
    }

    async fn serve(mut self, host: UnixStream) -> io::Result<()> {
        host.set_nonblocking(true)?;
        let (mut from_host, to_host) = tokio::net::UnixStream::from_std(host)?.into_split();
        let init = self.init.socket.try_clone()?;
        init.set_nonblocking(true)?;
        let mut from_init = tokio::net::UnixStream::from_std(init)?;
        let (mut host_frames, mut init_frames) = (FrameBuffer::default(), FrameBuffer::default());
        let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hangup = signal(SignalKind::hangup())?;
        while !self.host_gone || self.starting.is_some() || self.stopping.is_going() {
            let due = self.starting.or(self.stopping.next());
            let has_news = !self.host_gone && !self.outbox.next().is_empty();
            let [output, errors] = &self.outputs;
            tokio::select! {
                frame = host_frames.next(&mut from_host), if !self.host_gone => match frame {
                    Ok(Some(frame)) => self.handle_host_message(&frame)?,
                    Ok(None) | Err(_) => self.lose_host(),
                },
                frame = init_frames.next(&mut from_init), if !self.init_gone => match frame {
                    Ok(Some(frame)) => self.handle_init_message(&frame)?,
                    Ok(None) | Err(_) => self.lose_init()?,
                },
                ready = output.pipe.readable(), if self.starting.is_none() && !self.init_gone => { ready?; self.read(0)?; }
                ready = errors.pipe.readable(), if self.starting.is_none() && !self.init_gone => { ready?; self.read(1)?; }
                refused = refusal(&mut self.served_proxy), if self.starting.is_none() => {
                    self.outbox.event(&Event::ConnectionRefused(refused))?;
                }
                () = until(due) => self.ring()?,
                // Whoever ends this machine or its service means the run; the host, where it lives, hears of it.
                _ = interrupt.recv() => self.ask(Interruption::Signal)?,
                _ = end.recv() => self.ask(Interruption::Signal)?,
                _ = hangup.recv() => self.ask(Interruption::Signal)?,
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
        super::spool::write(&self.spool, self.outbox.made())
    }

    fn handle_host_message(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.message()? {
            ToSupervisor::Command(command) => {
                self.whole = command.whole_output.then(Whole::default);
                if self.init_gone {
                    return self.outbox.event(&Event::NotStarted("the init of the run is gone".to_owned()));
                }
                (self.starting, self.wanted) = (Some(now_ms() + START_LONGEST_MS), None);
                if let Some(served_proxy) = &self.served_proxy {
                    served_proxy.begin(command.step.clone());
                }
                self.tell_init(&ToInit::Command(command))
            }
            ToSupervisor::Stop => self.ask(Interruption::Stopped),
            ToSupervisor::Kept => {
                self.outbox.forget_made();
                Ok(())
            }
            ToSupervisor::Setup(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn handle_init_message(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.message()? {
            FromInit::Started => {
                self.starting = None;
                self.stopping.started();
                self.outbox.event(&Event::Started)?;
                self.wanted.take().map_or(Ok(()), |why| self.ask(why))
            }
            FromInit::NotStarted(why) => {
                self.starting = None;
                self.end_proxy()?;
                self.outbox.event(&Event::NotStarted(why))
            }
            FromInit::Ended(wait_status) => self.ended(wait_status),
            FromInit::Ready(_) | FromInit::Refused(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Tells the end of a command, after all that it wrote.
    fn ended(&mut self, wait_status: i32) -> io::Result<()> {
        self.outputs.iter_mut().try_for_each(|output| output.finish(&mut self.whole, &mut self.outbox))?;
        let whole = self.whole.take();
        let output_too_long = whole.as_ref().is_some_and(|whole| whole.too_long);
        if let Some(whole) = whole.filter(|whole| !whole.too_long) {
            self.outbox.whole(&whole.bytes);
        }
        self.stopping.ended();
        let refused = self.end_proxy()?;
        self.outbox.event(&Event::Ended(Exit { wait_status, output_too_long, refused }))
    }

    /// Lets nothing through any more. How often each rule refused.
    fn end_proxy(&mut self) -> io::Result<Vec<(RefusalRule, u64)>> {
        let Some(served_proxy) = &mut self.served_proxy else { return Ok(Vec::new()) };
        let (untold, counts) = served_proxy.end();
        untold.into_iter().try_for_each(|refused| self.outbox.event(&Event::ConnectionRefused(refused)))?;
        Ok(counts)
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
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
            self.end_proxy()?;
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
            Due::Abandon => {
                self.end_proxy()?;
                self.init.process.kill()
            }
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
