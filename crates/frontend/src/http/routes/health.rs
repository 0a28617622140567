//! How the server is: for orchestrators, load balancers and Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::door::Door;
use crate::http::metrics::TEXT_EXPOSITION;
use crate::http::problem::Problem;

/// Which server this is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// `tidemill`.
    name: &'static str,
    /// The version, by semantic versioning.
    version: &'static str,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "server", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the server takes queries.
#[utoipa::path(get, path = "/readyz", tag = "server", security(()),
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 503, description = "It is about to stop", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn readyz(State(door): State<Door>) -> Response {
    if door.engine.queries().closed() {
        let detail = "the server is shutting down";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail);
        return Problem { retryable: true, retry_after_ms: Some(5_000), ..problem }.into_response();
    }
    "ok\n".into_response()
}

/// The same as `/readyz`, for those who look for it here.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()),
    responses(
        (status = 200, description = "The server takes queries", body = String, content_type = "text/plain"),
        (status = 503, description = "It is about to stop", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn healthz(door: State<Door>) -> Response {
    readyz(door).await
}

/// Which server this is.
#[utoipa::path(get, path = "/version", tag = "server", security(()),
    responses((status = 200, description = "Name and version", body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { name: "tidemill", version: env!("CARGO_PKG_VERSION") })
}

/// What the server counts, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, description = "Samples", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(door): State<Door>) -> Response {
    ([(CONTENT_TYPE, TEXT_EXPOSITION)], door.metrics.render(&door.engine)).into_response()
}
