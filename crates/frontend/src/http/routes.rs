//! All routes, with their description.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::Door;
use super::problem::Problem;

pub(super) mod catalogs;
mod configuration;
mod explain;
mod health;
mod nodes;
pub(super) mod openapi;
pub(super) mod queries;
mod query;
mod server;
mod sessions;
mod validate;

/// All routes.
pub(super) fn all(door: &Door) -> Router {
    let (router, description) = described();
    let router = if door.config.openapi { router.merge(openapi::routes(&description)) } else { router };
    router.with_state(door.clone())
}

/// The routes of a listener that is there for the metrics.
pub(super) fn of_metrics(door: &Door) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .with_state(door.clone())
}

/// The routes of the interface, with their description.
fn described() -> (Router<Door>, OpenApi) {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(query::post, query::get))
        .routes(routes!(queries::list))
        .routes(routes!(queries::get, queries::cancel))
        .routes(routes!(queries::result::get, queries::result::delete))
        .routes(routes!(queries::plan))
        .routes(routes!(queries::profile))
        .routes(routes!(queries::logs::get))
        .routes(routes!(queries::stages))
        .routes(routes!(sessions::open, sessions::list))
        .routes(routes!(sessions::get, sessions::change, sessions::close))
        .routes(routes!(sessions::heartbeat))
        .routes(routes!(validate::post))
        .routes(routes!(explain::post))
        .routes(routes!(catalogs::list))
        .routes(routes!(catalogs::get))
        .routes(routes!(catalogs::schemas))
        .routes(routes!(catalogs::schema))
        .routes(routes!(catalogs::tables))
        .routes(routes!(catalogs::table))
        .routes(routes!(configuration::list))
        .routes(routes!(configuration::get, configuration::change))
        .routes(routes!(server::functions))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::drain))
        .routes(routes!(nodes::autoscale))
        .routes(routes!(server::me))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
        .split_for_parts()
}

/// 405; axum adds `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem {
        hint: Some("the Allow header lists what it takes".to_owned()),
        ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
    }
}

/// 404.
pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem {
        hint: Some("GET /v1/openapi.json lists what there is".to_owned()),
        ..Problem::new(StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND", format!("there is nothing at {}", uri.path()))
    }
}
