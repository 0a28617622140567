use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::add;
use crate::config::CoordinatorConfig;
use crate::members::Width;

/// Tables of so many rows, each with a key, a value and a float.
const TABLES: [(&str, i64); 3] = [("small", 10), ("middle", 1000), ("large", 100_000)];

fn context() -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .with_round_robin_repartition(false)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold", 0)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold_rows", 0);
    let context = SessionContext::new_with_config(config);
    for (name, rows) in TABLES {
        let columns: [(&str, ArrayRef); 3] = [
            ("k", Arc::new((0..rows).map(Some).collect::<Int64Array>())),
            ("v", Arc::new((0..rows).map(|row| (row % 7 > 0).then_some(row % 5)).collect::<Int64Array>())),
            ("f", Arc::new((0..rows).map(|row| Some(row as f64)).collect::<Float64Array>())),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let half = batch.num_rows() / 2;
        let partitions = vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]];
        context.register_table(name, Arc::new(MemTable::try_new(batch.schema(), partitions).unwrap())).unwrap();
    }
    context
}

/// The operators of filters, each with the operator on whose rows it is, from the root down.
async fn filters(sql: &str) -> Vec<String> {
    let plan = context().sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let Some(filtered) = add(&plan, 1000).unwrap() else { return Vec::new() };
    assert_eq!(filtered.schema(), plan.schema());
    let mut found = Vec::new();
    find(&filtered, &mut found);
    found
}

fn find(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<String>) {
    if plan.name().starts_with("Key") {
        let line = DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string();
        let mut below = plan.children()[0];
        while below.name().starts_with("Key") {
            below = below.children()[0];
        }
        found.push(format!("{} on {}", line.trim_end(), below.name()));
    }
    plan.children().into_iter().for_each(|child| find(child, found));
}

#[tokio::test]
async fn a_side_that_drops_rows_filters_the_other() {
    let sql = "SELECT * FROM middle m JOIN large l ON m.k = l.k WHERE m.v = 1";
    let expected =
        ["KeyCollectExec: filter=0, key=k@0 on FilterExec", "KeyFilterExec: filter=0, key=k@0 on DataSourceExec"];
    assert_eq!(filters(sql).await, expected);
}

#[tokio::test]
async fn a_side_that_drops_nothing_does_not() {
    assert_eq!(filters("SELECT * FROM middle m JOIN large l ON m.k = l.k").await, [""; 0]);
}

#[tokio::test]
async fn small_tables_are_not_filtered() {
    assert_eq!(filters("SELECT * FROM small s JOIN small l ON s.k = l.k WHERE s.v = 1").await, [""; 0]);
}

#[tokio::test]
async fn floats_are_no_keys() {
    assert_eq!(filters("SELECT * FROM middle m JOIN large l ON m.f = l.f WHERE m.v = 1").await, [""; 0]);
}

#[tokio::test]
async fn rows_that_the_result_has_without_a_partner_stay() {
    for join in ["RIGHT JOIN", "FULL JOIN"] {
        let sql = format!("SELECT * FROM (SELECT * FROM middle WHERE v = 1) m {join} large l ON m.k = l.k");
        assert_eq!(filters(&sql).await, [""; 0], "{join}");
    }
    // With NOT IN, a single null on the right is the end of all rows.
    let sql = "SELECT * FROM (SELECT * FROM middle WHERE v = 1) m WHERE m.k NOT IN (SELECT k FROM large)";
    assert_eq!(filters(sql).await, [""; 0]);
    // Nulls are equal here.
    let sql = "SELECT k FROM middle WHERE v = 1 INTERSECT SELECT k FROM large";
    assert_eq!(filters(sql).await, [""; 0]);
}

#[tokio::test]
async fn groups_are_filtered_whole() {
    let sql = "SELECT * FROM middle m JOIN (SELECT k, sum(v) AS s FROM large GROUP BY k) l ON m.k = l.k WHERE m.v = 1";
    let plan = context().sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let filtered = add(&plan, 1000).unwrap().unwrap();
    fn whole(plan: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
        let here = plan.downcast_ref::<crate::keys::KeyFilterExec>().map(|filter| filter.is_whole());
        here.into_iter().chain(plan.children().into_iter().flat_map(whole)).collect()
    }
    assert_eq!(whole(&filtered), [true]);
}

#[tokio::test]
async fn rows_that_others_depend_on_are_filtered_after_them() {
    // The key of the join is not what groups are made by.
    let sql = "SELECT * FROM middle m JOIN (SELECT max(k) AS k, v FROM large GROUP BY v) l ON m.k = l.k WHERE m.v = 1";
    assert_eq!(filters(sql).await[1..], ["KeyFilterExec: filter=0, key=max(large.k)@1 on AggregateExec"]);
    let sql = "SELECT * FROM small s JOIN (SELECT k FROM large ORDER BY v LIMIT 9999) l ON s.k = l.k WHERE s.v = 1";
    assert_eq!(filters(sql).await[1..], ["KeyFilterExec: filter=0, key=k@0 on SortPreservingMergeExec"]);
}

#[tokio::test]
async fn a_key_is_followed_to_both_sides_of_a_join() {
    let sql = "SELECT * FROM large a JOIN large b ON a.k = b.k WHERE a.k IN
               (SELECT k FROM middle GROUP BY k HAVING sum(v) > 3)";
    let found = filters(sql).await;
    let filtered = found.iter().filter(|line| line.starts_with("KeyFilterExec: filter=0"));
    assert_eq!(filtered.count(), 2, "{found:#?}");
    assert_eq!(found.iter().filter(|line| line.starts_with("KeyCollectExec")).count(), 1, "{found:#?}");
}

/// Where stages begin; a filter that waited for keys of its own stage, or of one that waits for it, would wait for ever.
#[tokio::test]
async fn filters_wait_for_stages_that_come_before() {
    let sql = "SELECT * FROM middle a JOIN large b ON a.k = b.k WHERE a.v = 2
               AND EXISTS (SELECT 1 FROM large c WHERE c.k = b.k AND c.v <> b.v)
               AND NOT EXISTS (SELECT 1 FROM large d WHERE d.k = b.k AND d.v > b.v)
               AND b.k IN (SELECT k FROM middle GROUP BY k HAVING sum(v) > 3)";
    let context = context();
    let logical = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
    let config = CoordinatorConfig {
        worker_timeout: std::time::Duration::from_secs(1),
        retries: 0,
        stall_timeout: std::time::Duration::from_secs(1),
        worker_wait: std::time::Duration::from_secs(1),
        broadcast_limit: tidemill_engine::units::ByteSize(0),
        partitions_per_slot: 1,
        runtime_filter_rows: 1000,
        fetches: 1,
        plan_limit: tidemill_engine::units::ByteSize(1 << 20),
    };
    let state = super::super::state(&context.state(), &config, Width { slots: 2, workers: 2 }, "job");
    let plan = state.create_physical_plan(&logical).await.unwrap();
    let filtered = super::super::fixed::fix(add(&plan, 1000).unwrap().unwrap()).unwrap();
    let stages = super::super::stages(&filtered, state.config_options()).unwrap();
    // The scheduler numbers stages in the order in which they can be computed, if none waits for another but for its rows.
    let mut collected = Vec::new();
    let mut awaited = 0;
    for stage in &stages {
        let stage: Arc<dyn ExecutionPlan> = Arc::clone(stage) as _;
        for filter in crate::keys::awaits(stage.as_ref()) {
            assert!(collected.contains(&filter), "{filter} is awaited before it is collected");
            awaited += 1;
        }
        collected.extend(crate::keys::collects(stage.as_ref()));
    }
    assert!(awaited > 3, "{awaited} in\n{}", DisplayableExecutionPlan::new(filtered.as_ref()).indent(false));
}
