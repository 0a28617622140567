//! What can be said of sessions and settings, as plain data.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::plan::{Effect, StatementKind};

/// A session at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct SessionInfo {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// The catalog of unqualified names.
    pub catalog: String,
    /// The schema of unqualified names.
    pub schema: String,
    /// The time zone of timestamps.
    pub time_zone: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was last used.
    pub last_used_at: DateTime<Utc>,
    /// When it closes unless it is used.
    pub expires_at: DateTime<Utc>,
    /// Settings that differ from the server's defaults.
    pub settings: BTreeMap<String, String>,
    /// Names of its prepared statements.
    pub prepared_statements: Vec<String>,
    /// Names of its temporary views.
    pub temporary_views: Vec<String>,
    /// Its queries that have not ended.
    pub running_queries: u64,
}

/// A session setting, as `SHOW ALL` and `system.settings` list it.
#[derive(Debug, Clone, Serialize)]
pub struct SettingInfo {
    /// Its name.
    pub name: String,
    /// Other names that it is set by.
    pub aliases: &'static [&'static str],
    /// Its value in this session.
    pub value: String,
    /// Its value unless set.
    pub default: String,
    /// `text`, `integer`, `boolean`, `duration`, `size` or the list of accepted words.
    pub kind: String,
    /// What it does.
    pub description: String,
}

/// What planning says of a statement that did not run.
#[derive(Debug, Clone)]
pub struct Validation {
    /// What sort of statement it is.
    pub kind: StatementKind,
    /// What is different after it.
    pub effect: Effect,
    /// The schema of its result.
    pub schema: SchemaRef,
    /// Full names of the tables it touches.
    pub tables: Vec<String>,
    /// Its parameters with their types, where known.
    pub parameters: Vec<(String, Option<DataType>)>,
    /// Rows of the result, as far as statistics tell.
    pub estimated_rows: Option<u64>,
    /// Bytes of the result, as far as statistics tell.
    pub estimated_bytes: Option<u64>,
    /// The optimized logical plan as text; empty for commands.
    pub plan: String,
}

/// What a statement would answer and change, before it runs.
#[derive(Debug, Clone)]
pub struct Description {
    /// What sort of statement it is.
    pub kind: StatementKind,
    /// The schema of its result on the wire; without columns if it has none.
    pub schema: SchemaRef,
    /// Its parameters with their types, where known, in the order of their numbers.
    pub parameters: Vec<(String, Option<DataType>)>,
    /// Whether anything is different afterwards: it must run once, however often its result is asked for.
    pub effects: bool,
    /// Whether it changes the session that runs it, which must then outlive the request.
    pub changes_session: bool,
}

impl Validation {
    pub(crate) fn of(kind: StatementKind, effect: Effect, schema: SchemaRef) -> Self {
        Self {
            kind,
            effect,
            schema,
            tables: Vec::new(),
            parameters: Vec::new(),
            estimated_rows: None,
            estimated_bytes: None,
            plan: String::new(),
        }
    }
}
