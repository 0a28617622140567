//! Tasks from their bytes: the plan, with the settings and functions that it was planned with.

use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, SessionConfigHelperExt};
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::BallistaLogicalExtensionCodec;
use ballista_core::serde::protobuf::MultiTaskDefinition;
use ballista_core::serde::scheduler::TaskDefinition;
use ballista_core::serde::scheduler::from_proto::get_task_definition_vec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tidemill_engine::run::TaskEnvironment;

use crate::codec::physical_codec;
use crate::transport::Transport;

/// What tasks are read with.
pub(super) struct Decoder {
    environment: Arc<TaskEnvironment>,
    runtime: Arc<RuntimeEnv>,
    codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode>,
    /// Before the settings of the query: what every task here has.
    config: SessionConfig,
}

impl Decoder {
    pub(super) fn new(environment: &Arc<TaskEnvironment>, transport: &Transport) -> tidemill_engine::Result<Self> {
        let config = environment.session_state().config().clone();
        // What reads other workers' files finds here how to reach them.
        let config =
            config.upgrade_for_ballista().with_ballista_override_create_grpc_client_endpoint(transport.endpoints());
        Ok(Self {
            environment: Arc::clone(environment),
            runtime: environment.runtime_env(),
            codec: BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), physical_codec()?),
            config,
        })
    }

    /// The tasks, in the order of their numbers in the message.
    pub(super) fn decode(&self, mut tasks: MultiTaskDefinition) -> Result<Vec<TaskDefinition>> {
        let settings = std::mem::take(&mut tasks.props);
        let config = self.config.clone().update_from_key_value_pair(&settings);
        let state = self.environment.session_state_for(config.clone())?;
        let runtime = Arc::clone(&self.runtime);
        let decoded = get_task_definition_vec(
            tasks,
            Arc::new(move |_: &SessionConfig| Ok(Arc::clone(&runtime))),
            config,
            state.scalar_functions().clone(),
            state.aggregate_functions().clone(),
            state.window_functions().clone(),
            state.higher_order_functions().clone(),
            self.codec.clone(),
        );
        decoded.map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
