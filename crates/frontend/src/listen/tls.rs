//! TLS 1.2 and 1.3 with a certificate that can be replaced while the server runs.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidemill_engine::error::{Error, Result, Subject};

use super::validity::not_after;

/// The TLS side of a listener. Clones share the certificate: a reload of one is a reload of all.
#[derive(Clone)]
pub struct TlsReloader(Arc<Inner>);

struct Inner {
    provider: Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    expires_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader").field("expires_at", &self.expires_at()).finish_non_exhaustive()
    }
}

impl TlsReloader {
    /// From a certificate chain (leaf first), its private key and, to demand client certificates, the authorities that
    /// sign them; all PEM.
    ///
    /// # Errors
    /// When a part does not parse or the key is not the certificate's. An expired certificate is only logged: clients
    /// refuse it, and say so better than a server that does not start.
    pub fn new(certificate: &[u8], key: &[u8], client_authorities: Option<&[u8]>) -> Result<Self> {
        let provider = Arc::new(default_provider());
        let clients = match client_authorities {
            None => Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>,
            Some(pem) => client_verifier(pem, &provider)?,
        };
        let current = RwLock::new(Current::new(certificate, key, &provider, &clients)?);
        Ok(Self(Arc::new(Inner { provider, clients, current })))
    }

    /// Uses another certificate and key for connections from now on.
    ///
    /// # Errors
    /// As for [`Self::new`]; the certificate in use then stays.
    pub fn reload(&self, certificate: &[u8], key: &[u8]) -> Result<()> {
        let current = Current::new(certificate, key, &self.0.provider, &self.0.clients)?;
        *self.0.current.write() = current;
        Ok(())
    }

    /// When the certificate in use ends, if it says so.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.current.read().expires_at
    }

    /// What the next handshake uses.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.read().config)
    }
}

impl Current {
    fn new(
        certificate: &[u8],
        key: &[u8],
        provider: &Arc<CryptoProvider>,
        clients: &Arc<dyn ClientCertVerifier>,
    ) -> Result<Self> {
        let chain = certificates("certificate", certificate)?;
        let key = private_key(key)?;
        let expires_at = chain.first().and_then(|leaf| not_after(leaf));
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                bad("the TLS private key does not belong to the first certificate of the chain")
                    .hint("put the server's own certificate first, before those of the authorities that signed it")
            }
            rustls::Error::InvalidCertificate(reason) => {
                bad(format!("the first certificate of the TLS chain is malformed: {reason:?}"))
            }
            error => bad(format!("the TLS private key cannot be used: {error}"))
                .hint("use an RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519 key"),
        })?;
        if let Some(end) = expires_at.filter(|end| *end < Utc::now()) {
            tracing::warn!(expired_at = %end, "the TLS certificate has expired: clients will refuse it");
        }
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::internal(format!("cannot set up TLS: {error}")))?
            .with_client_cert_verifier(Arc::clone(clients))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), expires_at })
    }
}

fn client_verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for (index, authority) in certificates("client authority", pem)?.into_iter().enumerate() {
        roots.add(authority).map_err(|error| {
            bad(format!("certificate {} of the TLS client authorities is malformed: {error}", index + 1))
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| bad(format!("the TLS client authorities cannot be used: {error}")))
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| bad(format!("the TLS {what} file is not valid PEM: {error}")))?;
    if chain.is_empty() {
        return Err(bad(format!("the TLS {what} file holds no 'BEGIN CERTIFICATE' section")));
    }
    for (index, certificate) in chain.iter().enumerate().skip(1) {
        // Trying one as a trust anchor is how rustls parses a certificate that is not a leaf.
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| bad(format!("certificate {} of the TLS {what} file is malformed: {error}", index + 1)))?;
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(pem, b"ENCRYPTED PRIVATE KEY") => {
            bad("the TLS private key is encrypted").hint("decrypt it with `openssl pkey -in KEY -out PLAIN_KEY`")
        }
        pem::Error::NoItemsFound => bad("the TLS key file holds no 'BEGIN PRIVATE KEY' section"),
        // The text of the error may quote the file, which holds a secret.
        _ => bad("the TLS key file is not valid PEM"),
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid(message).about(Subject::Setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(end_year: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(end_year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn message(certificate: &str, key: &str) -> String {
        TlsReloader::new(certificate.as_bytes(), key.as_bytes(), None).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_what_is_broken() {
        let (certificate, key) = pair(2090);
        let (other, other_key) = pair(2090);
        assert!(message(&certificate, &other_key).contains("does not belong to the first certificate"));
        assert!(message(&key, &key).contains("no 'BEGIN CERTIFICATE'"));
        assert!(message(&certificate, &certificate).contains("no 'BEGIN PRIVATE KEY'"));
        assert!(message(&certificate, &key.replace("PRIVATE", "ENCRYPTED PRIVATE")).contains("encrypted"));
        assert!(message("-----BEGIN CERTIFICATE-----\nMIIB", &key).contains("not valid PEM"));
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(message(junk, &key).contains("first certificate"), "{}", message(junk, &key));
        assert!(message(&format!("{certificate}{junk}"), &key).contains("certificate 2"));
        let secret = message(&certificate, &key.replace("-----END", "---END"));
        assert!(secret.contains("not valid PEM") && secret.len() < 60, "{secret}");
        drop(other);
    }

    #[test]
    fn a_failed_reload_keeps_the_old_certificate() {
        let (certificate, key) = pair(2090);
        let tls = TlsReloader::new(certificate.as_bytes(), key.as_bytes(), None).unwrap();
        let first = tls.current();
        tls.reload(certificate.as_bytes(), b"").unwrap_err();
        assert!(Arc::ptr_eq(&first, &tls.current()));
        let (newer, newer_key) = pair(2091);
        tls.clone().reload(newer.as_bytes(), newer_key.as_bytes()).unwrap();
        assert_eq!(tls.expires_at().unwrap().to_rfc3339(), "2091-01-01T00:00:00+00:00");
    }

    #[test]
    fn an_expired_certificate_is_served() {
        let (certificate, key) = pair(2001);
        assert!(TlsReloader::new(certificate.as_bytes(), key.as_bytes(), None).is_ok());
    }
}
