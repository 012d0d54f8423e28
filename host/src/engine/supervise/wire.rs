//! How the messages between a host, the supervisor of a run and the run's init travel: as frames on Unix stream sockets.
//!
//! A frame is its kind (one byte), the length of its payload (four bytes, little endian) and the payload. Lines of OpenTofu are
//! frames of their own, so that nobody parses them on the way. Descriptors travel beside a first message.

use bytes::{Buf as _, BytesMut};
use rustix::io::{IoSlice, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest payload: what `tofu output` may write, with room for the rest.
const PAYLOAD_LIMIT: usize = 32 * 1024 * 1024;
/// Bytes before a payload.
pub(super) const HEAD: usize = 5;
/// Descriptors beside one message, at most.
const DESCRIPTORS: usize = 3;

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
        // The parser's words may repeat what came, which may be a password.
        serde_json::from_slice(&self.payload).map_err(|_| invalid("a message of another form"))
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
    use super::super::messages::{FromInit, ToSupervisor};
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
