//! Dropping the rows whose key is not among those that were collected.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::Stream;

use super::bloom::Bloom;
use super::{FilterId, Key, hashes};

/// Rows after which is looked whether the filter is worth its work.
const SAMPLE: usize = 1 << 17;

/// Hands on the rows of its input whose key may be among those of a filter, as far as it is told them.
#[derive(Clone)]
pub(crate) struct KeyFilterExec {
    input: Arc<dyn ExecutionPlan>,
    key: Key,
    whole: bool,
    keys: Option<Arc<Bloom>>,
    metrics: ExecutionPlanMetricsSet,
}

impl KeyFilterExec {
    /// Waits for its keys. `whole` says that all rows with a key that it drops must be dropped: it must not give up.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, key: Key, whole: bool) -> Self {
        Self { input, key, whole, keys: None, metrics: ExecutionPlanMetricsSet::new() }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The filter of the keys' hashes; none while they are awaited, and all rows pass.
    pub(crate) fn keys(&self) -> Option<&Arc<Bloom>> {
        self.keys.as_ref()
    }

    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The filter whose keys it waits for.
    pub(crate) fn awaited(&self) -> Option<FilterId> {
        self.keys.is_none().then_some(self.key.filter)
    }

    /// The same with its keys.
    pub(crate) fn with_keys(&self, keys: &Arc<Bloom>) -> Self {
        Self { keys: Some(Arc::clone(keys)), ..Self::new(Arc::clone(&self.input), self.key, self.whole) }
    }
}

impl fmt::Debug for KeyFilterExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFilterExec").field("key", &self.key).field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for KeyFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFilterExec: {}", self.key.shown(&self.input))
    }
}

impl ExecutionPlan for KeyFilterExec {
    fn name(&self) -> &'static str {
        "KeyFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { keys: self.keys.clone(), ..Self::new(input, self.key, self.whole) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(Filtering {
            rows,
            column: self.key.column,
            may_give_up: !self.whole,
            keys: self.keys.clone(),
            seen: 0,
            passed: 0,
            measured: BaselineMetrics::new(&self.metrics, partition),
            buffer: Vec::new(),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}

struct Filtering {
    rows: SendableRecordBatchStream,
    column: usize,
    may_give_up: bool,
    /// Absent when they are not known, or drop next to nothing.
    keys: Option<Arc<Bloom>>,
    seen: usize,
    passed: usize,
    measured: BaselineMetrics,
    buffer: Vec<u64>,
}

impl Filtering {
    fn filter(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(keys) = &self.keys else { return Ok(batch) };
        let timer = self.measured.elapsed_compute().timer();
        let column = batch.column(self.column);
        hashes(column, &mut self.buffer)?;
        let buffer = &self.buffer;
        let mut matches = BooleanBuffer::collect_bool(batch.num_rows(), |row| keys.contains(buffer[row]));
        if let Some(nulls) = column.logical_nulls() {
            matches = &matches & nulls.inner();
        }
        let passed = matches.count_set_bits();
        (self.seen, self.passed) = (self.seen + batch.num_rows(), self.passed + passed);
        let batch = match passed {
            all if all == batch.num_rows() => batch,
            _ => filter_record_batch(&batch, &BooleanArray::new(matches, None))?,
        };
        if self.may_give_up && self.seen >= SAMPLE && self.passed > self.seen / 8 * 7 {
            self.keys = None;
        }
        timer.done();
        Ok(batch)
    }
}

impl Stream for Filtering {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = std::task::ready!(self.rows.as_mut().poll_next(context));
            let next = next.map(|batch| batch.and_then(|batch| self.filter(batch)));
            if !matches!(&next, Some(Ok(batch)) if batch.num_rows() == 0) {
                return self.measured.record_poll(Poll::Ready(next));
            }
        }
    }
}

impl RecordBatchStream for Filtering {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
