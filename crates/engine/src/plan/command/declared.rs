//! What the columns of a table are declared with besides their types: `NOT NULL`, `DEFAULT`, keys and checks.

use arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, ConstraintCharacteristics, Expr, Ident, IndexColumn, NullsDistinctOption, Statement,
    TableConstraint,
};

use crate::catalog::memory::{NewConstraint, RowCheck, Shape, try_default};
use crate::error::{Error, Result};
use crate::plan::classify::normal;

/// Declarations that DataFusion's planner does not keep, or does not enforce.
#[derive(Debug, Clone, Default)]
pub(in crate::plan) struct Declared {
    pub(super) required: Vec<String>,
    pub(super) defaults: Vec<(String, Expr)>,
    pub(super) constraints: Vec<NewConstraint>,
}

impl Declared {
    /// Takes the declarations out of a `CREATE TABLE`; there are none in other statements. They travel to the command that
    /// creates the table as an extension of the state that the statement is planned with.
    ///
    /// # Errors
    /// `Unsupported` for what a table in memory can not keep.
    pub(in crate::plan) fn take(statement: &mut SqlStatement) -> Result<Option<Self>> {
        let SqlStatement::Statement(statement) = statement else { return Ok(None) };
        let Statement::CreateTable(table) = statement.as_mut() else { return Ok(None) };
        let mut declared = Self::default();
        for column in &mut table.columns {
            declared.take_column(column)?;
        }
        for constraint in std::mem::take(&mut table.constraints) {
            declared.constraints.push(constraint_of(constraint)?);
        }
        Ok(Some(declared))
    }

    /// Takes the declarations out of a column.
    pub(super) fn take_column(&mut self, column: &mut ColumnDef) -> Result<()> {
        let name = normal(&column.name);
        for option in std::mem::take(&mut column.options) {
            let given = option.name.as_ref().map(normal);
            let key = |primary, name: Option<&Ident>| NewConstraint::Key {
                name: name.map(normal).or_else(|| given.clone()),
                primary,
                columns: vec![normal(&column.name)],
            };
            match option.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull => self.required.push(name.clone()),
                ColumnOption::Default(expr) => self.defaults.push((name.clone(), expr)),
                ColumnOption::PrimaryKey(declared) => {
                    enforced_at_once(declared.characteristics.as_ref())?;
                    self.constraints.push(key(true, declared.name.as_ref()));
                }
                ColumnOption::Unique(declared) => {
                    enforced_at_once(declared.characteristics.as_ref())?;
                    nulls_are_distinct(declared.nulls_distinct)?;
                    self.constraints.push(key(false, declared.name.as_ref()));
                }
                ColumnOption::Check(check) => {
                    let constraint = check_of(check.name.as_ref(), check.expr, check.enforced)?;
                    self.constraints.push(match constraint {
                        NewConstraint::Check { name: None, expr } => NewConstraint::Check { name: given, expr },
                        named => named,
                    });
                }
                ColumnOption::ForeignKey(_) => return Err(foreign_key()),
                other => {
                    return Err(Error::unsupported(format!("'{other}' of column '{name}' is not supported"))
                        .hint("a column can have NOT NULL, DEFAULT, PRIMARY KEY, UNIQUE and CHECK"));
                }
            }
        }
        Ok(())
    }

    /// The table of these columns and declarations; `name` is its name in the schema.
    ///
    /// # Errors
    /// Whatever is wrong with a default or a constraint.
    pub(super) fn shape(self, state: &SessionState, name: &str, schema: SchemaRef) -> Result<Shape> {
        let mut shape = Shape::plain(schema);
        for column in &self.required {
            let index = shape.column(name, column)?;
            shape.require(index, true);
        }
        for (column, default) in self.defaults {
            let index = shape.column(name, &column)?;
            try_default(state, &default, shape.schema.field(index).data_type())?;
            shape.defaults[index] = Some(default);
        }
        // Names that are given come first, so that a made-up one does not take them.
        let is_unnamed = |constraint: &NewConstraint| {
            matches!(constraint, NewConstraint::Key { name: None, .. } | NewConstraint::Check { name: None, .. })
        };
        let (unnamed, named): (Vec<_>, Vec<_>) = self.constraints.into_iter().partition(is_unnamed);
        for constraint in named.into_iter().chain(unnamed) {
            shape.add(name, constraint)?;
        }
        RowCheck::all(state, &shape)?;
        Ok(shape)
    }
}

/// A constraint of a table.
///
/// # Errors
/// `Unsupported` if it could not be enforced.
pub(super) fn constraint_of(constraint: TableConstraint) -> Result<NewConstraint> {
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            enforced_at_once(key.characteristics.as_ref())?;
            Ok(NewConstraint::Key {
                name: key.name.as_ref().map(normal),
                primary: true,
                columns: columns(key.columns)?,
            })
        }
        TableConstraint::Unique(key) => {
            enforced_at_once(key.characteristics.as_ref())?;
            nulls_are_distinct(key.nulls_distinct)?;
            Ok(NewConstraint::Key {
                name: key.name.as_ref().map(normal),
                primary: false,
                columns: columns(key.columns)?,
            })
        }
        TableConstraint::Check(check) => check_of(check.name.as_ref(), check.expr, check.enforced),
        TableConstraint::ForeignKey(_) => Err(foreign_key()),
        other => Err(Error::unsupported(format!("'{other}' is not supported"))
            .hint("a table can have PRIMARY KEY, UNIQUE and CHECK constraints")),
    }
}

fn check_of(name: Option<&Ident>, expr: Box<Expr>, enforced: Option<bool>) -> Result<NewConstraint> {
    if enforced == Some(false) {
        return Err(not_enforced());
    }
    Ok(NewConstraint::Check { name: name.map(normal), expr })
}

fn columns(columns: Vec<IndexColumn>) -> Result<Vec<String>> {
    let name = |column: IndexColumn| match column.column.expr {
        Expr::Identifier(name) => Ok(normal(&name)),
        other => Err(Error::unsupported(format!("'{other}' can not be part of a key")).hint("name columns")),
    };
    columns.into_iter().map(name).collect()
}

fn enforced_at_once(characteristics: Option<&ConstraintCharacteristics>) -> Result<()> {
    let Some(characteristics) = characteristics else { return Ok(()) };
    if characteristics.enforced == Some(false) {
        return Err(not_enforced());
    }
    if characteristics.deferrable == Some(true) {
        return Err(Error::unsupported("DEFERRABLE constraints are not supported")
            .hint("leave it out: constraints hold at the end of each statement, and a statement is a transaction"));
    }
    Ok(())
}

fn nulls_are_distinct(option: NullsDistinctOption) -> Result<()> {
    match option {
        NullsDistinctOption::None | NullsDistinctOption::Distinct => Ok(()),
        NullsDistinctOption::NotDistinct => Err(Error::unsupported("UNIQUE NULLS NOT DISTINCT is not supported")
            .hint("nulls are distinct here; declare the columns NOT NULL")),
    }
}

fn not_enforced() -> Error {
    Error::unsupported("NOT ENFORCED constraints are not supported").hint("leave the constraint out")
}

fn foreign_key() -> Error {
    Error::unsupported("a FOREIGN KEY on an in-memory table is not supported")
        .hint("leave it out: it would not be enforced")
}
