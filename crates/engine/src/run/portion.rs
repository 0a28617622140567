//! Large constants, and how many rows there are of them at once.
//!
//! An operator that computes with a constant may write it out for each row of a batch: eight thousand rows of a text of one
//! megabyte are more than a column can hold, and than memory should. So what such an operator is fed is cut into batches of
//! few rows, the fewer the larger its constants are.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use futures::Stream;

/// Constants of fewer bytes than this are no matter.
const SMALL: usize = 16 << 10;

/// What the constants of an operator may take when each is written out for all rows of a batch.
const PORTION: usize = 64 << 20;

/// The plan in which operators with large constants compute few rows at once.
pub(super) fn portioned(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let constants = large_constants(node.as_ref())?;
        if constants == 0 || node.children().is_empty() {
            return Ok(Transformed::no(node));
        }
        let rows = (PORTION / constants).max(1);
        let portion = |child: &Arc<dyn ExecutionPlan>| Arc::new(PortionedExec::new(Arc::clone(child), rows)) as _;
        let children = node.children().into_iter().map(portion).collect();
        Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
    })
    .data()
}

/// What the large ones among the constants of the operator take together.
fn large_constants(node: &dyn ExecutionPlan) -> Result<usize> {
    let mut bytes = 0;
    node.apply_expressions(&mut |expr| {
        expr.apply(|part| {
            if let Some(constant) = part.downcast_ref::<Literal>() {
                bytes += Some(constant.value().size()).filter(|size| *size >= SMALL).unwrap_or_default();
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(bytes)
}

/// Hands on the rows of its input, few at once.
#[derive(Debug)]
struct PortionedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    rows: usize,
}

impl PortionedExec {
    fn new(input: Arc<dyn ExecutionPlan>, rows: usize) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties, rows }
    }
}

impl DisplayAs for PortionedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortionedExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for PortionedExec {
    fn name(&self) -> &'static str {
        "PortionedExec"
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
        Ok(Arc::new(Self::new(input, self.rows)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Portions { input, rows: self.rows, rest: None }))
    }
}

struct Portions {
    input: SendableRecordBatchStream,
    rows: usize,
    rest: Option<RecordBatch>,
}

impl Stream for Portions {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.input.as_mut().poll_next(context)) {
                Some(Ok(batch)) => batch,
                other => return Poll::Ready(other),
            },
        };
        if batch.num_rows() <= self.rows {
            return Poll::Ready(Some(Ok(batch)));
        }
        self.rest = Some(batch.slice(self.rows, batch.num_rows() - self.rows));
        Poll::Ready(Some(Ok(batch.slice(0, self.rows))))
    }
}

impl RecordBatchStream for Portions {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        portioned(plan).unwrap()
    }

    #[tokio::test]
    async fn a_large_constant_is_written_out_for_few_rows() {
        let context = SessionContext::new();
        let sql = "SELECT value, repeat('x', 1000000) AS text FROM generate_series(1, 300)";
        let batches = collect(plan(&context, sql).await, context.task_ctx()).await.unwrap();
        let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!((rows.iter().sum::<usize>(), rows.iter().max()), (300, Some(&67)));
    }

    #[tokio::test]
    async fn plans_without_stay_as_they_are() {
        let context = SessionContext::new();
        let plan = plan(&context, "SELECT value || 'x' FROM generate_series(1, 300) WHERE value IN (1, 2, 3)").await;
        assert!(!displayable(plan.as_ref()).indent(false).to_string().contains("PortionedExec"));
    }
}
