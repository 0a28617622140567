//! `FETCH FIRST n ROWS ONLY`, which is the standard's `LIMIT n`.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Fetch, LimitClause, Query, Value, VisitorMut};

use crate::plan::parameters::visit_inner;

/// Writes `FETCH` as `LIMIT`, but for `PERCENT` and `WITH TIES`, which are refused later.
pub(in crate::plan) fn limit_fetched(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Fetches);
}

struct Fetches;

impl VisitorMut for Fetches {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else {
            return ControlFlow::Continue(());
        };
        let rows = quantity.clone().unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
        match &mut query.limit_clause {
            None => {
                let clause = LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() };
                query.limit_clause = Some(clause);
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
            Some(_) => return ControlFlow::Continue(()),
        }
        query.fetch = None;
        ControlFlow::Continue(())
    }
}
