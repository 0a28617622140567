//! What the doors can be told. The values come from the composition root; nothing here reads a file or the environment.
//!
//! There are no defaults in code: `config/default.toml` holds every key with its meaning and its default.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tidemill_engine::error::{Error, Result, Subject};
use tidemill_engine::units::{ByteSize, Span};

use crate::http::limits::headers::{MIN_BYTES, REFUSED_WITH_WORDS};
use crate::listen::{ListenAddress, ListenConfig};

mod flight_sql;

pub use flight_sql::FlightSqlConfig;

/// The HTTP door and the port it shares.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The address and port to listen on; port 0 takes any free one. Beyond loopback, authentication must be on.
    pub listen: ListenAddress,
    /// The certificate and key files; absent means plain HTTP.
    pub tls: Option<TlsPaths>,
    /// Connections open at once; one more waits until another ends.
    pub max_connections: usize,
    /// Connections open at once from one address (one /64 network for IPv6); 0 means no bound. Behind a reverse proxy all
    /// clients have its address.
    pub max_connections_per_address: usize,
    /// HTTP/2 requests running at once on one connection.
    pub max_streams_per_connection: u32,
    /// The largest request body.
    pub max_body_bytes: ByteSize,
    /// The largest request line with headers; at least 8 KiB.
    pub max_header_bytes: ByteSize,
    /// How long a client may take for a TLS handshake, and again for the headers of a request.
    pub header_read_timeout: Span,
    /// How long the server waits, in all, for the body of one request.
    pub body_read_timeout: Span,
    /// How long a client may refuse to read a response that is ready; 0 means no bound.
    pub write_timeout: Span,
    /// How long a connection stays open without a request; 0 means no bound.
    pub idle_timeout: Span,
    /// How often an HTTP/2 client is asked whether it is still there; 0 never asks.
    pub ping_interval: Span,
    /// The longest that a client may let a request wait for a query to change (long poll).
    pub max_wait: Span,
    /// Origins (`https://app.example.com`) whose pages may call the server from a browser; empty allows none.
    pub cors_allowed_origins: Vec<String>,
    /// Names, besides `localhost` and loopback addresses, by which clients may call a server that listens on loopback,
    /// such as the name of a reverse proxy.
    pub allowed_hosts: Vec<String>,
    /// Failed logins with a password after which an address is refused for the rest of the minute; 0 means no bound.
    pub max_failed_logins: u32,
    /// Passwords checked at once; each check keeps a core busy for tens of milliseconds.
    pub max_password_checks: usize,
    /// Whether `/openapi.json` and its page are served.
    pub openapi: bool,
    /// Whether `/metrics` is served without credentials.
    pub public_metrics: bool,
}

/// A listener of its own for the metrics.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// The address and port to listen on; port 0 takes any free one. Absent means that only the HTTP door serves them.
    pub listen: Option<ListenAddress>,
}

/// Where the TLS files are; PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPaths {
    /// The certificate chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key of the first certificate, not encrypted.
    pub key: PathBuf,
    /// Authorities that sign client certificates; when present, a client without one cannot connect.
    pub client_ca: Option<PathBuf>,
}

/// Header lines of one HTTP/1.1 request; browsers and proxies together send a few dozen.
pub(crate) const MAX_HEADERS: usize = 128;
/// How long an HTTP/2 client may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

impl HttpConfig {
    /// The limits of the listener.
    pub fn listener(&self) -> ListenConfig {
        let header_bytes = usize::try_from(self.max_header_bytes.0).unwrap_or(usize::MAX).max(MIN_BYTES);
        ListenConfig {
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            max_header_bytes: header_bytes.saturating_mul(REFUSED_WITH_WORDS),
            max_headers: MAX_HEADERS * REFUSED_WITH_WORDS,
            header_read_timeout: self.header_read_timeout.0,
            idle_timeout: self.idle_timeout.limit(),
            write_timeout: self.write_timeout.limit(),
            handshake_timeout: self.header_read_timeout.0,
            max_streams_per_connection: self.max_streams_per_connection,
            ping_interval: self.ping_interval.limit(),
            ping_timeout: PING_TIMEOUT,
        }
    }

    /// Refuses limits that would leave the door closed, and origins that no browser would send.
    ///
    /// # Errors
    /// Naming the key.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("max_connections", self.max_connections),
            ("max_streams_per_connection", self.max_streams_per_connection as usize),
            ("max_password_checks", self.max_password_checks),
        ];
        let spans = [("header_read_timeout", self.header_read_timeout), ("body_read_timeout", self.body_read_timeout)];
        let zero_count = counts.iter().find(|(_, count)| *count == 0).map(|(name, _)| name);
        let zero_span = spans.iter().find(|(_, span)| span.0.is_zero()).map(|(name, _)| name);
        if let Some(name) = zero_count.or(zero_span) {
            return Err(bad(format!("http.{name} is 0, so that no request could be served")));
        }
        for origin in &self.cors_allowed_origins {
            let parsed = url::Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
            if parsed.as_deref() != Some(origin.to_ascii_lowercase().as_str()) {
                return Err(bad(format!("http.cors_allowed_origins: '{origin}' is not an origin"))
                    .hint("write scheme, host and any non-default port, such as https://app.example.com"));
            }
        }
        Ok(())
    }
}

/// Whether a door may listen on this address: beyond loopback only with authentication. Passwords that would cross a
/// network in the clear are logged.
///
/// # Errors
/// When anyone who reaches the port would be an admin.
pub fn check_bind(address: &ListenAddress, auth_required: bool, tls: bool) -> Result<()> {
    if address.is_loopback() {
        return Ok(());
    }
    if !auth_required {
        return Err(bad(format!(
            "http.listen is {address}, which other machines can reach, but auth.mode is 'none': anyone could run any statement"
        ))
        .hint("set auth.mode = \"static\" with auth.users or auth.tokens, or set http.listen to a loopback address such as 127.0.0.1:8080"));
    }
    if !tls {
        tracing::warn!(%address, "credentials cross the network unencrypted: set http.tls.cert and http.tls.key");
    }
    Ok(())
}

/// Whether the metrics may be served at this address: beyond loopback only with authentication, or where the operator says
/// that they are public.
///
/// # Errors
/// When anyone who reaches the port could read them though nobody said so.
pub fn check_metrics_bind(address: &ListenAddress, auth_required: bool, public: bool) -> Result<()> {
    if address.is_loopback() || auth_required || public {
        return Ok(());
    }
    Err(bad(format!(
        "metrics.listen is {address}, which other machines can reach, but auth.mode is 'none' and http.public_metrics is false"
    ))
    .hint("set http.public_metrics = true if anyone may read the metrics, or auth.mode = \"static\", or set metrics.listen to a loopback address such as 127.0.0.1:9090"))
}

fn bad(message: String) -> Error {
    Error::invalid(message).about(Subject::Setting)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn value() -> serde_json::Value {
        serde_json::json!({
            "listen": "127.0.0.1:0", "max_connections": 100, "max_connections_per_address": 0,
            "max_streams_per_connection": 100, "max_body_bytes": "1MiB", "max_header_bytes": "32KiB",
            "header_read_timeout": "30s", "body_read_timeout": "30s", "write_timeout": "5m", "idle_timeout": "90s",
            "ping_interval": "30s", "max_wait": "60s", "cors_allowed_origins": [],
            "allowed_hosts": [], "max_failed_logins": 10, "max_password_checks": 2, "openapi": true,
            "public_metrics": false,
        })
    }

    pub(crate) fn http_config() -> HttpConfig {
        serde_json::from_value(value()).unwrap()
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut with_typo = value();
        with_typo["max_connection"] = 5.into();
        let error = serde_json::from_value::<HttpConfig>(with_typo).unwrap_err().to_string();
        assert!(error.contains("max_connection"), "{error}");
    }

    #[test]
    fn values_that_close_the_door_are_refused() {
        assert!(http_config().check().is_ok());
        let origins = |origin: &str| HttpConfig { cors_allowed_origins: vec![origin.into()], ..http_config() };
        assert!(origins("https://app.example.com:8443").check().is_ok());
        for wrong in ["app.example.com", "https://app.example.com/", "*", "https://app.example.com:443"] {
            assert!(origins(wrong).check().unwrap_err().message().contains(wrong), "{wrong}");
        }
        let none = HttpConfig { max_connections: 0, ..http_config() };
        assert!(none.check().unwrap_err().message().contains("http.max_connections"));
    }

    #[test]
    fn the_open_network_needs_credentials() {
        for (address, auth, allowed) in [
            ("127.0.0.1:8080", false, true),
            ("[::1]:8080", false, true),
            ("0.0.0.0:8080", false, false),
            ("[::]:8080", false, false),
            ("10.1.2.3:80", false, false),
            ("0.0.0.0:8080", true, true),
        ] {
            let result = check_bind(&address.parse().unwrap(), auth, false);
            assert_eq!(result.is_ok(), allowed, "{address}");
            if let Err(error) = result {
                assert!(error.hint_text().unwrap().contains("auth.mode") && error.message().contains(address));
            }
        }
    }

    #[test]
    fn metrics_are_for_the_open_network_if_somebody_says_so() {
        for (address, auth, public, allowed) in [
            ("127.0.0.1:9090", false, false, true),
            ("0.0.0.0:9090", false, false, false),
            ("0.0.0.0:9090", true, false, true),
            ("[::]:9090", false, true, true),
        ] {
            let result = check_metrics_bind(&address.parse().unwrap(), auth, public);
            assert_eq!(result.is_ok(), allowed, "{address}");
            if let Err(error) = result {
                assert!(error.message().contains("metrics.listen") && error.message().contains(address));
            }
        }
    }
}
