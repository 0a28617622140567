//! The byte stream below HTTP: TCP or TLS, watched by the connection's [`Activity`], holding the connection's ticket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::peers::PeerSlot;

/// A connection's place among all and among those of its peer. It travels with the byte stream rather than with the task,
/// so that an upgraded connection keeps it.
#[derive(Debug)]
pub(super) struct Ticket {
    _slot: OwnedSemaphorePermit,
    _peer: PeerSlot,
}

impl Ticket {
    pub(super) fn new(slot: OwnedSemaphorePermit, peer: PeerSlot) -> Self {
        Self { _slot: slot, _peer: peer }
    }
}

/// TCP or TLS over it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A watched stream.
#[derive(Debug)]
pub(super) struct Transport {
    stream: Stream,
    activity: Arc<Activity>,
    fresh: bool,
    _ticket: Ticket,
}

impl Transport {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>, ticket: Ticket) -> Self {
        Self { stream, activity, fresh: true, _ticket: ticket }
    }

    fn watched<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(written.is_pending());
        written
    }
}

/// Calls the same method of whichever stream there is.
macro_rules! delegate {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut $self.stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = delegate!(this.poll_read(cx, buf));
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            this.activity.received(bytes, this.fresh);
            this.fresh = false;
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = delegate!(this.poll_write(cx, buf));
        this.watched(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = delegate!(this.poll_write_vectored(cx, bufs));
        this.watched(polled)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = delegate!(this.poll_flush(cx));
        this.watched(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        delegate!(this.poll_shutdown(cx))
    }
}
