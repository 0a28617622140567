//! What makes keys unique: the keys of all rows, by hash, kept with the table and accounted with it.
//!
//! They are kept rather than collected by each statement, because then an `INSERT` costs what it inserts and not what the
//! table holds. Only the statement whose turn it is looks at them, so they need no versions. A statement notes what it
//! takes away and what it adds in a [`KeyDraft`] and puts that into effect when nothing can fail any more.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;

use super::MemoryTable;
use super::checks::shown;
use super::contents::Contents;
use super::shape::Key;
use crate::error::{Error, ErrorKind, Result, Subject};

/// What a key costs besides its bytes: its pointer and length, its place in the set at the usual load, the allocation.
const KEY_OVERHEAD: usize = 48;

/// The keys of a table, a set for each constraint, in their order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) sets: Vec<KeySet>,
}

/// The keys of one constraint.
#[derive(Debug)]
pub(super) struct KeySet {
    key: Key,
    converter: RowConverter,
    known: HashSet<Box<[u8]>>,
    held: MemoryReservation,
}

/// What a statement changes about the keys.
#[derive(Debug)]
pub(super) struct KeyDraft {
    sets: Vec<SetDraft>,
    /// Whether what was known counts no more.
    fresh: bool,
}

#[derive(Debug)]
struct SetDraft {
    added: HashSet<Box<[u8]>>,
    removed: HashSet<Box<[u8]>>,
    held: MemoryReservation,
    /// For what is removed, which is forgotten at the end.
    noted: MemoryReservation,
}

/// What happens to a row whose key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The statement fails.
    Fail,
    /// It is left out, if the constraint is the one of this index, or whichever it is.
    Skip(Option<usize>),
    /// The statement fails, because it would change the row that it has just inserted by this constraint.
    Twice(usize),
}

impl KeySet {
    /// A constraint of an empty table.
    ///
    /// # Errors
    /// `Unsupported` for columns whose values have no order.
    pub(super) fn new(table: &MemoryTable, key: &Key) -> Result<Self> {
        let fields = key.columns.iter().map(|index| table.schema().field(*index));
        let sort: Vec<_> = fields.clone().map(|field| SortField::new(field.data_type().clone())).collect();
        if !RowConverter::supports_fields(&sort) {
            let names: Vec<_> = fields.map(|field| field.name().as_str()).collect();
            return Err(Error::unsupported(format!(
                "constraint '{}' of table '{}' is on a type that can not be a key: ({})",
                key.name,
                table.name(),
                names.join(", ")
            )));
        }
        let converter = RowConverter::new(sort).map_err(DataFusionError::from)?;
        let held = table.account().new_empty();
        Ok(Self { key: key.clone(), converter, known: HashSet::new(), held })
    }

    /// The same keys for a constraint that has another name, or whose columns are in other places.
    pub(super) fn of(mut self, key: &Key) -> Self {
        self.key = key.clone();
        self
    }

    /// The keys of rows, and where there is none because a value is missing.
    fn encode(&self, rows: &RecordBatch) -> Result<(Rows, Option<NullBuffer>)> {
        let mut nulls = None;
        let mut columns = Vec::with_capacity(self.key.columns.len());
        for index in &self.key.columns {
            let column = rows.column(*index);
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
            columns.push(one_zero(column));
        }
        let keys = self.converter.convert_columns(&columns).map_err(DataFusionError::from)?;
        Ok((keys, nulls))
    }

    fn violation(&self, table: &MemoryTable, rows: &RecordBatch, row: usize) -> Error {
        let names: Vec<_> = table.shape().names_of(&self.key.columns).collect();
        let values = shown(rows, &self.key.columns, row);
        let message = format!(
            "duplicate key ({})=({values}) violates {} constraint '{}' of table '{}'",
            names.join(", "),
            if self.key.primary { "primary key" } else { "unique" },
            self.key.name,
            table.name()
        );
        Error::new(ErrorKind::Conflict, message)
            .about(Subject::UniqueKey)
            .hint("use INSERT ... ON CONFLICT to skip or update rows that exist")
    }
}

impl Keys {
    /// The keys of an empty table.
    pub(super) fn new(table: &MemoryTable) -> Result<Self> {
        let sets = table.shape().keys.iter().map(|key| KeySet::new(table, key)).collect::<Result<_>>()?;
        Ok(Self { sets })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.sets.iter().map(|set| set.held.size()).sum()
    }

    /// A draft that changes nothing yet; a fresh one starts from no keys at all.
    pub(super) fn draft(&self, table: &MemoryTable, fresh: bool) -> KeyDraft {
        let account = || table.account().new_empty();
        let set = |_| SetDraft { added: HashSet::new(), removed: HashSet::new(), held: account(), noted: account() };
        KeyDraft { sets: self.sets.iter().map(set).collect(), fresh }
    }

    /// Takes away the keys of rows that are there.
    pub(super) fn remove(&self, table: &MemoryTable, draft: &mut KeyDraft, rows: &RecordBatch) -> Result<()> {
        for (set, draft) in self.sets.iter().zip(&mut draft.sets) {
            let (keys, nulls) = set.encode(rows)?;
            let bytes = keys.lengths().map(|length| length + KEY_OVERHEAD).sum();
            table.grow(&draft.noted, bytes)?;
            let present = (0..keys.num_rows()).filter(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)));
            draft.removed.extend(present.map(|row| keys.row(row).data().into()));
        }
        Ok(())
    }

    /// Adds the keys of new rows, and says which of them come in.
    ///
    /// # Errors
    /// `Conflict` if a key is taken and `taken` does not say otherwise, `Resources` if the pool is full.
    pub(super) fn add(
        &self,
        table: &MemoryTable,
        draft: &mut KeyDraft,
        rows: &RecordBatch,
        taken: Taken,
    ) -> Result<BooleanArray> {
        let mut admitted = vec![true; rows.num_rows()];
        let mut encoded = Vec::with_capacity(self.sets.len());
        for (index, set) in self.sets.iter().enumerate() {
            // Those that may be skipped are looked at first: a row that is left out takes no key of another constraint.
            let may_skip = matches!(taken, Taken::Skip(which) if which.is_none_or(|which| which == index));
            encoded.push((!may_skip, index, set.encode(rows)?));
        }
        encoded.sort_by_key(|(last, index, _)| (*last, *index));
        for (_, index, (keys, _)) in &encoded {
            table.grow(&draft.sets[*index].held, keys.lengths().map(|length| length + KEY_OVERHEAD).sum())?;
        }
        for (row, admitted) in admitted.iter_mut().enumerate() {
            for (strict, index, (keys, nulls)) in &encoded {
                let absent = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                if absent || draft.is_free(self, *index, keys.row(row).data()) {
                    continue;
                }
                match taken {
                    Taken::Skip(_) if !strict => *admitted = false,
                    Taken::Twice(arbiter) if arbiter == *index && draft.is_added(*index, keys.row(row).data()) => {
                        return Err(twice(table));
                    }
                    Taken::Skip(_) | Taken::Twice(_) | Taken::Fail => {
                        return Err(self.sets[*index].violation(table, rows, row));
                    }
                }
                break;
            }
            for (_, index, (keys, nulls)) in &encoded {
                let (key, draft) = (keys.row(row).data(), &mut draft.sets[*index]);
                if *admitted && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    draft.added.insert(key.into());
                } else {
                    draft.held.shrink(key.len() + KEY_OVERHEAD);
                }
            }
        }
        Ok(BooleanArray::from(admitted))
    }

    /// Adds the keys of all rows, giving way to other tasks between the chunks.
    pub(super) async fn add_all(
        &self,
        table: &MemoryTable,
        draft: &mut KeyDraft,
        contents: &Contents,
        taken: Taken,
    ) -> Result<()> {
        for chunk in contents.chunks.iter().filter(|_| !self.is_empty()) {
            self.add(table, draft, &chunk.rows, taken)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Puts a draft into effect, which can not fail.
    pub(super) fn commit(&mut self, draft: KeyDraft) {
        let fresh = draft.fresh;
        for (set, draft) in self.sets.iter_mut().zip(draft.sets) {
            if fresh {
                set.known = draft.added;
                set.held = draft.held;
                continue;
            }
            let gone = draft.removed.iter().filter(|key| set.known.remove(*key)).map(|key| key.len() + KEY_OVERHEAD);
            let gone: usize = gone.sum();
            set.held.shrink(gone);
            set.held.grow(draft.held.free());
            set.known.extend(draft.added);
        }
    }
}

impl KeyDraft {
    fn is_added(&self, index: usize, key: &[u8]) -> bool {
        self.sets[index].added.contains(key)
    }

    fn is_free(&self, keys: &Keys, index: usize, key: &[u8]) -> bool {
        let draft = &self.sets[index];
        let known = !self.fresh && keys.sets[index].known.contains(key) && !draft.removed.contains(key);
        !known && !draft.added.contains(key)
    }
}

/// A statement that would change a row twice.
pub(super) fn twice(table: &MemoryTable) -> Error {
    Error::new(ErrorKind::Data, format!("the statement would change a row of table '{}' twice", table.name()))
        .about(Subject::Cardinality)
        .hint("make sure that no more than one row of the source goes to any one row of the table")
}

/// The column with negative zeros positive, because both are equal.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| value + 0.0))
        }
        DataType::Float32 => {
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| value + 0.0))
        }
        _ => Arc::clone(column),
    }
}
