//! The whitelist of DataFusion's own options: those that change how a query runs, never what it may touch or return.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::config::ConfigOptions;

use crate::session::resolved::Resolved;

pub(super) const KIND: &str = "engine option";

static WHITELIST: [&str; 28] = [
    "datafusion.catalog.has_header",
    "datafusion.execution.coalesce_batches",
    "datafusion.execution.collect_statistics",
    "datafusion.execution.enable_recursive_ctes",
    "datafusion.execution.minimum_parallel_output_files",
    "datafusion.execution.parquet.bloom_filter_on_read",
    "datafusion.execution.parquet.compression",
    "datafusion.execution.parquet.enable_page_index",
    "datafusion.execution.parquet.max_row_group_size",
    "datafusion.execution.parquet.pruning",
    "datafusion.execution.parquet.pushdown_filters",
    "datafusion.execution.parquet.reorder_filters",
    "datafusion.execution.soft_max_rows_per_output_file",
    "datafusion.execution.sort_spill_reservation_bytes",
    "datafusion.explain.format",
    "datafusion.explain.logical_plan_only",
    "datafusion.explain.physical_plan_only",
    "datafusion.explain.show_schema",
    "datafusion.explain.show_statistics",
    "datafusion.optimizer.hash_join_single_partition_threshold",
    "datafusion.optimizer.prefer_existing_sort",
    "datafusion.optimizer.prefer_hash_join",
    "datafusion.optimizer.repartition_aggregations",
    "datafusion.optimizer.repartition_file_scans",
    "datafusion.optimizer.repartition_joins",
    "datafusion.optimizer.repartition_windows",
    "datafusion.sql_parser.default_null_ordering",
    "datafusion.sql_parser.parse_float_as_decimal",
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    WHITELIST.into_iter()
}

pub(super) fn apply(name: &str, value: &str, resolved: &mut Resolved) -> Result<(), String> {
    let options = resolved.config.options_mut();
    // On a copy first: a value that half-applies must not stay.
    let mut trial = options.clone();
    trial.set(name, value).map_err(|error| error.strip_backtrace())?;
    *options = trial;
    Ok(())
}

pub(super) fn value(name: &str, options: &ConfigOptions) -> String {
    let entry = options.entries().into_iter().find(|entry| entry.key == name);
    entry.and_then(|entry| entry.value).unwrap_or_default()
}

static DOCS: LazyLock<HashMap<String, &'static str>> =
    LazyLock::new(|| ConfigOptions::new().entries().into_iter().map(|entry| (entry.key, entry.description)).collect());

pub(super) fn doc(name: &str) -> String {
    DOCS.get(name).copied().unwrap_or_default().to_owned()
}
