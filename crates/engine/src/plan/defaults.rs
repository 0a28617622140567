//! What of `INSERT`, `UPDATE` and `MERGE` DataFusion's planner does not know: the word `DEFAULT`, `DEFAULT VALUES`, and
//! `ON CONFLICT`. The first two become the expressions that they stand for; the last is taken out and planned afterwards.

use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    Assignment, Expr, Insert, Merge, MergeAction, MergeInsertKind, ObjectName, OnConflictAction, OnInsert, Query,
    SetExpr, Statement, TableFactor, TableObject, Update, Value, Values,
};

use super::classify::normal;
use super::logical::resolve;
use super::parse::{Parsed, parse};
use super::show::Place;
use crate::catalog::SessionCatalogs;
use crate::catalog::memory::{Inserted, memory_table};
use crate::error::{Error, Result};

/// Makes the statement one that DataFusion can plan, and gives what was taken out of it.
pub(super) async fn prepare(sql: &mut SqlStatement, catalogs: &SessionCatalogs) -> Result<Inserted> {
    match inner(sql) {
        Some(Statement::Insert(insert)) => prepare_insert(insert, catalogs).await,
        Some(Statement::Update(update)) => prepare_update(update, catalogs).await.map(|()| Inserted::default()),
        Some(Statement::Merge(merge)) => prepare_merge(merge, catalogs).await.map(|()| Inserted::default()),
        _ => Ok(Inserted::default()),
    }
}

/// The statement itself, out of `EXPLAIN`.
fn inner(sql: &mut SqlStatement) -> Option<&mut Statement> {
    match sql {
        SqlStatement::Statement(statement) => Some(statement.as_mut()),
        SqlStatement::Explain(explain) => inner(&mut explain.statement),
        SqlStatement::CopyTo(_) | SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => None,
    }
}

async fn prepare_insert(insert: &mut Insert, catalogs: &SessionCatalogs) -> Result<Inserted> {
    let mut columns: Vec<String> = insert.columns.iter().map(last_name).collect();
    let mut conflict = match insert.on.take() {
        None => None,
        Some(OnInsert::OnConflict(conflict)) => Some(conflict),
        Some(_) => {
            return Err(Error::unsupported("ON DUPLICATE KEY UPDATE is not supported")
                .hint("use ON CONFLICT (key) DO UPDATE SET column = excluded.column"));
        }
    };
    let TableObject::TableName(table) = &insert.table else { return Ok(Inserted { columns, conflict }) };
    let updates = match &mut conflict {
        Some(conflict) => match &mut conflict.action {
            OnConflictAction::DoUpdate(update) => update.assignments.as_mut_slice(),
            OnConflictAction::DoNothing => &mut [],
        },
        None => &mut [],
    };
    let of_default_values = insert.source.is_none() && insert.assignments.is_empty() && insert.format_clause.is_none();
    let rows = insert.source.as_deref_mut().and_then(values);
    let says_default = rows.as_ref().is_some_and(|rows| rows.rows.iter().any(|row| row.content.iter().any(is_default)));
    if of_default_values || says_default || updates.iter().any(|assignment| is_default(&assignment.value)) {
        let defaults = Defaults::of(table, catalogs).await?;
        defaults.assign(updates);
        if let Some(rows) = rows {
            for row in &mut rows.rows {
                for (index, value) in row.content.iter_mut().enumerate().filter(|(_, value)| is_default(value)) {
                    *value = match columns.get(index) {
                        Some(column) => defaults.named(column),
                        None => defaults.at(index),
                    };
                }
            }
        } else if of_default_values {
            let (source, all) = defaults.row()?;
            insert.source = Some(source);
            columns = all;
        }
    }
    Ok(Inserted { columns, conflict })
}

async fn prepare_update(update: &mut Update, catalogs: &SessionCatalogs) -> Result<()> {
    if let TableFactor::Table { name, .. } = &update.table.relation
        && update.assignments.iter().any(|assignment| is_default(&assignment.value))
    {
        Defaults::of(name, catalogs).await?.assign(&mut update.assignments);
    }
    Ok(())
}

async fn prepare_merge(merge: &mut Merge, catalogs: &SessionCatalogs) -> Result<()> {
    let TableFactor::Table { name, .. } = &merge.table else { return Ok(()) };
    let says_default = merge.clauses.iter_mut().any(|clause| match &mut clause.action {
        MergeAction::Update(update) => update.assignments.iter().any(|assignment| is_default(&assignment.value)),
        MergeAction::Insert(insert) => match &insert.kind {
            MergeInsertKind::Values(values) => values.rows.iter().any(|row| row.content.iter().any(is_default)),
            MergeInsertKind::Row => false,
        },
        MergeAction::Delete { .. } => false,
    });
    if !says_default {
        return Ok(());
    }
    let defaults = Defaults::of(name, catalogs).await?;
    for clause in &mut merge.clauses {
        match &mut clause.action {
            MergeAction::Update(update) => defaults.assign(&mut update.assignments),
            MergeAction::Insert(insert) => {
                let columns: Vec<String> = insert.columns.iter().map(last_name).collect();
                let MergeInsertKind::Values(values) = &mut insert.kind else { continue };
                let values = values.rows.iter_mut().flat_map(|row| row.content.iter_mut().enumerate());
                for (index, value) in values.filter(|(_, value)| is_default(value)) {
                    *value = match columns.get(index) {
                        Some(column) => defaults.named(column),
                        None => defaults.at(index),
                    };
                }
            }
            MergeAction::Delete { .. } => {}
        }
    }
    Ok(())
}

/// The columns of a table with what `DEFAULT` means for them.
struct Defaults(Vec<(String, Option<Expr>)>);

impl Defaults {
    /// Of a table that may not exist, which planning tells better.
    async fn of(table: &ObjectName, catalogs: &SessionCatalogs) -> Result<Self> {
        let scope = catalogs.scope();
        let name = resolve(table, Place { catalog: &scope.catalog, schema: &scope.schema })?;
        let Some(table) = catalogs.table(&name).await? else { return Ok(Self(Vec::new())) };
        let memory = memory_table(&table);
        let default = |name: &str| memory.as_ref().and_then(|table| table.shape().default_of(name)).cloned();
        let schema = table.schema();
        Ok(Self(schema.fields().iter().map(|field| (field.name().clone(), default(field.name()))).collect()))
    }

    fn named(&self, column: &str) -> Expr {
        let default = self.0.iter().find(|(name, _)| name == column).and_then(|(_, default)| default.clone());
        default.unwrap_or_else(null)
    }

    fn at(&self, index: usize) -> Expr {
        self.0.get(index).and_then(|(_, default)| default.clone()).unwrap_or_else(null)
    }

    fn assign(&self, assignments: &mut [Assignment]) {
        use datafusion::sql::sqlparser::ast::AssignmentTarget::ColumnName;
        for assignment in assignments.iter_mut().filter(|assignment| is_default(&assignment.value)) {
            if let ColumnName(column) = &assignment.target {
                assignment.value = self.named(&last_name(column));
            }
        }
    }

    /// One row of defaults, and its columns.
    fn row(&self) -> Result<(Box<Query>, Vec<String>)> {
        let nulls = vec!["NULL"; self.0.len().max(1)].join(", ");
        let Parsed::Sql(query) = parse(&format!("VALUES ({nulls})"))? else { return Err(no_query()) };
        let SqlStatement::Statement(query) = *query else { return Err(no_query()) };
        let Statement::Query(mut query) = *query else { return Err(no_query()) };
        for row in values(&mut query).into_iter().flat_map(|values| &mut values.rows) {
            for (index, value) in row.content.iter_mut().enumerate() {
                *value = self.at(index);
            }
        }
        Ok((query, self.0.iter().map(|(name, _)| name.clone()).collect()))
    }
}

fn no_query() -> Error {
    Error::internal("VALUES is no query")
}

fn values(query: &mut Query) -> Option<&mut Values> {
    match query.body.as_mut() {
        SetExpr::Values(values) => Some(values),
        _ => None,
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(normal).unwrap_or_default()
}
