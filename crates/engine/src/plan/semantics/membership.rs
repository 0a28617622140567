//! `IN` and `NOT IN` with a subquery, and comparisons with `ANY` and `ALL` of one, know three answers: without a match they are
//! NULL if the value is, or if a member is. DataFusion knows the third one only for `NOT IN` that stands alone, of a value from
//! a column, without correlation.
//!
//! Everything else is written out as `EXISTS`, which knows two.

use std::ops::Not;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Spans};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, when,
};
use datafusion::scalar::ScalarValue;

use super::existence::mentions;

/// What a member is called where it is compared, so that it is never taken for a column around the subquery.
const MEMBER: &str = "__member";

/// A node whose memberships have the three answers, where it matters.
pub(super) fn answered(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        node if !mentions(&node, is_membership) => Ok(Transformed::no(node)),
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let predicate = kept(predicate, input.schema(), true)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
        }
        node @ (LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) => values(node),
        other => Ok(Transformed::no(other)),
    }
}

fn is_membership(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::SetComparison(_))
}

/// A node whose expressions are values: each of the three answers counts, and only `EXISTS` can be one.
fn values(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = written_out(expr, &schema, true)?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
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
            match Question::of_membership(&membership, schema, false)? {
                Some(question) if !known_to_datafusion => Ok(question.no_member()),
                _ => Ok(Expr::InSubquery(membership)),
            }
        }
        Expr::InSubquery(_) => Ok(expr),
        Expr::SetComparison(comparison) => match simpler(comparison) {
            Expr::SetComparison(comparison) => match Question::of_comparison(&comparison, schema)? {
                Some((question, false)) => Ok(question.is_member),
                Some((question, true)) => Ok(question.no_member()),
                None => Ok(Expr::SetComparison(comparison)),
            },
            membership => kept(membership, schema, alone),
        },
        other => exact(other, schema),
    }
}

/// A part of a condition whose NULL makes a difference.
fn exact(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    written_out(expr, schema, false).data()
}

/// Memberships as what they mean; all of them if there can be no join for one that knows two answers.
fn written_out(expr: Expr, schema: &DFSchema, all: bool) -> Result<Transformed<Expr>> {
    expr.transform_down(|node| {
        let node = match node {
            Expr::SetComparison(comparison) => simpler(comparison),
            other => other,
        };
        let answer = match &node {
            Expr::InSubquery(membership) => {
                Question::of_membership(membership, schema, all)?.map(|question| question.answer(membership.negated))
            }
            Expr::SetComparison(comparison) => {
                Question::of_comparison(comparison, schema)?.map(|(question, negated)| question.answer(negated))
            }
            _ => None,
        };
        match answer.transpose()? {
            Some(answer) => Ok(Transformed::new(answer, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(node)),
        }
    })
}

/// `= ANY` is `IN`, and `<> ALL` is `NOT IN`.
fn simpler(comparison: SetComparison) -> Expr {
    match (comparison.op, comparison.quantifier) {
        (Operator::Eq, SetQuantifier::Any) => {
            Expr::InSubquery(InSubquery::new(comparison.expr, comparison.subquery, false))
        }
        (Operator::NotEq, SetQuantifier::All) => {
            Expr::InSubquery(InSubquery::new(comparison.expr, comparison.subquery, true))
        }
        _ => Expr::SetComparison(comparison),
    }
}

/// Whether the value compares so with a member, in parts that can be true or false only.
struct Question {
    /// A member does.
    is_member: Expr,
    /// A member is NULL; `None` if none can be.
    has_null: Option<Expr>,
    /// The value is NULL, if it can be, and whether there are members at all.
    value: Option<(Expr, Expr)>,
}

impl Question {
    /// `None` if neither the value nor a member can be NULL, unless `all` are asked for, or as [`Self::of`].
    fn of_membership(membership: &InSubquery, schema: &DFSchema, all: bool) -> Result<Option<Self>> {
        let InSubquery { expr: value, subquery, .. } = membership;
        let nullable_members = subquery.subquery.schema().field(0).is_nullable();
        if !all && !nullable_members && !value.nullable(schema).unwrap_or(true) {
            return Ok(None);
        }
        Self::of(value, Operator::Eq, subquery, schema)
    }

    /// With whether the answer is the opposite: what compares with all members is what does not compare otherwise with one.
    fn of_comparison(comparison: &SetComparison, schema: &DFSchema) -> Result<Option<(Self, bool)>> {
        let (operator, negated) = match comparison.quantifier {
            SetQuantifier::Any => (Some(comparison.op), false),
            SetQuantifier::All => (comparison.op.negate(), true),
        };
        let Some(operator) = operator else { return Ok(None) };
        let question = Self::of(&comparison.expr, operator, &comparison.subquery, schema)?;
        Ok(question.map(|question| (question, negated)))
    }

    /// `None` if the value is not of the query right around.
    fn of(value: &Expr, operator: Operator, subquery: &Subquery, schema: &DFSchema) -> Result<Option<Self>> {
        let foreign = value.exists(|node| {
            Ok(match node {
                Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
                Expr::OuterReferenceColumn(..) => true,
                Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => true,
                _ => false,
            })
        })?;
        if foreign {
            return Ok(None);
        }
        let members = &subquery.subquery;
        let nullable_members = members.schema().field(0).is_nullable();
        let nullable_value = value.nullable(schema).unwrap_or(true);
        let member = Expr::Column(Column::from_name(MEMBER));
        let outer = seen_from_within(value.clone(), schema)?;
        let has_null = nullable_members.then(|| exists(members, Some(member.clone().is_null()))).transpose()?;
        let null_value = match nullable_value {
            true => Some((value.clone(), exists(members, None)?)),
            false => None,
        };
        let compared = Expr::BinaryExpr(BinaryExpr::new(Box::new(outer), operator, Box::new(member)));
        let is_member = exists(&decisive(subquery, operator)?, Some(compared))?;
        Ok(Some(Self { is_member, has_null, value: null_value }))
    }

    /// That no member does, and none could.
    fn no_member(self) -> Expr {
        let mut condition = self.is_member.not();
        if let Some(has_null) = self.has_null {
            condition = condition.and(has_null.not());
        }
        if let Some((value, has_members)) = self.value {
            condition = condition.and(value.is_not_null().or(has_members.not()));
        }
        condition
    }

    /// The value of the comparison, or of its opposite.
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

/// The members that decide: a value is less than one of them if it is less than the greatest.
fn decisive(subquery: &Subquery, operator: Operator) -> Result<Arc<LogicalPlan>> {
    let members = &subquery.subquery;
    let one = match operator {
        Operator::Lt | Operator::LtEq => max,
        Operator::Gt | Operator::GtEq => min,
        _ => return Ok(Arc::clone(members)),
    };
    if !subquery.outer_ref_columns.is_empty() {
        return Ok(Arc::clone(members));
    }
    let member = Expr::from(members.schema().qualified_field(0));
    let plan = LogicalPlanBuilder::from(members.as_ref().clone());
    Ok(Arc::new(plan.aggregate(Vec::<Expr>::new(), [one(member)])?.build()?))
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
