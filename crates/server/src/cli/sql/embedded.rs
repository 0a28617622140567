//! A client of an engine in this process.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tidemill_engine::{Engine, Error, Origin, QueryId, QueryRequest, Session};

use super::EmbeddedClient;
use super::client::{Answer, Client, Progress};
use super::failure::{Failure, Fault, Place};

struct Embedded {
    engine: Arc<Engine>,
    session: Arc<Session>,
    running: Mutex<Option<QueryId>>,
}

impl EmbeddedClient {
    /// A client that runs its statements in this session.
    pub fn new(engine: Arc<Engine>, session: Arc<Session>) -> Self {
        Self(Arc::new(Embedded { engine, session, running: Mutex::new(None) }))
    }
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

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
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
