//! One session of the corpus: in process, or through a door.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use sqllogictest::{AsyncDB, DBOutput};
use tidemill_engine::{QueryRequest, Session};
use tidemill_tests::TestServer;

use crate::flight_sql::FlightSession;
use crate::render::{self, ColumnKind};

/// A way into the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// `Session::query`, in process.
    Engine,
    /// `POST /v1/query` with a session.
    Http,
    /// Prepared statements of Flight SQL.
    FlightSql,
    /// `Session::query` of a coordinator: what can go to its workers does.
    Cluster,
}

impl Via {
    pub(crate) const ALL: [Self; 4] = [Self::Engine, Self::Http, Self::FlightSql, Self::Cluster];

    /// The name in `exceptions.toml`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Http => "http",
            Self::FlightSql => "flight_sql",
            Self::Cluster => "cluster",
        }
    }
}

/// What `$DATA` and `$TMP` stand for.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    data: String,
    scratch: String,
}

impl Places {
    pub(crate) fn new(data: &Path, scratch: &Path) -> Self {
        Self { data: data.to_string_lossy().into_owned(), scratch: scratch.to_string_lossy().into_owned() }
    }

    fn expand(&self, sql: &str) -> String {
        sql.replace("$DATA", &self.data).replace("$TMP", &self.scratch)
    }

    /// The other way round, in answers and errors, so that expectations hold on every machine.
    fn fold(&self, text: &str) -> String {
        text.replace(&self.scratch, "$TMP").replace(&self.data, "$DATA")
    }
}

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) sqlstate: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<tidemill_engine::Error> for Failure {
    fn from(error: tidemill_engine::Error) -> Self {
        Self { message: error.to_string(), sqlstate: Some(error.sqlstate().to_owned()) }
    }
}

/// A failure of the test itself rather than of the statement.
pub(crate) fn broken(what: &str, error: impl fmt::Display) -> Failure {
    Failure { message: format!("{what}: {error}"), sqlstate: None }
}

pub(crate) type Answer = (SchemaRef, Vec<RecordBatch>);

/// One session.
pub(crate) struct Connection {
    door: Door,
    places: Places,
    /// Outlives the session.
    _server: Arc<TestServer>,
}

enum Door {
    Engine(Arc<Session>),
    Cluster(Arc<Session>),
    Http(HttpSession),
    FlightSql(FlightSession),
}

/// Opens a session.
pub(crate) async fn connect(via: Via, server: Arc<TestServer>, places: Places) -> Result<Connection, Failure> {
    let door = match via {
        Via::Engine => Door::Engine(server.session()?),
        Via::Cluster => Door::Cluster(server.session()?),
        Via::Http => Door::Http(HttpSession::open(server.url("/")).await?),
        Via::FlightSql => Door::FlightSql(FlightSession::open(server.url("")).await?),
    };
    Ok(Connection { door, places, _server: server })
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = ColumnKind;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<ColumnKind>, Failure> {
        let sql = self.places.expand(sql);
        let answer = match &self.door {
            Door::Engine(session) => in_process(session, &sql).await,
            Door::Cluster(session) => in_cluster(session, &sql).await,
            Door::Http(session) => session.query(&sql).await,
            Door::FlightSql(session) => session.query(&sql).await,
        };
        let (schema, batches) =
            answer.map_err(|failure| Failure { message: self.places.fold(&failure.message), ..failure })?;
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = render::rows(&batches).map_err(|error| broken("cannot show the result", error))?;
        for value in rows.iter_mut().flatten() {
            *value = self.places.fold(value);
        }
        Ok(DBOutput::Rows { types: render::kinds(&schema), rows })
    }

    async fn shutdown(&mut self) {
        match &self.door {
            Door::Engine(_) | Door::Cluster(_) => {}
            Door::Http(session) => session.close().await,
            Door::FlightSql(session) => session.close().await,
        }
    }

    fn error_sql_state(failure: &Failure) -> Option<String> {
        failure.sqlstate.clone()
    }
}

/// By the workers; what they can not compute, and say so, is computed as a session that leaves it to the server would have it.
async fn in_cluster(session: &Arc<Session>, sql: &str) -> Result<Answer, Failure> {
    match in_process(session, sql).await {
        Err(failure) if failure.message.contains("the query can not run in the cluster") => {
            in_process(session, "SET runner = 'auto'").await?;
            let answer = in_process(session, sql).await;
            in_process(session, "RESET runner").await?;
            answer
        }
        answer => answer,
    }
}

/// The number that a statement answers.
pub(crate) async fn count(session: &Arc<Session>, sql: &str) -> Result<i64, Failure> {
    let (_, batches) = in_process(session, sql).await?;
    let column = batches.first().map(|batch| batch.column(0).as_primitive::<Int64Type>().clone());
    column.filter(|column| !column.is_empty()).map(|column| column.value(0)).ok_or_else(|| broken(sql, "no rows"))
}

async fn in_process(session: &Arc<Session>, sql: &str) -> Result<Answer, Failure> {
    let mut stream = session.query(QueryRequest::sql(sql)).await?;
    let schema = stream.schema();
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok((schema, batches))
}

/// A session over HTTP.
struct HttpSession {
    client: reqwest::Client,
    base: String,
    id: String,
}

impl HttpSession {
    async fn open(base: String) -> Result<Self, Failure> {
        let client = reqwest::Client::new();
        let response = client.post(format!("{base}v1/sessions")).json(&json!({})).send().await;
        let response = response.map_err(|error| broken("cannot open a session", error))?;
        let session: Value = response.json().await.map_err(|error| broken("cannot open a session", error))?;
        let id = session["id"].as_str().ok_or_else(|| broken("a session without an id", &session))?.to_owned();
        Ok(Self { client, base, id })
    }

    async fn query(&self, sql: &str) -> Result<Answer, Failure> {
        let id = tidemill_engine::QueryId::new().to_string();
        let request = self
            .client
            .post(format!("{}v1/query", self.base))
            .header("x-query-id", &id)
            .header("accept", "application/vnd.apache.arrow.stream")
            .json(&json!({ "sql": sql, "session_id": self.id }));
        let response = match request.send().await {
            Ok(response) => response,
            // An answer may break off before its first byte has left: the status of the query says why.
            Err(error) => return Err(self.failure_of(&id).await.unwrap_or_else(|| broken("no answer", error))),
        };
        if !response.status().is_success() {
            let status = response.status();
            let problem =
                response.json().await.map_err(|error| broken(&format!("status {status}, no problem"), error))?;
            return Err(problem_failure(&problem));
        }
        match response.bytes().await {
            Ok(body) => read_arrow(&body).map_err(|error| broken("not an Arrow stream", error)),
            // The stream broke off: the status of the query says why.
            Err(error) => Err(self.failure_of(&id).await.unwrap_or_else(|| broken("broken answer", error))),
        }
    }

    async fn failure_of(&self, query_id: &str) -> Option<Failure> {
        let url = format!("{}v1/queries/{query_id}", self.base);
        let status: Value = self.client.get(url).send().await.ok()?.json().await.ok()?;
        let message = status["error"]["message"].as_str()?.to_owned();
        Some(Failure { message, sqlstate: status["error"]["sqlstate"].as_str().map(str::to_owned) })
    }

    /// A session that can not be closed expires by itself.
    async fn close(&self) {
        let _ = self.client.delete(format!("{}v1/sessions/{}", self.base, self.id)).send().await;
    }
}

/// The problem document, in the words of the engine's own error.
fn problem_failure(problem: &Value) -> Failure {
    let mut message = problem["detail"].as_str().unwrap_or_default().to_owned();
    if let Some(best) = problem["did_you_mean"][0].as_str()
        && !message.contains("did you mean")
    {
        message += &format!("; did you mean '{best}'?");
    }
    if let (Some(line), Some(column)) = (problem["position"]["line"].as_u64(), problem["position"]["column"].as_u64())
        && !message.contains("(line ")
    {
        message += &format!(" (line {line}, column {column})");
    }
    Failure { message, sqlstate: problem["sqlstate"].as_str().map(str::to_owned) }
}

fn read_arrow(body: &[u8]) -> Result<Answer, arrow::error::ArrowError> {
    let reader = StreamReader::try_new(body, None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((schema, batches))
}
