//! The engine's own operators and functions as bytes, for plans that are computed elsewhere.
//!
//! Functions go by name and are found in the one list of functions on the other side. Ours are marked, because some of them
//! stand in the place of DataFusion's of the same name, and a registry that knows only those would find the wrong one.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{FunctionRegistry, TaskContext};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use super::pace::PacedExec;
use crate::plan::{OwnFunctions, base_state};

/// Marks a function of the engine's own.
const OWN: u8 = 1;

/// Marks the operators of the engine's own.
const PACED: u8 = 1;
const PACED_AND_SLICED: u8 = 2;

/// What makes bytes of the engine's own operators and functions, and reads them.
///
/// # Errors
/// None that a valid build leads to: the list of functions can not be made.
pub fn physical_codec() -> crate::Result<Arc<dyn PhysicalExtensionCodec>> {
    // Only its list of functions matters.
    let all = base_state(Arc::new(RuntimeEnv::default()), 1)?;
    Ok(Arc::new(OwnCodec { own: OwnFunctions::list(), all }))
}

struct OwnCodec {
    own: OwnFunctions,
    /// Every function, by name.
    all: SessionState,
}

impl fmt::Debug for OwnCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnCodec")
    }
}

impl PhysicalExtensionCodec for OwnCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _context: &TaskContext,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (buf, inputs) {
            ([PACED], [input]) => Ok(Arc::new(PacedExec::new(Arc::clone(input), false))),
            ([PACED_AND_SLICED], [input]) => Ok(Arc::new(PacedExec::new(Arc::clone(input), true))),
            _ => internal_err!("{} bytes with {} inputs are no operator of the engine's", buf.len(), inputs.len()),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(paced) = node.downcast_ref::<PacedExec>() else {
            return not_impl_err!("{} can only run in the process that planned it", node.name());
        };
        buf.push(if paced.slices() { PACED_AND_SLICED } else { PACED });
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, _buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.all.udf(name)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        if self.own.scalars.iter().any(|own| own.as_ref() == node) {
            buf.push(OWN);
        }
        Ok(())
    }

    fn try_decode_udaf(&self, name: &str, _buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.all.udaf(name)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        if self.own.aggregates.iter().any(|own| own.as_ref() == node) {
            buf.push(OWN);
        }
        Ok(())
    }

    fn try_decode_udwf(&self, name: &str, _buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.all.udwf(name)
    }
}
