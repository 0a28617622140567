//! Planning a scan: list, prune by partition, attach statistics, spread over the cores.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Statistics, TableReference, project_schema};
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::filter_partitioned_file;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::cache::TableScopedPath;
use datafusion::execution::cache::cache_manager::CachedFileMetadata;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore};

use super::{ExternalTable, partition_field};
use crate::cache::{Source, Sources};
use crate::storage::location::Shape;
use crate::storage::{FileSet, listing, partition};
use crate::{Error, ErrorKind, Result, Subject};

/// Marks a file that is one array of JSON: its reader, and the bytes of a plan, do not tell it from lines of JSON.
struct JsonArray;

/// Whether a file of a scan is one array of JSON.
pub fn is_json_array(file: &PartitionedFile) -> bool {
    file.extension::<JsonArray>().is_some()
}

impl ExternalTable {
    /// The plan that reads the columns of `projection`.
    pub(super) fn plan_scan<'a>(
        &'a self,
        session: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, DataFusionResult<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let files = self.prune(self.files(session).await?, filters)?;
            self.note(session, &files);
            // With filters left to apply, more files than the limit needs may have to be read.
            let enough = limit.filter(|_| filters.is_empty());
            let (files, complete) = self.with_statistics(session, files, enough).await?;
            if files.is_empty() {
                return Ok(
                    Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)) as Arc<dyn ExecutionPlan>
                );
            }
            let merged =
                Statistics::try_merge_iter(files.iter().filter_map(|f| f.statistics.as_deref()), &self.schema)?;
            let statistics = if complete { merged } else { merged.to_inexact() };
            let groups = FileGroup::new(files).split_files(session.config().target_partitions().max(1));
            let partition_fields: Vec<_> = self.partitions.iter().map(partition_field).collect();
            let columns =
                TableSchema::builder(Arc::clone(&self.file_schema)).with_table_partition_cols(partition_fields);
            let source = self.format.file_source(columns.build());
            let config = FileScanConfigBuilder::new(self.locations[0].store().clone(), source)
                .with_file_groups(groups)
                .with_statistics(statistics)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
            self.format.create_physical_plan(session, config).await
        })
    }

    /// The files there are now.
    async fn files(&self, session: &dyn Session) -> Result<Vec<PartitionedFile>> {
        let mut files: Vec<ObjectMeta> = Vec::new();
        for location in &self.locations {
            let listed = listing::list(session, &self.policy, location).await?;
            if listed.is_empty() && matches!(location.shape, Shape::File) {
                return Err(listing::nothing_found(location).await);
            }
            files.extend(listed);
        }
        files.retain(|file| self.accept.accepts(&file.location));
        if self.locations.len() > 1 {
            // Locations may overlap; each file is read once.
            files.sort_by(|a, b| a.location.cmp(&b.location));
            files.dedup_by(|a, b| a.location == b.location);
        }
        if files.len() > self.policy.max_files_per_scan {
            let most = self.policy.max_files_per_scan;
            return Err(Error::new(
                ErrorKind::Resources,
                format!("the scan has {} files, more than {most}", files.len()),
            )
            .about(Subject::File)
            .hint("narrow the patterns, or raise storage.max_files_per_scan of the server"));
        }
        files.into_iter().map(|file| self.partitioned(file)).collect()
    }

    /// Notes what will be read, if anybody wants to know.
    fn note(&self, session: &dyn Session, files: &[PartitionedFile]) {
        let Some(sources) = Sources::of(session.config()) else { return };
        let files = files.iter().map(|file| file.object_meta.clone()).collect();
        let local = self.locations[0].is_local();
        sources.note(Source::Files(FileSet { table: self.fingerprint(), local, files }));
    }

    fn partitioned(&self, file: ObjectMeta) -> Result<PartitionedFile> {
        let values = partition::values(&file.location, &self.partitions, self.locations[0].url())?;
        let file = PartitionedFile::new_from_meta(file).with_partition_values(values);
        Ok(if self.is_json_array() { file.with_extension(JsonArray) } else { file })
    }

    fn is_json_array(&self) -> bool {
        let format: &dyn Any = self.format.as_ref();
        format.downcast_ref::<JsonFormat>().is_some_and(|json| !json.options().newline_delimited)
    }

    /// Leaves out the files whose folders already say that they have no matching row.
    fn prune(&self, files: Vec<PartitionedFile>, filters: &[Expr]) -> DataFusionResult<Vec<PartitionedFile>> {
        let decided = filters.iter().filter(|filter| self.is_partition_filter(filter)).cloned();
        let Some(decided) = conjunction(decided) else { return Ok(files) };
        // DataFusion does not ask whether the answer is NULL.
        let decided = [decided.is_true()];
        let columns: Vec<_> = self.partitions.iter().map(partition_field).collect();
        let columns = DFSchema::try_from(Schema::new(columns))?;
        let kept = files.into_iter().map(|file| filter_partitioned_file(file, &decided, &columns));
        kept.filter_map(DataFusionResult::transpose).collect()
    }

    /// Attaches statistics; stops when the files so far have `enough` rows. The flag says whether all files are there.
    async fn with_statistics(
        &self,
        session: &dyn Session,
        files: Vec<PartitionedFile>,
        enough: Option<usize>,
    ) -> DataFusionResult<(Vec<PartitionedFile>, bool)> {
        if !session.config().collect_statistics() {
            return Ok((files, true));
        }
        let store = session.runtime_env().object_store(self.locations[0].store())?;
        let concurrency = session.config_options().execution.meta_fetch_concurrency.get();
        let total = files.len();
        let mut described =
            futures::stream::iter(files).map(|file| self.describe(session, &store, file)).buffered(concurrency).boxed();
        let mut kept = Vec::with_capacity(total);
        let mut rows = Precision::Exact(0);
        while let Some(file) = described.try_next().await? {
            rows = rows.add(&file.statistics.as_ref().map_or(Precision::Absent, |known| known.num_rows));
            kept.push(file);
            if let (Some(enough), Precision::Exact(rows)) = (enough, rows)
                && rows >= enough
            {
                break;
            }
        }
        let complete = kept.len() == total;
        Ok((kept, complete))
    }

    async fn describe(
        &self,
        session: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        file: PartitionedFile,
    ) -> DataFusionResult<PartitionedFile> {
        let cache = session.runtime_env().cache_manager.get_file_statistic_cache();
        // A bare path would mean the same in two buckets.
        let key = TableScopedPath {
            table: Some(TableReference::bare(self.locations[0].store().as_str())),
            path: file.object_meta.location.clone(),
        };
        if let Some(cache) = &cache
            && let Some(known) = cache.get(&key)
            && known.is_valid_for(&file.object_meta, &self.fingerprint)
        {
            return Ok(self.attach(file, known.statistics));
        }
        let schema = Arc::clone(&self.file_schema);
        let statistics = Arc::new(self.format.infer_stats(session, store, schema, &file.object_meta).await?);
        if let Some(cache) = cache {
            let fingerprint = Arc::clone(&self.fingerprint);
            let entry = CachedFileMetadata::new(file.object_meta.clone(), fingerprint, Arc::clone(&statistics), None);
            cache.put(&key, entry);
        }
        Ok(self.attach(file, statistics))
    }

    fn attach(&self, file: PartitionedFile, statistics: Arc<Statistics>) -> PartitionedFile {
        let mut file = file.with_statistics(statistics);
        // DataFusion takes each partition value for one that is not NULL.
        let first = self.file_schema.fields().len();
        let nulls: Vec<usize> =
            (0..file.partition_values.len()).filter(|at| file.partition_values[*at].is_null()).collect();
        if let Some(statistics) = file.statistics.as_mut().filter(|_| !nulls.is_empty()) {
            let columns = &mut Arc::make_mut(statistics).column_statistics;
            for at in nulls {
                columns[first + at] = ColumnStatistics::new_unknown();
            }
        }
        file
    }
}
