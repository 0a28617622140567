//! What SQL can call, and who asks: `/v1/functions`, `/v1/me`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tidemill_engine::catalog::FunctionInfo;
use utoipa::ToSchema;

use super::catalogs::Search;
use super::openapi::Failures;
use crate::http::client::Client;
use crate::http::documents::Function;
use crate::http::door::Door;
use crate::http::query_string::QueryString;

/// Functions that SQL can call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunctionList {
    /// Functions by name.
    #[schema(value_type = Vec<Function>)]
    functions: Vec<FunctionInfo>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The name.
    name: String,
    /// `admin`, `writer` or `reader`.
    #[schema(value_type = String)]
    role: tidemill_engine::auth::Role,
    /// Whether it may create, change and drop.
    may_write: bool,
}

/// List functions.
#[utoipa::path(get, path = "/v1/functions", tag = "catalogs", params(Search),
    responses((status = 200, description = "Functions", body = FunctionList), Failures))]
pub(crate) async fn functions(
    State(door): State<Door>,
    QueryString(search): QueryString<Search>,
    _client: Client,
) -> Json<FunctionList> {
    let mut functions = door.engine.functions();
    functions.retain(|function| search.finds(&function.name));
    Json(FunctionList { functions })
}

/// Tell who asks.
#[utoipa::path(get, path = "/v1/me", tag = "server", responses((status = 200, description = "You", body = Me), Failures))]
pub(crate) async fn me(client: Client) -> Json<Me> {
    let principal = &client.principal;
    Json(Me { name: principal.name().to_owned(), role: principal.role(), may_write: principal.may_write() })
}
