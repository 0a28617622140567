//! `FROM t, UNNEST(t.l) AS u(e)` and `CROSS JOIN UNNEST(...)`: the elements of a list beside the row that it is of. DataFusion
//! unnests the columns of a row in the select list only.
//!
//! Such a join is put in parentheses under a name of ours, and the planner of relations unnests a column of its left side.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::{Column, TableReference, UnnestOptions, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as Written, Ident, Join, JoinConstraint, JoinOperator, Select, TableAlias, TableFactor, TableWithJoins, Value,
    Visit, Visitor, VisitorMut,
};

use crate::plan::parameters::visit_inner;

/// The name of such joins.
const UNNESTED: &str = "(unnested)";

/// What an element is called while it has no table.
const ELEMENT: &str = "__element";

/// Names every join with the elements of a list that is a column beside it, for [`Unnesting`].
pub(in crate::plan) fn unnest_laterally(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Chains);
}

struct Chains;

impl VisitorMut for Chains {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let is_lateral = |chain: &TableWithJoins| is_of_columns(&chain.relation);
        if select.from.iter().skip(1).any(is_lateral) && select.from.iter().skip(1).all(keeps_left) {
            let mut chains = std::mem::take(&mut select.from).into_iter();
            if let Some(mut first) = chains.next() {
                for chain in chains {
                    let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
                    first.joins.push(Join { relation: chain.relation, global: false, join_operator });
                    first.joins.extend(chain.joins);
                }
                select.from = vec![first];
            }
        }
        select.from.iter_mut().for_each(name_joins);
        ControlFlow::Continue(())
    }
}

/// Whether a comma before the chain may become a cross join.
fn keeps_left(chain: &TableWithJoins) -> bool {
    chain.joins.iter().all(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
                | JoinOperator::CrossJoin(_)
        )
    })
}

fn name_joins(chain: &mut TableWithJoins) {
    let mut joins = Vec::with_capacity(chain.joins.len());
    for join in std::mem::take(&mut chain.joins) {
        let is_lateral = is_of_columns(&join.relation) && keeps_all(&join.join_operator);
        joins.push(join);
        if is_lateral {
            let name = Ident::with_quote('"', UNNESTED);
            let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
            enclose(chain, std::mem::take(&mut joins), alias);
        }
    }
    chain.joins = joins;
}

/// A join without a condition.
fn keeps_all(operator: &JoinOperator) -> bool {
    match operator {
        JoinOperator::CrossJoin(_) => true,
        JoinOperator::Join(JoinConstraint::On(condition)) | JoinOperator::Inner(JoinConstraint::On(condition)) => {
            matches!(condition, Written::Value(value) if value.value == Value::Boolean(true))
        }
        _ => false,
    }
}

/// Whether it is one list, which names columns.
fn is_of_columns(relation: &TableFactor) -> bool {
    match relation {
        TableFactor::UNNEST { array_exprs, with_offset: false, with_ordinality: false, .. } => {
            matches!(array_exprs.as_slice(), [list] if Visit::visit(list, &mut Named).is_break())
        }
        _ => false,
    }
}

/// Breaks off at the first column.
struct Named;

impl Visitor for Named {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Written) -> ControlFlow<()> {
        match expr {
            Written::Identifier(_) | Written::CompoundIdentifier(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Puts the relation with these joins in parentheses, under this name.
pub(super) fn enclose(chain: &mut TableWithJoins, joins: Vec<Join>, alias: TableAlias) {
    // In place of the relation while it moves.
    let nothing = TableFactor::UNNEST {
        alias: None,
        array_exprs: Vec::new(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    let relation = std::mem::replace(&mut chain.relation, nothing);
    let inner = Box::new(TableWithJoins { relation, joins });
    chain.relation = TableFactor::NestedJoin { table_with_joins: inner, alias: Some(alias) };
}

/// Plans the joins that `unnest_laterally` named.
#[derive(Debug)]
pub(in crate::plan) struct Unnesting;

impl RelationPlanner for Unnesting {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let mut chain = match relation {
            TableFactor::NestedJoin { table_with_joins, alias: Some(alias) }
                if alias.name.value == UNNESTED && alias.name.quote_style.is_some() =>
            {
                table_with_joins
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let Some(Join { relation: TableFactor::UNNEST { alias, mut array_exprs, .. }, .. }) = chain.joins.pop() else {
            return plan_err!("UNNEST stands last in a join of its own");
        };
        let Some(list) = array_exprs.pop() else { return plan_err!("UNNEST takes a list") };
        let rows = if chain.joins.is_empty() {
            context.plan(chain.relation)?
        } else {
            context.plan(TableFactor::NestedJoin { table_with_joins: chain, alias: None })?
        };
        let (table, column) = match alias {
            Some(TableAlias { name, columns, .. }) => {
                let table = context.normalize_ident(name);
                let column = columns.into_iter().next().map(|column| context.normalize_ident(column.name));
                (table.clone(), column.unwrap_or(table))
            }
            None => ("unnest".to_owned(), "unnest".to_owned()),
        };
        let list = context.sql_to_expr(list, rows.schema())?;
        let plan = beside(rows, list, TableReference::bare(table), &column)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// Each row as often as its list has elements, with the element as the last column.
fn beside(rows: LogicalPlan, list: Expr, table: TableReference, column: &str) -> Result<LogicalPlan> {
    let data_type = list.get_type(rows.schema())?;
    if !matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
        return plan_err!("UNNEST takes a list, not {}", crate::sql_type::sql_type(&data_type));
    }
    let shown: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
    let element = Expr::Column(Column::from_name(ELEMENT)).alias_qualified(Some(table), column);
    let options = UnnestOptions::new().with_preserve_nulls(false);
    LogicalPlanBuilder::from(rows)
        .project(shown.iter().cloned().chain([list.alias(ELEMENT)]))?
        .unnest_column_with_options(Column::from_name(ELEMENT), options)?
        .project(shown.into_iter().chain([element]))?
        .build()
}
