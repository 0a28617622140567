//! The description of this door by OpenAPI 3.1, and the page that renders it.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa::{IntoResponses, Modify};

use crate::http::door::Door;
use crate::http::encode::ResultDocument;
use crate::http::negotiate::Format;
use crate::http::problem::{PROBLEM_JSON, Problem};

#[cfg(test)]
mod tests;

/// The page may run its own script, and call this server; nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("openapi/page.html");
const SCRIPT: &str = include_str!("openapi/page.js");
const STYLE: &str = include_str!("openapi/page.css");

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Tidemill", description = "SQL over HTTP: statements in, results out in the format that the client asks for."),
    tags(
        (name = "query", description = "Statements and their results"),
        (name = "queries", description = "Queries as resources: status, results, plans, cancelling"),
        (name = "sessions", description = "Settings, prepared statements and temporary views that outlive a request"),
        (name = "catalogs", description = "Catalogs, schemas, tables and functions"),
        (name = "server", description = "How the server is"),
    ),
    components(schemas(Problem, ResultDocument)),
    security(("basic" = []), ("bearer" = [])),
    modifiers(&Credentials),
)]
struct Frame;

/// The two ways to say who one is.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, description: &mut OpenApi) {
        let components = description.components.get_or_insert_default();
        for (name, scheme) in [("basic", HttpAuthScheme::Basic), ("bearer", HttpAuthScheme::Bearer)] {
            let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
            components.add_security_scheme(name, scheme);
        }
    }
}

/// What stands in the description before any route.
pub(super) fn frame() -> OpenApi {
    <Frame as utoipa::OpenApi>::openapi()
}

/// The routes of the description and its page.
pub(super) fn routes(description: &OpenApi) -> Router<Door> {
    // A description that can not be written is a bug that the tests find; the server goes on without it.
    let document = Bytes::from(serde_json::to_vec(description).unwrap_or_default());
    Router::new()
        .route("/v1/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], document.clone())))
        .route("/", get(async || Redirect::to("/docs")))
        .route("/docs", get(async || page("text/html; charset=utf-8", PAGE)))
        .route("/docs/page.js", get(async || page("text/javascript; charset=utf-8", SCRIPT)))
        .route("/docs/page.css", get(async || page("text/css; charset=utf-8", STYLE)))
}

fn page(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, PAGE_POLICY)], text).into_response()
}

/// The rows of a statement, in every format.
pub(super) struct Rows;

impl IntoResponses for Rows {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let headers = [
            ("X-Query-Id", "The query's id"),
            (
                "X-Cache",
                "`hit`: from the result cache, as a run would answer. `stale`: from the cache, within `max_staleness_ms`. \
                `miss`: from a run; the result is kept unless it is too large. `bypass`: from a run; nothing is kept",
            ),
            ("Age", "Seconds since the data were looked at, of an answer from the cache"),
            (
                "ETag",
                "The answer's tag, for `If-None-Match`; of statements whose answer depends on versioned data alone",
            ),
            ("Vary", "The headers of the request that the answer depends on"),
        ];
        let response = ResponseBuilder::new().description("The rows, in the format of `Accept` or `format`");
        let response = headers.into_iter().fold(response, |response, (name, description)| {
            let text = Object::with_type(Type::String);
            response.header(name, HeaderBuilder::new().schema(Some(text)).description(Some(description)).build())
        });
        let response = Format::media_types().fold(response, |response, media_type| {
            let content = match media_type {
                "application/json" => ContentBuilder::new().schema(Some(Ref::from_schema_name("ResultDocument"))),
                _ => ContentBuilder::new(),
            };
            response.content(media_type, content.build())
        });
        BTreeMap::from([("200".to_owned(), RefOr::T(response.build()))])
    }
}

/// How any request can fail.
pub(super) struct Failures;

impl IntoResponses for Failures {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            ("400", "The request is malformed"),
            ("401", "Credentials are missing or wrong"),
            ("403", "The principal may not do this"),
            ("404", "There is no such thing"),
            (
                "429",
                "Too many queries, sessions or logins; retry after `Retry-After`. `RateLimit-Limit` tells how many are allowed, `RateLimit-Remaining` that none is left, `RateLimit-Reset` in how many seconds a retry is worth it",
            ),
            ("500", "A bug of the server"),
            ("503", "The server is about to stop; retry after `Retry-After`"),
            ("default", "Another failure"),
        ])
    }
}

/// How a statement can fail, beyond [`Failures`].
pub(super) struct StatementFailures;

impl IntoResponses for StatementFailures {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            ("406", "No format that the client accepts is offered"),
            ("408", "The body of the request did not arrive in time"),
            ("409", "What is to be made exists, or the `Idempotency-Key` was used for another request"),
            ("413", "The body of the request is too large"),
            ("415", "A statement can not be sent in this media type, or compressed"),
            ("422", "The data contradict the statement, or the result is larger than its limit"),
            ("499", "Somebody cancelled the query"),
            ("501", "Valid SQL that the server does not implement"),
            ("502", "Storage outside of the server failed"),
            ("504", "The statement's deadline passed"),
            ("507", "Memory or disk is exhausted"),
        ])
    }
}

fn problems(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let problem = |description: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        RefOr::T(ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build())
    };
    list.iter().map(|(status, description)| ((*status).to_owned(), problem(description))).collect()
}
