//! The life of one connection: handshake, requests, close.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, Version};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::activity::{Activity, InFlight, Timeouts, Verdict};
use super::patience::Patient;
use super::transport::{Stream, Ticket, Transport};
use super::{Connection, ListenConfig, Shared, TlsReloader};

/// Uploads are read this far ahead of the handler, for each HTTP/2 request and for each connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// hyper's own lower bound on the buffer that headers must fit into.
const MIN_HEADER_BYTES: usize = 8192;

/// Serves one connection until it ends, its time is up, or the server has drained.
pub(super) async fn run(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
    let prepared = match prepare(&shared, stream).await {
        Ok(prepared) => prepared,
        Err(error) => {
            tracing::debug!(%peer, %error, "a connection failed before its first request");
            return;
        }
    };
    let Some((stream, local)) = prepared else { return };
    let config = &shared.config;
    let activity = Arc::new(Activity::new(Timeouts {
        header_read: config.header_read_timeout,
        idle: config.idle_timeout,
        write: config.write_timeout,
    }));
    let tls = matches!(stream, Stream::Tls(_));
    let connection = Connection { peer, local, tls, draining: shared.draining.clone() };
    let transport = Transport::new(stream, Arc::clone(&activity), ticket);

    let gone = CancellationToken::new();
    let _drops_its_requests = gone.clone().drop_guard();
    let builder = builder(config, gone);
    let service = {
        let (activity, router, patience) = (Arc::clone(&activity), shared.service.clone(), config.write_timeout);
        hyper::service::service_fn(move |request| answer(&activity, router.clone(), &connection, patience, request))
    };
    let mut http = Box::pin(builder.serve_connection_with_upgrades(TokioIo::new(transport), service));
    let mut closing = false;
    loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection broke");
                }
                return;
            }
            () = shared.draining.cancelled(), if !closing => {}
            verdict = activity.expired() => match verdict {
                Verdict::Close => {}
                Verdict::Drop(reason) => {
                    tracing::debug!(%peer, reason, "dropped a connection");
                    return;
                }
            },
        }
        closing = true;
        activity.closing();
        http.as_mut().graceful_shutdown();
    }
}

/// The byte stream that HTTP runs on; none when the server drained during the handshake.
async fn prepare(shared: &Shared, stream: TcpStream) -> io::Result<Option<(Stream, SocketAddr)>> {
    // Results are written in large pieces, and the last one should not wait for the client's acknowledgement.
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let Some(tls) = &shared.tls else { return Ok(Some((Stream::Plain(stream), local))) };
    let handshake = timeout(shared.config.handshake_timeout, handshake(tls, stream));
    match shared.draining.run_until_cancelled(handshake).await {
        Some(Ok(stream)) => Ok(Some((stream?, local))),
        Some(Err(_)) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
        None => Ok(None),
    }
}

async fn handshake(tls: &TlsReloader, stream: TcpStream) -> io::Result<Stream> {
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

fn builder(config: &ListenConfig, gone: CancellationToken) -> auto::Builder<OfConnection> {
    let mut builder = auto::Builder::new(OfConnection(gone));
    let header_bytes = config.max_header_bytes.max(MIN_HEADER_BYTES);
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Activity` does this: hyper's timer would count idle time as header time.
        .header_read_timeout(None)
        .max_headers(config.max_headers)
        .max_buf_size(header_bytes)
        // A client that closed its half is gone; its query must not run on.
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams_per_connection)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(config.ping_interval)
        .keep_alive_timeout(config.ping_timeout);
    builder
}

/// Passes a request to the router, with the connection as an extension and its end noticed.
fn answer(
    activity: &Arc<Activity>,
    mut router: axum::Router,
    connection: &Connection,
    patience: Option<Duration>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Watched>, Infallible>> + Send + use<> {
    let multiplexed = request.version() == Version::HTTP_2;
    let in_flight = activity.enter(multiplexed);
    // Over HTTP/1.1, the transport notices who does not read.
    let patience = patience.filter(|_| multiplexed);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(connection.peer));
    request.extensions_mut().insert(connection.clone());
    async move {
        let response = router.call(request).await?;
        Ok(response.map(|body| Watched { body: Patient::new(body, patience), _in_flight: in_flight }))
    }
}

/// A response body whose request is in flight until hyper drops it.
struct Watched {
    body: Patient,
    _in_flight: InFlight,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the requests of an HTTP/2 connection, which hyper spawns, no longer than the connection lives.
#[derive(Debug, Clone)]
struct OfConnection(CancellationToken);

impl<F> hyper::rt::Executor<F> for OfConnection
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        drop(tokio::spawn(self.0.clone().run_until_cancelled_owned(request)));
    }
}
