use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};

use super::*;
use crate::run::MemoryBudget;
use crate::units::{ByteSize, Share, Span};

const ROWS: usize = 1000;
/// What an answer of one batch of [`ROWS`] takes is a little more.
const RESULT: u64 = 8 * ROWS as u64;

fn config() -> CacheConfig {
    CacheConfig {
        enabled: true,
        max_bytes: Share::Percent(100.0),
        max_bytes_per_result: ByteSize(10 * RESULT),
        ttl: Span(Duration::ZERO),
        min_file_age: Span(Duration::ZERO),
    }
}

fn cache(config: CacheConfig, limit: u64) -> (Arc<ResultCache>, Arc<MemoryBudget>) {
    let budget = Arc::new(MemoryBudget::new(1 << 20));
    let account = AccountedPool::new(Arc::clone(&budget), limit, "cache.max_bytes", None);
    let cache = ResultCache::new(config, Arc::new(account));
    let relief: Arc<dyn Relief> = Arc::clone(&cache) as Arc<dyn Relief>;
    budget.relieve_by(Arc::downgrade(&relief));
    (cache, budget)
}

fn batch() -> RecordBatch {
    let values: Int64Array = (0..ROWS as i64).collect();
    RecordBatch::try_from_iter([("n", Arc::new(values) as _)]).unwrap()
}

fn identity(statement: u32, version: Option<u32>) -> Identity {
    let name = |value: u32| Digester::new("test").add(&value).end();
    Identity { statement: name(statement), version: version.map(name), since: Instant::now() }
}

fn ask(cache: &Arc<ResultCache>, identity: Identity, asked: &CacheRequest) -> (CacheStatus, Recalled) {
    let (outcome, recalled) = cache.recall(Some(identity), asked, &batch().schema());
    (outcome.status, recalled)
}

/// Asks, runs if need be, and tells what it was.
fn answer(cache: &Arc<ResultCache>, identity: Identity, asked: &CacheRequest) -> CacheStatus {
    let (status, recalled) = ask(cache, identity, asked);
    if let Recalled::Run(Some(recording)) = recalled
        && let Some(recording) = recording.with(&batch())
    {
        recording.keep();
    }
    status
}

fn within(max_staleness: Duration) -> CacheRequest {
    CacheRequest { max_staleness, ..CacheRequest::default() }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_answer_is_for_its_statement_and_its_version_alone() {
    let (cache, _) = cache(config(), 1 << 20);
    let none = CacheRequest::default();
    assert_eq!(answer(&cache, identity(1, Some(1)), &none), CacheStatus::Miss);
    assert_eq!(answer(&cache, identity(1, Some(1)), &none), CacheStatus::Hit);
    assert_eq!(answer(&cache, identity(2, Some(1)), &none), CacheStatus::Miss);
    assert_eq!(answer(&cache, identity(1, Some(2)), &within(HOUR)), CacheStatus::Stale);
    assert_eq!(answer(&cache, identity(1, Some(2)), &none), CacheStatus::Miss);
    assert_eq!(answer(&cache, identity(1, Some(2)), &within(HOUR)), CacheStatus::Hit);
    assert_eq!(cache.usage().entries, 2, "the newer answer took the place of the older one");
    assert_eq!(cache.usage().given, [2, 3, 1, 0]);
}

#[test]
fn what_has_no_version_is_for_those_who_allow_age() {
    let (cache, _) = cache(config(), 1 << 20);
    let none = CacheRequest::default();
    assert_eq!(answer(&cache, identity(1, None), &none), CacheStatus::Bypass);
    assert_eq!(answer(&cache, identity(1, None), &within(HOUR)), CacheStatus::Miss);
    assert_eq!(answer(&cache, identity(1, None), &within(HOUR)), CacheStatus::Stale);
    assert_eq!(answer(&cache, identity(1, None), &none), CacheStatus::Bypass);
    assert_eq!(answer(&cache, identity(1, None), &within(Duration::from_nanos(1))), CacheStatus::Miss);
}

#[test]
fn who_has_the_answer_is_told_so_also_if_the_cache_has_it_not() {
    let (cache, _) = cache(config(), 1 << 20);
    let own = identity(1, Some(1));
    let known = |of: &Identity| CacheRequest { known: vec![of.validator().unwrap()], ..CacheRequest::default() };
    assert!(matches!(ask(&cache, own.clone(), &known(&own)), (CacheStatus::Hit, Recalled::Unchanged)));
    assert!(matches!(ask(&cache, identity(1, Some(2)), &known(&own)), (CacheStatus::Miss, _)));
    let refresh = CacheRequest { mode: Some(CacheMode::Refresh), ..known(&own) };
    assert!(matches!(ask(&cache, own, &refresh), (CacheStatus::Miss, Recalled::Run(Some(_)))));
}

#[test]
fn an_answer_that_was_not_completed_is_not_kept() {
    let (cache, budget) = cache(config(), 1 << 20);
    let none = CacheRequest::default();
    let (_, recalled) = ask(&cache, identity(1, Some(1)), &none);
    let Recalled::Run(Some(recording)) = recalled else { panic!("{recalled:?}") };
    drop(recording.with(&batch()));
    assert_eq!((cache.usage().entries, budget.used()), (0, 0));
}

#[test]
fn what_was_not_used_for_the_longest_time_makes_room() {
    let (cache, budget) = cache(config(), 4 * RESULT);
    let none = CacheRequest::default();
    for statement in [1, 2, 1, 3, 1, 4] {
        answer(&cache, identity(statement, Some(1)), &none);
    }
    assert_eq!(answer(&cache, identity(1, Some(1)), &none), CacheStatus::Hit);
    assert_eq!(answer(&cache, identity(2, Some(1)), &none), CacheStatus::Miss);
    assert!(budget.used() <= 4 * RESULT && cache.usage().evicted > 0);
}

#[test]
fn a_result_that_is_too_large_is_let_go() {
    let (cache, budget) = cache(CacheConfig { max_bytes_per_result: ByteSize(RESULT), ..config() }, 1 << 20);
    let none = CacheRequest::default();
    assert_eq!(answer(&cache, identity(1, Some(1)), &none), CacheStatus::Miss);
    assert_eq!(answer(&cache, identity(1, Some(1)), &none), CacheStatus::Miss);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_query_that_is_short_of_memory_gets_that_of_the_cache() {
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};

    let (cache, budget) = cache(config(), 1 << 20);
    for statement in 0..20 {
        answer(&cache, identity(statement, Some(1)), &CacheRequest::default());
    }
    let held = budget.used();
    assert!(held > 20 * RESULT);
    let pool: Arc<dyn MemoryPool> = Arc::new(AccountedPool::new(Arc::clone(&budget), 1 << 20, "memory_limit", None));
    let query = MemoryConsumer::new("sort").register(&pool);
    query.try_grow((1 << 20) - RESULT as usize).unwrap();
    assert!(budget.used() <= 1 << 20);
    assert_eq!(cache.usage().entries, 0);
    query.try_grow(2 * RESULT as usize).unwrap_err();
}

#[test]
fn an_answer_ends_with_its_time_to_live() {
    let (cache, budget) = cache(CacheConfig { ttl: Span(Duration::from_nanos(1)), ..config() }, 1 << 20);
    let none = CacheRequest::default();
    answer(&cache, identity(1, Some(1)), &none);
    assert_eq!(answer(&cache, identity(1, Some(1)), &within(HOUR)), CacheStatus::Miss);
    cache.expire();
    assert_eq!((cache.usage().entries, budget.used()), (0, 0));
}

#[test]
fn an_older_answer_does_not_replace_a_newer_one() {
    let (cache, _) = cache(config(), 1 << 20);
    let none = CacheRequest::default();
    let (_, slow) = ask(&cache, identity(1, Some(1)), &none);
    answer(&cache, identity(1, Some(2)), &none);
    let Recalled::Run(Some(slow)) = slow else { panic!("{slow:?}") };
    slow.keep();
    assert_eq!(answer(&cache, identity(1, Some(2)), &none), CacheStatus::Hit);
}
