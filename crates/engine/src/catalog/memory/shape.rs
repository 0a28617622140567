//! What a table in memory is: its columns, their defaults, and what its rows must satisfy.

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{Constraint, Constraints};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use serde::Serialize;

/// The columns of a table, their defaults, and the constraints on its rows. All of them are enforced.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The columns; a required one is not nullable.
    pub(crate) schema: SchemaRef,
    /// The default of each column, as SQL: it is planned by each statement that uses it, so that `now()` is its time.
    pub(crate) defaults: Vec<Option<SqlExpr>>,
    /// What must be different in all rows.
    pub(crate) keys: Vec<Key>,
    /// What must not be false for any row.
    pub(crate) checks: Vec<Check>,
}

/// A `PRIMARY KEY` or `UNIQUE` constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) primary: bool,
    /// By index, in the order of the declaration.
    pub(crate) columns: Vec<usize>,
}

/// A `CHECK` constraint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) expr: SqlExpr,
}

/// What sort of constraint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `UNIQUE`.
    Unique,
    /// `CHECK`.
    Check,
}

/// A constraint of a table. What is listed is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConstraintInfo {
    /// Its name, unique in the table.
    pub name: String,
    /// What sort of constraint it is.
    pub kind: ConstraintKind,
    /// The columns of a key, in its order; empty for a check.
    pub columns: Vec<String>,
    /// The condition of a check, as SQL.
    pub check: Option<String>,
}

impl ConstraintKind {
    /// The name of the SQL standard, as in `information_schema.table_constraints`.
    pub fn standard_name(self) -> &'static str {
        match self {
            Self::PrimaryKey => "PRIMARY KEY",
            Self::Unique => "UNIQUE",
            Self::Check => "CHECK",
        }
    }
}

impl Shape {
    /// Columns without defaults and constraints.
    pub(crate) fn plain(schema: SchemaRef) -> Self {
        let defaults = vec![None; schema.fields().len()];
        Self { schema, defaults, keys: Vec::new(), checks: Vec::new() }
    }

    /// The columns with every one nullable: what a statement may bring before its rows are checked.
    pub(crate) fn lenient_schema(&self) -> Schema {
        let field = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
        Schema::new(self.schema.fields().iter().map(field).collect::<Vec<_>>())
    }

    /// What the optimizer may rely on: that the primary key decides the row. As in PostgreSQL, `UNIQUE` is not used.
    pub(super) fn declared(&self) -> Constraints {
        let primary = self.keys.iter().filter(|key| key.primary);
        Constraints::new_unverified(primary.map(|key| Constraint::PrimaryKey(key.columns.clone())).collect())
    }

    /// The constraints, for listings.
    pub(crate) fn constraints(&self) -> Vec<ConstraintInfo> {
        let keys = self.keys.iter().map(|key| ConstraintInfo {
            name: key.name.clone(),
            kind: if key.primary { ConstraintKind::PrimaryKey } else { ConstraintKind::Unique },
            columns: self.names_of(&key.columns).map(str::to_owned).collect(),
            check: None,
        });
        let checks = self.checks.iter().map(|check| ConstraintInfo {
            name: check.name.clone(),
            kind: ConstraintKind::Check,
            columns: Vec::new(),
            check: Some(check.expr.to_string()),
        });
        keys.chain(checks).collect()
    }

    /// The default of a column, as SQL.
    pub(crate) fn default_of(&self, column: &str) -> Option<&SqlExpr> {
        let index = self.schema.index_of(column).ok()?;
        self.defaults.get(index)?.as_ref()
    }

    /// Whether a constraint has this name.
    pub(crate) fn has_constraint(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name) || self.checks.iter().any(|check| check.name == name)
    }

    /// The names of these columns.
    pub(crate) fn names_of<'a>(&'a self, columns: &'a [usize]) -> impl Iterator<Item = &'a str> {
        columns.iter().filter_map(|index| self.schema.fields().get(*index)).map(|field| field.name().as_str())
    }

    /// A name for a constraint that has none, as PostgreSQL gives it: the table, the columns, and what it is.
    pub(crate) fn free_name(&self, table: &str, columns: &[&str], suffix: &str) -> String {
        let parts: Vec<&str> = [table].into_iter().chain(columns.iter().copied()).chain([suffix]).collect();
        let name = parts.join("_");
        if !self.has_constraint(&name) {
            return name;
        }
        let numbered = (1..).map(|number| format!("{name}{number}"));
        numbered.into_iter().find(|name| !self.has_constraint(name)).unwrap_or(name)
    }
}
