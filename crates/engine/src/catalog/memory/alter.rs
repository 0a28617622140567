//! `ALTER TABLE`: another table that shares the columns that stay, and takes the place of the old one as a whole.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{Field, Schema};
use datafusion::common::ResolvedTableReference;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::MemoryTable;
use super::checks::{RowCheck, default_values, try_default};
use super::contents::{Chunk, Contents, under};
use super::declare::{NewConstraint, renamed};
use super::keys::{KeySet, Keys, Taken};
use super::shape::{Key, Shape};
use crate::catalog::Catalogs;
use crate::error::{Error, ErrorKind, Result, Subject};

/// One change of a table.
#[derive(Debug, Clone)]
pub(crate) enum Alteration {
    AddColumn { field: Field, default: Option<SqlExpr>, if_not_exists: bool },
    DropColumn { column: String, if_exists: bool },
    RenameColumn { from: String, to: String },
    SetDefault { column: String, default: Option<SqlExpr> },
    SetRequired { column: String, required: bool },
    AddConstraint(NewConstraint),
    DropConstraint { name: String, if_exists: bool },
}

/// Makes all changes, or none; the table has the name `to` afterwards.
///
/// # Errors
/// `NotFound` and `Conflict` for names, `Data` or `Conflict` if the rows do not satisfy a new constraint, `Resources` if
/// the pool is full.
pub(crate) async fn alter(
    catalogs: &Catalogs,
    state: &SessionState,
    table: &Arc<MemoryTable>,
    (from, to): (&ResolvedTableReference, &ResolvedTableReference),
    alterations: Vec<Alteration>,
) -> Result<()> {
    let mut old = table.turn().await?;
    let mut draft = Draft::of(table, state);
    for alteration in alterations {
        draft.apply(alteration, &to.table)?;
    }
    let (new, origins) = draft.finish(to.to_string())?;
    let mut writer = new.turn().await?;
    let mut keys = Vec::with_capacity(origins.len());
    for (key, origin) in new.shape().keys.iter().zip(&origins) {
        keys.push(match origin {
            Some(_) => None,
            None => Some(keys_of(&new, KeySet::new(&new, key)?).await?),
        });
    }
    let new = Arc::new(new);
    catalogs.alter_table(from, table, to, Arc::clone(&new)).await?;
    // Nothing can fail from here on: the keys that stay go over to the new table.
    let mut sets: Vec<Option<KeySet>> = std::mem::take(&mut old.keys).sets.into_iter().map(Some).collect();
    for ((built, origin), key) in keys.into_iter().zip(origins).zip(&new.shape().keys) {
        let set = built.or_else(|| sets.get_mut(origin?)?.take());
        writer.keys.sets.extend(set.map(|set| set.of(key)));
    }
    new.note_keys(&writer.keys);
    old.retired = true;
    Ok(())
}

/// The keys of all rows of a table.
async fn keys_of(table: &MemoryTable, set: KeySet) -> Result<KeySet> {
    let mut keys = Keys { sets: vec![set] };
    let mut draft = keys.draft(table, true);
    keys.add_all(table, &mut draft, &table.snapshot(), Taken::Fail).await?;
    keys.commit(draft);
    keys.sets.pop().ok_or_else(|| Error::internal("the keys of a constraint were lost"))
}

/// A column of a chunk and its memory.
type HeldColumn = (ArrayRef, Arc<MemoryReservation>);

/// A table that is being altered.
struct Draft<'a> {
    table: &'a MemoryTable,
    state: &'a SessionState,
    shape: Shape,
    /// The rows and the columns of each chunk.
    chunks: Vec<(usize, Vec<HeldColumn>)>,
    /// Which constraint of the old table each key was.
    origins: Vec<Option<usize>>,
    /// Names of checks that the rows have not seen.
    untested: Vec<String>,
}

impl<'a> Draft<'a> {
    fn of(table: &'a MemoryTable, state: &'a SessionState) -> Self {
        let columns = |chunk: &Arc<Chunk>| {
            let columns = chunk.rows.columns().iter().map(Arc::clone).zip(chunk.held.iter().map(Arc::clone));
            (chunk.rows.num_rows(), columns.collect())
        };
        Self {
            table,
            state,
            shape: table.shape().clone(),
            chunks: table.snapshot().chunks.iter().map(columns).collect(),
            origins: (0..table.shape().keys.len()).map(Some).collect(),
            untested: Vec::new(),
        }
    }

    fn apply(&mut self, alteration: Alteration, name: &str) -> Result<()> {
        match alteration {
            Alteration::AddColumn { field, if_not_exists, .. } if self.has_column(field.name()) => {
                return if if_not_exists { Ok(()) } else { Err(self.column_exists(field.name())) };
            }
            Alteration::AddColumn { field, default, .. } => self.add_column(field, default)?,
            Alteration::DropColumn { column, if_exists: true } if !self.has_column(&column) => {}
            Alteration::DropColumn { column, .. } => self.drop_column(&column)?,
            Alteration::RenameColumn { from, to } => self.rename_column(&from, &to)?,
            Alteration::SetDefault { column, default } => {
                let index = self.column(&column)?;
                if let Some(default) = &default {
                    try_default(self.state, default, self.shape.schema.field(index).data_type())?;
                }
                self.shape.defaults[index] = default;
            }
            Alteration::SetRequired { column, required } => {
                let index = self.column(&column)?;
                if !required && self.shape.keys.iter().any(|key| key.primary && key.columns.contains(&index)) {
                    return Err(Error::invalid(format!("column '{column}' is in the primary key, which is NOT NULL")));
                }
                self.shape.require(index, required);
            }
            Alteration::AddConstraint(constraint) => {
                let checks = self.shape.checks.len();
                self.shape.add(name, constraint)?;
                self.origins.resize(self.shape.keys.len(), None);
                self.untested.extend(self.shape.checks.iter().skip(checks).map(|check| check.name.clone()));
            }
            Alteration::DropConstraint { name, if_exists } => {
                self.known_constraint(&name).or_else(|error| if if_exists { Ok(()) } else { Err(error) })?;
                self.retain_keys(|key| key.name != name);
                self.shape.checks.retain(|check| check.name != name);
            }
        }
        Ok(())
    }

    fn add_column(&mut self, field: Field, default: Option<SqlExpr>) -> Result<()> {
        let values = match &default {
            Some(default) => {
                try_default(self.state, default, field.data_type())?;
                Some(default_values(self.state, default, field.data_type())?)
            }
            None => None,
        };
        for (rows, columns) in &mut self.chunks {
            let none = under(Arc::new(Schema::empty()), Vec::new(), *rows)?;
            let column = match &values {
                Some(values) => values.evaluate(&none)?.into_array(*rows)?,
                None => new_null_array(field.data_type(), *rows),
            };
            let alone = Arc::new(Schema::new(vec![field.clone().with_nullable(true)]));
            let bytes = get_record_batch_memory_size(&under(alone, vec![Arc::clone(&column)], *rows)?);
            columns.push((column, Arc::new(self.table.hold(bytes)?)));
        }
        let fields = self.shape.schema.fields().iter().map(Arc::clone).chain([Arc::new(field)]);
        self.shape.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.shape.defaults.push(default);
        Ok(())
    }

    /// A column goes with the constraints that are about it, as in PostgreSQL.
    fn drop_column(&mut self, column: &str) -> Result<()> {
        let index = self.column(column)?;
        if self.shape.schema.fields().len() == 1 {
            return Err(Error::invalid(format!("column '{column}' is the only one of table '{}'", self.table.name()))
                .hint("use DROP TABLE"));
        }
        let about: Vec<_> = self.shape.checks.iter().map(|check| self.shape.used_by(&check.expr)).collect();
        let mut about = about.iter();
        self.shape.checks.retain(|_| about.next().is_none_or(|used| used.iter().all(|used| used != column)));
        self.retain_keys(|key| !key.columns.contains(&index));
        for position in self.shape.keys.iter_mut().flat_map(|key| &mut key.columns) {
            *position -= usize::from(*position > index);
        }
        let fields = self.shape.schema.fields().iter().enumerate().filter(|(position, _)| *position != index);
        self.shape.schema = Arc::new(Schema::new(fields.map(|(_, field)| Arc::clone(field)).collect::<Vec<_>>()));
        self.shape.defaults.remove(index);
        for (_, columns) in &mut self.chunks {
            columns.remove(index);
        }
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<()> {
        let renaming = self.column(from)?;
        if self.has_column(to) {
            return Err(self.column_exists(to));
        }
        self.shape.change_fields(|index, field| match index == renaming {
            true => Arc::new(field.as_ref().clone().with_name(to)),
            false => Arc::clone(field),
        });
        for check in &mut self.shape.checks {
            check.expr = renamed(check.expr.clone(), from, to);
        }
        Ok(())
    }

    fn retain_keys(&mut self, keep: impl Fn(&Key) -> bool) {
        let kept: Vec<bool> = self.shape.keys.iter().map(keep).collect();
        let (mut keys, mut origins) = (kept.iter(), kept.iter());
        self.shape.keys.retain(|_| keys.next() == Some(&true));
        self.origins.retain(|_| origins.next() == Some(&true));
    }

    fn has_column(&self, name: &str) -> bool {
        self.shape.schema.index_of(name).is_ok()
    }

    fn column(&self, name: &str) -> Result<usize> {
        self.shape.column(self.table.name(), name)
    }

    fn column_exists(&self, name: &str) -> Error {
        Error::conflict(Subject::Column, format!("column '{name}' exists already in table '{}'", self.table.name()))
    }

    fn known_constraint(&self, name: &str) -> Result<()> {
        if self.shape.has_constraint(name) {
            return Ok(());
        }
        let constraints = self.shape.constraints();
        let known = constraints.iter().map(|constraint| constraint.name.as_str());
        let message = format!("table '{}' has no constraint '{name}'", self.table.name());
        Err(Error::not_found(Subject::Constraint, message).suggest(crate::plan::suggest::closest(name, known)))
    }

    /// The new table without its keys, and which constraint of the old one each of them was.
    fn finish(self, name: String) -> Result<(MemoryTable, Vec<Option<usize>>)> {
        let untested = self.shape.checks.iter().filter(|check| self.untested.contains(&check.name));
        let new =
            untested.map(|check| RowCheck::new(self.state, check, &self.shape.schema)).collect::<Result<Vec<_>>>()?;
        // Those that are known must still have a meaning: columns may have gone.
        RowCheck::all(self.state, &self.shape)?;
        let table = MemoryTable::empty(name, self.shape, self.table.account().new_empty());
        let mut contents = Contents::default();
        for (rows, columns) in self.chunks {
            let (columns, held): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
            for (field, column) in table.schema().fields().iter().zip(&columns) {
                if !field.is_nullable() && column.logical_null_count() > 0 {
                    let message = format!("column '{}' of table '{}' contains null values", field.name(), table.name());
                    return Err(Error::new(ErrorKind::Data, message)
                        .about(Subject::RequiredValue)
                        .hint("give these rows a value first, or the new column a DEFAULT"));
                }
            }
            let rows = under(Arc::clone(table.schema()), columns, rows)?;
            for check in &new {
                check.test(table.name(), &rows)?;
            }
            contents.chunks.push(Arc::new(Chunk { rows, held }));
        }
        *table.contents.write() = Arc::new(contents);
        Ok((table, self.origins))
    }
}
