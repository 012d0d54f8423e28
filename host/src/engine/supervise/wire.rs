//! Messages between a host, the supervisor of a run and the run's init: frames on Unix stream sockets.
//!
//! A frame is its kind (one byte), the length of its payload (four bytes, little endian) and the payload. Lines of OpenTofu are
//! frames of their own, so that nobody parses them on the way. Descriptors travel beside a first message.

use super::layers::{Layer, LayerState};
use super::places::Places;
use crate::egress::{self, Refusal, RefusalRule, RunHosts, StepReach};
use bytes::{Buf as _, BytesMut};
use rustix::io::{IoSlice, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest payload: what `tofu output` may write, with room for the rest.
const PAYLOAD_LIMIT: usize = 32 * 1024 * 1024;
/// Bytes before a payload.
pub(super) const HEAD: usize = 5;
/// Descriptors beside one message, at most.
const DESCRIPTORS: usize = 3;

/// What a supervisor is told once, before anything else.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct Setup {
    /// Work folder of the run: the working directory of supervisor and OpenTofu, which a restarted host finds them by.
    pub(in crate::engine) folder: PathBuf,
    /// Layers to put up; each must hold.
    pub(in crate::engine) layers: Vec<Layer>,
    /// Whether a layer that does not hold is named and passed over, as in a trial.
    pub(in crate::engine) trial: bool,
    /// Where the run may read, run and write.
    pub(in crate::engine) places: Places,
    /// Where the supervisor leaves what the run made, unless it is told that this is kept: a file out of the run's reach.
    pub(in crate::engine) spool: PathBuf,
    /// Folders of this run alone, which any of its commands may write.
    pub(in crate::engine) own: Vec<PathBuf>,
    /// One of them, which the supervisor removes when nothing of the run is left: its host may be gone by then.
    pub(in crate::engine) temporary: Option<PathBuf>,
    /// The proxy of the run, where it has one. Init is told nothing of it.
    pub(in crate::engine) proxy: Option<ProxySetup>,
    /// End of the run's time, on `CLOCK_BOOTTIME`, in milliseconds.
    pub(in crate::engine) deadline_ms: u64,
    /// Time to end after a first interrupt, in milliseconds.
    pub(in crate::engine) grace_ms: u64,
}

/// The proxy that a supervisor serves to its run. No `Debug`: the operator's proxy may have a password.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct ProxySetup {
    /// The way out.
    pub(in crate::engine) settings: egress::Settings,
    /// What the run may reach.
    pub(in crate::engine) hosts: RunHosts,
}

/// How a run reaches its proxy.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct ProxyAccess {
    /// Variables that lead clients there; some hold the password.
    pub(in crate::engine) environment: Vec<(OsString, OsString)>,
    /// The password, for whoever keeps it out of texts.
    pub(in crate::engine) password: String,
}

impl fmt::Debug for ProxyAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyAccess").finish_non_exhaustive()
    }
}

/// One command of a run. No `Debug`: its environment holds passwords.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::engine) struct CommandSpec {
    /// The program as it is started.
    pub(in crate::engine) binary: PathBuf,
    /// Its arguments.
    pub(in crate::engine) arguments: Vec<OsString>,
    /// Its complete environment.
    pub(in crate::engine) environment: Vec<(OsString, OsString)>,
    /// Folders that it may write, of those of [`Setup::own`].
    pub(in crate::engine) own: Vec<PathBuf>,
    /// What it may reach by the proxy of the run.
    pub(in crate::engine) step: StepReach,
    /// Whether standard output is wanted whole instead of by lines.
    pub(in crate::engine) whole_output: bool,
}

/// From the host to the supervisor.
#[derive(Serialize, Deserialize)]
pub(super) enum ToSupervisor {
    /// First and once.
    Setup(Box<Setup>),
    /// Start a command; the one before has ended.
    Command(Box<CommandSpec>),
    /// Interrupt the command that goes on.
    Stop,
    /// What the run made is in the state that is kept: nobody has to be told of it.
    Kept,
}

/// From the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Event {
    /// The run may begin; with the listener of its state backend beside it.
    Ready(Begun),
    /// The run cannot begin.
    Refused(String),
    /// The command was started.
    Started,
    /// The command could not be started.
    NotStarted(String),
    /// So many lines were dropped because the host took none.
    Dropped(u64),
    /// The proxy did not make a connection, for the first time to this host in this step.
    ConnectionRefused(Refusal),
    /// The command was interrupted.
    Interrupted(Interruption),
    /// It was interrupted a second time.
    InterruptedAgain,
    /// It and all that it started was killed.
    Killed,
    /// It ended, and so did all that it started.
    Ended(Exit),
}

/// A run that may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Begun {
    /// Which layers are up, and in a trial which are not.
    pub(in crate::engine) layers: Vec<LayerState>,
    /// Its proxy, where it has one.
    pub(in crate::engine) proxy: Option<ProxyAccess>,
}

/// Why a command was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Interruption {
    /// The run's time is over.
    Deadline,
    /// The host asked for it.
    Stopped,
    /// The host is gone.
    HostGone,
    /// The supervisor was asked to end.
    Signal,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Exit {
    /// As in `waitpid(2)`.
    pub(in crate::engine) wait_status: i32,
    /// Whether its standard output, which was wanted whole, was longer than it may be.
    pub(in crate::engine) output_too_long: bool,
    /// How often each rule of the proxy refused a connection of the command.
    pub(in crate::engine) refused: Vec<(RefusalRule, u64)>,
}

/// From the supervisor to the run's init.
#[derive(Serialize, Deserialize)]
pub(super) enum ToInit {
    /// First and once, with the writing ends of both output pipes and of the host's pipe of life.
    Setup(Box<Setup>),
    /// Start a command.
    Command(Box<CommandSpec>),
    /// Interrupt it.
    Interrupt,
    /// Kill it and all that it started.
    Kill,
}

/// From the run's init to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromInit {
    /// Its layers; with the listeners of the state backend and of the proxy beside it.
    Ready(Vec<LayerState>),
    /// Its layers cannot be put up.
    Refused(String),
    /// The command was started.
    Started,
    /// The command could not be started.
    NotStarted(String),
    /// The command ended, with this status of `waitpid(2)`, and nothing that it started lives any more.
    Ended(i32),
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    OutputLine,
    ErrorLine,
    WholeOutput,
}

impl Kind {
    fn from_byte(byte: u8) -> io::Result<Self> {
        [Self::Message, Self::OutputLine, Self::ErrorLine, Self::WholeOutput]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or_else(|| invalid("a frame of an unknown kind"))
    }
}

/// One frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none, or of another form.
    pub(super) fn message<T: DeserializeOwned>(&self) -> io::Result<T> {
        if self.kind != Kind::Message {
            return Err(invalid("a line where a message was expected"));
        }
        serde_json::from_slice(&self.payload).map_err(io::Error::from)
    }
}

/// A frame as it is sent.
pub(super) fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A message as it is sent.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn encode_message(message: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(encode(Kind::Message, &serde_json::to_vec(message)?))
}

/// Takes frames out of a stream. What was read and is no whole frame yet stays here when the future is dropped.
#[derive(Default)]
pub(super) struct FrameBuffer(BytesMut);

impl FrameBuffer {
    /// The next frame; `None` when the stream ends before one.
    ///
    /// # Errors
    /// The stream breaks, or holds something else.
    pub(super) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if stream.read_buf(&mut self.0).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((&[kind, a, b, c, d], rest)) = self.0.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > PAYLOAD_LIMIT {
            return Err(invalid("a frame is too long"));
        }
        if rest.len() < length {
            self.0.reserve(HEAD + length - self.0.len());
            return Ok(None);
        }
        self.0.advance(HEAD);
        let payload = self.0.split_to(length).to_vec();
        Ok(Some(Frame { kind: Kind::from_byte(kind)?, payload }))
    }
}

/// Sends a message with descriptors beside its first byte, and waits until all of it is sent.
///
/// # Errors
/// The other side is gone, or takes nothing.
pub(super) fn send_with(socket: &UnixStream, message: &impl Serialize, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = encode_message(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !beside.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(beside)) {
        return Err(invalid("too many descriptors"));
    }
    let first = || sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
    let sent = retry_on_intr(first)?;
    let mut stream = socket;
    stream.write_all(&bytes[sent..])
}

/// Waits for a first message and the descriptors beside it. Reads no byte of what follows.
///
/// # Errors
/// The other side is gone, or says something else.
pub(super) fn receive_with<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut head = [0; HEAD];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // A stop of this process interrupts a receive that has a limit in time.
    let first = || recvmsg(socket, &mut [IoSliceMut::new(&mut head)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
    let got = retry_on_intr(first)?.bytes;
    let mut beside = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            beside.extend(descriptors);
        }
    }
    if got == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let mut stream = socket;
    stream.read_exact(&mut head[got..])?;
    let [kind, a, b, c, d] = head;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > PAYLOAD_LIMIT {
        return Err(invalid("a frame is too long"));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((Frame { kind: Kind::from_byte(kind)?, payload }.message()?, beside))
}

/// A descriptor of its own of what this process was given as standard input.
///
/// # Errors
/// It was given none.
pub(super) fn standard_input() -> io::Result<UnixStream> {
    Ok(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = encode(Kind::OutputLine, b"one");
        bytes.extend(encode(Kind::ErrorLine, b""));
        bytes.extend(encode_message(&ToSupervisor::Kept).unwrap());
        let (mut near, mut far) = tokio::io::duplex(1);
        let sending = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut near, &bytes).await });
        let mut frames = FrameBuffer::default();
        let mut next = async || frames.next(&mut far).await.unwrap();
        let one = next().await.unwrap();
        assert_eq!((one.kind, one.payload.as_slice()), (Kind::OutputLine, b"one".as_slice()));
        assert_eq!(next().await.unwrap().kind, Kind::ErrorLine);
        assert!(matches!(next().await.unwrap().message().unwrap(), ToSupervisor::Kept));
        sending.await.unwrap().unwrap();
        assert!(next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_no_frame_is_an_error() {
        for bytes in [b"\x09\x00\x00\x00\x00".as_slice(), b"\x00\xff\xff\xff\xff"] {
            assert!(FrameBuffer::default().next(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn descriptors_travel_beside_a_message() {
        let (near, far) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send_with(&near, &FromInit::Started, &[writer.as_fd()]).unwrap();
        drop(writer);
        let (message, mut beside) = receive_with::<FromInit>(&far).unwrap();
        assert!(matches!(message, FromInit::Started));
        std::io::Write::write_all(&mut std::fs::File::from(beside.remove(0)), b"x").unwrap();
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
