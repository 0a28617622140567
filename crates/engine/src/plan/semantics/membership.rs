//! `IN` and `NOT IN` with a subquery know three answers: without a match they are NULL if the value is, or if a member is.
//! DataFusion knows the third one only for `NOT IN` that stands alone, of a value from a column, without correlation.
//!
//! Everything else is written out as `EXISTS`, which knows two.

use std::ops::Not;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Spans};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

/// What a member is called where it is compared, so that it is never taken for a column around the subquery.
const MEMBER: &str = "__member";

#[derive(Debug)]
pub(super) struct Memberships;

impl AnalyzerRule for Memberships {
    fn name(&self) -> &'static str {
        "sql_memberships"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Filter(Filter { predicate, input, .. }) if mentions_membership(&predicate) => {
                let predicate = kept(predicate, input.schema(), true)?;
                Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
            }
            other => Ok(Transformed::no(other)),
        });
        rewritten.data()
    }
}

fn mentions_membership(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::InSubquery(_)))).unwrap_or(true)
}

/// A condition of which it only matters whether it is true: NULL keeps no row either. `alone` if every row that is kept
/// fulfils it.
fn kept(expr: Expr, schema: &DFSchema, alone: bool) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let alone = alone && op == Operator::And;
            let (left, right) = (kept(*left, schema, alone)?, kept(*right, schema, alone)?);
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(membership) => {
                let negated = !membership.negated;
                kept(Expr::InSubquery(InSubquery { negated, ..membership }), schema, alone)
            }
            other => Ok(exact(other, schema)?.not()),
        },
        Expr::InSubquery(membership) if membership.negated => {
            let known_to_datafusion =
                alone && !membership.expr.column_refs().is_empty() && membership.subquery.outer_ref_columns.is_empty();
            match Question::of(&membership, schema)? {
                Some(question) if !known_to_datafusion => Ok(question.not_in()),
                _ => Ok(Expr::InSubquery(membership)),
            }
        }
        Expr::InSubquery(_) => Ok(expr),
        other => exact(other, schema),
    }
}

/// A part of a condition whose NULL makes a difference.
fn exact(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let rewritten = expr.transform_down(|node| match node {
        Expr::InSubquery(membership) => match Question::of(&membership, schema)? {
            Some(question) => Ok(Transformed::new(question.answer(membership.negated)?, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(Expr::InSubquery(membership))),
        },
        other => Ok(Transformed::no(other)),
    });
    rewritten.data()
}

/// Whether the value is a member, in parts that can be true or false only.
struct Question {
    /// A member is equal to the value.
    is_member: Expr,
    /// A member is NULL; `None` if none can be.
    has_null: Option<Expr>,
    /// The value is NULL, if it can be, and whether there are members at all.
    value: Option<(Expr, Expr)>,
}

impl Question {
    /// `None` if neither the value nor a member can be NULL, or if the value is not of the query right around.
    fn of(membership: &InSubquery, schema: &DFSchema) -> Result<Option<Self>> {
        let InSubquery { expr: value, subquery, .. } = membership;
        let members = &subquery.subquery;
        let nullable_members = members.schema().field(0).is_nullable();
        let nullable_value = value.nullable(schema).unwrap_or(true);
        let foreign = value.exists(|node| {
            Ok(matches!(node, Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_))
                || matches!(node, Expr::InSubquery(_) | Expr::Exists(_)))
        })?;
        if !nullable_members && !nullable_value || foreign {
            return Ok(None);
        }
        let member = Expr::Column(Column::from_name(MEMBER));
        let outer = seen_from_within(value.as_ref().clone(), schema)?;
        let has_null = nullable_members.then(|| exists(members, Some(member.clone().is_null()))).transpose()?;
        let value = match nullable_value {
            true => Some((value.as_ref().clone(), exists(members, None)?)),
            false => None,
        };
        Ok(Some(Self { is_member: exists(members, Some(member.eq(outer)))?, has_null, value }))
    }

    /// `NOT IN` is true.
    fn not_in(self) -> Expr {
        let mut condition = self.is_member.not();
        if let Some(has_null) = self.has_null {
            condition = condition.and(has_null.not());
        }
        if let Some((value, has_members)) = self.value {
            condition = condition.and(value.is_not_null().or(has_members.not()));
        }
        condition
    }

    /// The value of `IN` or `NOT IN`.
    fn answer(self, negated: bool) -> Result<Expr> {
        let unknown = self.value.map(|(value, has_members)| value.is_null().and(has_members));
        let unknown = match (unknown, self.has_null) {
            (Some(value), Some(member)) => value.or(member),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => lit(false),
        };
        when(self.is_member, lit(!negated)).when(unknown, lit(ScalarValue::Boolean(None))).otherwise(lit(negated))
    }
}

/// The expression as the subquery has to write it.
fn seen_from_within(value: Expr, schema: &DFSchema) -> Result<Expr> {
    let rewritten = value.transform(|node| match node {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    });
    rewritten.data()
}

/// Whether there are members, or such members.
fn exists(members: &Arc<LogicalPlan>, condition: Option<Expr>) -> Result<Expr> {
    let member = Expr::from(members.schema().qualified_field(0)).alias(MEMBER);
    let mut plan = LogicalPlanBuilder::from(members.as_ref().clone()).project([member])?;
    if let Some(condition) = condition {
        plan = plan.filter(condition)?;
    }
    let mut plan = plan.build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    if outer_ref_columns.is_empty() {
        // One is as good as all.
        plan = LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()?;
    }
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() };
    Ok(Expr::Exists(Exists { subquery, negated: false }))
}
