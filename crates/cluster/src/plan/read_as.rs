//! How files are read, as far as the bytes of a scan do not tell.
//!
//! Bytes of a scan know neither that text is compressed, nor that a file is one array of JSON or a stream of Arrow, nor how lines of
//! CSV end. So an operator above the scan takes that along, and puts it back where the scan is read from its bytes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{
    ArrowSource, CsvSource, FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, JsonSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use serde::{Deserialize, Serialize};
use tidemill_engine::run::is_json_array;

/// The plan, in which scans take along what their bytes do not tell.
pub(super) fn told(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(how) = config_of(&node).map(How::of).filter(|how| *how != How::default()) else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(ReadAsExec::new(node, how)) as Arc<dyn ExecutionPlan>))
    })
    .data()
}

fn config_of(scan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let source: &dyn Any = scan.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    source.downcast_ref()
}

/// What the bytes of a scan do not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct How {
    /// The name of the compression of text.
    compression: Option<String>,
    /// Each file is one array of JSON.
    array: bool,
    /// Each file is a stream of Arrow, not a file with a footer.
    stream: bool,
    /// The byte that ends a line of CSV.
    terminator: Option<u8>,
}

impl How {
    fn of(files: &FileScanConfig) -> Self {
        let source: &dyn Any = files.file_source().as_ref();
        let compression = files.file_compression_type;
        Self {
            compression: compression.is_compressed().then(|| compression.get_variant().to_string()),
            array: files.file_groups.iter().flat_map(FileGroup::iter).any(is_json_array),
            stream: files.file_source().file_type() == "arrow_stream",
            terminator: source.downcast_ref::<CsvSource>().and_then(CsvSource::terminator),
        }
    }

    /// The scan that reads so.
    fn applied(&self, scan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let files = config_of(scan).ok_or_else(|| exec_datafusion_err!("{} reads no files", scan.name()))?;
        let mut read = FileScanConfigBuilder::from(files.clone()).with_source(self.source(files)?);
        if let Some(compression) = &self.compression {
            read = read.with_file_compression_type(compression.parse::<FileCompressionType>()?);
        }
        Ok(DataSourceExec::from_data_source(read.build()))
    }

    fn source(&self, files: &FileScanConfig) -> Result<Arc<dyn FileSource>> {
        let known = files.file_source();
        let source: &dyn Any = known.as_ref();
        if let Some(csv) = source.downcast_ref::<CsvSource>() {
            return Ok(Arc::new(csv.with_terminator(self.terminator)));
        }
        if let Some(json) = source.downcast_ref::<JsonSource>() {
            return Ok(Arc::new(json.clone().with_newline_delimited(!self.array)));
        }
        if self.stream {
            let stream = ArrowSource::new_stream_file_source(known.table_schema().clone());
            let projected = known.projection().map(|columns| stream.try_pushdown_projection(columns)).transpose()?;
            return Ok(projected.flatten().unwrap_or_else(|| Arc::new(stream)));
        }
        Ok(Arc::clone(known))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.compression.as_ref().map(|compression| format!("compression={}", compression.to_lowercase())),
            self.array.then(|| "array of JSON".to_owned()),
            self.stream.then(|| "stream".to_owned()),
            self.terminator.map(|byte| format!("terminator={}", char::from(byte).escape_default())),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Reads as the scan below it, whose bytes do not tell how. It computes nothing.
#[derive(Debug)]
pub(crate) struct ReadAsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    how: How,
}

impl ReadAsExec {
    fn new(input: Arc<dyn ExecutionPlan>, how: How) -> Self {
        Self { properties: Arc::clone(input.properties()), input, how }
    }

    /// What it takes along, as bytes.
    ///
    /// # Errors
    /// None.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.how)
            .map_err(|error| exec_datafusion_err!("how to read files can not be told: {error}"))
    }

    /// The operator of these bytes, above the scan that was read from its own.
    ///
    /// # Errors
    /// Bytes of something else.
    pub(crate) fn from_bytes(bytes: &[u8], scan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let how: How = serde_json::from_slice(bytes)
            .map_err(|error| exec_datafusion_err!("how to read files is not told: {error}"))?;
        Ok(Self::new(how.applied(scan)?, how))
    }
}

impl DisplayAs for ReadAsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadAsExec: {}", self.how)
    }
}

impl ExecutionPlan for ReadAsExec {
    fn name(&self) -> &'static str {
        "ReadAsExec"
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
        Ok(Arc::new(Self::new(input, self.how.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
