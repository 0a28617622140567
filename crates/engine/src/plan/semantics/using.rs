//! `JOIN ... USING` and `NATURAL JOIN`: the joined columns become one, which comes first and has the value of the side that
//! always has a row, or of whichever side has one. DataFusion keeps both columns, shows one of them by its name in `*`, and
//! takes a name in `WHERE` for ambiguous.
//!
//! So every such join is put in parentheses under a name of ours, and the planner of relations merges its columns.

mod merged;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};

use super::lateral::enclose;
use crate::plan::classify::normal;
use crate::plan::parameters::visit_inner;

pub(in crate::plan) use merged::Merging;
pub(in crate::plan) use merged::settled;

/// How the names of such joins begin; in the order of names, they come before those of tables.
const JOINED: &str = "(joined ";

/// Stands for every column where a query names the columns of a table by `t.*`.
const EVERY: &str = "*";

/// Names every join that merges columns, for [`Merging`].
pub(in crate::plan) fn merge_keys(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Queries::default());
}

/// Visits queries from the outside in.
#[derive(Default)]
struct Queries {
    /// What the queries around name with a table before it.
    qualified: Vec<Qualified>,
    /// Joins named so far.
    named: usize,
}

impl VisitorMut for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut qualified = Qualified::default();
        // The visitor never breaks off.
        let _ = Visit::visit(&*query, &mut qualified);
        self.qualified.push(qualified);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.qualified.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut keys = Vec::new();
        for chain in &mut select.from {
            self.chain(chain, &mut keys);
        }
        if let Some(condition) = &mut select.selection
            && !keys.is_empty()
        {
            let _ = condition.visit(&mut Conditions { keys: &keys, depth: 0 });
        }
        ControlFlow::Continue(())
    }
}

impl Queries {
    /// Names the joins of a chain, and gives the columns that keep a name of their own, with that of their join.
    fn chain(&mut self, chain: &mut TableWithJoins, keys: &mut Vec<(Ident, Ident)>) {
        self.nested(&mut chain.relation, keys);
        let mut joins = Vec::with_capacity(chain.joins.len());
        for mut join in std::mem::take(&mut chain.joins) {
            self.nested(&mut join.relation, keys);
            let merges = merges(&join);
            joins.push(join);
            if let Some(constraint) = merges {
                let alias = self.alias(&constraint, keys);
                enclose(chain, std::mem::take(&mut joins), alias);
            }
        }
        chain.joins = joins;
    }

    fn nested(&mut self, relation: &mut TableFactor, keys: &mut Vec<(Ident, Ident)>) {
        if let TableFactor::NestedJoin { table_with_joins, .. } = relation {
            self.chain(table_with_joins, keys);
        }
    }

    /// The name of the next join, with the columns that the query names with a table before them.
    fn alias(&mut self, constraint: &JoinConstraint, keys: &mut Vec<(Ident, Ident)>) -> TableAlias {
        self.named += 1;
        let name = Ident::with_quote('"', format!("{JOINED}{})", self.named));
        let mut shown = BTreeSet::new();
        if let Some(qualified) = self.qualified.last() {
            shown.clone_from(&qualified.names);
        }
        if let JoinConstraint::Using(columns) = constraint {
            for key in columns.iter().filter_map(|column| column.0.last().and_then(|part| part.as_ident())) {
                keys.retain(|(known, _)| normal(known) != normal(key));
                if shown.contains(EVERY) || shown.contains(&normal(key)) {
                    keys.push((key.clone(), name.clone()));
                }
            }
        }
        let columns = shown.into_iter().map(TableAliasColumnDef::from_name).collect();
        TableAlias { explicit: true, name, columns, at: None }
    }
}

/// What the join merges, if it merges columns and shows those of both sides.
fn merges(join: &Join) -> Option<JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on) => {
            matches!(on, JoinConstraint::Using(_) | JoinConstraint::Natural).then(|| on.clone())
        }
        _ => None,
    }
}

/// Columns that are named with a table before them: these stay beside the one that they are merged into.
#[derive(Default)]
struct Qualified {
    names: BTreeSet<String>,
}

impl Visitor for Qualified {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) => self.names.extend(parts.iter().skip(1).map(normal)),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let AccessExpr::Dot(Expr::Identifier(name)) = access {
                        self.names.insert(normal(name));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.projection.iter().any(|item| matches!(item, SelectItem::QualifiedWildcard(..))) {
            self.names.insert(EVERY.to_owned());
        }
        ControlFlow::Continue(())
    }
}

/// Puts the name of the join before the names of its columns, where DataFusion does not know that they are one.
struct Conditions<'a> {
    keys: &'a [(Ident, Ident)],
    /// Queries around the expression: their own tables come first there.
    depth: usize,
}

impl VisitorMut for Conditions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && let Some((key, join)) = self.keys.iter().find(|(key, _)| normal(key) == normal(name))
        {
            let key = Ident { span: name.span, ..key.clone() };
            *expr = Expr::CompoundIdentifier(vec![join.clone(), key]);
        }
        ControlFlow::Continue(())
    }
}
