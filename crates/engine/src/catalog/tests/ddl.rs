use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::sandbox::{Sandbox, named, public};
use crate::catalog::{
    CatalogChange, CatalogStore, Dropped, IfExists, NewTable, StoredEntry, TableDefinition, ViewDefinition,
};
use crate::error::{Error, ErrorKind, Result};

fn external(location: &str) -> NewTable {
    NewTable::External(TableDefinition::at(location))
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_kept_or_replaced() {
    let Sandbox { catalogs, .. } = Sandbox::new().await;
    assert!(catalogs.create_table(&public("t"), external("/a"), IfExists::Fail).await.unwrap());
    let error = catalogs.create_table(&public("t"), external("/b"), IfExists::Fail).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "ALREADY_EXISTS"));
    assert!(!catalogs.create_table(&public("t"), external("/b"), IfExists::Keep).await.unwrap());
    assert_eq!(catalogs.entry(&public("t")).await.unwrap().location(), ["/a"]);
    assert!(catalogs.create_table(&public("t"), external("/b"), IfExists::Replace).await.unwrap());
    assert_eq!(catalogs.entry(&public("t")).await.unwrap().location(), ["/b"]);
}

#[tokio::test]
async fn a_table_that_can_not_be_opened_is_not_created() {
    let Sandbox { catalogs, .. } = Sandbox::new().await;
    let error = catalogs.create_table(&public("t"), external("/broken"), IfExists::Fail).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(catalogs.entry(&public("t")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn declared_and_system_tables_can_not_be_changed_by_sql() {
    let Sandbox { catalogs, .. } = Sandbox::new().await;
    for name in [named("demo", "files", "good"), named("demo", "folder", "orders"), named("demo", "system", "queries")]
    {
        let replaced = catalogs.create_table(&name, external("/a"), IfExists::Replace).await.unwrap_err();
        let dropped = catalogs.drop_table(&name, Dropped::Table, false).await.unwrap_err();
        assert_eq!((replaced.kind(), dropped.kind()), (ErrorKind::Forbidden, ErrorKind::Forbidden), "{name}");
    }
    for (catalog, schema) in [("tidemill", "public"), ("demo", "files"), ("demo", "information_schema")] {
        let error = catalogs.drop_schema(catalog, schema, false, true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{catalog}.{schema}");
    }
    // Next to them there is room.
    assert!(catalogs.create_table(&named("demo", "files", "mine"), external("/a"), IfExists::Fail).await.unwrap());
}

#[tokio::test]
async fn drop_wants_the_right_word_and_an_existing_name() {
    let sandbox = Sandbox::new().await;
    sandbox.view("v", "SELECT 1").await;
    let catalogs = &sandbox.catalogs;
    let error = catalogs.drop_table(&public("v"), Dropped::Table, false).await.unwrap_err();
    assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Invalid, Some("use DROP VIEW")));
    assert!(catalogs.drop_table(&public("v"), Dropped::View, false).await.unwrap());
    assert!(!catalogs.drop_table(&public("v"), Dropped::View, true).await.unwrap());
    let error = catalogs.drop_table(&public("v"), Dropped::View, false).await.unwrap_err();
    assert_eq!(error.code(), "TABLE_NOT_FOUND");
    let error = catalogs.drop_schema("tidemil", "x", false, false).await.unwrap_err();
    assert_eq!(error.to_string(), "catalog 'tidemil' not found; did you mean 'tidemill'?");
}

#[tokio::test]
async fn a_schema_with_tables_is_dropped_only_by_cascade() {
    let Sandbox { catalogs, .. } = Sandbox::new().await;
    assert!(catalogs.create_schema("tidemill", "lab", false).await.unwrap());
    assert!(!catalogs.create_schema("tidemill", "lab", true).await.unwrap());
    assert_eq!(catalogs.create_schema("tidemill", "lab", false).await.unwrap_err().kind(), ErrorKind::Conflict);
    let table = named("tidemill", "lab", "t");
    catalogs.create_table(&table, external("/a"), IfExists::Fail).await.unwrap();
    let error = catalogs.drop_schema("tidemill", "lab", false, false).await.unwrap_err();
    assert_eq!(error.message(), "schema 'tidemill.lab' holds table 't'");
    assert!(catalogs.drop_schema("tidemill", "lab", false, true).await.unwrap());
    assert_eq!(catalogs.entry(&table).await.unwrap_err().code(), "SCHEMA_NOT_FOUND");
}

#[tokio::test]
async fn a_statement_sees_the_catalog_of_its_start() {
    let sandbox = Sandbox::new().await;
    sandbox.catalogs.create_table(&public("t"), external("/a"), IfExists::Fail).await.unwrap();
    let before = sandbox.session();
    sandbox.catalogs.drop_table(&public("t"), Dropped::Table, false).await.unwrap();
    assert!(before.table(&public("t")).await.unwrap().is_some());
    assert!(sandbox.session().table(&public("t")).await.unwrap().is_none());
}

#[derive(Debug)]
struct Full {
    kept: Vec<CatalogChange>,
}

impl CatalogStore for Full {
    fn load(&self) -> BoxFuture<'_, Result<Vec<CatalogChange>>> {
        std::future::ready(Ok(self.kept.clone())).boxed()
    }

    fn apply(&self, _change: &CatalogChange) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Err(Error::new(ErrorKind::Storage, "the disk is full"))).boxed()
    }
}

#[tokio::test]
async fn what_the_store_kept_is_there_and_what_it_refuses_is_not() {
    let view = ViewDefinition {
        sql: "SELECT 7 AS seven".to_owned(),
        columns: vec!["n".to_owned()],
        catalog: "tidemill".to_owned(),
        schema: "public".to_owned(),
    };
    let kept = vec![CatalogChange::Put(named("lake", "raw", "v"), StoredEntry::View(view))];
    let sandbox = Sandbox::with_store(Arc::new(Full { kept })).await;
    assert_eq!(sandbox.rows("SELECT n FROM lake.raw.v").await, ["7"]);
    let error = sandbox.catalogs.create_schema("lake", "cooked", false).await.unwrap_err();
    assert_eq!(error.message(), "the disk is full");
    let schemas = sandbox.catalogs.schema_names(&Sandbox::principal(), "lake").unwrap();
    assert_eq!(schemas, ["information_schema", "raw", "system"]);
}
