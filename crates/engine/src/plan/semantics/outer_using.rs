//! `RIGHT JOIN` and `FULL JOIN` with `USING`: the one column that the joined columns become has the value of the right side,
//! or of whichever side has one. DataFusion takes the left one, which is NULL where only the right side has a row.
//!
//! So `USING` is written out as `ON`, the merged column as what it means. A place that is missed names two columns then,
//! which is an error and not a wrong answer.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderBy, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

use crate::error::{Error, Result};
use crate::plan::classify::normal;

/// Writes out every join whose merged column is not the left one.
///
/// # Errors
/// `Unsupported` where it takes the columns of the tables to know what is merged: `NATURAL`, and tables without a name.
pub(in crate::plan) fn merge_keys(statement: &mut Statement) -> Result<()> {
    let flow = match statement {
        Statement::Statement(sql) => sql.visit(&mut Queries),
        Statement::Explain(explain) => return merge_keys(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut Queries),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Visits queries from the outside in.
struct Queries;

impl VisitorMut for Queries {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        match Merged::of(&mut select.from) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(merged)) => merged.write_out(select, query.order_by.as_mut()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match Merged::of(&mut select.from) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(merged)) => merged.write_out(select, None),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// What `USING` merged.
#[derive(Default)]
struct Merged {
    /// Each column with its value, in the order in which `*` shows them.
    keys: Vec<(Ident, Expr)>,
    /// The tables, each with those of its columns that were merged.
    tables: Vec<(Ident, Vec<Ident>)>,
}

impl Merged {
    /// Turns `USING` into `ON`, if any join needs it.
    fn of(from: &mut [TableWithJoins]) -> Result<Option<Self>> {
        let keeps_right = |join: &Join| match &join.join_operator {
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) | JoinOperator::FullOuter(on) => {
                matches!(on, JoinConstraint::Using(_) | JoinConstraint::Natural)
            }
            _ => false,
        };
        if !from.iter().any(|chain| chain.joins.iter().any(keeps_right)) {
            return Ok(None);
        }
        let mut merged = Self::default();
        for chain in from {
            let first = merged.tables.len();
            merged.tables.push((name_of(&chain.relation)?, Vec::new()));
            for join in &mut chain.joins {
                merged.tables.push((name_of(&join.relation)?, Vec::new()));
                merged.join(&mut join.join_operator, first)?;
            }
        }
        Ok(Some(merged))
    }

    /// Takes in the join of the last table with those from `first` on.
    fn join(&mut self, operator: &mut JoinOperator, first: usize) -> Result<()> {
        let side = Side::of(operator);
        let Some(constraint) = constraint(operator) else { return Ok(()) };
        let columns = match constraint {
            JoinConstraint::Using(columns) => std::mem::take(columns),
            JoinConstraint::Natural => {
                return Err(unsupported("NATURAL RIGHT and FULL JOIN, and NATURAL beside them,"));
            }
            JoinConstraint::On(_) | JoinConstraint::None => return Ok(()),
        };
        let mut condition: Option<Expr> = None;
        let mut keys = Vec::with_capacity(columns.len());
        for column in columns {
            let Some(key) = column.0.last().and_then(|part| part.as_ident()).cloned() else { continue };
            let left = self.left_value(&key, first)?;
            let Some((table, own)) = self.tables.last_mut() else { continue };
            own.push(key.clone());
            let right = Expr::CompoundIdentifier(vec![table.clone(), key.clone()]);
            let equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
            condition = Some(match condition {
                Some(others) => binary(others, BinaryOperator::And, equal),
                None => equal,
            });
            keys.push((key, side.merge(left, right)));
        }
        self.keys.retain(|(known, _)| !keys.iter().any(|(key, _)| normal(key) == normal(known)));
        self.keys.splice(0..0, keys);
        if let Some(condition) = condition {
            *constraint = JoinConstraint::On(condition);
        }
        Ok(())
    }

    /// The value of a column on the left side of the last join.
    fn left_value(&mut self, key: &Ident, first: usize) -> Result<Expr> {
        if let Some((_, value)) = self.keys.iter().find(|(known, _)| normal(known) == normal(key)) {
            return Ok(value.clone());
        }
        let last = self.tables.len() - 1;
        match &mut self.tables[first..last] {
            [(table, own)] => {
                own.push(key.clone());
                Ok(Expr::CompoundIdentifier(vec![table.clone(), key.clone()]))
            }
            _ => Err(unsupported(&format!("USING ({key}) after several tables, beside a RIGHT or FULL JOIN,"))),
        }
    }

    fn write_out(&self, select: &mut Select, order_by: Option<&mut OrderBy>) -> ControlFlow<Error> {
        let mut projection = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) => {
                    if options
                        != (WildcardAdditionalOptions {
                            wildcard_token: options.wildcard_token.clone(),
                            ..Default::default()
                        })
                    {
                        return ControlFlow::Break(unsupported(
                            "* with EXCLUDE, REPLACE and the like over a RIGHT or FULL JOIN",
                        ));
                    }
                    projection.extend(self.wildcard());
                }
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => projection.push(match self.value(&name) {
                    Some(expr) => SelectItem::ExprWithAlias { expr, alias: name },
                    None => SelectItem::UnnamedExpr(Expr::Identifier(name)),
                }),
                other => projection.push(other),
            }
        }
        select.projection = projection;
        let shown = |key: &Ident| {
            select
                .projection
                .iter()
                .any(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if normal(alias) == normal(key)))
        };
        let hidden: Vec<(Ident, Expr)> = self.keys.iter().filter(|(key, _)| !shown(key)).cloned().collect();
        if let Some(order_by) = order_by {
            // What is selected is what is sorted by.
            order_by.visit(&mut Names { keys: &hidden, depth: 0 })?;
        }
        // The tables have scopes of their own.
        let from = std::mem::take(&mut select.from);
        let flow = select.visit(&mut Names { keys: &self.keys, depth: 0 });
        select.from = from;
        flow
    }

    fn value(&self, name: &Ident) -> Option<Expr> {
        value(&self.keys, name)
    }

    /// `*`: what was merged, then the rest of each table.
    fn wildcard(&self) -> impl Iterator<Item = SelectItem> {
        let keys =
            self.keys.iter().map(|(key, expr)| SelectItem::ExprWithAlias { expr: expr.clone(), alias: key.clone() });
        let tables = self.tables.iter().map(|(table, merged)| {
            let merged: Vec<ObjectName> = merged.iter().map(|key| ObjectName::from(vec![key.clone()])).collect();
            let exclude = (!merged.is_empty()).then_some(ExcludeSelectItem::Multiple(merged));
            let options = WildcardAdditionalOptions { opt_exclude: exclude, ..Default::default() };
            let table = ObjectName::from(vec![table.clone()]);
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options)
        });
        keys.chain(tables).collect::<Vec<_>>().into_iter()
    }
}

/// Which side always has a row.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Neither,
}

impl Side {
    fn of(operator: &JoinOperator) -> Self {
        match operator {
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Self::Right,
            JoinOperator::FullOuter(_) => Self::Neither,
            _ => Self::Left,
        }
    }

    fn merge(self, left: Expr, right: Expr) -> Expr {
        match self {
            Self::Left => left,
            Self::Right => right,
            Self::Neither => coalesce(left, right),
        }
    }
}

/// Puts the values in place of the names.
struct Names<'a> {
    keys: &'a [(Ident, Expr)],
    /// Queries around the expression: their own tables come first there.
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && let Some(value) = value(self.keys, name)
        {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

fn value(keys: &[(Ident, Expr)], name: &Ident) -> Option<Expr> {
    keys.iter().find(|(key, _)| normal(key) == normal(name)).map(|(_, value)| value.clone())
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on) => Some(on),
        _ => None,
    }
}

/// The name that columns of the table are qualified with.
fn name_of(table: &TableFactor) -> Result<Ident> {
    let alias = match table {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
        _ => None,
    };
    let own = match table {
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
        _ => None,
    };
    alias.or(own).ok_or_else(|| unsupported("a table without a name beside RIGHT or FULL JOIN ... USING"))
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("{what} is not supported"))
        .hint("join ON a.k = b.k, and select coalesce(a.k, b.k) where both sides may lack a row")
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let args = [left, right].map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
