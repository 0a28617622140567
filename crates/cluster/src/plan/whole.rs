//! Whether a plan arrives as it left.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_proto::physical_plan::{AsExecutionPlan, PhysicalExtensionCodec};
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;
use tidemill_engine::units::ByteSize;

/// Whether what is read from the bytes of the plan is the plan; otherwise the reason.
pub(super) fn check(
    plan: &Arc<dyn ExecutionPlan>,
    codec: &dyn PhysicalExtensionCodec,
    state: &SessionState,
    limit: ByteSize,
) -> Result<(), String> {
    // A stage is one operator deeper than what it writes.
    let sent: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::clone(plan)));
    let encoded = PhysicalPlanNode::try_from_physical_plan(Arc::clone(&sent), codec)
        .map_err(|error| format!("a part of the plan can not be sent to workers: {}", error.strip_backtrace()))?;
    let bytes = encoded.encoded_len() as u64;
    if bytes > limit.0 {
        return Err(format!("the plan takes {} to send, more than the {limit} of cluster.plan_limit", ByteSize(bytes)));
    }
    let unread = |reason: String| format!("the plan can not be read by workers: {reason}");
    let decoded = PhysicalPlanNode::decode(encoded.encode_to_vec().as_slice());
    let decoded = decoded.map_err(|_| unread("expressions or operators are nested too deeply".to_owned()))?;
    let read = decoded
        .try_into_physical_plan(&TaskContext::from(state), codec)
        .map_err(|error| unread(error.strip_backtrace()))?;
    same(&sent, &read)
}

fn same(sent: &Arc<dyn ExecutionPlan>, read: &Arc<dyn ExecutionPlan>) -> Result<(), String> {
    let (before, after) = (sent.children(), read.children());
    let text = |plan: &Arc<dyn ExecutionPlan>| DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string();
    let is_same = before.len() == after.len()
        && sent.schema() == read.schema()
        && sent.output_partitioning().partition_count() == read.output_partitioning().partition_count()
        && text(sent) == text(read);
    if !is_same {
        tracing::debug!(sent = text(sent), read = text(read), "an operator does not arrive as it left");
        return Err(format!("{} does not arrive at workers as it left", sent.name()));
    }
    before.into_iter().zip(after).try_for_each(|(sent, read)| same(sent, read))
}
