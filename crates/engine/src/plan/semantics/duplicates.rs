//! Columns of a result that would have the same name, because nobody named them: `SELECT v::int, v::text`, `SELECT *, v`.
//! DataFusion refuses most of them. The later ones get a number: `v`, `v_1`.
//!
//! Columns that have the same name in two tables stay as they are, and so do names that were given twice, which is an error.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind, VisitorMut, WildcardAdditionalOptions,
};

use crate::plan::classify::normal;
use crate::plan::parameters::visit_inner;

/// Names the later columns of each select list that would have the name of an earlier one.
pub(in crate::plan) fn name_duplicates(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Lists);
}

struct Lists;

impl VisitorMut for Lists {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.projection.len() > 1 {
            List::of(select).name(&mut select.projection);
        }
        ControlFlow::Continue(())
    }
}

/// What a column without an alias shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    /// A column, with the names before its own.
    Column(Vec<String>, String),
    /// Another expression, as it is written.
    Other(String),
}

impl Shown {
    /// Casts have the name of what they cast.
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Cast { expr, .. } | Expr::Nested(expr) => Self::of(expr),
            Expr::Identifier(name) => Self::Column(Vec::new(), normal(name)),
            Expr::CompoundIdentifier(parts) => {
                let mut parts: Vec<String> = parts.iter().map(normal).collect();
                let name = parts.pop().unwrap_or_default();
                Self::Column(parts, name)
            }
            other => Self::Other(other.to_string()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Column(_, name) | Self::Other(name) => name,
        }
    }

    /// Whether both have the same name, or may have it.
    fn clashes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(before, name), Self::Column(others, same)) => {
                name == same && (before == others || before.is_empty() || others.is_empty())
            }
            (one, other) => one == other,
        }
    }
}

/// The names of a select list.
struct List {
    given: BTreeSet<String>,
    /// `*` stands there.
    every: bool,
    /// The tables of which `t.*` stands there.
    tables: Vec<String>,
    /// Columns that are shown as they are.
    plain: BTreeSet<Shown>,
    /// There is one table only.
    one_table: bool,
}

impl List {
    fn of(select: &Select) -> Self {
        let one_table = matches!(select.from.as_slice(), [only] if only.joins.is_empty());
        let mut list =
            Self { given: BTreeSet::new(), every: false, tables: Vec::new(), plain: BTreeSet::new(), one_table };
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } if Shown::of(expr).name() != normal(alias) => {
                    list.given.insert(normal(alias));
                }
                SelectItem::Wildcard(options) if is_plain(options) => list.every = true,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options)
                    if is_plain(options) =>
                {
                    list.tables.extend(table.0.last().and_then(|part| part.as_ident()).map(normal));
                }
                SelectItem::UnnamedExpr(expr) if is_column(expr) => {
                    list.plain.insert(Shown::of(expr));
                }
                _ => {}
            }
        }
        list
    }

    fn name(mut self, items: &mut [SelectItem]) {
        let mut before: Vec<Shown> = Vec::with_capacity(items.len());
        for item in items {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let shown = Shown::of(expr);
            if before.iter().any(|other| shown.clashes(other)) || self.is_shown(&shown) || self.is_cast(expr, &shown) {
                let alias = Ident::with_quote('"', self.free(shown.name()));
                let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            before.push(shown);
        }
    }

    /// Whether a star or an alias shows the name already.
    fn is_shown(&self, shown: &Shown) -> bool {
        let Shown::Column(before, name) = shown else { return false };
        let of_table = before.last().is_some_and(|table| self.tables.contains(table));
        self.every || of_table || !self.tables.is_empty() && self.one_table || self.given.contains(name)
    }

    /// Whether it is a cast of a column that stands there as it is.
    fn is_cast(&self, expr: &Expr, shown: &Shown) -> bool {
        !is_column(expr) && self.plain.iter().any(|plain| plain.clashes(shown))
    }

    /// The name with the first number that is free.
    fn free(&mut self, name: &str) -> String {
        let mut number = 1;
        loop {
            let numbered = format!("{name}_{number}");
            let taken = self.plain.iter().any(|plain| plain.name() == numbered);
            if !taken && self.given.insert(numbered.clone()) {
                return numbered;
            }
            number += 1;
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    *options == WildcardAdditionalOptions { wildcard_token: options.wildcard_token.clone(), ..Default::default() }
}
