use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::Schema;
use ballista_core::serde::protobuf::TaskColumnStats;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;

use super::*;

fn rows(keys: Vec<Option<i64>>) -> Arc<dyn ExecutionPlan> {
    let column: ArrayRef = Arc::new(Int64Array::from(keys));
    let batch = RecordBatch::try_from_iter_with_nullable([("k", column, true)]).unwrap();
    MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None).unwrap()
}

const KEY: Key = Key { filter: 3, column: 0 };

async fn output(plan: Arc<dyn ExecutionPlan>) -> Vec<Option<i64>> {
    let batches = collect(plan, SessionContext::new().task_ctx()).await.unwrap();
    let columns = batches.iter().map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap());
    columns.flat_map(|column| column.iter().collect::<Vec<_>>()).collect()
}

/// What is told of the keys of these rows, which pass.
async fn told_of(keys: Vec<Option<i64>>) -> TaskColumnStats {
    let plan: Arc<dyn ExecutionPlan> = Arc::new(KeyCollectExec::new(rows(keys.clone()), KEY));
    let collected = collected(plan.as_ref()).pop().unwrap();
    assert_eq!(output(plan).await, keys);
    collected.tell()
}

#[tokio::test]
async fn rows_without_a_partner_are_dropped() {
    let mut gathered = Gathered::default();
    gathered.add(&told_of(vec![Some(3), None, Some(7), Some(7)]).await);
    gathered.add(&told_of(vec![Some(2000)]).await);
    let filter: Arc<dyn ExecutionPlan> =
        Arc::new(KeyFilterExec::new(rows((0..5000).map(Some).chain([None]).collect()), KEY, false));

    // Not all tasks have ended.
    assert!(told(&filter, |id| gathered.known(id)).unwrap().is_none());
    gathered.complete(KEY.filter);
    let filter = told(&filter, |id| gathered.known(id)).unwrap().unwrap();
    assert_eq!(awaits(filter.as_ref()), Vec::<FilterId>::new());
    let passed = output(filter).await;
    for key in [3, 7, 2000] {
        assert!(passed.contains(&Some(key)), "{key} has a partner");
    }
    assert!(!passed.contains(&None), "a null has none");
    assert!(passed.len() < 500, "{} of 5001 rows pass, where three have partners", passed.len());
}

#[tokio::test]
async fn no_keys_drop_all_rows() {
    let mut gathered = Gathered::default();
    gathered.add(&told_of(Vec::new()).await);
    gathered.complete(KEY.filter);
    let filter: Arc<dyn ExecutionPlan> = Arc::new(KeyFilterExec::new(rows(vec![Some(1), None]), KEY, true));
    let filter = told(&filter, |id| gathered.known(id)).unwrap().unwrap();
    assert_eq!(output(filter).await, Vec::<Option<i64>>::new());
}

#[tokio::test]
async fn too_many_keys_filter_nothing() {
    let mut gathered = Gathered::default();
    gathered.add(&told_of(vec![Some(1)]).await);
    gathered.add(&TaskColumnStats { column: KEY.filter, ..TaskColumnStats::default() });
    gathered.add(&told_of(vec![Some(2)]).await);
    gathered.complete(KEY.filter);
    let input = rows(vec![Some(5), None]);
    let filter: Arc<dyn ExecutionPlan> = Arc::new(KeyFilterExec::new(Arc::clone(&input), KEY, false));
    let filter = told(&filter, |id| gathered.known(id)).unwrap().unwrap();
    assert!(Arc::ptr_eq(&filter, &input), "the operator is gone");
}

#[tokio::test]
async fn many_keys_of_some_tasks_and_few_of_others_are_one_filter() {
    let mut gathered = Gathered::default();
    gathered.add(&told_of((0..300_000).map(Some).collect()).await);
    gathered.add(&told_of(vec![Some(-1)]).await);
    gathered.add(&told_of((1_000_000..1_300_000).map(Some).collect()).await);
    gathered.complete(KEY.filter);
    let keys = [-1, 0, 299_999, 1_000_000, 1_299_999];
    let strangers = 5_000_000..5_010_000;
    let filter: Arc<dyn ExecutionPlan> =
        Arc::new(KeyFilterExec::new(rows(keys.into_iter().chain(strangers).map(Some).collect()), KEY, true));
    let filter = told(&filter, |id| gathered.known(id)).unwrap().unwrap();
    let passed = output(filter).await;
    assert!(keys.iter().all(|key| passed.contains(&Some(*key))), "each of them has a partner");
    assert!(passed.len() < 1000, "{} pass, of 10,000 without a partner", passed.len());
}

#[tokio::test]
async fn a_task_gives_up_on_too_many_keys() {
    let told = told_of((0..5_000_000).map(Some).collect()).await;
    assert!(told.sketches.is_empty());
}

#[tokio::test]
async fn a_filter_that_drops_little_gives_up_unless_groups_would_be_torn() {
    let mut gathered = Gathered::default();
    gathered.add(&told_of((0..200_000).map(Some).collect()).await);
    gathered.complete(KEY.filter);
    // When the sample is over, a key comes that has no partner.
    let batches: Vec<RecordBatch> = (0..30)
        .map(|at| {
            let keys: Vec<i64> = if at < 29 { (0..8192).collect() } else { vec![-1; 8192] };
            RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(keys)) as ArrayRef)]).unwrap()
        })
        .collect();
    let schema: Arc<Schema> = batches[0].schema();
    let input: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap();
    for (whole, passed) in [(false, 30 * 8192), (true, 29 * 8192)] {
        let filter: Arc<dyn ExecutionPlan> = Arc::new(KeyFilterExec::new(Arc::clone(&input), KEY, whole));
        let filter = told(&filter, |id| gathered.known(id)).unwrap().unwrap();
        assert_eq!(output(filter).await.len(), passed);
    }
}

#[tokio::test]
async fn filters_arrive_as_they_left() {
    let codec = crate::physical_codec().unwrap();
    let context = SessionContext::new();
    let input = context.sql("SELECT 1::bigint AS k").await.unwrap().create_physical_plan().await.unwrap();
    let keys = Arc::new(Bloom::from_bytes(&(0..64).collect::<Vec<u8>>()).unwrap());
    let filter = KeyFilterExec::new(input, KEY, true).with_keys(&keys);
    let plan: Arc<dyn ExecutionPlan> = Arc::new(KeyCollectExec::new(Arc::new(filter), Key { filter: 4, column: 0 }));
    let sent = PhysicalPlanNode::try_from_physical_plan(Arc::clone(&plan), codec.as_ref()).unwrap();
    let read = sent.try_into_physical_plan(&context.task_ctx(), codec.as_ref()).unwrap();
    assert_eq!(collects(read.as_ref()), [4]);
    let filter = read.children()[0].downcast_ref::<KeyFilterExec>().unwrap();
    assert_eq!((filter.key(), filter.is_whole(), filter.keys()), (KEY, true, Some(&keys)));
}

#[test]
fn a_filter_knows_its_keys_and_few_others() {
    let hash = |key: u64| hash_of(i64::try_from(key).unwrap());
    for (keys, words, passing) in [(1, 1, 500), (10_000, 2500, 100), (10_000, 1250, 600)] {
        let mut filter = Bloom::of_words(words);
        for key in 0..keys {
            filter.insert(hash(key));
        }
        let filter = Bloom::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..keys).all(|key| filter.contains(hash(key))));
        let strangers = (keys..keys + 10_000).filter(|key| filter.contains(hash(*key))).count();
        assert!(strangers < passing, "{strangers} of 10,000 pass a filter of {keys} keys in {words} words");
    }
    assert_eq!(Bloom::from_bytes(&[]), None);
    assert_eq!(Bloom::from_bytes(&[0; 24]), None);
}

fn hash_of(key: i64) -> u64 {
    let (keys, mut buffer): (ArrayRef, _) = (Arc::new(Int64Array::from(vec![key])), Vec::new());
    hashes(&keys, &mut buffer).unwrap();
    buffer[0]
}
