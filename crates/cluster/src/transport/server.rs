//! A server of the cluster: one port, every request behind the guard.

use std::time::Duration;

use tidemill_engine::error::{Error, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::server::TcpIncoming;

use super::Transport;

/// How long answers that are on their way get to arrive when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How long a connection may be silent before the system asks whether the other machine is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(10);

/// Serves until `shutdown`; then lets what is on its way arrive.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    services: Routes,
    transport: &Transport,
    shutdown: CancellationToken,
) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
    let mut server = transport.server()?.layer(InterceptorLayer::new(transport.guard()));
    let served = server.add_routes(services).serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    tokio::select! {
        served = served => {
            served.map_err(|error| Error::internal(format!("the cluster's server failed: {error}")).caused_by(error))
        }
        // A peer that does not read must not keep the process.
        () = async { shutdown.cancelled().await; tokio::time::sleep(LAST_ANSWERS).await } => Ok(()),
    }
}
