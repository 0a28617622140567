//! A query as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, stream};
use tidemill_engine::QueryInfo;
use tokio::time::timeout;

use super::StatusDocument;
use crate::http::client::Client;
use crate::http::door::Door;

/// The time between two events while nothing but progress changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Whoever watches a query.
struct Watch {
    door: Door,
    client: Client,
    /// What was told last; absent before the first event.
    told: Option<QueryInfo>,
    /// What to tell first.
    first: Option<QueryInfo>,
}

/// A stream of events: `progress` until the query ends, then `end`. It breaks off when the server stops.
pub(super) fn stream(door: Door, client: Client, info: QueryInfo) -> Response {
    let watch = Watch { door, client, told: None, first: Some(info) };
    Sse::new(stream::unfold(watch, Watch::next)).keep_alive(KeepAlive::default()).into_response()
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let info = match self.first.take() {
            Some(info) => info,
            None => self.changed().await?,
        };
        let name = if info.state.is_final() { "end" } else { "progress" };
        self.told = Some(info.clone());
        let event = Event::default().event(name).json_data(StatusDocument::new(&self.door, info)).ok()?;
        Some((Ok(event), self))
    }

    /// The query after its state changed or a moment passed; `None` when there is nothing more to tell.
    async fn changed(&self) -> Option<QueryInfo> {
        let told = self.told.as_ref().filter(|told| !told.state.is_final())?;
        let queries = self.door.engine.queries();
        if let Some(handle) = queries.living(&self.client.principal, told.id) {
            // Progress is told also when the state stays.
            let moment = timeout(INTERVAL, handle.changed(told.state)).map(drop);
            self.client.draining.run_until_cancelled(moment).await?;
        }
        queries.get(&self.client.principal, told.id).await.ok()
    }
}
