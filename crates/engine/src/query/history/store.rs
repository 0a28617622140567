//! The database of history: how it is opened, and its statements.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Entry, HistoryFilter, Profile};
use crate::data_dir;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::query::{ErrorInfo, QueryId, QueryInfo, QueryState, Stages};

/// The version of the tables and of the JSON in them. A field of [`QueryInfo`] that older rows lack and that is neither
/// optional nor defaulted needs a new one, and a step in [`migrate`].
const VERSION: i64 = 2;

/// Ids are UUIDv7 as 16 bytes, so that their order is that of arrival. The long texts come last: a listing that does
/// not ask for them never reads their pages.
const TABLES: &str = "
    CREATE TABLE query (
        id           BLOB    NOT NULL PRIMARY KEY,
        state        TEXT    NOT NULL,
        principal    TEXT    NOT NULL,
        submitted_at INTEGER NOT NULL, -- milliseconds since 1970
        info         TEXT    NOT NULL, -- JSON
        plan         TEXT    NOT NULL,
        profile      TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX query_state ON query (state, id);
    CREATE INDEX query_principal ON query (principal, id);
    CREATE INDEX query_submitted_at ON query (submitted_at);
";

/// The second version: stages and tasks as JSON, empty for queries that ended before.
const STAGES: &str = "ALTER TABLE query ADD COLUMN stages TEXT NOT NULL DEFAULT ''";

/// The write-ahead log is cut to this when it was folded into the database, in bytes.
const MAX_LOG_BYTES: i64 = 16 << 20;

/// How long a reader waits while the writer checkpoints.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

enum OpenError {
    Sqlite(rusqlite::Error),
    Newer(i64),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Opens the database for the writer, creating it if needed; a corrupt one is moved aside and a fresh one takes its place,
/// because a server without its past is better than no server.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let opened = match connect(path)? {
        Err(OpenError::Sqlite(error)) if is_corrupt(&error) => {
            let aside = move_aside(path)?;
            tracing::error!(
                database = %path.display(), moved_to = %aside.display(), %error,
                "query history is corrupt, starting with an empty one"
            );
            connect(path)?
        }
        opened => opened,
    };
    opened.map_err(|error| match error {
        OpenError::Sqlite(error) => failure(&format!("cannot open query history '{}'", path.display()), error),
        OpenError::Newer(found) => Error::new(
            ErrorKind::Conflict,
            format!(
                "query history '{}' has version {found}, but this server knows versions up to {VERSION}",
                path.display()
            ),
        )
        .hint("start the newer server again, or move the file away to begin with an empty history"),
    })
}

/// A connection that can only read.
pub(super) fn open_read_only(path: &Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| connection.busy_timeout(BUSY_TIMEOUT).map(|()| connection))
        .map_err(|error| failure(&format!("cannot read query history '{}'", path.display()), error))
}

fn connect(path: &Path) -> Result<Result<Connection, OpenError>> {
    // SQLite gives its log and index files the mode of the database.
    data_dir::touch(path)
        .map_err(|error| data_dir::failure(&format!("cannot create query history '{}'", path.display()), error))?;
    Ok(prepare(path))
}

fn prepare(path: &Path) -> Result<Connection, OpenError> {
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(OpenError::Newer(version));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With a write-ahead log, NORMAL loses nothing when the process dies; only a power cut can take the last moments.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
    let transaction = connection.transaction()?;
    migrate(&transaction, version)?;
    mark_interrupted(&transaction)?;
    transaction.commit()?;
    Ok(connection)
}

fn migrate(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    if from < 1 {
        transaction.execute_batch(TABLES)?;
    }
    if from < 2 {
        transaction.execute_batch(STAGES)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)
}

/// The directory is ours alone, so a query that is stored as running died with an earlier server.
fn mark_interrupted(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut select = transaction.prepare(&format!("SELECT id, info, stages FROM query WHERE {}", unended()))?;
    let left: Vec<(Value, String, String)> =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<rusqlite::Result<_>>()?;
    for (id, json, stages) in left {
        if let Some(mut info) = parse::<QueryInfo>(&json) {
            // It was alive then; what it did later, nobody knows.
            let elapsed = TimeDelta::milliseconds(info.timings.elapsed_ms as i64);
            let ended_at = info.timings.submitted_at + elapsed;
            info.state = QueryState::Failed;
            info.error = Some(ErrorInfo::interrupted());
            info.queue_position = None;
            info.progress.memory_bytes = 0;
            info.timings.finished_at = Some(ended_at);
            let stages = match parse::<Stages>(&stages) {
                Some(stages) => render(&stages.interrupted(ended_at))?,
                None => stages,
            };
            let update = "UPDATE query SET state = ?2, info = ?3, stages = ?4 WHERE id = ?1";
            transaction.execute(update, params![id, info.state.name(), render(&info)?, stages])?;
        } else {
            transaction.execute("DELETE FROM query WHERE id = ?1", [id])?;
        }
    }
    Ok(())
}

/// Stores a query that has arrived.
pub(super) fn insert_started(transaction: &Transaction<'_>, info: &QueryInfo) -> rusqlite::Result<()> {
    upsert(transaction, info, &Profile::default(), "")
}

/// Stores how a query is that has not ended.
pub(super) fn update_running(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let Entry { info, profile, stages } = entry;
    let mut statement = transaction.prepare_cached(&format!(
        "UPDATE query SET state = ?2, info = ?3, plan = ?4, profile = ?5, stages = ?6 WHERE id = ?1 AND {}",
        unended()
    ))?;
    statement.execute(params![
        info.id.as_uuid().as_bytes().as_slice(),
        info.state.name(),
        render(info)?,
        profile.plan,
        profile.profile,
        render(stages.as_ref())?
    ])?;
    Ok(())
}

/// Stores a query that has ended, in place of its row as it arrived.
pub(super) fn insert_ended(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    upsert(transaction, &entry.info, &entry.profile, &render(entry.stages.as_ref())?)
}

fn upsert(transaction: &Transaction<'_>, info: &QueryInfo, profile: &Profile, stages: &str) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO query (id, state, principal, submitted_at, info, plan, profile, stages)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, principal = excluded.principal,
             submitted_at = excluded.submitted_at, info = excluded.info, plan = excluded.plan, profile = excluded.profile,
             stages = excluded.stages",
    )?;
    statement.execute(params![
        info.id.as_uuid().as_bytes().as_slice(),
        info.state.name(),
        info.principal,
        info.timings.submitted_at.timestamp_millis(),
        render(info)?,
        profile.plan,
        profile.profile,
        stages
    ])?;
    Ok(())
}

/// Removes a query.
pub(super) fn delete(transaction: &Transaction<'_>, id: QueryId) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM query WHERE id = ?1")?.execute([id.as_uuid().as_bytes().as_slice()])?;
    Ok(())
}

/// Deletes queries that arrived before `oldest`, and all but the newest `keep`; at most `limit` for each reason.
/// Returns how many were deleted.
pub(super) fn prune(
    connection: &Connection,
    oldest: Option<DateTime<Utc>>,
    keep: usize,
    limit: usize,
) -> rusqlite::Result<usize> {
    let mut deleted = 0;
    if let Some(oldest) = oldest {
        deleted += connection.execute(
            "DELETE FROM query WHERE id IN (SELECT id FROM query WHERE submitted_at < ?1 LIMIT ?2)",
            params![oldest.timestamp_millis(), integer(limit)],
        )?;
    }
    deleted += connection.execute(
        "DELETE FROM query WHERE id IN (SELECT id FROM query ORDER BY id DESC LIMIT ?1 OFFSET ?2)",
        [integer(limit), integer(keep)],
    )?;
    Ok(deleted)
}

/// The ended query of this id.
pub(super) fn get(connection: &Connection, id: QueryId) -> rusqlite::Result<Option<QueryInfo>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT info FROM query WHERE id = ?1 AND NOT {}", unended()))?;
    let json: Option<String> =
        statement.query_row([id.as_uuid().as_bytes().as_slice()], |row| row.get(0)).optional()?;
    Ok(json.as_deref().and_then(parse))
}

/// How the ended query of this id was run.
pub(super) fn profile(connection: &Connection, id: QueryId) -> rusqlite::Result<Option<Profile>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT plan, profile FROM query WHERE id = ?1 AND NOT {}", unended()))?;
    statement
        .query_row([id.as_uuid().as_bytes().as_slice()], |row| Ok(Profile { plan: row.get(0)?, profile: row.get(1)? }))
        .optional()
}

/// The stages of the ended query of this id.
pub(super) fn stages(connection: &Connection, id: QueryId) -> rusqlite::Result<Option<Stages>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT stages FROM query WHERE id = ?1 AND NOT {}", unended()))?;
    let json: Option<String> =
        statement.query_row([id.as_uuid().as_bytes().as_slice()], |row| row.get(0)).optional()?;
    Ok(json.map(|json| parse(&json).unwrap_or_default()))
}

/// The newest queries that ended, oldest first, with all that is known of them.
pub(super) fn newest(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare(&format!(
        "SELECT info, plan, profile, stages FROM query WHERE NOT {} ORDER BY id DESC LIMIT ?1",
        unended()
    ))?;
    let rows = statement.query_map([integer(limit)], |row| {
        let (info, stages): (String, String) = (row.get(0)?, row.get(3)?);
        let profile = Profile { plan: row.get(1)?, profile: row.get(2)? };
        let stages = Arc::new(parse(&stages).unwrap_or_default());
        Ok(parse(&info).map(|info| Entry { info, profile, stages }))
    })?;
    let mut found = rows.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()?;
    found.reverse();
    Ok(found)
}

/// Ended queries, newest first. Rows that this version cannot read are left out.
pub(super) fn list(connection: &Connection, filter: &HistoryFilter) -> rusqlite::Result<Vec<QueryInfo>> {
    let mut sql = format!("SELECT info FROM query WHERE NOT {}", unended());
    let mut values: Vec<Value> = Vec::new();
    if !filter.states.is_empty() {
        sql.push_str(&format!(" AND state IN ({})", vec!["?"; filter.states.len()].join(", ")));
        values.extend(filter.states.iter().map(|state| Value::from(state.name().to_owned())));
    }
    if let Some(principal) = &filter.principal {
        sql.push_str(" AND principal = ?");
        values.push(Value::from(principal.clone()));
    }
    if let Some(since) = filter.since {
        // Without an index: most listings end early in the order of ids, which this must not trade for a sort.
        sql.push_str(" AND +submitted_at >= ?");
        values.push(Value::from(since.timestamp_millis()));
    }
    if let Some(before) = filter.before {
        sql.push_str(" AND id < ?");
        values.push(Value::from(before.as_uuid().as_bytes().to_vec()));
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(Value::from(integer(filter.limit)));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
    rows.filter_map(|row| row.map(|json| parse(&json)).transpose()).collect()
}

/// Whether SQLite says that the file is damaged, or none of its own.
fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// A failure of the database, with what was tried.
pub(super) fn failure(tried: &str, error: rusqlite::Error) -> Error {
    let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let (kind, subject) =
        if full { (ErrorKind::Resources, Subject::Disk) } else { (ErrorKind::Storage, Subject::File) };
    Error::new(kind, format!("{tried}: {error}")).about(subject).caused_by(error)
}

/// Moves the database and its log to the first free name.
fn move_aside(path: &Path) -> Result<PathBuf> {
    let suffixed = |base: &Path, suffix: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let failed = |error| data_dir::failure(&format!("cannot move corrupt '{}' aside", path.display()), error);
    let mut number = 1_u64;
    let aside = loop {
        let candidate = suffixed(path, &format!(".corrupt-{number}"));
        if !candidate.try_exists().map_err(failed)? {
            break candidate;
        }
        number += 1;
    };
    std::fs::rename(path, &aside).map_err(failed)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(suffixed(path, suffix), suffixed(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}

/// The condition that a query has not ended.
fn unended() -> String {
    let states: Vec<String> =
        QueryState::ALL.iter().filter(|state| !state.is_final()).map(|state| format!("'{}'", state.name())).collect();
    format!("state IN ({})", states.join(", "))
}

fn render(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn parse<T: DeserializeOwned>(json: &str) -> Option<T> {
    if json.is_empty() {
        return None;
    }
    serde_json::from_str(json).inspect_err(|error| tracing::warn!(%error, "unreadable row in query history")).ok()
}

/// SQLite counts in 64 signed bits.
fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
