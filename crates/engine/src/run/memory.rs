//! The one accounted memory pool: a budget of the server, and a pool per query that draws on it.
//!
//! A query's pool divides the query's own limit fairly among its operators that can spill (as DataFusion's `FairSpillPool`) and
//! asks the server's budget for every byte. Everything that belongs to a running query holds the pool, the pool holds the
//! permit: the permit returns exactly when the last task, reservation and plan node of the query is gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::query::Permit;
use crate::units::ByteSize;

/// Who holds memory that nobody needs, and gives some of it back when a query is short of it.
pub(crate) trait Relief: fmt::Debug + Send + Sync {
    /// Gives something back; `false` if there is nothing left.
    fn give_back(&self) -> bool;
}

/// What the whole server may reserve.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: u64,
    gauge: Gauge,
    relief: OnceLock<Weak<dyn Relief>>,
}

impl MemoryBudget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, gauge: Gauge::default(), relief: OnceLock::new() }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Asks `relief` from now on before it refuses.
    pub(crate) fn relieve_by(&self, relief: Weak<dyn Relief>) {
        // There is one, set at the start.
        let _ = self.relief.set(relief);
    }

    /// Takes bytes, or tells how many are free.
    fn take(&self, bytes: u64) -> Result<(), u64> {
        loop {
            let refused = match self.gauge.try_add(bytes, self.limit) {
                Ok(()) => return Ok(()),
                Err(free) => free,
            };
            let relief = self.relief.get().and_then(Weak::upgrade);
            // More than there is at all is not worth giving up anything for.
            if bytes > self.limit || !relief.is_some_and(|relief| relief.give_back()) {
                return Err(refused);
            }
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.gauge.used()
    }

    pub(crate) fn peak(&self) -> u64 {
        self.gauge.peak()
    }
}

/// A current value and the highest it ever was.
#[derive(Debug, Default)]
struct Gauge {
    used: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }

    /// Adds unless the sum passes the limit; then it tells what was free.
    fn try_add(&self, bytes: u64, limit: u64) -> Result<(), u64> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => Err(limit.saturating_sub(used)),
        }
    }

    fn subtract(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one query, or the in-memory tables together, may reserve.
pub(crate) struct AccountedPool {
    budget: Arc<MemoryBudget>,
    fair: FairSpillPool,
    limit: u64,
    /// The key that raises the limit, for the error's text.
    key: &'static str,
    gauge: Gauge,
    /// Returns when the pool is dropped, which is when nothing of the query is left.
    _permit: Option<Permit>,
}

impl AccountedPool {
    /// A pool of at most `limit` bytes that holds `permit` as long as anything holds the pool.
    pub(crate) fn new(budget: Arc<MemoryBudget>, limit: u64, key: &'static str, permit: Option<Permit>) -> Self {
        let limit = limit.min(budget.limit());
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { budget, fair: FairSpillPool::new(size), limit, key, gauge: Gauge::default(), _permit: permit }
    }

    pub(crate) fn used(&self) -> u64 {
        self.gauge.used()
    }

    pub(crate) fn peak(&self) -> u64 {
        self.gauge.peak()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn own_limit_reached(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "out of memory: {} needs {} more, but the query holds {} of its limit of {} ({})",
            reservation.consumer().name(),
            ByteSize(additional as u64),
            ByteSize(self.gauge.used()),
            ByteSize(self.limit),
            self.key,
        ))
    }

    fn budget_exhausted(&self, reservation: &MemoryReservation, additional: usize, free: u64) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "out of memory: {} needs {} more, but only {} of the server's limit of {} (memory.limit) are free",
            reservation.consumer().name(),
            ByteSize(additional as u64),
            ByteSize(free),
            ByteSize(self.budget.limit),
        ))
    }
}

impl MemoryPool for AccountedPool {
    fn name(&self) -> &str {
        "tidemill"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        self.gauge.add(additional as u64);
        self.budget.gauge.add(additional as u64);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        self.gauge.subtract(shrink as u64);
        self.budget.gauge.subtract(shrink as u64);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        if self.fair.try_grow(reservation, additional).is_err() {
            return Err(self.own_limit_reached(reservation, additional));
        }
        if let Err(free) = self.budget.take(additional as u64) {
            self.fair.shrink(reservation, additional);
            return Err(self.budget_exhausted(reservation, additional, free));
        }
        self.gauge.add(additional as u64);
        Ok(())
    }

    fn reserved(&self) -> usize {
        usize::try_from(self.gauge.used()).unwrap_or(usize::MAX)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(usize::try_from(self.limit).unwrap_or(usize::MAX))
    }
}

impl fmt::Display for AccountedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tidemill(used: {}, limit: {})", ByteSize(self.gauge.used()), ByteSize(self.limit))
    }
}

impl fmt::Debug for AccountedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(budget: &Arc<MemoryBudget>, limit: u64) -> Arc<dyn MemoryPool> {
        Arc::new(AccountedPool::new(Arc::clone(budget), limit, "memory_limit", None))
    }

    #[test]
    fn one_query_can_not_take_what_another_holds() {
        let budget = Arc::new(MemoryBudget::new(1000));
        let (first, second) = (pool(&budget, 800), pool(&budget, 800));
        let held = MemoryConsumer::new("join").register(&first);
        held.try_grow(700).unwrap();
        let wanting = MemoryConsumer::new("sort").register(&second);
        let error = wanting.try_grow(400).unwrap_err();
        assert!(error.to_string().contains("memory.limit"), "{error}");
        drop(held);
        assert_eq!(budget.used(), 0);
        wanting.try_grow(400).unwrap();
        assert_eq!((budget.used(), budget.peak()), (400, 700));
    }

    #[test]
    fn a_query_is_told_its_own_limit() {
        let budget = Arc::new(MemoryBudget::new(1000));
        let pool = pool(&budget, 100);
        let reservation = MemoryConsumer::new("sort").register(&pool);
        let error = reservation.try_grow(101).unwrap_err();
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)), "operators spill on this variant only");
        assert!(error.to_string().contains("limit of 100B (memory_limit)"), "{error}");
        assert_eq!((pool.reserved(), budget.used()), (0, 0));
    }
}
