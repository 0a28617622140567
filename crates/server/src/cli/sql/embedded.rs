//! A client of an engine in this process.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tidemill_engine::auth::{Principal, Role};
use tidemill_engine::{Engine, Error, Origin, QueryId, QueryRequest, Session};

use super::client::{Answer, Client, Listing, Progress};
use super::failure::{Failure, Fault, Place};
use super::scratch::Scratch;
use crate::app::open_engine;
use crate::cli::config::ConfigArgs;
use crate::config;

struct Embedded {
    engine: Arc<Engine>,
    session: Arc<Session>,
    running: Mutex<Option<QueryId>>,
    /// Where the engine keeps its data, until it stops.
    scratch: Mutex<Option<Scratch>>,
}

/// An engine in this process, and a session of it. Without `--data-dir` it leaves nothing behind, so that it never meets a
/// server that runs on the same configuration.
///
/// # Errors
/// The configuration does not hold, or the engine can not start.
pub(super) async fn open(from: &ConfigArgs) -> anyhow::Result<Arc<dyn Client>> {
    let mut sources = from.sources();
    let scratch = match from.data_dir {
        Some(_) => None,
        None => Some(Scratch::below(&std::env::temp_dir())?),
    };
    if let Some(scratch) = &scratch {
        scratch.sweep_around();
        sources = sources.flag("tidemill sql", "server.data_dir", scratch.data_dir().to_string_lossy());
    }
    let config = config::load(&sources)?;
    let engine = open_engine(&config).await?;
    let session = engine.ephemeral_session(Principal::new("local", Role::Admin));
    let running = Mutex::new(None);
    Ok(Arc::new(Embedded { engine, session, running, scratch: Mutex::new(scratch) }))
}

impl Embedded {
    async fn run_statement(&self, sql: &str) -> Result<Answer, Failure> {
        let id = QueryId::new();
        *self.running.lock() = Some(id);
        let mut request = QueryRequest::sql(sql);
        request.id = Some(id);
        request.origin = Origin { door: "cli".into(), ..Origin::default() };
        let stream = self.session.query(request).await?;
        Ok(Answer { schema: stream.schema(), batches: stream.map_err(Failure::from).boxed() })
    }

    async fn list(&self, listing: Listing<'_>) -> Option<Vec<String>> {
        let (catalogs, principal) = (self.engine.catalogs(), self.session.principal());
        Some(match listing {
            Listing::Catalogs => catalogs.catalog_names(principal),
            Listing::Schemas { catalog } => catalogs.schema_names(principal, catalog).ok()?,
            Listing::Tables { catalog, schema } => {
                let tables = catalogs.tables(principal, catalog, schema).await.ok()?;
                tables.into_iter().map(|table| table.name).collect()
            }
            Listing::Columns { catalog, schema, table } => {
                let table = self.session.table_detail(catalog, schema, table).await.ok()?;
                table.columns.into_iter().map(|column| column.name).collect()
            }
            Listing::TemporaryViews => self.session.info().temporary_views,
            Listing::Functions => self.engine.functions().into_iter().map(|function| function.name).collect(),
        })
    }
}

impl Client for Embedded {
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.run_statement(sql))
    }

    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let running = self.running.lock().take();
            if let Some(id) = running {
                // A query that has ended meanwhile needs no cancelling.
                let _ = self.engine.queries().cancel(self.session.principal(), id, "interrupted by the user").await;
            }
        })
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        let running = *self.running.lock();
        let handle = running.and_then(|id| self.engine.queries().living(self.session.principal(), id));
        let progress = handle.map(|handle| {
            let progress = handle.info().progress;
            Progress {
                fraction: progress.fraction,
                rows_read: progress.rows_read,
                bytes_read: progress.bytes_read,
                memory_bytes: progress.memory_bytes,
            }
        });
        Box::pin(std::future::ready(progress))
    }

    fn names<'a>(&'a self, listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>> {
        Box::pin(self.list(listing))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.engine.shutdown(Duration::ZERO).await;
            drop(self.scratch.lock().take());
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let place = error.position().map(|position| Place { line: position.line, column: position.column });
        Self::Statement(Fault {
            code: error.code().to_owned(),
            detail: error.to_string(),
            hint: error.hint_text().map(str::to_owned),
            position: place,
        })
    }
}
