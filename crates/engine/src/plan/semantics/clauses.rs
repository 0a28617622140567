//! Clauses that the parser reads and DataFusion's planner passes over, so that the answer would be that of another query: they
//! are said otherwise where SQL has other words for them, and refused where it has none.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, GroupByWithModifier, JoinOperator, Query, Select, SelectFlavor, SelectItem,
    TableFactor, VisitorMut, WildcardAdditionalOptions,
};

use super::order_all;
use super::positions;
use super::sampling;
use crate::error::{Error, Place, Result};
use crate::plan::parameters::visit_inner;

/// Says or refuses the clauses of a statement and of all queries in it.
///
/// # Errors
/// `Unsupported`, with the name of the clause.
pub(in crate::plan) fn say_clauses(statement: &mut Statement) -> Result<()> {
    match visit_inner(statement, &mut Clauses) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Clauses;

impl VisitorMut for Clauses {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if query.settings.is_some() {
            return refused("SETTINGS", "use SET name = value");
        }
        if query.format_clause.is_some() {
            return refused("FORMAT", "the client chooses the format of a result");
        }
        if query.for_clause.is_some() {
            return refused("FOR JSON, FOR XML and FOR BROWSE", "the client chooses the format of a result");
        }
        if let Some(fetch) = query.fetch.as_ref().filter(|fetch| fetch.with_ties || fetch.percent) {
            return match fetch.with_ties {
                true => refused("FETCH ... WITH TIES", "use QUALIFY rank() OVER (ORDER BY ...) <= n"),
                false => refused("FETCH ... PERCENT", "use QUALIFY percent_rank() OVER (ORDER BY ...) < share"),
            };
        }
        let positioned = order_all::positioned(query);
        positions::expanded(query);
        settle(positioned)
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
            select.projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
            select.flavor = SelectFlavor::Standard;
        }
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            match &join.join_operator {
                JoinOperator::Semi(on) => join.join_operator = JoinOperator::LeftSemi(on.clone()),
                JoinOperator::Anti(on) => join.join_operator = JoinOperator::LeftAnti(on.clone()),
                _ => {}
            }
        }
        if select.prewhere.is_some() {
            return refused("PREWHERE", "use WHERE");
        }
        if !select.connect_by.is_empty() {
            return refused("CONNECT BY", "use WITH RECURSIVE");
        }
        grouped(&mut select.group_by)
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { with_ordinality: true, .. } | TableFactor::Function { with_ordinality: true, .. } => {
                return refused("WITH ORDINALITY", "use row_number() OVER ()");
            }
            TableFactor::Table { partitions, .. } if !partitions.is_empty() => {
                return refused("PARTITION (...) behind a table", "use WHERE");
            }
            TableFactor::Table { version: Some(_), .. } => {
                return refused("a version of a table", "a table is read as it is now");
            }
            _ => {}
        }
        settle(sampling::sampled(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(call) = expr
            && call.parameters != FunctionArguments::None
        {
            let error = Error::unsupported(format!("{} with two lists of arguments is not supported", call.name));
            let place = call.name.0.first().and_then(|part| part.as_ident()).and_then(|name| Place::of(name.span));
            return ControlFlow::Break(error.at_place(place).hint("give all arguments in one list"));
        }
        ControlFlow::Continue(())
    }
}

/// `GROUP BY a, b WITH ROLLUP`, which is `GROUP BY ROLLUP (a, b)`.
fn grouped(group_by: &mut GroupByExpr) -> ControlFlow<Error> {
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &*group_by;
    let Some(modifier) = modifiers.first() else { return ControlFlow::Continue(()) };
    let sets: fn(Vec<Vec<Expr>>) -> Expr = match modifier {
        GroupByWithModifier::Rollup => Expr::Rollup,
        GroupByWithModifier::Cube => Expr::Cube,
        // These are no modifier of the keys before them, and stand alone.
        GroupByWithModifier::GroupingSets(_) => return ControlFlow::Continue(()),
        GroupByWithModifier::Totals => return refused("GROUP BY ... WITH TOTALS", "use GROUP BY GROUPING SETS"),
    };
    match group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.len() == 1 => {
            let keys = std::mem::take(keys).into_iter().map(|key| vec![key]).collect();
            *group_by = GroupByExpr::Expressions(vec![sets(keys)], Vec::new());
            ControlFlow::Continue(())
        }
        _ => refused("GROUP BY ALL WITH ROLLUP or CUBE", "use GROUP BY ROLLUP (...) or CUBE (...)"),
    }
}

fn refused(clause: &str, instead: &str) -> ControlFlow<Error> {
    ControlFlow::Break(Error::unsupported(format!("{clause} is not supported")).hint(instead))
}

fn settle(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}
