//! The host's side of a supervised run.

use super::alarm::now_ms;
use super::layers::LayerState;
use super::messages::{Begun, CommandSpec, Event, ProxyAccess, Setup, ToSupervisor};
use super::wire::{Frame, FrameBuffer, Kind, encode_message, receive_with, send_with};
use super::{Role, program};
use crate::engine::lines::{RawLine, Source};
use std::io::{self, ErrorKind, PipeReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Instrument as _;
use zeroize::Zeroizing;

/// How long a supervisor may take to begin: some milliseconds, on a busy machine some seconds.
const BEGIN_LONGEST: Duration = Duration::from_secs(30);
/// How long it may take to end when nothing of the run goes on.
const END_LONGEST: Duration = Duration::from_secs(30);

/// Bytes of the errors of a run's processes that are traced: a line or two before one of them ends.
const ERRORS_LIMIT: u64 = 64 * 1024;

/// What a supervisor tells.
#[derive(Debug)]
pub(in crate::engine) enum RunEvent {
    /// A line of the command.
    Line(RawLine),
    /// Its whole standard output.
    Output(Zeroizing<Vec<u8>>),
    /// What happened.
    Event(Event),
}

/// A run with its supervisor. When it is dropped, the supervisor ends the run in order, as when the host is gone.
pub(in crate::engine) struct Supervised {
    process: Child,
    pid: u32,
    frames: FrameBuffer,
    from: OwnedReadHalf,
    to: UnboundedSender<ToSupervisor>,
    /// Open until supervisor and init are both gone.
    alive: Option<PipeReader>,
    begun: Begun,
    state: Option<TcpListener>,
    /// What the run needs until nothing of it is left.
    held: Option<Box<dyn Send + Sync>>,
}

impl Supervised {
    /// Starts the supervisor of a run and waits until its layers are up.
    ///
    /// # Errors
    /// It cannot be started, or a layer does not hold.
    pub(in crate::engine) async fn start(program_file: &Path, setup: Setup) -> io::Result<Self> {
        let (socket, far) = UnixStream::pair()?;
        let (alive, alive_end) = io::pipe()?;
        let mut command = Command::from(program(program_file, Role::Supervisor));
        command.current_dir("/").stdin(OwnedFd::from(far)).stdout(alive_end).stderr(Stdio::piped());
        command.process_group(0);
        let mut process = spawn(command).await?;
        let pid = process.id().ok_or_else(|| io::Error::other("the supervisor has no id"))?;
        if let Some(errors) = process.stderr.take() {
            // What supervisor and init cannot tell otherwise, until both are gone.
            let trace = move |line: &str| {
                tracing::error!(process.pid = pid, line, "a process of a run reports an error");
            };
            tokio::spawn(read_errors(errors, trace).in_current_span());
        }
        let begun = spawn_blocking(move || begin(socket, setup)).await;
        let begun = begun.map_err(|_| io::Error::other("the start of a supervisor broke")).flatten();
        if begun.is_err() {
            // Nothing of the run goes on yet.
            let _ = process.kill().await;
        }
        let (socket, begun, state) = begun?;
        socket.set_nonblocking(true)?;
        let (from, mut to_supervisor) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let (to, mut messages) = mpsc::unbounded_channel::<ToSupervisor>();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let Ok(bytes) = encode_message(&message).map(Zeroizing::new) else { break };
                // One that is gone says so on the other half.
                if to_supervisor.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        });
        let (frames, alive, state) = (FrameBuffer::default(), Some(alive), Some(state));
        Ok(Self { process, pid, frames, from, to, alive, begun, state, held: None })
    }

    /// The supervisor's process, which lives as long as anything of the run.
    pub(in crate::engine) fn pid(&self) -> u32 {
        self.pid
    }

    /// Which layers are up, and in a trial which are not.
    pub(in crate::engine) fn layers(&self) -> &[LayerState] {
        &self.begun.layers
    }

    /// Where the state backend of this run listens, once: on 127.0.0.1 of the run's own network where it has one, else of the host's.
    pub(in crate::engine) fn take_state_listener(&mut self) -> Option<TcpListener> {
        self.state.take()
    }

    /// Its proxy, where it has one.
    pub(in crate::engine) fn proxy(&self) -> Option<&ProxyAccess> {
        self.begun.proxy.as_ref()
    }

    /// Keeps something until nothing of the run is left, also where this is dropped before.
    pub(in crate::engine) fn hold(&mut self, held: impl Send + Sync + 'static) {
        self.held = Some(Box::new(held));
    }

    /// Says that what the run made is in the kept state.
    pub(in crate::engine) fn kept(&self) {
        self.tell(ToSupervisor::Kept);
    }

    /// Starts a command. What becomes of it is told by [`Self::next`].
    pub(in crate::engine) fn command(&self, command: CommandSpec) {
        self.tell(ToSupervisor::Command(Box::new(command)));
    }

    /// Interrupts the command that goes on.
    pub(in crate::engine) fn stop(&self) {
        self.tell(ToSupervisor::Stop);
    }

    /// Kills the run with all that it started.
    pub(in crate::engine) fn kill(&mut self) {
        // One that has ended is as good.
        let _ = self.process.start_kill();
    }

    /// What the supervisor tells next; `None` when it is gone. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// What it tells makes no sense.
    pub(in crate::engine) async fn next(&mut self) -> io::Result<Option<RunEvent>> {
        let frame = match self.frames.next(&mut self.from).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(why) if matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return Ok(None),
            Err(why) => return Err(why),
        };
        Self::event(frame).map(Some)
    }

    /// Waits until nothing of the run is left. How the supervisor ended.
    ///
    /// # Errors
    /// It does not end, or the system refuses.
    pub(in crate::engine) async fn gone(&mut self) -> io::Result<ExitStatus> {
        let status = match timeout(END_LONGEST, self.process.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                self.kill();
                self.process.wait().await?
            }
        };
        if let Some(alive) = &self.alive {
            let mut watched = alive.try_clone()?;
            // Ends when init has ended, and with it all that the run started.
            let ended = spawn_blocking(move || io::copy(&mut watched, &mut io::sink()));
            timeout(END_LONGEST, ended).await.map_err(|_| io::Error::other("processes of the run live on"))???;
            // Before, what the run needs is held also where nobody waits any more.
            self.alive = None;
        }
        Ok(status)
    }

    /// Lets the supervisor go, and waits until nothing of the run is left.
    ///
    /// # Errors
    /// As [`Self::gone`].
    pub(in crate::engine) async fn end(mut self) -> io::Result<()> {
        // It ends where nobody tells it any more.
        self.to = mpsc::unbounded_channel().0;
        self.gone().await.map(|_| ())
    }

    fn tell(&self, message: ToSupervisor) {
        // One that is gone says so by `next`.
        let _ = self.to.send(message);
    }

    fn event(frame: Frame) -> io::Result<RunEvent> {
        let source = match frame.kind {
            Kind::Message => return Ok(RunEvent::Event(frame.message()?)),
            Kind::WholeOutput => return Ok(RunEvent::Output(Zeroizing::new(frame.payload))),
            Kind::OutputLine => Source::Output,
            Kind::ErrorLine => Source::Errors,
        };
        Ok(RunEvent::Line(RawLine { source, bytes: frame.payload }))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Supervisor and init are gone when nobody has the other end any more. A thread, for there may be no runtime by then.
        let (alive, held) = (self.alive.take(), self.held.take());
        if let Some(mut alive) = alive {
            let wait = move || {
                // A pipe whose end cannot be seen is as good as one that has ended.
                let _ = io::copy(&mut alive, &mut io::sink());
                drop(held);
            };
            if let Err(error) = std::thread::Builder::new().name("run-end".to_owned()).spawn(wait) {
                tracing::error!(%error, "the end of a run is not waited for");
            }
        }
    }
}

/// The time on the supervisor's clock at which so much time has passed, in milliseconds.
pub(in crate::engine) fn deadline_ms(from_now: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(from_now.as_millis()).unwrap_or(u64::MAX))
}

/// Hands on each line, up to [`ERRORS_LIMIT`] in all.
async fn read_errors(errors: impl AsyncRead + Unpin, mut report: impl FnMut(&str)) {
    let mut lines = BufReader::new(errors.take(ERRORS_LIMIT)).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        report(&String::from_utf8_lossy(&line));
    }
}

/// On a thread of its own: a disk that does not give the program out holds that thread alone.
async fn spawn(mut command: Command) -> io::Result<Child> {
    let (runtime, (sender, started)) = (Handle::current(), oneshot::channel());
    let start = move || {
        let _runtime = runtime.enter();
        // When nobody waits any more, its socket is closed, upon which it ends.
        let _ = sender.send(command.spawn());
    };
    std::thread::Builder::new().name("tofu-start".to_owned()).spawn(start)?;
    started.await.map_err(|_| io::Error::other("the thread that starts a supervisor broke"))?
}

fn begin(socket: UnixStream, setup: Setup) -> io::Result<(UnixStream, Begun, TcpListener)> {
    socket.set_read_timeout(Some(BEGIN_LONGEST))?;
    send_with(&socket, &ToSupervisor::Setup(Box::new(setup)), &[])?;
    let (event, beside) = receive_with(&socket)?;
    let begun = match event {
        Event::Ready(begun) => begun,
        Event::Refused(why) => return Err(io::Error::other(why)),
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    let [state] = <[OwnedFd; 1]>::try_from(beside).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
    Ok((socket, begun, TcpListener::from(state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_of_the_processes_of_a_run_are_taken_by_lines_and_not_without_an_end() {
        let read = async |errors: &[u8]| {
            let mut lines = Vec::new();
            read_errors(errors, |line| lines.push(line.to_owned())).await;
            lines
        };
        assert_eq!(read(b"one\ntwo\xff").await, ["one", "two\u{fffd}"]);
        let endless = vec![b'x'; 1024 * 1024];
        let taken: usize = read(&endless).await.iter().map(String::len).sum();
        assert_eq!(taken as u64, ERRORS_LIMIT);
    }
}
