use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use tidemill_engine::catalog::{
    ColumnInfo, ConstraintInfo, ConstraintKind, FunctionInfo, FunctionKind, NodeInfo, TableDetail, TableEntryInfo,
    TableKind, TableStatus,
};
use tidemill_engine::query::{StageInfo, Stages, TaskInfo};
use tidemill_engine::session::SessionInfo;
use tidemill_engine::{Autoscale, QueryInfo};
use utoipa::PartialSchema;

use super::*;

/// Asserts that a document has exactly the members of what the engine makes.
fn same<T: PartialSchema>(made: impl Serialize) {
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let schema = serde_json::to_value(T::schema()).unwrap();
    let name = std::any::type_name::<T>();
    assert_eq!(keys(&schema["properties"]), keys(&serde_json::to_value(made).unwrap()), "{name}");
}

fn query() -> QueryInfo {
    serde_json::from_value(json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "state": "failed", "sql": "x", "kind": null, "principal": "ann",
        "session_id": "s", "door": "http", "client": null, "address": null, "traceparent": null, "tags": {},
        "queue_position": null, "runner": null,
        "timings": {
            "submitted_at": "2026-01-01T00:00:00Z", "started_at": null, "finished_at": null, "planning_ms": 0.0,
            "queued_ms": 0.0, "running_ms": 0.0, "elapsed_ms": 0.0,
        },
        "progress": tidemill_engine::query::Progress::default(),
        "error": { "code": "X", "sqlstate": "X", "message": "x", "hint": null, "retryable": false },
        "result": { "rows": 0, "bytes": 0, "parts": 1, "expires_at": null },
    }))
    .unwrap()
}

#[test]
fn documents_of_queries() {
    let info = query();
    same::<QueryTimings>(&info.timings);
    same::<QueryProgress>(&info.progress);
    same::<QueryError>(&info.error);
    let document = serde_json::to_value(crate::http::routes::queries::StatusDocument::of(info, None)).unwrap();
    same::<KeptResult>(&document["result"]);
    same::<QueryLinks>(&document["links"]);
    same::<QueryStatus>(&document);
}

#[test]
fn documents_of_sessions() {
    same::<SessionStatus>(SessionInfo {
        id: String::new(),
        principal: String::new(),
        catalog: String::new(),
        schema: String::new(),
        time_zone: String::new(),
        created_at: Utc::now(),
        last_used_at: Utc::now(),
        expires_at: Utc::now(),
        settings: BTreeMap::new(),
        prepared_statements: Vec::new(),
        temporary_views: Vec::new(),
        running_queries: 0,
    });
}

#[test]
fn documents_of_catalogs() {
    let (kind, status) = (TableKind::Memory, TableStatus::Open);
    same::<TableEntry>(TableEntryInfo { name: String::new(), kind, status, error: None });
    let detail = TableDetail {
        arrow_schema: None,
        catalog: String::new(),
        schema: String::new(),
        name: String::new(),
        kind,
        status,
        error: None,
        columns: Vec::new(),
        constraints: Vec::new(),
        rows: None,
        bytes: None,
        location: Vec::new(),
        definition: None,
    };
    same::<Table>(crate::http::routes::catalogs::TableDocument {
        detail,
        statistics: Some(Statistics::default()),
        sample: Some(Vec::new()),
    });
    same::<Column>(ColumnInfo {
        name: String::new(),
        sql_type: String::new(),
        arrow_type: String::new(),
        nullable: true,
        default: None,
        comment: None,
    });
    same::<Constraint>(ConstraintInfo {
        name: String::new(),
        kind: ConstraintKind::PrimaryKey,
        columns: Vec::new(),
        check: None,
    });
    same::<Function>(FunctionInfo {
        name: String::new(),
        kind: FunctionKind::Scalar,
        arguments: String::new(),
        return_type: None,
        description: None,
        example: None,
    });
}

#[test]
fn documents_of_stages() {
    let stages = Stages { stages: vec![StageInfo::default()], tasks: vec![TaskInfo::default()], ..Stages::default() };
    same::<Stage>(&stages.stages[0]);
    same::<Task>(&stages.tasks[0]);
    same::<QueryStages>(stages);
}

#[test]
fn documents_of_nodes() {
    same::<Node>(NodeInfo {
        id: String::new(),
        role: String::new(),
        address: None,
        version: String::new(),
        state: String::new(),
        cpu_threads: 1,
        slots: 1,
        slots_free: 1,
        tasks_running: 0,
        memory_limit_bytes: 0,
        memory_used_bytes: 0,
        disk_limit_bytes: 0,
        disk_used_bytes: 0,
        started_at: Utc::now(),
        last_seen: Utc::now(),
    });
    same::<SlotDemand>(Autoscale {
        desired_slots: 0,
        slots: 1,
        slots_free: 1,
        queries_running: 0,
        queries_queued: 0,
        tasks_running: 0,
        tasks_pending: 0,
        backlog_seconds: 0.0,
        target_seconds: 5.0,
    });
}
