//! The processes of the server: `/v1/nodes`, and how many of them the work asks for: `/v1/autoscale`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tidemill_engine::catalog::NodeInfo;
use tidemill_engine::{Autoscale, Error, Subject};
use utoipa::ToSchema;

use super::openapi::Failures;
use crate::http::client::Client;
use crate::http::documents::{Node, SlotDemand};
use crate::http::door::Door;
use crate::http::path::PathParams;
use crate::http::problem::Problem;

/// The processes of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeList {
    /// Nodes: this process first.
    #[schema(value_type = Vec<Node>)]
    nodes: Vec<NodeInfo>,
}

/// List the processes of the server.
#[utoipa::path(get, path = "/v1/nodes", tag = "server",
    responses((status = 200, description = "Nodes", body = NodeList), Failures))]
pub(crate) async fn list(State(door): State<Door>, _client: Client) -> Json<NodeList> {
    Json(NodeList { nodes: door.engine.nodes() })
}

/// Let a worker finish, for an admin.
///
/// It finishes its tasks, gets no more, and leaves when no query needs it. Asking twice does nothing more.
#[utoipa::path(post, path = "/v1/nodes/{id}/drain", tag = "server", params(("id" = String, Path, description = "The node's id")),
    responses((status = 202, description = "It takes no more tasks", body = Node), Failures))]
pub(crate) async fn drain(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<(StatusCode, Json<NodeInfo>), Problem> {
    let fail = |error: Error| client.path_problem(&error);
    door.engine.drain(&client.principal, &id).map_err(fail)?;
    let node = door.engine.nodes().into_iter().find(|node| node.id == id);
    // It may have left already.
    let node = node.ok_or_else(|| fail(Error::not_found(Subject::Node, format!("node '{id}' not found"))))?;
    Ok((StatusCode::ACCEPTED, Json(node)))
}

/// Tell how many slots the work at hand asks for.
///
/// The work that is left, as far as tasks like those that wait were measured, divided by the time in which it should be over
/// (`autoscale.target`). With a cluster, the work and the slots of the cluster; else those of the server itself.
#[utoipa::path(get, path = "/v1/autoscale", tag = "server",
    responses((status = 200, description = "Slots, wanted and present", body = SlotDemand), Failures))]
pub(crate) async fn autoscale(State(door): State<Door>, _client: Client) -> Json<Autoscale> {
    Json(door.engine.autoscale())
}
