//! The HTTP door's section.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tidemill_engine::units::{ByteSize, Span};

/// What the HTTP door can be told; `config/default.toml` documents each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsPaths>,
    /// Connections open at once.
    pub max_connections: usize,
    /// Connections open at once from one address.
    pub max_connections_per_address: usize,
    /// HTTP/2 requests running at once on one connection.
    pub max_streams_per_connection: u32,
    /// The largest request body.
    pub max_body_bytes: ByteSize,
    /// The largest request line with headers.
    pub max_header_bytes: ByteSize,
    /// How long a client may take for the headers of a request.
    pub header_read_timeout: Span,
    /// How long the server waits for the body of one request.
    pub body_read_timeout: Span,
    /// How long a client may refuse to read a response.
    pub write_timeout: Span,
    /// How long a connection stays open without a request.
    pub idle_timeout: Span,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub ping_interval: Span,
    /// How long requests in flight may take to end when the server stops.
    pub drain_timeout: Span,
    /// The longest that a client may let a request wait.
    pub max_wait: Span,
    /// Origins whose pages may call the server from a browser.
    pub cors_allowed_origins: Vec<String>,
    /// Host names that are served besides the usual ones.
    pub allowed_hosts: Vec<String>,
    /// Failed logins after which an address is refused for a while.
    pub max_failed_logins: u32,
    /// Passwords checked at once.
    pub max_password_checks: usize,
    /// Whether the OpenAPI description is served.
    pub openapi: bool,
    /// Whether the metrics are served without credentials.
    pub public_metrics: bool,
}

/// Where the TLS files are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPaths {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Authorities that sign client certificates.
    pub client_ca: Option<PathBuf>,
}
