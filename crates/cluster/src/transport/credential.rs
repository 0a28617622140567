//! What a process shows to take part in the cluster.
//!
//! Not the token itself but a proof made from it crosses the network, in the user agent: that is the one header that Ballista's
//! clients let us choose. Who can listen on the network can repeat it; TLS is for that.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tidemill_engine::auth::Secret;
use tidemill_engine::error::{Error, Result, Subject};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// What the proof is made for; a proof of the same token for something else is another.
const PURPOSE: &[u8] = b"tidemill cluster, version 1";

/// The name that processes of a cluster go by, before the proof.
const AGENT: &str = "tidemill-cluster/";

/// How much time lies between two refusals in the log.
const REFUSALS_APART: Duration = Duration::from_secs(1);

/// The proof, or that none is asked for.
#[derive(Clone)]
pub(super) struct Credential {
    proof: Option<Arc<str>>,
}

impl Credential {
    pub(super) fn new(token: Option<&Secret>) -> Result<Self> {
        let Some(token) = token else { return Ok(Self { proof: None }) };
        if token.expose().trim().is_empty() {
            return Err(Error::invalid("the join token is empty")
                .about(Subject::Setting)
                .hint("make one with `openssl rand -hex 32`, or leave cluster.join_token out on a single machine"));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(token.expose().as_bytes())
            .map_err(|error| Error::internal("the join token can not be used").caused_by(error))?;
        mac.update(PURPOSE);
        let proof: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { proof: Some(proof.into()) })
    }

    pub(super) fn is_secret(&self) -> bool {
        self.proof.is_some()
    }

    /// The user agent of our connections.
    pub(super) fn header(&self) -> String {
        format!("{AGENT}{}", self.proof.as_deref().unwrap_or("open"))
    }

    pub(super) fn guard(&self) -> Guard {
        Guard { proof: self.proof.clone(), told: Arc::default() }
    }
}

/// Refuses requests without the proof of the token, before anything else sees them.
#[derive(Clone)]
pub struct Guard {
    proof: Option<Arc<str>>,
    /// When a refusal was told last.
    told: Arc<Mutex<Option<Instant>>>,
}

impl Guard {
    /// Tells of a refusal, but not of so many that the log is full of them.
    fn tell(&self, peer: Option<SocketAddr>) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= REFUSALS_APART) {
            *told = Some(Instant::now());
            tracing::warn!(peer = ?peer, "who calls without the join token of the cluster is refused");
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(proof) = &self.proof else { return Ok(request) };
        let shown = request.metadata().get("user-agent").and_then(|agent| agent.to_str().ok());
        let shown = shown.and_then(|agent| agent.strip_prefix(AGENT)?.split(' ').next());
        if shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(proof.as_bytes()))) {
            return Ok(request);
        }
        self.tell(request.remote_addr());
        Err(Status::unauthenticated(
            "the join token is not that of this cluster: set the same cluster.join_token on every node",
        ))
    }
}
