//! `/v1/queries/{id}/logs`: what happened to a query, in order of time.

use std::fmt::Write;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use tidemill_engine::{QueryInfo, QueryState};
use utoipa::ToSchema;

use super::{find, parse};
use crate::http::client::Client;
use crate::http::door::Door;
use crate::http::path::PathParams;
use crate::http::problem::{self, Problem};
use crate::http::respond;
use crate::http::routes::openapi::Failures;

/// The log of a query.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryLog {
    /// What happened so far, oldest first.
    events: Vec<LogEvent>,
}

/// Something that happened to a query.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogEvent {
    /// When.
    at: DateTime<Utc>,
    /// `info`, or `error` for what made the query fail.
    level: &'static str,
    /// The state that the query entered: `received`, `queued`, `running`, `finished`, `failed` or `cancelled`.
    state: &'static str,
    /// What happened, in words.
    message: String,
}

/// The log of a query: its changes of state and why it failed, as JSON or as text.
#[utoipa::path(get, path = "/v1/queries/{id}/logs", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "What happened so far", content((QueryLog = "application/json"), (String = "text/plain"))),
        Failures,
    ))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse(&id, &client)?;
    let mut info = find(&door, &client, id).await?;
    if let Some(error) = &mut info.error {
        problem::conceal(error);
    }
    let log = QueryLog::of(&info);
    Ok(if respond::accepts(&headers, "text/plain") { log.text().into_response() } else { Json(log).into_response() })
}

impl QueryLog {
    fn of(info: &QueryInfo) -> Self {
        let timings = &info.timings;
        let client = info.client.as_deref().or(info.address.as_deref()).unwrap_or("an unnamed client");
        let mut events =
            vec![event(timings.submitted_at, QueryState::Received, format!("from {client} over {}", info.door))];
        // Planning is over once its length is known; a query that failed on the way has its time up to the failure.
        if timings.planning_ms > 0.0 && (timings.started_at.is_some() || info.state == QueryState::Queued) {
            let at = timings.submitted_at + span(timings.planning_ms);
            events.push(event(at, QueryState::Queued, format!("planned in {:.3} ms", timings.planning_ms)));
        }
        if let Some(at) = timings.started_at {
            let runner = info.runner.as_deref().unwrap_or("unknown");
            let message = format!("on runner '{runner}' after {:.3} ms in the queue", timings.queued_ms);
            events.push(event(at, QueryState::Running, message));
        }
        if let Some(at) = timings.finished_at.filter(|_| info.state.is_final()) {
            events.push(event(at, info.state, ending(info)));
        }
        Self { events }
    }

    /// One line per event.
    fn text(&self) -> String {
        let mut text = String::new();
        for LogEvent { at, level, state, message } in &self.events {
            let (at, message) = (at.to_rfc3339_opts(SecondsFormat::Millis, true), message.replace(['\n', '\r'], " "));
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{at} {level} {state}: {message}");
        }
        text
    }
}

fn event(at: DateTime<Utc>, state: QueryState, message: String) -> LogEvent {
    let level = if state == QueryState::Failed { "error" } else { "info" };
    LogEvent { at, level, state: state.name(), message }
}

fn ending(info: &QueryInfo) -> String {
    match &info.error {
        Some(error) => format!("{}: {}", error.code, error.message),
        None => {
            let (rows, running) = (info.progress.rows_produced, info.timings.running_ms);
            format!("{rows} rows in {running:.3} ms")
        }
    }
}

fn span(milliseconds: f64) -> TimeDelta {
    let span = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
    TimeDelta::from_std(span).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(state: &str, started_at: Option<&str>, error: Option<serde_json::Value>) -> QueryInfo {
        serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057", "state": state, "sql": "x", "kind": null, "principal": "ann",
            "session_id": "s", "door": "http", "client": "curl/8", "address": null, "traceparent": null, "tags": {},
            "queue_position": null, "runner": "local", "result": null, "error": error,
            "timings": {
                "submitted_at": "2026-01-01T00:00:00Z", "started_at": started_at,
                "finished_at": "2026-01-01T00:00:03Z", "planning_ms": 1500.0, "queued_ms": 500.0,
                "running_ms": 1000.0, "elapsed_ms": 3000.0,
            },
            "progress": tidemill_engine::query::Progress { rows_produced: 7, ..Default::default() },
        }))
        .unwrap()
    }

    #[test]
    fn a_query_that_finished_went_through_all_states() {
        let log = QueryLog::of(&info("finished", Some("2026-01-01T00:00:02Z"), None));
        let expected = "\
2026-01-01T00:00:00.000Z info received: from curl/8 over http
2026-01-01T00:00:01.500Z info queued: planned in 1500.000 ms
2026-01-01T00:00:02.000Z info running: on runner 'local' after 500.000 ms in the queue
2026-01-01T00:00:03.000Z info finished: 7 rows in 1000.000 ms
";
        assert_eq!(log.text(), expected);
    }

    #[test]
    fn a_query_that_could_not_be_planned_says_why() {
        let error = json!({
            "code": "SYNTAX_ERROR", "sqlstate": "42601", "message": "expected\na table", "hint": null, "retryable": false,
        });
        let log = QueryLog::of(&info("failed", None, Some(error)));
        assert!(log.text().ends_with("00:00:03.000Z error failed: SYNTAX_ERROR: expected a table\n"));
        assert_eq!(log.events.len(), 2);
    }
}
