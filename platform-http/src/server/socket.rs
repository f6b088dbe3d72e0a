//! The bytes of one connection: notes what comes and goes, and closes without losing the last reply.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::line::Line;
use crate::tls::Stream;

pub(super) struct Socket {
    inner: Stream,
    line: Arc<Line>,
    /// How many bytes of the HTTP/2 preface have come; `PREFACE.len()` when that is decided.
    preface: usize,
    stalled: bool,
    /// Set while the rest of the peer's bytes is thrown away.
    linger: Option<Pin<Box<Sleep>>>,
    discarded: bool,
}

impl Socket {
    pub(super) fn new(inner: Stream, line: Arc<Line>) -> Self {
        Socket { inner, line, preface: 0, stalled: false, linger: None, discarded: false }
    }

    fn recognise(&mut self, came: &[u8]) {
        let expected = &PREFACE[self.preface..];
        let length = came.len().min(expected.len());
        if came[..length] != expected[..length] {
            self.preface = PREFACE.len();
        } else {
            self.preface += length;
            if self.preface == PREFACE.len() {
                self.line.is_http2();
            }
        }
    }

    fn note_write<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() != self.stalled {
            self.stalled = !self.stalled;
            self.line.turn_stall();
        }
        polled
    }

    /// Bytes that nobody will read make the kernel answer our close with a reset, and a reset destroys the reply
    /// that tells the peer why. So they are read and thrown away until the peer has closed too, for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(linger) = &mut self.linger
            && linger.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            let mut rest = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut rest) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => self.discarded = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        // Told to go, and nothing on its way: a peer that was idle need not be waited for.
        if !self.discarded && self.line.must_end() && !self.line.has_unread() {
            return Poll::Ready(());
        }
        self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER))).as_mut().poll(cx)
    }
}

impl Drop for Socket {
    /// What a peer does not take would stay with the kernel, megabytes of it and for minutes, after we have let go.
    fn drop(&mut self) {
        if self.stalled && self.line.is_cut() {
            // Without it, that is how it is.
            let _ = self.inner.tcp().set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if polled.is_pending() {
            this.line.wake_reader(cx.waker());
            // After registering, or a cut in between would be missed.
            if this.line.is_cut() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        } else if buf.filled().len() > before {
            this.line.feed();
            if this.preface < PREFACE.len() {
                this.recognise(&buf.filled()[before..]);
            }
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note_write(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.note_write(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}

/// What an HTTP/2 client that knows us says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A round trip around the world, several times over.
const LINGER: Duration = Duration::from_secs(1);
