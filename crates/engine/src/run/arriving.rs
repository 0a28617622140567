//! Rows that are computed elsewhere and written here.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    replace_children_if_necessary,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::storage::is_some_batch;

/// The plan of a statement that writes, with these rows in the place of those that it would compute.
pub(super) fn written(
    plan: Arc<dyn ExecutionPlan>,
    rows: BoxStream<'static, crate::Result<RecordBatch>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut rows = Some(rows);
    plan.transform_up(|node| {
        let Some(sink) = node.downcast_ref::<DataSinkExec>() else { return Ok(Transformed::no(node)) };
        let Some(rows) = rows.take() else { return Ok(Transformed::no(node)) };
        let arriving: Arc<dyn ExecutionPlan> = Arc::new(ArrivingExec::new(sink.input().schema(), rows));
        let input = if is_some_batch(sink.input()) {
            replace_children_if_necessary(Arc::clone(sink.input()), vec![arriving])?
        } else {
            arriving
        };
        Ok(Transformed::yes(replace_children_if_necessary(node, vec![input])?))
    })
    .data()
}

/// Hands on rows as they arrive, once.
struct ArrivingExec {
    rows: Mutex<Option<BoxStream<'static, crate::Result<RecordBatch>>>>,
    properties: Arc<PlanProperties>,
}

impl ArrivingExec {
    fn new(schema: SchemaRef, rows: BoxStream<'static, crate::Result<RecordBatch>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { rows: Mutex::new(Some(rows)), properties: Arc::new(properties) }
    }
}

impl fmt::Debug for ArrivingExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArrivingExec")
    }
}

impl DisplayAs for ArrivingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArrivingExec")
    }
}

impl ExecutionPlan for ArrivingExec {
    fn name(&self) -> &'static str {
        "ArrivingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.rows.lock().take();
        let rows = rows.ok_or_else(|| internal_datafusion_err!("rows that arrived were asked for again"))?;
        let rows = rows.map(|batch| batch.map_err(Into::into));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
