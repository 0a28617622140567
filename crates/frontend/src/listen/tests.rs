//! Real sockets on free ports. Waits end by conditions; the timeout only turns a hang into a failure.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Request};
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

const HANG: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<io::Result<()>>,
}

fn limits() -> ListenConfig {
    ListenConfig {
        max_connections: 64,
        max_connections_per_address: 0,
        max_header_bytes: 16 << 10,
        max_headers: 32,
        header_read_timeout: HANG,
        idle_timeout: None,
        write_timeout: None,
        handshake_timeout: HANG,
        max_streams_per_connection: 16,
        ping_interval: None,
        ping_timeout: HANG,
    }
}

async fn start(router: Router, config: ListenConfig, tls: Option<TlsReloader>, drain: Duration) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let served = tokio::spawn(async move { serve(listener, router, &config, tls, token, drain).await });
    Server { address, shutdown, served }
}

impl Server {
    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A connection that has sent this text.
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(HANG, future).await.expect("hangs")
}

/// All that arrives until the server closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = soon(stream.read_to_end(&mut text)).await;
    String::from_utf8(text).unwrap()
}

fn clients() -> [reqwest::Client; 2] {
    let builder = || reqwest::Client::builder().no_proxy();
    [builder().http1_only().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

/// Tells by its end that a handler or a body was dropped.
struct Flag(mpsc::Sender<&'static str>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.try_send("dropped").unwrap();
    }
}

/// `/` answers nothing for ever; `/stream` sends one chunk and then nothing for ever.
fn endless() -> (Router, mpsc::Receiver<&'static str>) {
    let (events, seen) = mpsc::channel(64);
    let for_stream = events.clone();
    let wait = move || async move {
        let flag = Flag(events);
        flag.0.send("started").await.unwrap();
        std::future::pending::<()>().await;
        drop(flag);
    };
    let stream = move || async move {
        let flag = Flag(for_stream);
        flag.0.send("started").await.unwrap();
        let first = futures::stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
        Body::from_stream(first.chain(futures::stream::pending()).map(move |item| {
            let _held = &flag;
            item
        }))
    };
    (Router::new().route("/", get(wait)).route("/stream", get(stream)), seen)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn both_versions_share_the_port_and_know_the_peer() {
    let handler = |ConnectInfo(peer): ConnectInfo<SocketAddr>, connection: Extension<Connection>, request: Request| async move {
        assert_eq!(peer, connection.peer);
        format!("{:?} {} {}", request.version(), peer.ip(), connection.tls)
    };
    let server = start(Router::new().route("/", get(handler)), limits(), None, HANG).await;
    for (client, expected) in clients().iter().zip(["HTTP/1.1 127.0.0.1 false", "HTTP/2.0 127.0.0.1 false"]) {
        let response = soon(client.get(server.url()).send()).await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn tls_negotiates_the_version_and_reloads() {
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (first, second) = (pair(), pair());
    let key_of = |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| pair.signing_key.serialize_pem();
    let tls = TlsReloader::new(first.cert.pem().as_bytes(), key_of(&first).as_bytes(), None).unwrap();
    let router = Router::new().route("/", get(|request: Request| async move { format!("{:?}", request.version()) }));
    let server = start(router, limits(), Some(tls.clone()), HANG).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let trusting = |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let root = reqwest::Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().resolve("localhost", server.address).add_root_certificate(root)
    };
    for (client, version) in [(trusting(&first), "HTTP/2.0"), (trusting(&first).http1_only(), "HTTP/1.1")] {
        let response = soon(client.build().unwrap().get(&url).send()).await.unwrap();
        assert_eq!(response.text().await.unwrap(), version);
    }
    tls.reload(second.cert.pem().as_bytes(), key_of(&second).as_bytes()).unwrap();
    assert!(soon(trusting(&second).build().unwrap().get(&url).send()).await.is_ok());
    assert!(soon(trusting(&first).build().unwrap().get(&url).send()).await.is_err());
}

#[tokio::test]
async fn an_aborted_body_is_seen_as_incomplete() {
    let handler = || async {
        let chunks = [Ok(Bytes::from_static(b"half")), Err(io::Error::other("the query failed"))];
        Body::from_stream(futures::stream::iter(chunks))
    };
    let server = start(Router::new().route("/", get(handler)), limits(), None, HANG).await;
    for client in clients() {
        let response = soon(client.get(server.url()).send()).await;
        // The reset may overtake the headers over HTTP/2.
        if let Ok(response) = response {
            assert!(soon(response.bytes()).await.is_err());
        }
    }
    let mut raw = server.send(GET).await;
    assert!(!read_all(&mut raw).await.ends_with("0\r\n\r\n"), "the last chunk says that the body is complete");
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_response_drops_the_body() {
    let (router, mut seen) = endless();
    let server = start(router, limits(), None, HANG).await;
    for client in clients() {
        let mut response = soon(client.get(format!("{}stream", server.url())).send()).await.unwrap();
        assert_eq!(soon(response.chunk()).await.unwrap().unwrap(), "first");
        assert_eq!(soon(seen.recv()).await, Some("started"));
        drop(response);
        assert_eq!(soon(seen.recv()).await, Some("dropped"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_drops_the_handler() {
    let (router, mut seen) = endless();
    let server = start(router, limits(), None, HANG).await;
    for way in ["close", "half-close", "reset"] {
        let mut stream = server.send(GET).await;
        assert_eq!(soon(seen.recv()).await, Some("started"));
        match way {
            "half-close" => stream.shutdown().await.unwrap(),
            "reset" => stream.set_zero_linger().unwrap(),
            _ => {}
        }
        let open = (way == "half-close").then_some(stream);
        assert_eq!(soon(seen.recv()).await, Some("dropped"), "{way}");
        drop(open);
    }
    let [_, http2] = clients();
    let request = tokio::spawn(http2.get(server.url()).send());
    assert_eq!(soon(seen.recv()).await, Some("started"));
    request.abort();
    assert_eq!(soon(seen.recv()).await, Some("dropped"), "reset of one HTTP/2 stream");
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_idle_clients_go() {
    let (started, mut seen) = mpsc::channel(1);
    let handler = move |connection: Extension<Connection>| async move {
        started.send(()).await.unwrap();
        connection.draining.cancelled().await;
        "done"
    };
    let router = Router::new().route("/", get(handler)).route("/quick", get(|| async { "quick" }));
    let server = start(router, limits(), None, Duration::from_secs(3600)).await;
    let [http1, http2] = clients();
    for client in [&http1, &http2] {
        soon(client.get(format!("{}quick", server.url())).send()).await.unwrap().bytes().await.unwrap();
    }
    let request = tokio::spawn(reqwest::get(server.url()));
    soon(seen.recv()).await.unwrap();
    server.shutdown.cancel();
    assert_eq!(soon(request).await.unwrap().unwrap().text().await.unwrap(), "done");
    soon(server.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn the_drain_deadline_drops_what_is_left() {
    let (router, mut seen) = endless();
    let server = start(router, limits(), None, Duration::from_millis(10)).await;
    let [_, http2] = clients();
    let request = tokio::spawn(http2.get(server.url()).send());
    assert_eq!(soon(seen.recv()).await, Some("started"));
    let mut raw = server.send(GET).await;
    assert_eq!(soon(seen.recv()).await, Some("started"));
    server.shutdown.cancel();
    soon(server.served).await.unwrap().unwrap();
    assert_eq!(soon(seen.recv()).await, Some("dropped"));
    assert_eq!(soon(seen.recv()).await, Some("dropped"));
    assert_eq!(read_all(&mut raw).await, "");
    assert!(soon(request).await.unwrap().is_err());
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let (router, mut seen) = endless();
    let config = ListenConfig { max_connections_per_address: 1, ..limits() };
    let server = start(router, config, None, HANG).await;
    let first = server.send(GET).await;
    assert_eq!(soon(seen.recv()).await, Some("started"));
    let refusal = read_all(&mut server.send(GET).await).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    let body = refusal.split_once("\r\n\r\n").unwrap().1;
    assert!(refusal.contains(&format!("content-length: {}\r\n", body.len())));
    drop(first);
    assert_eq!(soon(seen.recv()).await, Some("dropped"));
    soon(async {
        // The place is free a moment after the handler is dropped.
        loop {
            let _again = server.send(GET).await;
            tokio::select! {
                event = seen.recv() => break assert_eq!(event, Some("started")),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_too_many_waits_for_its_turn() {
    let config = ListenConfig { max_connections: 1, ..limits() };
    let server = start(Router::new().route("/", get(|| async { "hello" })), config, None, HANG).await;
    let mut first = server.send(GET).await;
    assert!(soon(first.read(&mut [0; 1024])).await.unwrap() > 0);
    let mut second = server.send("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    drop(first);
    assert!(read_all(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn slow_and_bloated_heads_are_cut_off() {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let config = ListenConfig { header_read_timeout: Duration::from_millis(50), ..limits() };
    let server = start(router, config, None, HANG).await;
    assert_eq!(read_all(&mut server.send("").await).await, "");
    assert_eq!(read_all(&mut server.send("GET / HTTP/1.1\r\nho").await).await, "");
    let bloated = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(64));
    let answer = read_all(&mut server.send(&bloated).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let (events, mut seen) = mpsc::channel(4);
    let handler = move || async move {
        let flag = Flag(events);
        let chunk = Bytes::from(vec![0; 1 << 20]);
        Body::from_stream(futures::stream::repeat_with(move || {
            let _held = &flag;
            Ok::<_, Infallible>(chunk.clone())
        }))
    };
    let config = ListenConfig { write_timeout: Some(Duration::from_millis(50)), ..limits() };
    let server = start(Router::new().route("/", get(handler)), config, None, HANG).await;
    let _open = server.send(GET).await;
    assert_eq!(soon(seen.recv()).await, Some("dropped"));
}
