use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;

use super::sandbox::Sandbox;
use crate::catalog::{IfExists, NamedTables};
use crate::error::ErrorKind;

#[tokio::test]
async fn a_view_sees_a_table_that_was_replaced_since() {
    let sandbox = Sandbox::new().await;
    sandbox.table_as("t", "SELECT 1 AS n", IfExists::Fail).await;
    sandbox.view("v", "SELECT n + 1 AS m FROM t").await;
    sandbox.view("w", "SELECT m * 10 AS k FROM v WHERE m > 0").await;
    assert_eq!(sandbox.rows("SELECT k FROM w").await, ["20"]);
    sandbox.table_as("t", "SELECT 'a' AS extra, 5 AS n", IfExists::Replace).await;
    assert_eq!(sandbox.rows("SELECT k FROM w AS x WHERE k > 1").await, ["60"]);
}

#[tokio::test]
async fn a_view_that_leads_back_to_itself_is_an_error_that_shows_the_circle() {
    let sandbox = Sandbox::new().await;
    sandbox.view("a", "SELECT 1 AS n").await;
    sandbox.view("b", "SELECT n FROM a").await;
    sandbox.view("a", "SELECT n FROM b").await;
    let error = sandbox.error("SELECT * FROM a").await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.message(),
        "view 'tidemill.public.a' refers to itself: tidemill.public.a -> tidemill.public.b -> tidemill.public.a"
    );
    // And breaks no listing.
    assert_eq!(sandbox.rows("SELECT count(*) FROM information_schema.columns WHERE table_name = 'a'").await, ["0"]);
}

#[tokio::test]
async fn views_that_nest_too_deep_are_an_error() {
    let sandbox = Sandbox::new().await;
    sandbox.view("v0", "SELECT 1 AS n").await;
    for depth in 1..=32 {
        sandbox.view(&format!("v{depth}"), &format!("SELECT n FROM v{}", depth - 1)).await;
    }
    let error = sandbox.error("SELECT * FROM v32").await;
    assert!(error.message().contains("nested more than 32 views deep"), "{error}");
}

#[tokio::test]
async fn temporary_views_hide_tables_from_the_session_but_not_from_views() {
    let mut sandbox = Sandbox::new().await;
    sandbox.table_as("t", "SELECT 1 AS n", IfExists::Fail).await;
    sandbox.view("v", "SELECT n FROM t").await;
    let schema = sandbox.session().table(&super::sandbox::public("t")).await.unwrap().unwrap().schema();
    let own = NamedTables::from([("t".to_owned(), Arc::new(EmptyTable::new(schema)) as _)]);
    sandbox.temporary = Arc::new(own);
    assert_eq!(sandbox.rows("SELECT count(*) FROM t").await, ["0"]);
    assert_eq!(sandbox.rows("SELECT count(*) FROM v").await, ["1"]);
}
