//! The supervisor of a run: holds OpenTofu's output, ends it at the run's deadline or when the host is gone, and ends all that
//! the run started. It goes on when the host is stopped.

use super::alarm::{now_ms, until};
use super::control_group::{self, ControlGroup};
use super::messages::{Begun, Event, Exit, FromInit, Interruption, ProcessEnd, Setup, ToInit, ToSupervisor};
use super::outbox::Outbox;
use super::output::{Output, Whole};
use super::served_proxy::{ServedProxy, refusal};
use super::start::{INIT_LONGEST, Init, Started, start};
use super::stopping::{Due, START_LONGEST_MS, Stopping};
use super::wire::{Frame, FrameBuffer, Kind, encode_message, receive_with, send_with, standard_input};
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

/// Why a command does not start whose init is gone.
const INIT_GONE: &str = "the init process of the run is gone";

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
    // With the supervisor its control group is gone already, where there was one.
    sweep::kill_all(None);
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
    let Started { init, pipes, layers, state, proxy, group } = started;
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
    let outputs = outputs(pipes)?;
    let (outbox, whole, host_gone, init_gone, spool) = (Outbox::default(), None, false, false, setup.spool);
    let supervisor =
        Supervisor { init, served_proxy, outputs, outbox, stopping, whole, host_gone, init_gone, spool, group };
    supervisor.serve(host).await
}

fn outputs([output, errors]: [OwnedFd; 2]) -> io::Result<[Output; 2]> {
    Ok([Output::new(output, Kind::OutputLine)?, Output::new(errors, Kind::ErrorLine)?])
}

struct Supervisor {
    init: Init,
    served_proxy: Option<ServedProxy>,
    outputs: [Output; 2],
    outbox: Outbox,
    stopping: Stopping,
    whole: Option<Whole>,
    host_gone: bool,
    init_gone: bool,
    spool: PathBuf,
    /// Of the commands, where there is one.
    group: Option<(control_group::Folder, ControlGroup)>,
}

impl Supervisor {
    async fn serve(mut self, host: UnixStream) -> io::Result<()> {
        host.set_nonblocking(true)?;
        let (mut from_host, to_host) = tokio::net::UnixStream::from_std(host)?.into_split();
        let init = self.init.socket.try_clone()?;
        init.set_nonblocking(true)?;
        let mut from_init = tokio::net::UnixStream::from_std(init)?;
        let (mut host_frames, mut init_frames) = (FrameBuffer::default(), FrameBuffer::default());
        let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hangup = signal(SignalKind::hangup())?;
        while !self.host_gone || self.stopping.is_going() {
            let due = self.stopping.next();
            let has_news = !self.host_gone && !self.outbox.next().is_empty();
            // Nothing of a command is told before it has started.
            let has_started = !self.stopping.is_starting();
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
                ready = output.pipe.readable(), if has_started && !self.init_gone => { ready?; self.read(0)?; }
                ready = errors.pipe.readable(), if has_started && !self.init_gone => { ready?; self.read(1)?; }
                refused = refusal(&mut self.served_proxy), if has_started => {
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
                    return self.outbox.event(&Event::NotStarted(INIT_GONE.to_owned()));
                }
                self.stopping.starting(now_ms());
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
            // Too late: it ends with its init, which was killed.
            FromInit::Started if self.stopping.gave_up_start() => Ok(()),
            FromInit::Started => {
                let due = self.stopping.started(now_ms());
                self.outbox.event(&Event::Started)?;
                due.map_or(Ok(()), |due| self.act(due))
            }
            FromInit::NotStarted(why) => self.not_started(why),
            FromInit::LeftoversKilled => self.outbox.event(&Event::LeftoversKilled),
            FromInit::Ended(wait_status) => self.ended(ProcessEnd::WaitStatus(wait_status)),
            FromInit::Ready(_) | FromInit::Refused(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn not_started(&mut self, why: String) -> io::Result<()> {
        self.stopping.ended();
        self.end_proxy()?;
        self.outbox.event(&Event::NotStarted(why))
    }

    /// Tells the end of a command, after all that it wrote.
    fn ended(&mut self, end: ProcessEnd) -> io::Result<()> {
        self.outputs.iter_mut().try_for_each(|output| output.finish(&mut self.whole, &mut self.outbox))?;
        let whole = self.whole.take();
        let output_too_long = whole.as_ref().is_some_and(|whole| whole.too_long);
        if let Some(whole) = whole.filter(|whole| !whole.too_long) {
            self.outbox.whole(&whole.bytes);
        }
        self.stopping.ended();
        let refused = self.end_proxy()?;
        self.outbox.event(&Event::Ended(Exit { end, output_too_long, refused }))
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
        sweep::kill_all(self.group.as_ref().map(|(_, group)| group));
        if self.stopping.gave_up_start() {
            return self.not_started(format!("it did not start within {} s", START_LONGEST_MS / 1_000));
        }
        if self.stopping.is_starting() {
            return self.not_started(INIT_GONE.to_owned());
        }
        if self.stopping.is_going() { self.ended(ProcessEnd::InitGone) } else { Ok(()) }
    }

    fn ask(&mut self, why: Interruption) -> io::Result<()> {
        match self.stopping.ask(why, now_ms()) {
            Some(due) => self.act(due),
            None => Ok(()),
        }
    }

    fn ring(&mut self) -> io::Result<()> {
        match self.stopping.due(now_ms()) {
            Some(due) => self.act(due),
            None => Ok(()),
        }
    }

    fn act(&mut self, due: Due) -> io::Result<()> {
        match due {
            // A disk that does not give the program out, for one. The host hears of it when init is gone.
            Due::GiveUpStart => self.init.process.kill(),
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
                self.outbox.event(&Event::InitKilled)?;
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
