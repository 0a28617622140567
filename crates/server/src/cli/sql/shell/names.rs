//! Names to complete: asked of the engine at the first Tab, kept for a while, bounded.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::cli::sql::client::Client;

/// A Tab waits no longer; without an answer there are fewer candidates.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tables come and go; ask again after this time.
const MAX_AGE: Duration = Duration::from_secs(60);

const MAX_NAMES: usize = 10_000;
const MAX_TABLES_WITH_COLUMNS: usize = 64;

/// A name alone finds nothing in `system` and `information_schema`.
const TABLES: &str = "SELECT table_name FROM information_schema.tables \
     WHERE table_schema NOT IN ('information_schema', 'system') \
     UNION SELECT table_schema || '.' || table_name FROM information_schema.tables \
     UNION SELECT table_catalog || '.' || table_schema || '.' || table_name FROM information_schema.tables ORDER BY 1";
const FUNCTIONS: &str = "SELECT DISTINCT name FROM system.functions ORDER BY name";
const CATALOGS: &str = "SELECT DISTINCT catalog_name FROM information_schema.schemata ORDER BY 1";
const SCHEMAS: &str = "SELECT schema_name FROM information_schema.schemata \
     UNION SELECT catalog_name || '.' || schema_name FROM information_schema.schemata ORDER BY 1";
const SETTINGS: &str = "SELECT name FROM system.settings ORDER BY name";

type List = Arc<Vec<String>>;

/// The names that the engine knows.
pub(super) struct Names {
    client: Arc<dyn Client>,
    runtime: Handle,
    /// By the query that lists them.
    lists: Mutex<HashMap<String, (Instant, List)>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// Names that this client is asked for.
    pub(super) fn new(client: Arc<dyn Client>, runtime: Handle) -> Self {
        Self { client, runtime, lists: Mutex::default() }
    }

    /// Tables and views, alone, with their schema and with their catalog.
    pub(super) fn tables(&self) -> List {
        self.list(TABLES)
    }

    /// Functions.
    pub(super) fn functions(&self) -> List {
        self.list(FUNCTIONS)
    }

    /// Catalogs.
    pub(super) fn catalogs(&self) -> List {
        self.list(CATALOGS)
    }

    /// Schemas, alone and with their catalog.
    pub(super) fn schemas(&self) -> List {
        self.list(SCHEMAS)
    }

    /// Settings of the session.
    pub(super) fn settings(&self) -> List {
        self.list(SETTINGS)
    }

    /// The columns of a table, which may be given with its schema and catalog.
    pub(super) fn columns(&self, table: &str) -> List {
        let name = table.rsplit('.').next().unwrap_or(table).replace('\'', "''");
        self.list(&format!("SELECT column_name FROM information_schema.columns WHERE table_name = '{name}'"))
    }

    fn list(&self, sql: &str) -> List {
        if let Some((asked, list)) = self.lists.lock().get(sql)
            && asked.elapsed() < MAX_AGE
        {
            return Arc::clone(list);
        }
        let answer = async { tokio::time::timeout(PATIENCE, self.ask(sql)).await };
        let list = Arc::new(self.runtime.block_on(answer).ok().flatten().unwrap_or_default());
        let mut lists = self.lists.lock();
        if lists.len() >= MAX_TABLES_WITH_COLUMNS {
            lists.clear();
        }
        // An empty answer is kept too: the next Tab must not wait again.
        lists.insert(sql.to_owned(), (Instant::now(), Arc::clone(&list)));
        list
    }

    /// The first column of the answer; `None` when the engine will not tell.
    async fn ask(&self, sql: &str) -> Option<Vec<String>> {
        let mut answer = self.client.run(sql).await.ok()?;
        let mut names = Vec::new();
        while let Some(batch) = answer.batches.next().await {
            let batch = batch.ok()?;
            let options = FormatOptions::default();
            let column = ArrayFormatter::try_new(batch.columns().first()?, &options).ok()?;
            names.extend((0..batch.num_rows()).map(|row| column.value(row).to_string()));
            if names.len() >= MAX_NAMES {
                names.truncate(MAX_NAMES);
                break;
            }
        }
        Some(names)
    }
}
