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
use crate::plan::{OwnFunctions, about_session, base_state};

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
        if about_session("", "", "").iter().any(|value| value.name() == node.name()) {
            // Planning puts the value in its place. By its name, another process would find another session's.
            return not_impl_err!("{} is known only in the process that planned it", node.name());
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow::util::pretty::pretty_format_batches;
    use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
    use datafusion::physical_plan::display::DisplayableExecutionPlan;
    use datafusion::physical_plan::{collect, empty::EmptyExec};
    use datafusion::prelude::{CsvReadOptions, SessionContext};
    use datafusion_proto::bytes::{
        physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
    };

    use super::super::pace::paced;
    use super::*;

    #[test]
    fn every_function_of_ours_comes_back_as_ours() {
        let codec = physical_codec().unwrap();
        let own = OwnFunctions::list();
        for function in own.scalars {
            let mut bytes = Vec::new();
            codec.try_encode_udf(&function, &mut bytes).unwrap();
            assert!(!bytes.is_empty(), "{} would be looked for in the reader's registry", function.name());
            assert_eq!(codec.try_decode_udf(function.name(), &bytes).unwrap(), function);
        }
        for function in own.aggregates {
            let mut bytes = Vec::new();
            codec.try_encode_udaf(&function, &mut bytes).unwrap();
            assert!(!bytes.is_empty(), "{} would be looked for in the reader's registry", function.name());
            assert_eq!(codec.try_decode_udaf(function.name(), &bytes).unwrap(), function);
        }
    }

    #[test]
    fn values_of_a_session_do_not_go_by_name() {
        for value in about_session("ann", "c", "s") {
            assert!(physical_codec().unwrap().try_encode_udf(&value, &mut Vec::new()).is_err(), "{}", value.name());
        }
    }

    /// The plan of a question to a small table, and the directory that holds it.
    async fn plan(sql: &str) -> (Arc<dyn ExecutionPlan>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("t.csv"), "a,s\n1,x\n2,y\n2,z\n").unwrap();
        let context = SessionContext::new_with_state(base_state(Arc::new(RuntimeEnv::default()), 2).unwrap());
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::new(MemorySchemaProvider::new())).unwrap();
        context.register_catalog("datafusion", Arc::new(catalog));
        let path = directory.path().join("t.csv").to_string_lossy().into_owned();
        context.register_csv("t", path, CsvReadOptions::new()).await.unwrap();
        (context.sql(sql).await.unwrap().create_physical_plan().await.unwrap(), directory)
    }

    /// The plan after a journey to a process that knows DataFusion's functions alone.
    fn journeyed(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let codec = physical_codec().unwrap();
        let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), codec.as_ref()).unwrap();
        let there = SessionContext::new().task_ctx();
        physical_plan_from_bytes_with_extension_codec(&bytes, &there, codec.as_ref()).unwrap()
    }

    async fn answer(plan: Arc<dyn ExecutionPlan>) -> Result<String> {
        let batches = collect(plan, SessionContext::new().task_ctx()).await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    #[tokio::test]
    async fn plans_read_back_as_they_were() {
        let questions = [
            "SELECT a + 1 AS b, repeat(s, 2), lpad(s, 3, '-') FROM t ORDER BY b, s",
            "SELECT s, sum(a), sum(DISTINCT a), count(*) FROM t GROUP BY s ORDER BY s",
            "SELECT a, sum(a) OVER (PARTITION BY a ORDER BY s), row_number() OVER (ORDER BY s) FROM t ORDER BY s",
            "SELECT min(i), max(i) FROM (SELECT CASE a WHEN 1 THEN INTERVAL '1 day' ELSE INTERVAL '36 hours' END AS i FROM t)",
            "SELECT json_get_str('{\"' || s || '\": \"v\"}', 'x') AS v FROM t ORDER BY s",
        ];
        for sql in questions {
            let (plan, _directory) = plan(sql).await;
            let read = journeyed(&plan);
            let text =
                |plan: &Arc<dyn ExecutionPlan>| DisplayableExecutionPlan::new(plan.as_ref()).indent(true).to_string();
            assert_eq!(text(&read), text(&plan), "{sql}");
            assert_eq!(answer(read).await.unwrap(), answer(plan).await.unwrap(), "{sql}");
        }
    }

    #[tokio::test]
    async fn what_overflows_here_overflows_there() {
        for sql in ["SELECT a * 9223372036854775807 FROM t", "SELECT sum(a + 4611686018427387903) FROM t"] {
            let (plan, _directory) = plan(sql).await;
            let error = answer(journeyed(&plan)).await.unwrap_err();
            let error = crate::Error::from(error);
            assert_eq!(error.code(), "NUMERIC_OVERFLOW", "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn pauses_are_part_of_the_plan() {
        let (plan, _directory) = plan("SELECT count(*) FROM t x CROSS JOIN t y").await;
        let plan = paced(plan).unwrap();
        let text =
            |plan: &Arc<dyn ExecutionPlan>| DisplayableExecutionPlan::new(plan.as_ref()).indent(true).to_string();
        assert!(text(&plan).contains("PacedExec"), "{}", text(&plan));
        assert_eq!(text(&journeyed(&plan)), text(&plan));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let codec = physical_codec().unwrap();
        let context = SessionContext::new().task_ctx();
        let input = Arc::new(EmptyExec::new(Arc::new(arrow::datatypes::Schema::empty()))) as Arc<dyn ExecutionPlan>;
        let converter = datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {};
        assert!(codec.try_encode(Arc::clone(&input), &mut Vec::new(), &converter).is_err());
        assert!(codec.try_decode(&[77], &[input], &context, &converter).is_err());
    }
}
