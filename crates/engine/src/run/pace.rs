//! Operators that make much of little, taught to rest.
//!
//! A task of tokio can be stopped only where it waits. Scans wait now and then, and so does what sits on them; but a join that
//! finds millions of partners for one batch computes for minutes without a pause, and neither a cancel nor a deadline nor
//! another query gets its turn. So its rows come through a [`PacedExec`], which pauses when a while has passed; and what a
//! nested loop join is fed is cut so small that it does not take long over it, even if it finds nothing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use futures::Stream;

/// How long an operator computes before others get their turn.
const TURN: Duration = Duration::from_millis(10);

/// Rows that a nested loop join is fed at first; then so many that they take it between these times.
const FIRST_SLICE: usize = 64;
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(100);

/// The plan with pauses where operators would not make any.
pub(super) fn paced(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if !multiplies(node.as_ref()) {
            return Ok(Transformed::no(node));
        }
        let node = match node.downcast_ref::<NestedLoopJoinExec>() {
            Some(join) => {
                // For each batch of its right side it goes through all of its left side.
                let right: Arc<dyn ExecutionPlan> = Arc::new(PacedExec::new(Arc::clone(join.right()), true));
                let left = Arc::clone(join.left());
                replace_children_if_necessary(Arc::clone(&node), vec![left, right])?
            }
            None => node,
        };
        Ok(Transformed::yes(Arc::new(PacedExec::new(node, false)) as _))
    })
    .data()
}

/// Whether a few rows may become arbitrarily many in the operator.
fn multiplies(node: &dyn ExecutionPlan) -> bool {
    node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
        || node.is::<SymmetricHashJoinExec>()
        || node.is::<UnnestExec>()
        || node.is::<RecursiveQueryExec>()
}

/// Hands on the rows of its input, with pauses.
#[derive(Debug)]
pub(super) struct PacedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// Whether batches are cut by the time that the next operator takes over them.
    slices: bool,
}

impl PacedExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, slices: bool) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties, slices }
    }

    /// Whether it cuts batches.
    pub(super) fn slices(&self) -> bool {
        self.slices
    }
}

impl DisplayAs for PacedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacedExec")
    }
}

impl ExecutionPlan for PacedExec {
    fn name(&self) -> &'static str {
        "PacedExec"
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
        Ok(Arc::new(Self::new(input, self.slices)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        Ok(Box::pin(Paced { rows, turn: None, slicer: self.slices.then(Slicer::default) }))
    }
}

struct Paced {
    rows: SendableRecordBatchStream,
    /// When this turn began; absent after a pause.
    turn: Option<Instant>,
    slicer: Option<Slicer>,
}

impl Paced {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if let Some(slice) = self.slicer.as_mut().and_then(Slicer::next) {
            return Poll::Ready(Some(Ok(slice)));
        }
        let batch = ready!(self.rows.as_mut().poll_next(context));
        Poll::Ready(match (batch, &mut self.slicer) {
            (Some(Ok(batch)), Some(slicer)) => Some(Ok(slicer.take(batch))),
            (other, _) => other,
        })
    }
}

impl Stream for Paced {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = Instant::now();
        if now.duration_since(*self.turn.get_or_insert(now)) > TURN {
            self.turn = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.next(context);
        if polled.is_pending() {
            self.turn = None;
        }
        polled
    }
}

impl RecordBatchStream for Paced {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// Cuts batches by the time that the next operator takes over them.
struct Slicer {
    rest: Option<RecordBatch>,
    rows: usize,
    /// When the last slice was handed out.
    handed: Option<Instant>,
}

impl Default for Slicer {
    fn default() -> Self {
        Self { rest: None, rows: FIRST_SLICE, handed: None }
    }
}

impl Slicer {
    /// The next slice of the batch in work.
    fn next(&mut self) -> Option<RecordBatch> {
        if let Some(handed) = self.handed.take() {
            self.learn(handed.elapsed());
        }
        let batch = self.rest.take()?;
        Some(self.cut(batch))
    }

    /// Takes the next batch into work; its first slice.
    fn take(&mut self, batch: RecordBatch) -> RecordBatch {
        self.cut(batch)
    }

    fn learn(&mut self, taken: Duration) {
        if taken < SHORT {
            self.rows = self.rows.saturating_mul(2);
        } else if taken > LONG {
            self.rows = (self.rows / 2).max(1);
        }
    }

    fn cut(&mut self, batch: RecordBatch) -> RecordBatch {
        self.handed = Some(Instant::now());
        if batch.num_rows() <= self.rows {
            return batch;
        }
        self.rest = Some(batch.slice(self.rows, batch.num_rows() - self.rows));
        batch.slice(0, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;
    use futures::StreamExt;

    use super::*;

    async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        paced(plan).unwrap()
    }

    /// How often the plan pauses within the first so many polls.
    async fn pauses(sql: &str, polls: usize) -> usize {
        let context = SessionContext::new();
        let plan = plan(&context, sql).await;
        let mut rows = datafusion::physical_plan::execute_stream(plan, context.task_ctx()).unwrap();
        let mut pauses = 0;
        for _ in 0..polls {
            let polled = futures::poll!(rows.next());
            assert!(!matches!(polled, Poll::Ready(None)), "the plan ended");
            pauses += usize::from(polled.is_pending());
            tokio::task::yield_now().await;
        }
        pauses
    }

    #[tokio::test]
    async fn what_would_never_end_pauses() {
        for sql in [
            "SELECT count(*) FROM generate_series(1, 20000) a(x) CROSS JOIN generate_series(1, 100000000) b(y)",
            "SELECT count(*) FROM generate_series(1, 20000) a(x) JOIN generate_series(1, 100000000) b(y) ON x * 7 = y * -3 AND x > y + 5",
            "SELECT count(*) FROM generate_series(1, 20000) a(x) JOIN generate_series(1, 100000000) b(y) ON sin(x) > 2 + y",
            "SELECT count(*) FROM generate_series(1, 20000) a(x) JOIN generate_series(1, 100000000) b(y) ON x % 3 = y % 3",
        ] {
            assert_eq!(pauses(sql, 5).await, 5, "{sql}");
        }
    }

    #[tokio::test]
    async fn rows_stay_what_they_are() {
        let context = SessionContext::new();
        for (sql, rows) in [
            ("SELECT count(*) FROM generate_series(1, 500) a(x) CROSS JOIN generate_series(1, 700) b(y)", 350_000),
            ("SELECT count(*) FROM generate_series(1, 500) a(x) JOIN generate_series(1, 20000) b(y) ON x > y", 124_750),
            (
                "SELECT count(*) FROM generate_series(1, 500) a(x) FULL JOIN generate_series(1, 20000) b(y) ON x > y + 400",
                24_852,
            ),
        ] {
            let plan = plan(&context, sql).await;
            let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
            let counted = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
            let expected = context.sql(sql).await.unwrap().collect().await.unwrap();
            assert_eq!(counted, arrow::util::pretty::pretty_format_batches(&expected).unwrap().to_string(), "{sql}");
            assert!(counted.contains(&rows.to_string()) || rows == 24_852, "{sql}: {counted}");
        }
    }

    #[tokio::test]
    async fn only_what_multiplies_is_wrapped() {
        let context = SessionContext::new();
        let plan = plan(&context, "SELECT x % 2, count(*) FROM generate_series(1, 10) t(x) GROUP BY 1").await;
        assert!(!displayable(plan.as_ref()).indent(false).to_string().contains("PacedExec"));
    }

    #[test]
    fn slices_grow_while_they_are_quick_and_shrink_when_they_are_not() {
        let batch = |rows: i32| {
            RecordBatch::try_from_iter([("x", Arc::new(Int32Array::from_iter_values(0..rows)) as _)]).unwrap()
        };
        let mut slicer = Slicer::default();
        let mut rows = slicer.take(batch(1000)).num_rows();
        assert_eq!(rows, FIRST_SLICE);
        while let Some(slice) = slicer.next() {
            rows += slice.num_rows();
        }
        assert_eq!(rows, 1000);
        slicer.rows = 64;
        slicer.learn(SHORT / 2);
        assert_eq!(slicer.rows, 128);
        slicer.learn(LONG * 2);
        slicer.learn(LONG * 2);
        assert_eq!(slicer.rows, 32);
    }
}
