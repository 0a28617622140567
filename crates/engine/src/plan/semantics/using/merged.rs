//! The columns of a join that merges some: these first, then the rest of the left side, then the rest of the right side.
//!
//! A merged column that the query also names by its table is there three times. DataFusion then has to know that the three
//! are one: only joins say so to it, so one that joins nothing stands in the plan until the names are resolved.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType, NullEquality, TableReference};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{EmptyRelation, Expr, Join, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{JoinConstraint as Written, TableFactor};

use super::{EVERY, JOINED, merges};

/// Plans the joins that `merge_keys` named.
#[derive(Debug)]
pub(in crate::plan) struct Merging;

impl RelationPlanner for Merging {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (table_with_joins, alias) = match relation {
            TableFactor::NestedJoin { table_with_joins, alias: Some(alias) }
                if alias.name.value.starts_with(JOINED) && alias.name.quote_style.is_some() =>
            {
                (table_with_joins, alias)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let constraint = table_with_joins.joins.last().and_then(merges);
        let plan = context.plan(TableFactor::NestedJoin { table_with_joins, alias: None })?;
        let plan = match plan {
            LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using => {
                let shown = alias.columns.into_iter().map(|column| column.name.value).collect();
                let natural = matches!(constraint, Some(Written::Natural));
                Merge { name: TableReference::bare(alias.name.value), shown, natural }.plan(join)?
            }
            other => other,
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

/// How the columns of one join are merged.
struct Merge {
    /// The name of the join.
    name: TableReference,
    /// Columns that the query names by their tables.
    shown: HashSet<String>,
    /// Whether the order of the merged columns is that of the left side.
    natural: bool,
}

impl Merge {
    fn plan(&self, join: Join) -> Result<LogicalPlan> {
        let keys = self.keys(&join)?;
        let mut columns = Vec::with_capacity(join.schema.fields().len());
        for (left, right) in &keys {
            let value = match join.join_type {
                JoinType::Right => Expr::Column(right.clone()),
                JoinType::Full => coalesce(vec![Expr::Column(left.clone()), Expr::Column(right.clone())]),
                _ => Expr::Column(left.clone()),
            };
            columns.push(match value {
                Expr::Column(_) if !self.is_shown(left) => value,
                value => value.alias_qualified(Some(self.name.clone()), &left.name),
            });
        }
        for column in join.schema.columns() {
            let is_key = keys.iter().any(|(left, right)| *left == column || *right == column);
            let is_merged = column.relation.as_ref().is_some_and(|relation| relation.table().starts_with(JOINED));
            if !is_key || (self.is_shown(&column) && !is_merged) {
                columns.push(Expr::Column(column));
            }
        }
        let join = LogicalPlan::Join(Join { join_constraint: JoinConstraint::On, ..join });
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(join))?);
        Ok(self.with_same(plan, &keys))
    }

    fn is_shown(&self, column: &Column) -> bool {
        self.shown.contains(EVERY) || self.shown.contains(&column.name)
    }

    /// The columns of both sides that are merged, each pair once.
    fn keys(&self, join: &Join) -> Result<Vec<(Column, Column)>> {
        let mut keys: Vec<(Column, Column)> = Vec::with_capacity(join.on.len());
        for (left, right) in &join.on {
            if let (Some(left), Some(right)) = (left.get_as_join_column(), right.get_as_join_column())
                && !keys.iter().any(|(known, _)| known == left)
            {
                keys.push((left.clone(), right.clone()));
            }
        }
        if self.natural {
            let schema = join.left.schema();
            keys.sort_by_key(|(left, _)| schema.maybe_index_of_column(left));
        }
        Ok(keys)
    }

    /// The plan under a join that says which of its columns are the same.
    fn with_same(&self, plan: LogicalPlan, keys: &[(Column, Column)]) -> LogicalPlan {
        let schema = Arc::clone(plan.schema());
        let mut on = Vec::new();
        for (left, _) in keys.iter().filter(|(left, _)| self.is_shown(left)) {
            let merged = Column::new(Some(self.name.clone()), &left.name);
            let others = schema.columns().into_iter().filter(|column| column.name == left.name && *column != merged);
            on.extend(others.map(|other| (Expr::Column(merged.clone()), Expr::Column(other))));
        }
        if on.is_empty() {
            return plan;
        }
        let nothing = EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) };
        LogicalPlan::Join(Join {
            left: Arc::new(plan),
            right: Arc::new(LogicalPlan::EmptyRelation(nothing)),
            on,
            filter: None,
            join_type: JoinType::Inner,
            join_constraint: JoinConstraint::Using,
            schema,
            null_equality: NullEquality::NullEqualsNothing,
            null_aware: false,
        })
    }
}

/// The plan of a statement without the joins that join nothing.
pub(in crate::plan) fn settled(plan: LogicalPlan) -> Result<LogicalPlan> {
    let settled = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if joins_nothing(&join) => Ok(Transformed::yes(Arc::unwrap_or_clone(join.left))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(settled.data)
}

fn joins_nothing(join: &Join) -> bool {
    join.join_constraint == JoinConstraint::Using
        && matches!(join.right.as_ref(), LogicalPlan::EmptyRelation(EmptyRelation { schema, .. }) if schema.fields().is_empty())
}
