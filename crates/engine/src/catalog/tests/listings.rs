use futures::future::join_all;

use super::sandbox::{Sandbox, named, public};
use crate::catalog::{IfExists, TableKind, TableStatus};
use crate::error::ErrorKind;

#[tokio::test]
async fn listings_open_no_table_and_a_broken_one_breaks_none() {
    let sandbox = Sandbox::new().await;
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'demo' \
                  AND table_schema IN ('files', 'folder') ORDER BY table_schema, table_name";
    let all = ["better", "broken", "good", "lineitem", "orders"];
    assert_eq!(sandbox.rows(tables).await, all);
    let schemata = "SELECT schema_name FROM information_schema.schemata WHERE catalog_name = 'demo' ORDER BY 1";
    assert_eq!(sandbox.rows(schemata).await, ["files", "folder", "gone", "information_schema", "system"]);
    assert_eq!(sandbox.rows("SELECT count(*) FROM information_schema.views").await, ["0"]);
    let listed = sandbox.catalogs.tables(&Sandbox::principal(), "demo", "files").await.unwrap();
    assert!(listed.iter().all(|table| table.status == TableStatus::Unopened && table.kind == TableKind::External));
    assert_eq!(sandbox.files.opened(), 0);

    let error = sandbox.error("SELECT * FROM demo.files.broken").await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(sandbox.rows("SELECT count(*) FROM demo.files.good").await, ["0"]);
    let status = "SELECT name, status, error FROM system.tables WHERE schema = 'files' ORDER BY name";
    assert_eq!(
        sandbox.rows(status).await,
        ["better|unopened|", "broken|broken|'/broken.parquet' is not a Parquet file", "good|open|"]
    );
    let columns = "SELECT table_name, column_name, data_type FROM information_schema.columns \
                   WHERE table_schema = 'files' ORDER BY table_name";
    assert_eq!(sandbox.rows(columns).await, ["better|id|BIGINT", "good|id|BIGINT"]);
}

#[tokio::test]
async fn a_predicate_on_names_opens_only_the_tables_it_may_be_true_for() {
    let sandbox = Sandbox::new().await;
    let one = "SELECT column_name FROM information_schema.columns WHERE table_name = 'good'";
    assert_eq!(sandbox.rows(one).await, ["id"]);
    assert_eq!(sandbox.files.opened(), 1);
    let like = "SELECT table_name FROM demo.information_schema.columns c WHERE c.table_schema || '.' LIKE 'fold%' \
                AND upper(table_name) LIKE 'ORD%' AND ordinal_position = 1";
    assert_eq!(sandbox.rows(like).await, ["orders"]);
    assert_eq!(sandbox.files.opened(), 2);
}

#[tokio::test]
async fn queries_that_arrive_together_open_a_table_once() {
    let sandbox = Sandbox::new().await;
    let queries = join_all((0..8).map(|_| sandbox.batches("SELECT * FROM demo.files.good"))).await;
    assert!(queries.iter().all(Result::is_ok));
    let failures = join_all((0..8).map(|_| sandbox.error("SELECT * FROM demo.files.broken"))).await;
    assert!(failures.iter().all(|error| error.message().contains("not a Parquet file")));
    assert_eq!(sandbox.files.opened(), 2);
}

#[tokio::test]
async fn a_folder_that_can_not_be_listed_says_so_when_it_is_used() {
    let sandbox = Sandbox::new().await;
    assert!(sandbox.catalogs.tables(&Sandbox::principal(), "demo", "gone").await.unwrap().is_empty());
    let error = sandbox.error("SELECT * FROM demo.gone.orders").await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Storage, "cannot list '/gone'"));
}

#[tokio::test]
async fn an_unknown_table_is_answered_with_names_like_it() {
    let sandbox = Sandbox::new().await;
    sandbox.rows("SELECT count(*) FROM demo.folder.orders").await;
    let session = sandbox.session();
    assert_eq!(session.suggest_table(&"demo.files.goood".into()), ["demo.files.good"]);
    assert_eq!(session.suggest_table(&"orders".into()), ["demo.folder.orders"]);
    assert_eq!(session.suggest_table(&"system.querie".into()), ["system.queries"]);
    let error = sandbox.catalogs.table(&Sandbox::principal(), "demo", "folder", "order").await.unwrap_err();
    assert_eq!(error.to_string(), "table 'demo.folder.order' not found; did you mean 'orders'?");
}

#[tokio::test]
async fn the_detail_of_a_table_shows_columns_sizes_and_how_to_make_it() {
    let sandbox = Sandbox::new().await;
    sandbox.table_as("t", "SELECT 1 AS a, 'x' AS \"B\"", IfExists::Fail).await;
    sandbox.view("v", "SELECT a FROM t").await;
    let detail = sandbox.session().detail(&public("t")).await.unwrap();
    let columns: Vec<_> = detail.columns.iter().map(|column| (&*column.name, &*column.sql_type)).collect();
    assert_eq!(columns, [("a", "BIGINT"), ("B", "VARCHAR")]);
    assert_eq!(detail.rows, Some(1));
    assert_eq!(
        detail.definition.unwrap(),
        "CREATE TABLE tidemill.public.t (a BIGINT NOT NULL, \"B\" VARCHAR NOT NULL)"
    );
    let view = sandbox.session().detail(&public("v")).await.unwrap();
    assert_eq!((view.kind, view.columns.len()), (TableKind::View, 1));
    let broken = sandbox.session().detail(&named("demo", "files", "broken")).await.unwrap();
    assert_eq!((broken.status, broken.error.is_some()), (TableStatus::Broken, true));
    let system = sandbox.session().detail(&named("demo", "system", "queries")).await.unwrap();
    assert!(system.columns.iter().all(|column| column.comment.is_some()));
}

#[tokio::test]
async fn every_virtual_table_can_be_read() {
    let sandbox = Sandbox::new().await;
    let names = "SELECT table_schema || '.' || table_name FROM information_schema.tables \
                 WHERE table_catalog = 'tidemill' AND table_schema IN ('system', 'information_schema')";
    for name in sandbox.rows(names).await {
        sandbox.rows(&format!("SELECT * FROM {name} LIMIT 3")).await;
        sandbox.rows(&format!("SELECT count(*) FROM {name}")).await;
    }
}
