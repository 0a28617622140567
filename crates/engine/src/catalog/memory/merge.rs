//! `MERGE` and `INSERT ... ON CONFLICT`: a join of the table and the source, of which each row says what becomes of one row
//! of the table or that it is a new one.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind, MergeIntoOp};
use datafusion::logical_expr::{Case, DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, DoUpdate, Expr as SqlExpr, ExprWithAlias, Ident, OnConflict,
    OnConflictAction, VisitMut, VisitorMut,
};

use super::checks::{cast, default_value};
use super::keys::Taken;
use super::rewrite::{refuse_subqueries, source};
use super::shape::Shape;
use super::sink::{Effect, GONE};
use super::turn::{ROW, Rows, Turn};
use crate::error::{Error, Result, Subject};
use crate::plan::normal;
use crate::plan::suggest::closest;

/// Set in rows that have a part from the source.
const SOURCE: &str = "__source";
/// The index of the clause that holds for a row.
const CLAUSE: &str = "__clause";
/// The name of the rows that an `INSERT ... ON CONFLICT` would add.
const EXCLUDED: &str = "excluded";

/// The changes that a `MERGE` makes: the columns of the table, the number of the row if there is one, and whether it goes.
pub(super) fn merge(
    state: &SessionState,
    statement: &DmlStatement,
    op: &MergeIntoOp,
    turn: &Arc<Turn>,
) -> Result<LogicalPlan> {
    for expr in op.exprs() {
        refuse_subqueries(expr)?;
    }
    refuse_unreachable(&op.clauses)?;
    let table = LogicalPlanBuilder::scan(statement.table_name.clone(), source(Rows::numbered(turn)), None)?;
    let columns = statement.input.schema().columns().into_iter().map(Expr::Column);
    let rows = LogicalPlanBuilder::from(statement.input.as_ref().clone())
        .project(columns.chain([lit(true).alias(SOURCE)]))?
        .build()?;
    let has = |kind| op.clauses.iter().any(|clause| clause.kind.canonical() == kind);
    let join = match (has(MergeIntoClauseKind::NotMatchedBySource), has(MergeIntoClauseKind::NotMatchedByTarget)) {
        (true, true) => JoinType::Full,
        (true, false) => JoinType::Left,
        (false, true) => JoinType::Right,
        (false, false) => JoinType::Inner,
    };
    let joined = table.join_on(rows, join, [op.on.clone()])?.build()?;
    let clause = Expr::Case(Case::new(None, conditions(statement, op), None)).alias(CLAUSE);
    let columns = joined.schema().columns().into_iter().map(Expr::Column);
    let decided = LogicalPlanBuilder::from(joined)
        .project(columns.chain([clause]))?
        .filter(Expr::Column(Column::from_name(CLAUSE)).is_not_null())?;
    let outcome = outcome(state, statement, op, turn.table.shape())?;
    Ok(decided.project(outcome)?.build()?)
}

/// A clause after one of its kind that holds for every row is a mistake.
fn refuse_unreachable(clauses: &[MergeIntoClause]) -> Result<()> {
    let mut decided = Vec::new();
    for clause in clauses {
        let kind = clause.kind.canonical();
        if decided.contains(&kind) {
            return Err(Error::invalid(
                "a WHEN clause of the MERGE can not be reached: one without a condition stands before it",
            )
            .about(Subject::Syntax)
            .hint("put the clause without a condition last"));
        }
        if clause.predicate.is_none() {
            decided.push(kind);
        }
    }
    Ok(())
}

/// When which clause holds: the first that does decides.
fn conditions(statement: &DmlStatement, op: &MergeIntoOp) -> Vec<(Box<Expr>, Box<Expr>)> {
    let row = || number(statement);
    let from_source = || Expr::Column(Column::from_name(SOURCE));
    let condition = |(clause, index): (&MergeIntoClause, i32)| {
        let kind = match clause.kind.canonical() {
            MergeIntoClauseKind::Matched => row().is_not_null().and(from_source().is_not_null()),
            MergeIntoClauseKind::NotMatchedBySource => from_source().is_null(),
            MergeIntoClauseKind::NotMatched | MergeIntoClauseKind::NotMatchedByTarget => row().is_null(),
        };
        let condition = match &clause.predicate {
            Some(predicate) => kind.and(predicate.clone()),
            None => kind,
        };
        (Box::new(condition), Box::new(lit(index)))
    };
    op.clauses.iter().zip(0..).map(condition).collect()
}

fn number(statement: &DmlStatement) -> Expr {
    Expr::Column(Column::new(Some(statement.table_name.clone()), ROW))
}

/// What the clauses make of a row.
fn outcome(state: &SessionState, statement: &DmlStatement, op: &MergeIntoOp, shape: &Shape) -> Result<Vec<Expr>> {
    let holds = |index: i32| Expr::Column(Column::from_name(CLAUSE)).eq(lit(index));
    let mut columns = Vec::with_capacity(shape.schema.fields().len() + 2);
    for (field, default) in shape.schema.fields().iter().zip(&shape.defaults) {
        let mut values = Vec::new();
        for (clause, index) in op.clauses.iter().zip(0..) {
            let value = match &clause.action {
                MergeIntoAction::Delete => continue,
                MergeIntoAction::Update(assignments) => match assignments.iter().find(|(name, _)| name == field.name())
                {
                    Some((_, value)) => typed(value.clone(), field)?,
                    None => Expr::Column(Column::new(Some(statement.table_name.clone()), field.name())),
                },
                MergeIntoAction::Insert { columns, values } => {
                    match (inserted(columns, values, field, shape), default) {
                        (Some(value), _) => typed(value.clone(), field)?,
                        (None, Some(default)) => default_value(state, default, field.data_type())?,
                        (None, None) => lit(ScalarValue::try_from(field.data_type())?),
                    }
                }
            };
            values.push((Box::new(holds(index)), Box::new(value)));
        }
        let value = if values.is_empty() {
            lit(ScalarValue::try_from(field.data_type())?)
        } else {
            Expr::Case(Case::new(None, values, None))
        };
        columns.push(value.alias(field.name()));
    }
    let deletes = op.clauses.iter().zip(0..).filter(|(clause, _)| matches!(clause.action, MergeIntoAction::Delete));
    let gone = deletes.map(|(_, index)| holds(index)).reduce(Expr::or).unwrap_or_else(|| lit(false));
    columns.extend([number(statement).alias(ROW), gone.alias(GONE)]);
    Ok(columns)
}

/// The value that an `INSERT` clause has for a column.
fn inserted<'a>(columns: &[String], values: &'a [Expr], field: &Field, shape: &Shape) -> Option<&'a Expr> {
    let index = match columns {
        [] => shape.schema.index_of(field.name()).ok(),
        columns => columns.iter().position(|name| name == field.name()),
    };
    values.get(index?)
}

/// The value in the type of the column, which is also that of a parameter whose type is not known.
fn typed(value: Expr, field: &FieldRef) -> Result<Expr> {
    let value = value
        .transform(|expr| match expr {
            Expr::Placeholder(mut placeholder) if placeholder.field.is_none() => {
                placeholder.field = Some(Arc::new(field.as_ref().clone().with_nullable(true)));
                Ok(Transformed::yes(Expr::Placeholder(placeholder)))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()?;
    Ok(cast(value, field.data_type()))
}

/// The rows of an `INSERT ... ON CONFLICT`, or the changes that they make.
pub(super) fn on_conflict(
    state: &SessionState,
    statement: &DmlStatement,
    rows: LogicalPlan,
    conflict: &OnConflict,
    turn: &Arc<Turn>,
) -> Result<(LogicalPlan, Effect)> {
    let shape = turn.table.shape();
    let arbiter =
        conflict.conflict_target.as_ref().map(|target| arbiter(shape, turn.table.name(), target)).transpose()?;
    let update = match &conflict.action {
        OnConflictAction::DoNothing => return Ok((rows, Effect::Insert(Taken::Skip(arbiter)))),
        OnConflictAction::DoUpdate(update) => update,
    };
    let Some(arbiter) = arbiter else {
        return Err(Error::invalid("ON CONFLICT DO UPDATE needs the columns or the constraint that it is about")
            .hint("write ON CONFLICT (column) DO UPDATE SET ..."));
    };
    let excluded = LogicalPlanBuilder::from(rows).alias(EXCLUDED)?.build()?;
    let name = &statement.table_name;
    let equal = |column: &str| {
        let ours = Expr::Column(Column::new(Some(name.clone()), column));
        ours.eq(Expr::Column(Column::new(Some(EXCLUDED), column)))
    };
    let Some(on) = shape.names_of(&shape.keys[arbiter].columns).map(equal).reduce(Expr::and) else {
        return Err(Error::internal("a key without columns"));
    };
    let ours = DFSchema::try_from_qualified_schema(name.clone(), &shape.schema)?;
    let columns = ours.join(excluded.schema())?;
    let mut clauses = vec![changed(state, update, shape, name.table(), &columns)?];
    let values = excluded.schema().columns().into_iter().map(Expr::Column).collect();
    clauses.push(MergeIntoClause {
        kind: MergeIntoClauseKind::NotMatched,
        predicate: None,
        action: MergeIntoAction::Insert { columns: Vec::new(), values },
    });
    let statement = DmlStatement { input: Arc::new(excluded), ..statement.clone() };
    Ok((merge(state, &statement, &MergeIntoOp { on, clauses }, turn)?, Effect::Merge(Taken::Twice(arbiter))))
}

/// `DO UPDATE` as a clause of a `MERGE`.
fn changed(
    state: &SessionState,
    update: &DoUpdate,
    shape: &Shape,
    table: &str,
    columns: &DFSchema,
) -> Result<MergeIntoClause> {
    let planned = |expr: &SqlExpr| -> Result<Expr> {
        let mut expr = expr.clone();
        // The visitor never breaks off.
        let _ = VisitMut::visit(&mut expr, &mut Qualify { shape, table });
        Ok(state.create_logical_expr_from_sql_expr(ExprWithAlias { expr, alias: None }, columns)?)
    };
    let mut assignments: Vec<(String, Expr)> = Vec::with_capacity(update.assignments.len());
    for Assignment { target, value } in &update.assignments {
        let AssignmentTarget::ColumnName(name) = target else {
            return Err(
                Error::unsupported(format!("'{target}' is not supported")).hint("assign to one column at a time")
            );
        };
        let column = name.0.last().and_then(|part| part.as_ident()).map(normal).unwrap_or_default();
        shape.column(table, &column)?;
        if assignments.iter().any(|(known, _)| *known == column) {
            return Err(Error::invalid(format!("column '{column}' is assigned to twice")));
        }
        assignments.push((column, planned(value)?));
    }
    Ok(MergeIntoClause {
        kind: MergeIntoClauseKind::Matched,
        predicate: update.selection.as_ref().map(planned).transpose()?,
        action: MergeIntoAction::Update(assignments),
    })
}

/// Lets a bare name mean the column of the table, not the one of [`EXCLUDED`].
struct Qualify<'a> {
    shape: &'a Shape,
    table: &'a str,
}

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if let SqlExpr::Identifier(ident) = expr
            && self.shape.schema.index_of(&normal(ident)).is_ok()
        {
            *expr = SqlExpr::CompoundIdentifier(vec![Ident::with_quote('"', self.table), ident.clone()]);
        }
        ControlFlow::Continue(())
    }
}

/// The constraint that `ON CONFLICT` is about.
fn arbiter(shape: &Shape, table: &str, target: &ConflictTarget) -> Result<usize> {
    match target {
        ConflictTarget::OnConstraint(name) => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(normal).unwrap_or_default();
            shape.keys.iter().position(|key| key.name == name).ok_or_else(|| {
                let known = shape.keys.iter().map(|key| key.name.as_str());
                Error::not_found(Subject::Constraint, format!("table '{table}' has no key constraint '{name}'"))
                    .suggest(closest(&name, known))
            })
        }
        ConflictTarget::Columns(columns) => {
            let mut wanted = Vec::with_capacity(columns.len());
            for column in columns {
                wanted.push(shape.column(table, &normal(column))?);
            }
            let same = |columns: &[usize]| {
                columns.iter().all(|column| wanted.contains(column))
                    && wanted.iter().all(|index| columns.contains(index))
            };
            shape.keys.iter().position(|key| same(&key.columns)).ok_or_else(|| {
                let names: Vec<_> = shape.names_of(&wanted).collect();
                let names = names.join(", ");
                Error::invalid(format!("table '{table}' has no PRIMARY KEY or UNIQUE constraint on ({names})"))
                    .about(Subject::Constraint)
                    .hint("ON CONFLICT names exactly the columns of such a constraint")
            })
        }
    }
}
