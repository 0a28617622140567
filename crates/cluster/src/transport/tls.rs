//! Mutual TLS between the processes of a cluster: each shows a certificate of the same authority, whether it connects or is
//! connected to.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidemill_engine::error::{Error, Result, Subject};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

/// Where the TLS files of this process are; PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the own certificate first, valid for the host that others reach this process at.
    pub cert: PathBuf,
    /// The private key of the first certificate, not encrypted.
    pub key: PathBuf,
    /// The authorities that sign the certificates of the cluster.
    pub ca: PathBuf,
}

/// What both sides of a connection need.
pub(super) struct Configs {
    pub(super) server: ServerTlsConfig,
    pub(super) client: ClientTlsConfig,
}

impl Tls {
    /// Reads the files, and tries them in both roles.
    pub(super) fn load(&self) -> Result<Configs> {
        // The first provider of a process stays; any that is there does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (cert, key, ca) = (read(&self.cert, "cert")?, read(&self.key, "key")?, read(&self.ca, "ca")?);
        let (identity, authorities) = (Identity::from_pem(cert, key), Certificate::from_pem(ca));
        let server = ServerTlsConfig::new().identity(identity.clone()).client_ca_root(authorities.clone());
        let client = ClientTlsConfig::new().identity(identity).ca_certificate(authorities);
        Server::builder().tls_config(server.clone()).map_err(|error| broken(&error))?;
        Endpoint::from_static("https://localhost").tls_config(client.clone()).map_err(|error| broken(&error))?;
        Ok(Configs { server, client })
    }
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>> {
    let pem = std::fs::read(path).map_err(|error| {
        Error::invalid(format!("cannot read '{}' (cluster.tls.{key}): {error}", path.display())).about(Subject::Setting)
    })?;
    // What holds no section at all is taken for an empty list of certificates, which fits nothing and says nothing.
    if !pem.windows(11).any(|window| window == b"-----BEGIN ") {
        let message = format!("'{}' (cluster.tls.{key}) is not a PEM file", path.display());
        return Err(Error::invalid(message).about(Subject::Setting));
    }
    Ok(pem)
}

/// Says what is wrong with the TLS files.
pub(super) fn broken(error: &tonic::transport::Error) -> Error {
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    Error::invalid(format!("the files of cluster.tls can not be used: {reason}"))
        .about(Subject::Setting)
        .hint("cert must be the certificate of key, first in its file, and signed by an authority in ca")
}
