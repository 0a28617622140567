//! `/v1/catalogs`: what there is to query.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_engine::catalog::{TableDetail, TableEntryInfo, TableStatus};
use utoipa::{IntoParams, ToSchema};

use super::openapi::Failures;
use crate::http::client::Client;
use crate::http::documents::{Table, TableEntry};
use crate::http::door::Door;
use crate::http::path::PathParams;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;

mod sample;
mod statistics;

pub(crate) use statistics::Statistics;

/// What to look for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// Only names that contain this, in whatever case.
    q: Option<String>,
}

impl Search {
    pub(super) fn finds(&self, text: &str) -> bool {
        self.q.as_ref().is_none_or(|q| text.to_lowercase().contains(&q.to_lowercase()))
    }
}

/// A catalog or a schema in a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Named {
    /// Its name.
    name: String,
}

/// All catalogs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogList {
    /// Catalogs by name.
    catalogs: Vec<Named>,
}

/// One catalog.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Catalog {
    /// Its name.
    name: String,
    /// Its schemas by name, those that the server computes included.
    schemas: Vec<Named>,
}

/// The tables of a schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TableList {
    /// The catalog.
    catalog: String,
    /// The schema.
    schema: String,
    /// Tables by name. None of them was opened for this listing.
    #[schema(value_type = Vec<TableEntry>)]
    tables: Vec<TableEntryInfo>,
}

/// One table.
#[derive(Debug, Serialize)]
pub(crate) struct TableDocument {
    #[serde(flatten)]
    pub(crate) detail: TableDetail,
    /// What is known of its contents, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statistics: Option<Statistics>,
    /// Some of its rows, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<Vec<Value>>,
}

/// What to tell of a table.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableParams {
    /// What is known of its contents without a query too: rows, bytes, and of each column the missing and the different
    /// values, the least and the greatest. Files are asked for their footers.
    stats: bool,
    /// Some of its rows too: at most this many, from 1 to 100. They are read by a query of the caller's.
    #[param(minimum = 1, maximum = 100)]
    sample: Option<u64>,
}

/// List catalogs.
#[utoipa::path(get, path = "/v1/catalogs", tag = "catalogs", params(Search),
    responses((status = 200, description = "Catalogs", body = CatalogList), Failures))]
pub(crate) async fn list(
    State(door): State<Door>,
    QueryString(search): QueryString<Search>,
    client: Client,
) -> Json<CatalogList> {
    let names = door.engine.catalogs().catalog_names(&client.principal);
    Json(CatalogList { catalogs: search.named(names) })
}

/// Look at a catalog.
#[utoipa::path(get, path = "/v1/catalogs/{catalog}", tag = "catalogs", params(("catalog" = String, Path, description = "The catalog"), Search),
    responses((status = 200, description = "The catalog with its schemas", body = Catalog), Failures))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(name): PathParams<String>,
    QueryString(search): QueryString<Search>,
    client: Client,
) -> Result<Json<Catalog>, Problem> {
    let schemas = door.engine.catalogs().schema_names(&client.principal, &name);
    let schemas = search.named(schemas.map_err(|error| client.path_problem(&error))?);
    Ok(Json(Catalog { name, schemas }))
}

/// List the schemas of a catalog.
#[utoipa::path(get, path = "/v1/catalogs/{catalog}/schemas", tag = "catalogs", params(("catalog" = String, Path, description = "The catalog"), Search),
    responses((status = 200, description = "The catalog with its schemas", body = Catalog), Failures))]
pub(crate) async fn schemas(
    door: State<Door>,
    name: PathParams<String>,
    search: QueryString<Search>,
    client: Client,
) -> Result<Json<Catalog>, Problem> {
    get(door, name, search, client).await
}

/// Look at a schema.
#[utoipa::path(get, path = "/v1/catalogs/{catalog}/schemas/{schema}", tag = "catalogs",
    params(("catalog" = String, Path, description = "The catalog"), ("schema" = String, Path, description = "The schema"), Search),
    responses((status = 200, description = "The schema with its tables", body = TableList), Failures))]
pub(crate) async fn schema(
    State(door): State<Door>,
    PathParams((catalog, schema)): PathParams<(String, String)>,
    QueryString(search): QueryString<Search>,
    client: Client,
) -> Result<Json<TableList>, Problem> {
    let tables = door.engine.catalogs().tables(&client.principal, &catalog, &schema).await;
    let mut tables = tables.map_err(|error| client.path_problem(&error))?;
    tables.retain(|table| search.finds(&table.name));
    Ok(Json(TableList { catalog, schema, tables }))
}

/// List the tables of a schema.
#[utoipa::path(get, path = "/v1/catalogs/{catalog}/schemas/{schema}/tables", tag = "catalogs",
    params(("catalog" = String, Path, description = "The catalog"), ("schema" = String, Path, description = "The schema"), Search),
    responses((status = 200, description = "The schema with its tables", body = TableList), Failures))]
pub(crate) async fn tables(
    door: State<Door>,
    path: PathParams<(String, String)>,
    search: QueryString<Search>,
    client: Client,
) -> Result<Json<TableList>, Problem> {
    schema(door, path, search, client).await
}

/// Look at a table.
///
/// A table that can not be opened is told about with its error.
#[utoipa::path(get, path = "/v1/catalogs/{catalog}/schemas/{schema}/tables/{table}", tag = "catalogs",
    params(
        ("catalog" = String, Path, description = "The catalog"),
        ("schema" = String, Path, description = "The schema"),
        ("table" = String, Path, description = "The table"),
        TableParams,
    ),
    responses((status = 200, description = "The table with its columns", body = Table), Failures))]
pub(crate) async fn table(
    State(door): State<Door>,
    PathParams((catalog, schema, table)): PathParams<(String, String, String)>,
    QueryString(params): QueryString<TableParams>,
    client: Client,
) -> Result<Json<TableDocument>, Problem> {
    let rows = sample::checked(params.sample).map_err(|error| client.path_problem(&error))?;
    let session = door.engine.ephemeral_session(client.principal.clone());
    let detail = session.table_detail(&catalog, &schema, &table).await;
    let detail = detail.map_err(|error| client.path_problem(&error))?;
    let whole = detail.status != TableStatus::Broken;
    let statistics = match params.stats && whole {
        true => Some(statistics::of_table(&session, &detail, &client).await?),
        false => None,
    };
    let sample = match rows.filter(|_| whole) {
        Some(rows) => Some(sample::of_table(&session, &detail, rows, &client).await?),
        None => None,
    };
    Ok(Json(TableDocument { detail, statistics, sample }))
}

impl Search {
    fn named(&self, names: Vec<String>) -> Vec<Named> {
        names.into_iter().filter(|name| self.finds(name)).map(|name| Named { name }).collect()
    }
}
