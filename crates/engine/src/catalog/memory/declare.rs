//! Constraints as a statement declares them, on their way into the [`Shape`] of a table.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Ident, Visit, VisitMut, Visitor, VisitorMut};

use super::shape::{Check, Key, Shape};
use crate::error::{Error, Result, Subject};
use crate::plan::normal;
use crate::plan::suggest::closest;

/// A constraint that a statement declares.
#[derive(Debug, Clone)]
pub(crate) enum NewConstraint {
    /// `PRIMARY KEY` and `UNIQUE`.
    Key { name: Option<String>, primary: bool, columns: Vec<String> },
    /// `CHECK`.
    Check { name: Option<String>, expr: Box<SqlExpr> },
}

impl Shape {
    /// Adds a constraint, under a name of its own if it comes without. `table` is the name of the table in its schema.
    ///
    /// # Errors
    /// `NotFound` for unknown columns, `Conflict` if the name is taken, `Invalid` for a second primary key.
    pub(crate) fn add(&mut self, table: &str, constraint: NewConstraint) -> Result<()> {
        match constraint {
            NewConstraint::Key { name, primary, columns } => self.add_key(table, name, primary, &columns),
            NewConstraint::Check { name, expr } => {
                let used: Vec<_> = self.used_by(&expr);
                let name = match name {
                    Some(name) => self.free(name)?,
                    None => match used.as_slice() {
                        [column] => self.free_name(table, &[column.as_str()], "check"),
                        _ => self.free_name(table, &[], "check"),
                    },
                };
                self.checks.push(Check { name, expr: *expr });
                Ok(())
            }
        }
    }

    fn add_key(&mut self, table: &str, name: Option<String>, primary: bool, columns: &[String]) -> Result<()> {
        if primary && self.keys.iter().any(|key| key.primary) {
            return Err(Error::invalid(format!("table '{table}' would have more than one PRIMARY KEY"))
                .hint("declare the other one UNIQUE NOT NULL"));
        }
        let mut indexes = Vec::with_capacity(columns.len());
        for column in columns {
            let index = self.column(table, column)?;
            if indexes.contains(&index) {
                return Err(Error::invalid(format!("a key of table '{table}' names column '{column}' twice")));
            }
            indexes.push(index);
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let name = match name {
            Some(name) => self.free(name)?,
            None if primary => self.free_name(table, &[], "pkey"),
            None => self.free_name(table, &columns, "key"),
        };
        for index in indexes.iter().filter(|_| primary) {
            self.require(*index, true);
        }
        self.keys.push(Key { name, primary, columns: indexes });
        Ok(())
    }

    fn free(&self, name: String) -> Result<String> {
        if self.has_constraint(&name) {
            return Err(Error::conflict(Subject::Constraint, format!("constraint '{name}' exists already")));
        }
        Ok(name)
    }

    /// The index of a column.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn column(&self, table: &str, column: &str) -> Result<usize> {
        self.schema.index_of(column).map_err(|_| {
            let known = self.schema.fields().iter().map(|field| field.name().as_str());
            Error::not_found(Subject::Column, format!("column '{column}' not found in table '{table}'"))
                .suggest(closest(column, known))
        })
    }

    /// Makes a column required, or not.
    pub(crate) fn require(&mut self, column: usize, required: bool) {
        self.change_fields(|index, field| match index == column {
            true => Arc::new(field.as_ref().clone().with_nullable(!required)),
            false => Arc::clone(field),
        });
    }

    pub(super) fn change_fields(&mut self, change: impl Fn(usize, &FieldRef) -> FieldRef) {
        let fields: Vec<_> =
            self.schema.fields().iter().enumerate().map(|(index, field)| change(index, field)).collect();
        self.schema = Arc::new(Schema::new(fields));
    }

    /// The columns that an expression uses.
    pub(super) fn used_by(&self, expr: &SqlExpr) -> Vec<String> {
        let mut names = Names(Vec::new());
        // The visitor never breaks off.
        let _ = Visit::visit(expr, &mut names);
        names.0.sort();
        names.0.dedup();
        names.0.retain(|name| self.schema.index_of(name).is_ok());
        names.0
    }
}

struct Names(Vec<String>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
        match expr {
            SqlExpr::Identifier(ident) => self.0.push(normal(ident)),
            SqlExpr::CompoundIdentifier(parts) => self.0.extend(parts.iter().map(normal)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The expression with a column under its new name.
pub(super) fn renamed(mut expr: SqlExpr, from: &str, to: &str) -> SqlExpr {
    // The visitor never breaks off.
    let _ = VisitMut::visit(&mut expr, &mut Rename { from, to });
    expr
}

struct Rename<'a> {
    from: &'a str,
    to: &'a str,
}

impl Rename<'_> {
    fn rename(&self, ident: &mut Ident) {
        if normal(ident) == self.from {
            *ident =
                if self.to == self.to.to_lowercase() { Ident::new(self.to) } else { Ident::with_quote('"', self.to) };
        }
    }
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        match expr {
            SqlExpr::Identifier(ident) => self.rename(ident),
            SqlExpr::CompoundIdentifier(parts) => {
                if let Some(last) = parts.last_mut() {
                    self.rename(last);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
