//! Columns of a result that would have the same name, because nobody named them: `SELECT v::int, v::text`, `SELECT *, v`.
//! DataFusion refuses most of them. The later ones get a number: `v`, `v_1`.
//!
//! Columns that have the same name in two tables stay as they are, and so do names that were given twice, which is an error.
//!
//! A cast of a column has the name of the column, without its table, so that it can be sorted by that name.

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
        List::of(select).name(&mut select.projection);
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
    /// Some star stands there.
    stars: bool,
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
        let mut list = Self {
            given: BTreeSet::new(),
            every: false,
            stars: false,
            tables: Vec::new(),
            plain: BTreeSet::new(),
            one_table,
        };
        for item in &select.projection {
            list.stars |= matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    if is_itself(expr, alias) {
                        list.plain.insert(Shown::of(expr));
                    } else {
                        list.given.insert(normal(alias));
                    }
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
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && is_itself(expr, alias)
            {
                before.push(Shown::of(expr));
            }
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let shown = Shown::of(expr);
            let name = if before.iter().any(|other| shown.clashes(other)) || self.is_shown(&shown) {
                Some(self.free(shown.name()))
            } else if is_column(expr) {
                None
            } else {
                self.of_cast(&shown)
            };
            if let Some(name) = name {
                let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
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

    /// The name of a cast, if it is one of a column: a number is added where the column stands there too.
    fn of_cast(&mut self, shown: &Shown) -> Option<String> {
        let Shown::Column(_, name) = shown else { return None };
        if self.plain.iter().any(|plain| plain.clashes(shown)) {
            return Some(self.free(name));
        }
        let is_free = !self.stars && !self.plain.iter().any(|plain| plain.name() == name);
        (is_free && self.given.insert(name.clone())).then(|| name.clone())
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

/// Whether the alias of a column is its own name.
fn is_itself(expr: &Expr, alias: &Ident) -> bool {
    is_column(expr) && Shown::of(expr).name() == normal(alias)
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    *options == WildcardAdditionalOptions { wildcard_token: options.wildcard_token.clone(), ..Default::default() }
}
