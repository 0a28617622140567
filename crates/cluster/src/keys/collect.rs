//! Collecting the keys of the rows that pass.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use ballista_core::serde::protobuf::TaskColumnStats;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::Stream;
use parking_lot::Mutex;

use super::set::KeySet;
use super::{FilterId, Key, hashes};

/// Hands on the rows of its input, and collects the keys in one of their columns.
#[derive(Clone)]
pub(crate) struct KeyCollectExec {
    input: Arc<dyn ExecutionPlan>,
    key: Key,
    collected: Arc<Collected>,
}

impl KeyCollectExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, key: Key) -> Self {
        Self { input, key, collected: Arc::new(Collected { id: key.filter, keys: Mutex::default() }) }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// What is collected here from now on.
    pub(crate) fn collected(&self) -> Arc<Collected> {
        Arc::clone(&self.collected)
    }
}

impl fmt::Debug for KeyCollectExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCollectExec").field("key", &self.key).field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for KeyCollectExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCollectExec: {}", self.key.shown(&self.input))
    }
}

impl ExecutionPlan for KeyCollectExec {
    fn name(&self) -> &'static str {
        "KeyCollectExec"
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
        Ok(Arc::new(Self { input, ..Self::clone(&self) }))
    }

    /// Tasks that share a decoded plan do not share what they collect.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.input), self.key)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let (column, collected) = (self.key.column, Arc::clone(&self.collected));
        Ok(Box::pin(Collecting { rows, column, collected, buffer: Vec::new() }))
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

/// The keys that one task has seen.
#[derive(Debug)]
pub(crate) struct Collected {
    id: FilterId,
    keys: Mutex<KeySet>,
}

impl Collected {
    /// Takes in the keys; nulls have no partner.
    fn add(&self, column: &dyn Array, hashes: &[u64]) {
        let mut keys = self.keys.lock();
        match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => keys.add(hashes.iter().copied()),
            Some(nulls) => keys.add(hashes.iter().zip(&nulls).filter(|(_, valid)| *valid).map(|(hash, _)| *hash)),
        }
    }

    /// What the coordinator is told at the end of the task.
    pub(crate) fn tell(&self) -> TaskColumnStats {
        std::mem::take(&mut *self.keys.lock()).told(self.id)
    }
}

struct Collecting {
    rows: SendableRecordBatchStream,
    column: usize,
    collected: Arc<Collected>,
    buffer: Vec<u64>,
}

impl Collecting {
    fn collect(&mut self, batch: &RecordBatch) -> Result<()> {
        if !self.collected.keys.lock().is_full() {
            let keys = batch.column(self.column);
            hashes(keys, &mut self.buffer)?;
            self.collected.add(keys.as_ref(), &self.buffer);
        }
        Ok(())
    }
}

impl Stream for Collecting {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.rows.as_mut().poll_next(context));
        Poll::Ready(next.map(|batch| batch.and_then(|batch| self.collect(&batch).map(|()| batch))))
    }
}

impl RecordBatchStream for Collecting {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
