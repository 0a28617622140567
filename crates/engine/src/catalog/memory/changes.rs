//! What a statement changes about the rows it saw: `DELETE`, `UPDATE` and `MERGE` say which rows by their numbers, and the
//! chunks that hold none of these are kept as they are.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{filter_record_batch, interleave_record_batch, is_null, not, take_record_batch};
use arrow::datatypes::UInt64Type;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;

use super::MemoryTable;
use super::checks::RowCheck;
use super::contents::{Chunk, Collector, Contents};
use super::keys::{KeyDraft, Keys, Taken, twice};
use crate::error::Result;

/// The changes of one statement, as they arrive.
pub(super) struct Changes<'a> {
    table: &'a MemoryTable,
    checks: &'a [RowCheck],
    /// What happens to the rows of these numbers; sorted by them in the end.
    fates: Vec<Fate>,
    /// New values of rows that stay in their place.
    updates: Vec<Update>,
    /// New rows.
    added: Collector<'a>,
    added_rows: usize,
    /// For what is forgotten when the statement is over, on the pool of the query.
    noted: MemoryReservation,
}

/// What happens to a row.
#[derive(Debug, Clone, Copy)]
struct Fate {
    row: u64,
    /// Its new values: which batch of the updates, and which row of it. None if it goes.
    values: Option<(u32, u32)>,
}

#[derive(Debug)]
struct Update {
    rows: RecordBatch,
    /// Rows that have not found their place yet; then the batch is let go.
    waiting: usize,
    bytes: usize,
}

/// What a statement makes of the table, not visible yet.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) contents: Contents,
    pub(super) keys: KeyDraft,
    /// Rows that it changed.
    pub(super) count: usize,
}

impl<'a> Changes<'a> {
    pub(super) fn new(table: &'a MemoryTable, checks: &'a [RowCheck], noted: MemoryReservation) -> Self {
        let added = Collector::new(table, checks);
        Self { table, checks, fates: Vec::new(), updates: Vec::new(), added, added_rows: 0, noted }
    }

    /// Takes rows to be deleted: a batch of their numbers.
    pub(super) fn delete(&mut self, numbers: &RecordBatch) -> Result<()> {
        let numbers: &UInt64Array = numbers.column(0).as_primitive::<UInt64Type>();
        self.note(numbers.values().iter().map(|row| Fate { row: *row, values: None }), numbers.len())
    }

    /// Takes new values of rows, whose numbers follow the columns of the table.
    pub(super) fn update(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let width = self.table.schema().fields().len();
        let values = rows.project(&(0..width).collect::<Vec<_>>()).map_err(DataFusionError::from)?;
        let rows_of: &UInt64Array = rows.column(width).as_primitive::<UInt64Type>();
        let values = self.table.conform(&values, self.checks)?;
        let bytes = get_record_batch_memory_size(&values);
        self.noted.try_grow(bytes)?;
        let batch = u32::try_from(self.updates.len()).unwrap_or(u32::MAX);
        self.updates.push(Update { waiting: values.num_rows(), rows: values, bytes });
        let fates =
            rows_of.values().iter().zip(0..).map(|(row, index)| Fate { row: *row, values: Some((batch, index)) });
        self.note(fates, rows_of.len())
    }

    /// Takes rows of a `MERGE`: the columns of the table, the number of the row if there is one, and whether it goes.
    pub(super) fn merge(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.table.schema().fields().len();
        let new = is_null(rows.column(width)).map_err(DataFusionError::from)?;
        let gone = rows.column(width + 1).as_boolean();
        let stays: BooleanArray =
            not(&new).and_then(|old| arrow::compute::and_not(&old, gone)).map_err(DataFusionError::from)?;
        let pick = |which: &BooleanArray, columns: &[usize]| -> Result<RecordBatch> {
            let rows = filter_record_batch(rows, which).map_err(DataFusionError::from)?;
            Ok(rows.project(columns).map_err(DataFusionError::from)?)
        };
        self.delete(&pick(gone, &[width])?)?;
        self.update(&pick(&stays, &(0..=width).collect::<Vec<_>>())?)?;
        let added = pick(&new, &(0..width).collect::<Vec<_>>())?;
        self.added_rows += added.num_rows();
        self.added.push(&added)
    }

    fn note(&mut self, fates: impl Iterator<Item = Fate>, count: usize) -> Result<()> {
        self.noted.try_grow(count * size_of::<Fate>())?;
        self.fates.extend(fates);
        Ok(())
    }

    /// Applies all of it to what the statement saw.
    ///
    /// # Errors
    /// `Data` if a row is changed twice, `Conflict` if a key is taken, `Resources` if the pool is full.
    pub(super) async fn apply(mut self, seen: &Contents, keys: &Keys, taken: Taken) -> Result<Outcome> {
        self.fates.sort_unstable_by_key(|fate| fate.row);
        if self.fates.windows(2).any(|pair| matches!(pair, [one, other] if one.row == other.row)) {
            return Err(twice(self.table));
        }
        let added = self.added.finish()?;
        let count = self.fates.len() + self.added_rows;
        let mut draft = keys.draft(self.table, false);
        if !keys.is_empty() {
            for (chunk, first, fates) in touched(seen, &self.fates) {
                if !fates.is_empty() {
                    keys.remove(self.table, &mut draft, &old_rows(chunk, first, fates)?)?;
                    tokio::task::yield_now().await;
                }
            }
            for update in &self.updates {
                keys.add(self.table, &mut draft, &update.rows, Taken::Fail)?;
                tokio::task::yield_now().await;
            }
            keys.add_all(self.table, &mut draft, &added, taken).await?;
        }
        let mut rebuilt = Collector::new(self.table, &[]);
        for (chunk, first, fates) in touched(seen, &self.fates) {
            if fates.is_empty() {
                rebuilt.share(chunk)?;
            } else {
                rebuilt.push_known(rebuild(chunk, first, fates, &mut self.updates, &self.noted)?)?;
                tokio::task::yield_now().await;
            }
        }
        let contents = rebuilt.finish()?.followed_by(&added);
        Ok(Outcome { contents, keys: draft, count })
    }
}

/// Each chunk with the number of its first row and the fates of its rows.
fn touched<'a>(seen: &'a Contents, fates: &'a [Fate]) -> impl Iterator<Item = (&'a Arc<Chunk>, u64, &'a [Fate])> {
    let (mut first, mut rest) = (0, fates);
    seen.chunks.iter().map(move |chunk| {
        let start = first;
        first += u64::try_from(chunk.rows.num_rows()).unwrap_or(u64::MAX);
        let (own, others) = rest.split_at(rest.partition_point(|fate| fate.row < first));
        rest = others;
        (chunk, start, own)
    })
}

/// The rows of a chunk that change, as they were.
fn old_rows(chunk: &Chunk, first: u64, fates: &[Fate]) -> Result<RecordBatch> {
    let rows = fates.iter().map(|fate| u32::try_from(fate.row - first).unwrap_or(u32::MAX));
    Ok(take_record_batch(&chunk.rows, &UInt32Array::from_iter_values(rows)).map_err(DataFusionError::from)?)
}

/// A chunk with the new values of its rows, without those that go.
fn rebuild(
    chunk: &Chunk,
    first: u64,
    fates: &[Fate],
    updates: &mut [Update],
    noted: &MemoryReservation,
) -> Result<RecordBatch> {
    // The batches that have rows for this chunk, after the chunk itself.
    let mut used: Vec<u32> = fates.iter().filter_map(|fate| fate.values.map(|(batch, _)| batch)).collect();
    used.sort_unstable();
    used.dedup();
    let mut fates = fates.iter().peekable();
    let mut places = Vec::with_capacity(chunk.rows.num_rows());
    for (row, number) in (0..chunk.rows.num_rows()).zip(first..) {
        match fates.next_if(|fate| fate.row == number) {
            None => places.push((0, row)),
            Some(Fate { values: None, .. }) => {}
            Some(Fate { values: Some((batch, index)), .. }) => {
                places.push((used.partition_point(|used| used < batch) + 1, *index as usize));
                if let Some(update) = updates.get_mut(*batch as usize) {
                    update.waiting -= 1;
                }
            }
        }
    }
    let batches: Vec<&RecordBatch> = [&chunk.rows]
        .into_iter()
        .chain(used.iter().filter_map(|batch| updates.get(*batch as usize)).map(|update| &update.rows))
        .collect();
    let rebuilt = interleaved(&batches, &places)?;
    for batch in used {
        if let Some(update) = updates.get_mut(batch as usize)
            && update.waiting == 0
        {
            noted.shrink(update.bytes);
            update.rows = RecordBatch::new_empty(update.rows.schema());
        }
    }
    Ok(rebuilt)
}

fn interleaved(batches: &[&RecordBatch], places: &[(usize, usize)]) -> Result<RecordBatch> {
    let [first, ..] = batches else { return Err(crate::error::Error::internal("no rows to put together")) };
    if first.num_columns() == 0 {
        return super::contents::under(first.schema(), Vec::new(), places.len());
    }
    Ok(interleave_record_batch(batches, places).map_err(DataFusionError::from)?)
}
