//! The session that a job is planned with: that of the statement, with what the cluster needs to be otherwise.

use ballista_core::config::{
    BALLISTA_ADAPTIVE_PLANNER_ENABLED, BALLISTA_BROADCAST_JOIN_THRESHOLD_BYTES, BALLISTA_CLIENT_GRPC_MAX_MESSAGE_SIZE,
    BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS, BALLISTA_JOB_NAME, BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK,
    BALLISTA_SCHEDULER_SHARE_FILE_STATISTICS_CACHE, BALLISTA_SHUFFLE_SORT_BASED_MEMORY_LIMIT_PER_TASK_BYTES,
    BallistaConfig,
};
use ballista_core::extension::SessionConfigHelperExt;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;

use super::joins;
use crate::config::CoordinatorConfig;
use crate::members::Width;
use crate::transport::MAX_MESSAGE;

/// How long a task waits before it asks another worker for the same data again, in milliseconds. The first answer that a worker
/// is gone may be that of a connection that broke; more often the worker is.
const READ_AGAIN_AFTER: u64 = 500;

/// The statement's state, so changed that plans can be cut into stages, as many partitions wide as the cluster has slots. `job`
/// is the id of the session on the workers, which keep what belongs to one session.
pub(crate) fn state(of: &SessionState, config: &CoordinatorConfig, width: Width, job: &str) -> SessionState {
    let session = session_config(of.config().clone(), config, width, job);
    SessionStateBuilder::new_from_existing(of.clone())
        .with_config(session)
        .with_session_id(job.to_owned())
        .with_physical_optimizer_rules(joins::among(of.physical_optimizers()))
        .build()
}

fn session_config(session: SessionConfig, config: &CoordinatorConfig, width: Width, job: &str) -> SessionConfig {
    let partitions = (width.slots * config.partitions_per_slot).max(1);
    // The partitions that one worker gets of a stage go into one task, which builds what they share once.
    let per_task = partitions.div_ceil(width.workers.max(1) * config.partitions_per_slot.max(1)).max(1);
    let broadcast = config.broadcast_limit.0;
    session
        .with_option_extension(BallistaConfig::default())
        .ballista_restricted_configuration()
        .with_target_partitions(partitions)
        // A hint on which rows to read first, which does not get to workers.
        .set_bool("datafusion.optimizer.enable_sort_pushdown", false)
        // An exchange keeps no order.
        .set_bool("datafusion.optimizer.prefer_existing_sort", false)
        // As in the server itself: a join that does not fit fails there too.
        .set_bool("datafusion.optimizer.prefer_hash_join", true)
        .set_u64("datafusion.optimizer.hash_join_single_partition_threshold", broadcast)
        .set_str(BALLISTA_JOB_NAME, job)
        .set_bool(BALLISTA_ADAPTIVE_PLANNER_ENABLED, false)
        .set_u64(BALLISTA_BROADCAST_JOIN_THRESHOLD_BYTES, broadcast)
        .set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, per_task)
        // The memory of the query bounds what waits to be written. Its own bound counts buffers once for each batch that shares them.
        .set_u64(BALLISTA_SHUFFLE_SORT_BASED_MEMORY_LIMIT_PER_TASK_BYTES, 0)
        .set_usize(BALLISTA_CLIENT_GRPC_MAX_MESSAGE_SIZE, MAX_MESSAGE)
        .set_u64(BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS, READ_AGAIN_AFTER)
        // The engine has a cache of its own.
        .set_bool(BALLISTA_SCHEDULER_SHARE_FILE_STATISTICS_CACHE, false)
}
