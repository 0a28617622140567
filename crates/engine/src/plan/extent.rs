//! How large a statement may be, so that planning it ends in time and recursion into it stays within a thread's stack.
//!
//! Each look at a statement stops where its limit is reached, and so costs no more than the limit allows.

mod mentions;

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{self, BinaryExpr, LogicalPlan, Operator};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, ObjectName, Query, Select, SetExpr, Spanned, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use mentions::Mentions;

use super::parameters::visit_inner;
use crate::config::LimitsConfig;
use crate::error::{Error, Place, Result};

/// Words and symbols in a row, without a comma: what is parsed becomes a tree that may be as deep as there are of these, and
/// even to forget a tree takes stack.
const MAX_ROW: usize = 40_000;

/// Refuses text of which the tree could be too deep to be parsed.
pub(super) fn check_text(tokens: &[TokenWithSpan]) -> Result<()> {
    // Those of the current row, and of the rows around the parentheses that it stands in.
    let mut rows = vec![0_usize];
    let mut deep = 0_usize;
    for token in tokens {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => rows.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if rows.len() > 1 => {
                deep -= rows.pop().unwrap_or_default();
            }
            Token::Comma => {
                if let Some(row) = rows.last_mut() {
                    deep -= std::mem::take(row);
                }
                continue;
            }
            _ => {}
        }
        if let Some(row) = rows.last_mut() {
            *row += 1;
            deep += 1;
        }
        if deep > MAX_ROW {
            return Err(Error::invalid(format!(
                "the statement has more than {MAX_ROW} words and symbols in a row without a comma"
            ))
            .at_place(Place::of(token.span))
            .hint("compare with a list or a table, x IN (...), instead of with one value after the other"));
        }
    }
    Ok(())
}

/// Refuses expressions that nest deeper than they may, lists that are longer, and queries of which it can be told by their text
/// that their plans would be too large.
pub(super) fn check_statement(statement: &mut Statement, limits: &LimitsConfig) -> Result<()> {
    let mut extent = Extent { limits, depth: 0, mentions: Mentions::default() };
    match visit_inner(statement, &mut extent) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Extent<'a> {
    limits: &'a LimitsConfig,
    /// Of the expression that the visitor is in.
    depth: usize,
    mentions: Mentions,
}

impl Extent<'_> {
    /// Goes on if a plan may have so many operators.
    fn bound(&self, operators: usize) -> ControlFlow<Error> {
        let limit = self.limits.max_plan_operators;
        if operators > limit { ControlFlow::Break(too_many(limit)) } else { ControlFlow::Continue(()) }
    }
}

impl VisitorMut for Extent<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.depth += 1;
        let limit = self.limits.max_expression_depth;
        if self.depth <= limit {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(
            Error::invalid(format!("an expression nests deeper than limits.max_expression_depth ({limit})"))
                .at_place(Place::of(first(expr).span()))
                .at_limit(limit as u64)
                .hint("compute parts of it in subqueries, or put the values into rows and aggregate these"),
        )
    }

    fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.mentions.enter(query);
        let mut operations = 0;
        let mut open = vec![query.body.as_ref()];
        while let Some(body) = open.pop() {
            if let SetExpr::SetOperation { left, right, .. } = body {
                operations += 1;
                self.bound(operations)?;
                open.extend([right.as_ref(), left.as_ref()]);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        let (reads, depth) = self.mentions.leave();
        if depth > self.limits.max_plan_depth {
            return ControlFlow::Break(too_deep(self.limits.max_plan_depth));
        }
        self.bound(reads)
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let limit = self.limits.max_select_columns;
        let listed = select.projection.get(limit);
        let grouped = match &select.group_by {
            GroupByExpr::Expressions(keys, _) => keys.get(limit),
            GroupByExpr::All(_) => None,
        };
        let place = listed.map(Spanned::span).or_else(|| grouped.map(Spanned::span));
        place.map_or(ControlFlow::Continue(()), |place| ControlFlow::Break(too_wide(limit, place)))
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Error> {
        let reads = self.mentions.read(relation);
        self.bound(reads)
    }
}

/// What stands first in an expression of which nobody knows how deep it is.
fn first(mut expr: &Expr) -> &Expr {
    while let Expr::BinaryOp { left, .. } = expr {
        expr = left;
    }
    expr
}

/// Refuses plans of more operators, or more of them in a row, than there may be.
pub(super) fn check_plan(plan: &LogicalPlan, limits: &LimitsConfig) -> Result<()> {
    let mut left = limits.max_plan_operators;
    walk(plan, 0, &mut left, limits)
}

/// Goes through a plan, the subqueries of its expressions, and the views that it scans. The stack is one of our own: nobody
/// knows yet how deep the plan is.
fn walk(plan: &LogicalPlan, depth: usize, left: &mut usize, limits: &LimitsConfig) -> Result<()> {
    let mut open = vec![(plan, depth)];
    while let Some((node, depth)) = open.pop() {
        *left = left.checked_sub(1 + conditions(node)?).ok_or_else(|| too_many(limits.max_plan_operators))?;
        if depth > limits.max_plan_depth {
            return Err(too_deep(limits.max_plan_depth));
        }
        if let LogicalPlan::TableScan(scan) = node
            && let Some(view) = scan.source.get_logical_plan()
        {
            // Views are planned one by one, so that they nest no deeper than their names do.
            let view: Cow<'_, LogicalPlan> = view;
            walk(&view, depth + 1, left, limits)?;
        }
        // Unions of unions become one.
        let is_union = |plan: &LogicalPlan| matches!(plan, LogicalPlan::Union(_));
        for input in node.inputs() {
            let below = if is_union(node) && is_union(input) { depth } else { depth + 1 };
            open.push((input, below));
        }
        node.apply_subqueries(|subquery| {
            walk(subquery, depth + 1, left, limits)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(())
}

/// The conditions that a filter or a join combines with `AND` and `OR`: the optimizer takes them apart, pushes them down, and
/// puts them into rows where they meet those of others.
fn conditions(node: &LogicalPlan) -> Result<usize> {
    let condition = match node {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        LogicalPlan::Join(join) => join.filter.as_ref(),
        _ => None,
    };
    let mut combined = 0;
    if let Some(condition) = condition {
        condition.apply(|part| {
            let combines =
                matches!(part, logical_expr::Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }));
            combined += usize::from(combines);
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(combined)
}

fn too_deep(limit: usize) -> Error {
    Error::invalid(format!("the plan has operators nested deeper than limits.max_plan_depth ({limit})"))
        .at_limit(limit as u64)
        .hint("keep a part of the answer in a table, and go on from there")
}

fn too_wide(limit: usize, place: Span) -> Error {
    Error::invalid(format!("a SELECT lists more expressions than limits.max_select_columns ({limit})"))
        .at_place(Place::of(place))
        .at_limit(limit as u64)
        .hint("put values that belong together into lists, or into rows")
}

fn too_many(limit: usize) -> Error {
    Error::invalid(format!("the plan has more operators and conditions than limits.max_plan_operators ({limit})"))
        .at_limit(limit as u64)
        .hint(
            "views and common table expressions count each time they are named; keep their answers in tables, and compare \
             with a list, x IN (...), instead of with one value after the other",
        )
}
