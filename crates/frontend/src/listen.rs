//! The listener that all HTTP-like doors share: one port for HTTP/1.1 and HTTP/2, with TLS, limits and a drain.
//!
//! A client that goes away takes its work with it: the handler or the body that was serving it is dropped at once, which is
//! what cancels its query. Over HTTP/1.1 that holds unless the client pipelined a further request or left its own body
//! unread, because then the end of the stream stays hidden behind those bytes; the deadline of the query remains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

mod activity;
mod address;
mod connection;
mod patience;
mod peers;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod validity;

pub use address::ListenAddress;
pub(crate) use peers::peer_group;
pub use tls::TlsReloader;

use peers::Peers;
use transport::Ticket;

/// Limits of a listener. Durations of `None` mean no bound.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// Connections open at once. One more is not accepted: it waits in the kernel's backlog until another ends, so that a
    /// burst is slowed rather than failed.
    pub max_connections: usize,
    /// Connections open at once from one address (one /64 network for IPv6), 0 for no bound. One more is answered with
    /// 503, or closed when TLS is on.
    pub max_connections_per_address: usize,
    /// Bytes of one request's line and headers; at least 8 KiB are allowed.
    pub max_header_bytes: usize,
    /// Header lines of one HTTP/1.1 request.
    pub max_headers: usize,
    /// From the connection, or from the first byte of a later request, to the end of the request's headers.
    pub header_read_timeout: Duration,
    /// How long a connection stays open without a request.
    pub idle_timeout: Option<Duration>,
    /// How long a client may refuse to read a response that is ready.
    pub write_timeout: Option<Duration>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// HTTP/2 requests running at once on one connection.
    pub max_streams_per_connection: u32,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub ping_interval: Option<Duration>,
    /// How long an HTTP/2 client may take to answer that.
    pub ping_timeout: Duration,
}

/// The connection a request came through; an extension of each request, beside axum's `ConnectInfo<SocketAddr>`.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client.
    pub peer: SocketAddr,
    /// The address of ours that it called.
    pub local: SocketAddr,
    /// Whether TLS protects it.
    pub tls: bool,
    /// Cancelled when the server starts to drain: long polls and endless event streams then end by themselves.
    pub draining: CancellationToken,
}

/// What all connections of a listener share.
struct Shared {
    config: ListenConfig,
    service: axum::Router,
    tls: Option<TlsReloader>,
    draining: CancellationToken,
}

/// The longest pause after a failed accept.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long a refused client has to take its refusal.
const REFUSAL_LINGER: Duration = Duration::from_millis(500);
/// How often the log repeats that the listener is full.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(60);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    content-length: 186\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:tidemill:error:unavailable\",\"title\":\"Unavailable\",\"status\":503,\
    \"detail\":\"too many connections from your address\",\"code\":\"UNAVAILABLE\",\"retryable\":true,\"retry_after_ms\":1000}";

/// Serves connections until `shutdown` is cancelled, then stops accepting, tells clients to close, and waits up to `drain`
/// for requests in flight before it drops them.
///
/// # Errors
/// When the listener has no local address. Failed accepts (`EMFILE`, aborted connections) are retried for ever.
pub async fn serve(
    listener: TcpListener,
    service: axum::Router,
    config: &ListenConfig,
    tls: Option<TlsReloader>,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
    let peers = Arc::new(Peers::new(config.max_connections_per_address));
    let shared = Arc::new(Shared { config: config.clone(), service, tls, draining: shutdown.clone() });
    let mut acceptor = Acceptor { listener, slots, backoff: Duration::ZERO, warned: None };
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, slot) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = acceptor.accept() => accepted,
        };
        match peers.enter(peer.ip()) {
            Some(peer_slot) => {
                let ticket = Ticket::new(slot, peer_slot);
                connections.spawn(connection::run(Arc::clone(&shared), stream, peer, ticket));
            }
            None => {
                tracing::debug!(%peer, "refused a connection: its address has too many");
                let plain = shared.tls.is_none();
                connections.spawn(refuse(stream, plain, slot));
            }
        }
    }
    drop(acceptor);
    let drained = timeout(drain, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(%local, connections = connections.len(), "dropped the connections that outlasted the drain");
        connections.shutdown().await;
    }
    Ok(())
}

struct Acceptor {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    backoff: Duration,
    warned: Option<Instant>,
}

impl Acceptor {
    /// The next connection and its slot. Dropping this future loses no connection; a pause after a failure then ends early,
    /// which is right: the end of a connection is what frees the file descriptor that was missing.
    async fn accept(&mut self) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            if !self.backoff.is_zero() {
                sleep(self.backoff).await;
            }
            if self.slots.available_permits() == 0 {
                self.warn_full();
            }
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            match (slot, self.listener.accept().await) {
                (Ok(slot), Ok((stream, peer))) => {
                    self.backoff = Duration::ZERO;
                    return (stream, peer, slot);
                }
                (_, Err(error)) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection ended early"),
                (_, Err(error)) => {
                    self.backoff = (self.backoff * 2).clamp(Duration::from_millis(10), MAX_BACKOFF);
                    tracing::warn!(%error, pause = ?self.backoff, "cannot accept connections");
                }
                // The semaphore is never closed.
                (Err(_), Ok(_)) => {}
            }
        }
    }

    fn warn_full(&mut self) {
        if self.warned.is_none_or(|last| last.elapsed() >= FULL_WARNING_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!("all connections are taken and new ones wait: raise http.max_connections");
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Answers without reading the request. The rest of the request is then read away for a moment: closing a socket with
/// unread bytes resets it, and the client would see that instead of the answer. A TLS client is just closed.
async fn refuse(mut stream: TcpStream, plain: bool, _slot: OwnedSemaphorePermit) {
    if !plain {
        return;
    }
    let linger = timeout(REFUSAL_LINGER, async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    });
    drop(linger.await);
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
