//! The demo data behind `serve --demo`: the TPC-H tables and `timeseries`, as Parquet in the data directory.
//!
//! Generated once, in seconds; a later start finds the files and declares them again.

mod guide;
mod timeseries;
mod tpch;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use arrow::record_batch::RecordBatchReader;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tidemill_engine::config::{CatalogConfig, SchemaConfig, TableConfig};

pub use guide::guide;

/// The catalog of the demo tables.
pub const CATALOG: &str = "demo";

/// The schema of the demo tables.
pub const SCHEMA: &str = "public";

/// Counts up whenever the same sizes would no longer give the same files.
const GENERATION: u32 = 1;

const MARKER: &str = "complete";
const THREADS: usize = 2;
const ROW_GROUP_ROWS: usize = 100_000;

/// How much demo data to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemoSize {
    /// The scale factor of TPC-H; at 1, `lineitem` has about 6 million rows.
    pub tpch_scale: f64,
    /// Rows of `timeseries`.
    pub timeseries_rows: usize,
}

impl Default for DemoSize {
    fn default() -> Self {
        Self { tpch_scale: 0.1, timeseries_rows: 1_000_000 }
    }
}

/// Demo data that is ready to be queried.
#[derive(Debug)]
pub struct Demo {
    /// The catalog to declare under the name [`CATALOG`].
    pub catalog: CatalogConfig,
    /// Whether the files were there already.
    pub reused: bool,
}

/// Makes the demo data in `<data_dir>/demo`, unless it is there. Blocks for seconds.
///
/// # Errors
/// The data directory cannot be written.
pub fn prepare(data_dir: &Path, size: DemoSize) -> Result<Demo> {
    let folder = std::path::absolute(data_dir.join("demo"))?;
    let marker = format!("generation={GENERATION} tpch_scale={} timeseries={}", size.tpch_scale, size.timeseries_rows);
    let reused = fs::read_to_string(folder.join(MARKER)).is_ok_and(|found| found == marker);
    if !reused {
        generate(&folder, size, &marker)
            .with_context(|| format!("cannot write the demo data to '{}'", folder.display()))?;
    }
    Ok(Demo { catalog: declare(&folder), reused })
}

/// Writes all files beside their final folder and moves them there at once: the folder is whole or absent.
fn generate(folder: &Path, size: DemoSize, marker: &str) -> Result<()> {
    let staging = folder.with_extension("new");
    let outcome = (|| {
        // What a start that was killed left behind.
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir_all(&staging)?;
        write_tables(&staging, size)?;
        fs::write(staging.join(MARKER), marker)?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(&staging, folder)?;
        Ok(())
    })();
    if outcome.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&staging);
    }
    outcome
}

/// The tables, those that take longest first, so that the threads end together.
const TABLES: [&str; 9] =
    ["lineitem", "timeseries", "orders", "partsupp", "customer", "part", "supplier", "nation", "region"];

fn write_tables(folder: &Path, size: DemoSize) -> Result<()> {
    let (queue, jobs) = mpsc::channel();
    for table in TABLES {
        queue.send(table)?;
    }
    drop(queue);
    let jobs = parking_lot::Mutex::new(jobs);
    let work = || -> Result<()> {
        loop {
            let Ok(table) = jobs.lock().recv() else { return Ok(()) };
            write_table(&path_of(folder, table), open(table, size)?)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a generator thread panicked"))?)
    })
}

fn open(table: &str, size: DemoSize) -> Result<Box<dyn RecordBatchReader>> {
    match table {
        "timeseries" => Ok(Box::new(timeseries::Timeseries::new(size.timeseries_rows))),
        table => tpch::open(table, size.tpch_scale).with_context(|| format!("no generator for table '{table}'")),
    }
}

fn write_table(path: &Path, batches: Box<dyn RecordBatchReader>) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    // Without the Arrow schema in the file, readers see plain strings rather than the generator's string views.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = BufWriter::new(File::create(path)?);
    let mut writer = ArrowWriter::try_new_with_options(file, batches.schema(), options)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.into_inner()?.into_inner()?.sync_all()?;
    Ok(())
}

fn path_of(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.parquet"))
}

fn declare(folder: &Path) -> CatalogConfig {
    let table = |name: &str| TableConfig {
        location: path_of(folder, name).to_string_lossy().into_owned(),
        format: Some("parquet".to_owned()),
        partitioned_by: Vec::new(),
        options: Default::default(),
    };
    let tables = TABLES.into_iter().map(|name| (name.to_owned(), table(name))).collect();
    CatalogConfig { schemas: [(SCHEMA.to_owned(), SchemaConfig { location: None, tables })].into() }
}

#[cfg(test)]
mod tests;
