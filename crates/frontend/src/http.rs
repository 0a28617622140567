//! The HTTP door: statements in, results out in the format that the client asks for, and everything about queries, sessions
//! and catalogs as resources. It knows no SQL: it moves bytes to requests and batches to bytes.

pub mod authenticate;
mod body;
mod cache;
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

use crate::config::{HttpConfig, MetricsConfig};
use crate::configuration::Configuration;
use crate::gate::Gate;
use authenticate::{Entrance, PUBLIC_PATHS, authenticate};
use door::Door;
use problem::Problem;

/// What the door serves on each of its listeners.
#[derive(Debug)]
pub struct Routers {
    /// All routes.
    pub api: Router,
    /// The metrics and the health of the server, for a listener of their own; absent if there is none.
    pub metrics: Option<Router>,
}

/// The routes of the door, with everything that stands before them.
pub fn routers(
    engine: Arc<Engine>,
    config: &Arc<HttpConfig>,
    metrics: &MetricsConfig,
    configuration: Arc<dyn Configuration>,
    gate: Gate,
) -> Routers {
    let mut public: Vec<&str> = PUBLIC_PATHS.to_vec();
    public.push("/healthz");
    if config.public_metrics {
        public.push("/metrics");
    }
    let entrance = Entrance::new(gate, public, respond_error);
    let door = Door::new(engine, Arc::clone(config), configuration);
    // No page has a reason to read them, and the names it may be called by are those of its own address.
    let of_metrics = |listen| HttpConfig { listen, cors_allowed_origins: Vec::new(), ..HttpConfig::clone(config) };
    Routers {
        metrics: metrics
            .listen
            .clone()
            .map(|listen| guarded(routes::of_metrics(&door), &door, &entrance, &of_metrics(listen))),
        api: guarded(routes::all(&door), &door, &entrance, config),
    }
}

/// Routes with everything that stands before them.
fn guarded(routes: Router, door: &Door, entrance: &Entrance, config: &HttpConfig) -> Router {
    let routes = routes
        .method_not_allowed_fallback(routes::method_not_allowed)
        .fallback(routes::no_such_route)
        .layer(from_fn_with_state(entrance.clone(), authenticate))
        .layer(from_fn_with_state(door.clone(), metrics::measure))
        .layer(compression::layer());
    limits::protect(routes, config, respond_error).layer(CatchPanicLayer::custom(panicked))
}

fn respond_error(error: Error, status: Option<StatusCode>) -> Response {
    let mut problem = Problem::of_path(&error);
    if let Some(status) = status {
        let is_slow = status == StatusCode::REQUEST_TIMEOUT;
        let code = match status {
            StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "HEADERS_TOO_LARGE",
            _ => "PAYLOAD_TOO_LARGE",
        };
        problem = Problem { hint: problem.hint, retryable: is_slow, ..Problem::new(status, code, problem.detail) };
    }
    problem.into_response()
}

/// A handler that panics is a bug, told like every other.
fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged what and where.
    Problem::of_path(&Error::internal("a request handler panicked")).into_response()
}
