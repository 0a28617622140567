//! Connections between coordinator and workers: each carries the proof of the join token, mutual TLS if that is configured, and
//! asks often enough whether the other side is still there that a process that is stopped or cut off is noticed.
//!
//! Ballista's own clients take no metadata and make their own endpoints, but let us remake an endpoint before they connect. So
//! what every connection must carry is put there, and nothing goes around it.

mod address;
mod credential;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::EndpointOverrideFn;
use parking_lot::Mutex;
use serde::Deserialize;
use tidemill_engine::auth::Secret;
use tidemill_engine::error::{Error, Result, Subject};
use tonic::transport::{Channel, Endpoint, Server};

pub use address::Address;
use credential::Credential;
pub use credential::Guard;
pub use server::serve;
pub use tls::Tls;

/// The largest message of the cluster: plans with long lists of files are large.
pub const MAX_MESSAGE: usize = 256 << 20;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take when it is only tried whether there is one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the other side may take to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the other side is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes on the way per stream and per connection; a window smaller than what is asked for at once leaves the network idle.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Addresses that a connection is kept for; workers that come and go leave theirs behind.
const MAX_POOLED: usize = 1024;

/// A connection to another process of the cluster. It connects when it is used, and again when it was lost.
pub type Wire = Channel;

/// What all processes of a cluster have in common, as configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportConfig {
    /// What a process must know to take part; without, only processes on the same machine can.
    pub join_token: Option<Secret>,
    /// Mutual TLS; plain TCP without.
    pub tls: Option<Tls>,
}

/// How processes of a cluster reach each other. Clones share their connections.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    credential: Credential,
    tls: Option<tls::Configs>,
    wires: Mutex<HashMap<String, Wire>>,
}

/// What lies under an error, in its own words.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Whether a process may listen on this address: beyond loopback only with a token.
///
/// # Errors
/// When anyone who reaches the port could run code and read results.
pub fn check_bind(address: SocketAddr, has_token: bool, key: &str) -> Result<()> {
    if address.ip().to_canonical().is_loopback() || has_token {
        return Ok(());
    }
    let message =
        format!("{key} is {address}, which other machines can reach, but there is no join token: anyone could join");
    Err(Error::invalid(message)
        .about(Subject::Setting)
        .hint("set the same cluster.join_token on every node, or listen on a loopback address"))
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("token", &self.0.credential.is_secret())
            .field("tls", &self.0.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Reads the TLS files and tries what they hold.
    ///
    /// # Errors
    /// Files that can not be read, do not parse or do not fit each other; an empty token.
    pub fn open(config: &TransportConfig) -> Result<Self> {
        let credential = Credential::new(config.join_token.as_ref())?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        Ok(Self(Arc::new(Inner { credential, tls, wires: Mutex::default() })))
    }

    /// Whether a process may listen on this address, see [`check_bind`].
    ///
    /// # Errors
    /// When anyone who reaches the port could run code and read results.
    pub fn check_bind(&self, address: SocketAddr, key: &str) -> Result<()> {
        check_bind(address, self.0.credential.is_secret(), key)?;
        if !address.ip().to_canonical().is_loopback() && self.0.tls.is_none() {
            tracing::warn!(%address, "the data of the cluster cross the network unencrypted: set cluster.tls");
        }
        Ok(())
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.tls.is_some()
    }

    /// The connection to `host:port`, which is shared by all who ask for it.
    ///
    /// # Errors
    /// A host that can not be part of a URL.
    pub fn channel(&self, host: &str, port: u16) -> Result<Wire> {
        let address = format!("{host}:{port}");
        let mut wires = self.0.wires.lock();
        if let Some(wire) = wires.get(&address) {
            return Ok(wire.clone());
        }
        let wire = self.endpoint(&address)?.connect_lazy();
        if wires.len() >= MAX_POOLED {
            wires.clear();
        }
        wires.insert(address, wire.clone());
        Ok(wire)
    }

    /// Whether `host:port` is reached, by whoever speaks as the cluster does.
    ///
    /// # Errors
    /// What is in the way, as the network or TLS tells it.
    pub async fn probe(&self, host: &str, port: u16) -> std::result::Result<(), String> {
        let endpoint = self.endpoint(&format!("{host}:{port}")).map_err(|error| error.message().to_owned())?;
        match tokio::time::timeout(PROBE_TIMEOUT, endpoint.connect()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(innermost(&error)),
            Err(_) => Err(format!("no connection within {}", tidemill_engine::units::Span(PROBE_TIMEOUT))),
        }
    }

    /// Gives up the connection to `host:port`; who holds it keeps it.
    pub fn forget(&self, host: &str, port: u16) {
        self.0.wires.lock().remove(&format!("{host}:{port}"));
    }

    /// A server with the TLS and the limits of the cluster. Its services go behind [`Self::guard`].
    ///
    /// # Errors
    /// None that [`Self::open`] did not find.
    pub fn server(&self) -> Result<Server> {
        let server = Server::builder()
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        match &self.0.tls {
            Some(tls) => server.tls_config(tls.server.clone()).map_err(|error| tls::broken(&error)),
            None => Ok(server),
        }
    }

    /// What refuses requests of whoever does not know the token.
    pub fn guard(&self) -> Guard {
        self.0.credential.guard()
    }

    /// Remakes the endpoints of Ballista's own clients.
    pub fn endpoints(&self) -> EndpointOverrideFn {
        let transport = self.clone();
        Arc::new(move |endpoint: Endpoint| {
            let Some(authority) = endpoint.uri().authority() else {
                return Err(format!("'{}' names no host", endpoint.uri()).into());
            };
            transport.endpoint(authority.as_str()).map_err(Into::into)
        })
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint> {
        let scheme = if self.0.tls.is_some() { "https" } else { "http" };
        let unusable = |error: tonic::transport::Error| {
            Error::invalid(format!("'{address}' is not the address of a node")).caused_by(error)
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .and_then(|endpoint| endpoint.user_agent(self.0.credential.header()))
            .map_err(unusable)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        match &self.0.tls {
            Some(tls) => endpoint.tls_config(tls.client.clone()).map_err(|error| tls::broken(&error)),
            None => Ok(endpoint),
        }
    }
}
