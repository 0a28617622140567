//! The HTTP door: statements in, results out in the format that the client asks for, and everything about queries, sessions
//! and catalogs as resources. It knows no SQL: it moves bytes to requests and batches to bytes.

pub mod authenticate;
mod body;
mod client;
mod compression;
mod documents;
mod door;
pub mod encode;
mod idempotency;
pub mod limits;
mod metrics;
pub mod negotiate;
mod path;
pub mod problem;
mod query_string;
mod respond;
mod routes;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tidemill_engine::{Engine, Error};
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::HttpConfig;
use authenticate::{Gate, LoginLimits, PUBLIC_PATHS, authenticate};
use door::Door;
use problem::Problem;

/// All routes of the door, with everything that stands before them.
pub fn router(engine: Arc<Engine>, config: Arc<HttpConfig>) -> Router {
    let mut public: Vec<&str> = PUBLIC_PATHS.to_vec();
    public.push("/healthz");
    if config.public_metrics {
        public.push("/metrics");
    }
    let limits =
        LoginLimits { max_failures_per_minute: config.max_failed_logins, max_checks: config.max_password_checks };
    let gate = Gate::new(Arc::clone(engine.authenticator()), public, limits, respond_error);
    let door = Door::new(engine, Arc::clone(&config));
    let routes = routes::all(&door)
        .method_not_allowed_fallback(routes::method_not_allowed)
        .fallback(routes::no_such_route)
        .layer(from_fn_with_state(gate, authenticate))
        .layer(from_fn_with_state(door.clone(), metrics::measure))
        .layer(compression::layer());
    limits::protect(routes, &config, respond_error).layer(CatchPanicLayer::custom(panicked))
}

fn respond_error(error: Error, status: Option<StatusCode>) -> Response {
    let mut problem = Problem::of_path(&error);
    if let Some(status) = status {
        problem.status = status.as_u16();
    }
    problem.into_response()
}

/// A handler that panics is a bug, told like every other.
fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged what and where.
    Problem::of_path(&Error::internal("a request handler panicked")).into_response()
}
