//! The read side of the stored history: a connection of its own, used on blocking threads only.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{HistoryFilter, Profile, store};
use crate::error::{Error, Result};
use crate::query::{QueryId, QueryInfo, Stages};

/// Reads beside the writer without waiting for it: each sees the database as it was when it began.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Arc<Mutex<Connection>>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { connection: Arc::new(Mutex::new(store::open_read_only(path)?)) })
    }

    pub(super) async fn get(&self, id: QueryId) -> Result<Option<QueryInfo>> {
        self.read(move |connection| store::get(connection, id)).await
    }

    pub(super) async fn profile(&self, id: QueryId) -> Result<Option<Profile>> {
        self.read(move |connection| store::profile(connection, id)).await
    }

    pub(super) async fn stages(&self, id: QueryId) -> Result<Option<Stages>> {
        self.read(move |connection| store::stages(connection, id)).await
    }

    pub(super) async fn list(&self, filter: HistoryFilter) -> Result<Vec<QueryInfo>> {
        self.read(move |connection| store::list(connection, &filter)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        match tokio::task::spawn_blocking(move || work(&connection.lock())).await {
            Ok(read) => read.map_err(|error| store::failure("cannot read query history", error)),
            Err(error) => Err(Error::internal("a read of query history did not end").caused_by(error)),
        }
    }
}
