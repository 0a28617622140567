//! `COPY` of no rows to a folder: DataFusion's writers make a file when the first batch comes, so that a folder without rows
//! would be one without columns too, and could not be read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use futures::StreamExt;

/// The plan of a `COPY` that writes at least one file.
pub(crate) fn with_one_file(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(sink) = node.downcast_ref::<DataSinkExec>() else { return Ok(Transformed::no(node)) };
        let input: Arc<dyn ExecutionPlan> = Arc::new(SomeBatchExec::new(Arc::clone(sink.input())));
        Ok(Transformed::yes(replace_children_if_necessary(node, vec![input])?))
    })
    .data()
}

/// Whether it is what makes a `COPY` write at least one file.
pub(crate) fn is_some_batch(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SomeBatchExec>()
}

/// Hands on the batches of its input; an empty one if there are none.
#[derive(Debug)]
struct SomeBatchExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SomeBatchExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties }
    }
}

impl DisplayAs for SomeBatchExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SomeBatchExec")
    }
}

impl ExecutionPlan for SomeBatchExec {
    fn name(&self) -> &'static str {
        "SomeBatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        Ok(Arc::new(Self::new(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        let batches = futures::stream::unfold((Some(input), false), |(input, any)| async move {
            let mut input = input?;
            match input.next().await {
                Some(batch) => Some((batch, (Some(input), true))),
                None if any => None,
                None => Some((Ok(RecordBatch::new_empty(input.schema())), (None, true))),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
