//! Names to complete: asked of the engine at the first Tab, kept for a while, bounded.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::cli::sql::client::{Client, Listing};

/// A Tab waits no longer; without an answer there are fewer candidates.
const PATIENCE: Duration = Duration::from_secs(1);

/// Others make tables too; ask again after this time.
const MAX_AGE: Duration = Duration::from_secs(60);

const MAX_NAMES: usize = 10_000;
const MAX_LISTS: usize = 64;

/// Tables of one name whose columns are offered.
const MAX_NAMESAKES: usize = 4;

/// Listings that are asked for at once.
const AT_ONCE: usize = 8;

/// In every catalog; their tables are found only with the schema.
const VIRTUAL_SCHEMAS: [&str; 2] = ["information_schema", "system"];

type List = Arc<Vec<String>>;

/// The names that the engine knows.
pub(super) struct Names {
    client: Arc<dyn Client>,
    runtime: Handle,
    lists: Mutex<HashMap<Kind, (Instant, List)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Catalogs,
    Schemas,
    Tables,
    Functions,
    /// Of the tables with these full names.
    Columns(Vec<String>),
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
        self.list(Kind::Tables)
    }

    /// Functions.
    pub(super) fn functions(&self) -> List {
        self.list(Kind::Functions)
    }

    /// Catalogs.
    pub(super) fn catalogs(&self) -> List {
        self.list(Kind::Catalogs)
    }

    /// Schemas, alone and with their catalog.
    pub(super) fn schemas(&self) -> List {
        self.list(Kind::Schemas)
    }

    /// The columns of a table, which may be given with its schema and catalog.
    pub(super) fn columns(&self, table: &str) -> List {
        let end = format!(".{table}");
        let is_meant = |name: &&String| name.matches('.').count() == 2 && (*name == table || name.ends_with(&end));
        let tables = self.tables();
        self.list(Kind::Columns(tables.iter().filter(is_meant).take(MAX_NAMESAKES).cloned().collect()))
    }

    /// Asks again for what a statement may have changed.
    pub(super) fn forget(&self) {
        self.lists.lock().retain(|kind, _| *kind == Kind::Functions);
    }

    /// Blocks: not for the threads of the runtime.
    fn list(&self, kind: Kind) -> List {
        if let Some((asked, list)) = self.lists.lock().get(&kind)
            && asked.elapsed() < MAX_AGE
        {
            return Arc::clone(list);
        }
        let answer = async { tokio::time::timeout(PATIENCE, self.ask(&kind)).await };
        let mut names = self.runtime.block_on(answer).unwrap_or_default();
        names.truncate(MAX_NAMES);
        let list = Arc::new(names);
        let mut lists = self.lists.lock();
        if lists.len() >= MAX_LISTS {
            lists.clear();
        }
        // An empty answer is kept too: the next Tab must not wait again.
        lists.insert(kind, (Instant::now(), Arc::clone(&list)));
        list
    }

    async fn ask(&self, kind: &Kind) -> Vec<String> {
        let mut names = match kind {
            Kind::Catalogs => self.of(Listing::Catalogs).await,
            Kind::Functions => self.of(Listing::Functions).await,
            Kind::Schemas => {
                let spellings = |(catalog, schema): (String, String)| [format!("{catalog}.{schema}"), schema];
                self.all_schemas().await.into_iter().flat_map(spellings).collect()
            }
            Kind::Tables => self.all_tables().await,
            // In their order, which says more than the alphabet.
            Kind::Columns(tables) => return self.columns_of(tables).await,
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    async fn of(&self, listing: Listing<'_>) -> Vec<String> {
        self.client.names(listing).await.unwrap_or_default()
    }

    async fn all_schemas(&self) -> Vec<(String, String)> {
        let schemas = stream::iter(self.of(Listing::Catalogs).await).map(|catalog| async move {
            let schemas = self.of(Listing::Schemas { catalog: &catalog }).await;
            schemas.into_iter().map(|schema| (catalog.clone(), schema)).collect::<Vec<_>>()
        });
        schemas.buffered(AT_ONCE).collect::<Vec<_>>().await.concat()
    }

    async fn all_tables(&self) -> Vec<String> {
        let tables = stream::iter(self.all_schemas().await).map(|(catalog, schema)| async move {
            let names = self.of(Listing::Tables { catalog: &catalog, schema: &schema }).await;
            let spellings = names.into_iter().flat_map(|name| {
                let with_schema = format!("{schema}.{name}");
                let alone = (!VIRTUAL_SCHEMAS.contains(&schema.as_str())).then_some(name);
                [Some(format!("{catalog}.{with_schema}")), Some(with_schema), alone].into_iter().flatten()
            });
            spellings.collect::<Vec<_>>()
        });
        let mut names = tables.buffered(AT_ONCE).collect::<Vec<_>>().await.concat();
        names.extend(self.of(Listing::TemporaryViews).await);
        names
    }

    async fn columns_of(&self, tables: &[String]) -> Vec<String> {
        let mut columns = Vec::new();
        for table in tables {
            if let [catalog, schema, table] = *table.splitn(3, '.').collect::<Vec<_>>() {
                columns.extend(self.of(Listing::Columns { catalog, schema, table }).await);
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{BoxFuture, ready};

    use super::*;
    use crate::cli::sql::client::{Answer, Progress};
    use crate::cli::sql::failure::Failure;

    /// Knows names, and is never asked a query.
    struct Catalog;

    impl Client for Catalog {
        fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
            panic!("a query for names: {sql}");
        }

        fn cancel(&self) -> BoxFuture<'_, ()> {
            Box::pin(ready(()))
        }

        fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
            Box::pin(ready(None))
        }

        fn names<'a>(&'a self, listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>> {
            let names: &[&str] = match listing {
                Listing::Catalogs => &["shop", "lab"],
                Listing::Schemas { catalog: "shop" } => &["public", "system"],
                Listing::Schemas { .. } => return Box::pin(ready(None)),
                Listing::Tables { catalog: "shop", schema: "public" } => &["orders", "items"],
                Listing::Tables { .. } => &["queries"],
                Listing::Columns { catalog: "shop", schema: "public", table: "orders" } => &["id", "day"],
                Listing::Columns { .. } => &[],
                Listing::TemporaryViews => &["recent"],
                Listing::Functions => &["sum", "abs", "sum"],
            };
            Box::pin(ready(Some(names.iter().map(|name| (*name).to_owned()).collect())))
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            Box::pin(ready(()))
        }
    }

    #[test]
    fn names_come_from_the_catalog_in_every_spelling() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let names = Names::new(Arc::new(Catalog), runtime.handle().clone());
        let tables = [
            "items",
            "orders",
            "public.items",
            "public.orders",
            "recent",
            "shop.public.items",
            "shop.public.orders",
            "shop.system.queries",
            "system.queries",
        ];
        assert_eq!(*names.tables(), tables);
        assert_eq!(*names.schemas(), ["public", "shop.public", "shop.system", "system"]);
        assert_eq!(*names.functions(), ["abs", "sum"]);
        for table in ["orders", "public.orders", "shop.public.orders"] {
            assert_eq!(*names.columns(table), ["id", "day"], "{table}");
        }
        assert!(names.columns("recent").is_empty());
    }
}
