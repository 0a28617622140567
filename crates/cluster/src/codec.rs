//! How physical plans go to the workers as bytes: the engine's operators and functions beside Ballista's.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::keys::{Bloom, Key, KeyCollectExec, KeyFilterExec};
use crate::plan::{FixedExec, ReadAsExec};

/// The codec that coordinator and workers share.
///
/// # Errors
/// None that a valid build leads to: the engine's list of functions can not be made.
pub fn physical_codec() -> tidemill_engine::Result<Arc<dyn PhysicalExtensionCodec>> {
    let engine = tidemill_engine::run::physical_codec()?;
    Ok(Arc::new(Codec { engine, ballista: Arc::new(BallistaPhysicalExtensionCodec::default()) }))
}

/// Whose operator it is, as the first byte of its encoding.
const ENGINE: u8 = 1;
const BALLISTA: u8 = 2;
/// Only the scheduler has to do with it: its input stands for it.
const FIXED: u8 = 3;
/// Runtime filters: those that collect keys, and those that filter by them.
const COLLECT: u8 = 4;
const FILTER: u8 = 5;
/// How the scan below it reads.
const READ_AS: u8 = 6;

fn push_key(bytes: &mut Vec<u8>, key: Key) -> Result<()> {
    let column = u32::try_from(key.column).map_err(|_| exec_datafusion_err!("{} columns are too many", key.column))?;
    bytes.extend_from_slice(&key.filter.to_le_bytes());
    bytes.extend_from_slice(&column.to_le_bytes());
    Ok(())
}

fn key_operator(kind: u8, bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    let malformed = || exec_datafusion_err!("a runtime filter that can not be read");
    let [input] = inputs else { return Err(malformed()) };
    let (filter, bytes) = bytes.split_first_chunk().ok_or_else(malformed)?;
    let (column, bytes) = bytes.split_first_chunk().ok_or_else(malformed)?;
    let key = Key { filter: u32::from_le_bytes(*filter), column: u32::from_le_bytes(*column) as usize };
    if key.column >= input.schema().fields().len() {
        return Err(malformed());
    }
    let input = Arc::clone(input);
    if kind == COLLECT {
        return Ok(Arc::new(KeyCollectExec::new(input, key)));
    }
    let ([whole], keys) = bytes.split_first_chunk().ok_or_else(malformed)?;
    let filter = KeyFilterExec::new(input, key, *whole == 1);
    if keys.is_empty() {
        return Ok(Arc::new(filter));
    }
    let keys = Bloom::from_bytes(keys).ok_or_else(malformed)?;
    Ok(Arc::new(filter.with_keys(&Arc::new(keys))))
}

/// Operators are of one of two kinds. Functions and expressions are the engine's: Ballista has none of its own.
#[derive(Debug)]
struct Codec {
    engine: Arc<dyn PhysicalExtensionCodec>,
    ballista: Arc<dyn PhysicalExtensionCodec>,
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match bytes.split_first() {
            Some((&FIXED, [])) => match inputs {
                [input] => Ok(Arc::clone(input)),
                _ => exec_err!("{} inputs where there is one", inputs.len()),
            },
            Some((&READ_AS, bytes)) => match inputs {
                [scan] => Ok(Arc::new(ReadAsExec::from_bytes(bytes, scan)?)),
                _ => exec_err!("{} scans where there is one", inputs.len()),
            },
            Some((kind @ (&COLLECT | &FILTER), bytes)) => key_operator(*kind, bytes, inputs),
            Some((&ENGINE, bytes)) => self.engine.try_decode(bytes, inputs, context, converter),
            Some((&BALLISTA, bytes)) => self.ballista.try_decode(bytes, inputs, context, converter),
            _ => exec_err!("an operator that this version does not know"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if node.is::<FixedExec>() {
            bytes.push(FIXED);
            return Ok(());
        }
        if let Some(read_as) = node.downcast_ref::<ReadAsExec>() {
            bytes.push(READ_AS);
            bytes.extend(read_as.to_bytes()?);
            return Ok(());
        }
        if let Some(collect) = node.downcast_ref::<KeyCollectExec>() {
            bytes.push(COLLECT);
            push_key(bytes, collect.key())?;
            return Ok(());
        }
        if let Some(filter) = node.downcast_ref::<KeyFilterExec>() {
            bytes.push(FILTER);
            push_key(bytes, filter.key())?;
            bytes.push(u8::from(filter.is_whole()));
            bytes.extend(filter.keys().map(|keys| keys.to_bytes()).unwrap_or_default());
            return Ok(());
        }
        for (kind, codec) in [(BALLISTA, &self.ballista), (ENGINE, &self.engine)] {
            let start = bytes.len();
            bytes.push(kind);
            if codec.try_encode(Arc::clone(&node), bytes, converter).is_ok() {
                return Ok(());
            }
            bytes.truncate(start);
        }
        Err(exec_datafusion_err!("{} can not be sent to a worker", node.name()))
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.engine.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udf(function, bytes)
    }

    fn try_decode_higher_order_function(&self, name: &str, bytes: &[u8]) -> Result<Arc<HigherOrderUDF>> {
        self.engine.try_decode_higher_order_function(name, bytes)
    }

    fn try_encode_higher_order_function(&self, function: &HigherOrderUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_higher_order_function(function, bytes)
    }

    fn try_decode_expr(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        context: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        self.engine.try_decode_expr(bytes, inputs, context)
    }

    fn try_encode_expr(
        &self,
        expression: &Arc<dyn PhysicalExpr>,
        bytes: &mut Vec<u8>,
        context: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        self.engine.try_encode_expr(expression, bytes, context)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.engine.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udaf(function, bytes)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.engine.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udwf(function, bytes)
    }
}
