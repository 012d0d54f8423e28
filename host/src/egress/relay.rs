//! Bytes in both directions until one side ends, or nothing moves for too long.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Copies until both sides ended, one broke, or nothing moved for `idle`.
pub(super) async fn relay(client: impl Stream, mut server: impl Stream, idle: Duration) {
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = Counted { inner: client, moved: moved.clone() };
    let mut copying = pin!(copy_bidirectional(&mut client, &mut server));
    loop {
        let before = moved.load(Ordering::Relaxed);
        tokio::select! {
            // How it ended is the business of the two that talked.
            _ = &mut copying => return,
            () = tokio::time::sleep(idle) => {
                if moved.load(Ordering::Relaxed) == before {
                    return;
                }
            }
        }
    }
}

/// Counts reads and writes that moved something.
struct Counted<S> {
    inner: S,
    moved: Arc<AtomicU64>,
}

impl<S: Stream> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: Stream> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn what_moves_stays_and_what_is_silent_ends() {
        let idle = Duration::from_secs(60);
        let (mut near, client) = tokio::io::duplex(64);
        let (server, mut far) = tokio::io::duplex(64);
        let relaying = tokio::spawn(relay(client, server, idle));
        let mut byte = [0];
        for _ in 0..5 {
            tokio::time::sleep(idle * 2 / 3).await;
            near.write_all(b"x").await.unwrap();
            far.read_exact(&mut byte).await.unwrap();
        }
        assert!(!relaying.is_finished(), "it went on moving");
        relaying.await.unwrap();
        assert_eq!(near.read(&mut byte).await.unwrap(), 0, "the other end is closed");
    }

    #[tokio::test]
    async fn one_side_may_end_before_the_other() {
        let (mut near, client) = tokio::io::duplex(64);
        let (server, mut far) = tokio::io::duplex(64);
        let relaying = tokio::spawn(relay(client, server, Duration::from_secs(60)));
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert_eq!((text.as_str(), answer.as_str()), ("question", "answer"));
        relaying.await.unwrap();
    }
}
