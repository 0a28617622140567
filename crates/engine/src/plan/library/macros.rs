//! Functions and words that stand for expressions: each call is written as what it means before the statement is planned.
//!
//! A column of the result is called what the user wrote.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::catalog::{FunctionInfo, FunctionKind};
use crate::digits::is_exact;
use crate::error::{Error, Result};
use crate::plan::parameters::visit_inner;

/// What a call with so many arguments means: `$1` is the first one.
struct Macro {
    name: &'static str,
    arguments: usize,
    meaning: &'static str,
    kind: FunctionKind,
}

const MACROS: &[Macro] = &[
    scalar("add_months", 2, "$1 + $2 * INTERVAL '1 month'"),
    aggregate("arg_max", 2, "first_value($1 ORDER BY $2 DESC) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    aggregate("arg_min", 2, "first_value($1 ORDER BY $2) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    aggregate("count_if", 1, "count(*) FILTER (WHERE $1)"),
    scalar("date_add", 2, "$1 + $2"),
    scalar("date_sub", 2, "$1 - $2"),
    scalar("dayname", 1, "to_char($1, '%A')"),
    scalar("epoch", 1, "date_part('epoch', $1)"),
    scalar("if", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    scalar("iff", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    scalar("last_day", 1, "CAST(date_trunc('month', $1) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)"),
    scalar("localtime", 0, "CAST(to_local_time(now()) AS TIME)"),
    scalar("localtimestamp", 0, "to_local_time(now())"),
    aggregate("max_by", 2, "first_value($1 ORDER BY $2 DESC) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    aggregate("min_by", 2, "first_value($1 ORDER BY $2) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    scalar("mod", 2, "$1 % $2"),
    scalar("monthname", 1, "to_char($1, '%B')"),
    // There is no operator for it: `^` is the power.
    scalar("xor", 2, "($1 | $2) - ($1 & $2)"),
];

/// Functions whose first argument is a unit, which some write as a word: `datediff(day, a, b)`.
const OF_UNITS: &[&str] = &["date_add", ADDS_UNITS, "date_diff", "datediff"];

/// `date_add` of three arguments is another name of it.
const ADDS_UNITS: &str = "dateadd";

const UNITS: &[&str] =
    &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

/// Words that are calls without parentheses, and that the parser takes for columns.
const WORDS: &[&str] = &["current_role", "current_schema"];

const fn scalar(name: &'static str, arguments: usize, meaning: &'static str) -> Macro {
    Macro { name, arguments, meaning, kind: FunctionKind::Scalar }
}

const fn aggregate(name: &'static str, arguments: usize, meaning: &'static str) -> Macro {
    Macro { name, arguments, meaning, kind: FunctionKind::Aggregate }
}

/// Writes the calls of a statement as what they mean.
///
/// # Errors
/// None but our own mistakes in what they mean.
pub(in crate::plan) fn expand_macros(statement: &mut Statement) -> Result<()> {
    match visit_inner(statement, &mut Expansion { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What they are, for listings.
pub(super) fn listed() -> impl Iterator<Item = FunctionInfo> {
    let info = |name: &str, kind, arguments, description| FunctionInfo {
        name: name.to_owned(),
        kind,
        arguments,
        return_type: None,
        description: Some(description),
        example: None,
    };
    let macros = MACROS.iter().map(move |entry| {
        let arguments: Vec<String> = (1..=entry.arguments).map(|at| format!("${at}")).collect();
        info(entry.name, entry.kind, arguments.join(", "), format!("Stands for {}.", entry.meaning))
    });
    let of_unit = "Returns a date or a timestamp with so many of a unit such as 'month' added.".to_owned();
    macros.chain([info(ADDS_UNITS, FunctionKind::Scalar, "unit, number, date".to_owned(), of_unit)])
}

struct Expansion {
    /// How many queries are around.
    depth: usize,
}

impl VisitorMut for Expansion {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // Elsewhere it is the name of a column.
        if self.depth == 0
            && let SetExpr::Select(select) = query.body.as_mut()
            && select.from.is_empty()
        {
            select.projection.iter_mut().for_each(name_user);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    /// Names the columns that would not be called what the user wrote.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let mut given = BTreeSet::new();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Subquery(_))
                && Visit::visit(&*expr, &mut Changing).is_break()
                && given.insert(written(expr))
            {
                let alias = Ident::with_quote('"', written(expr));
                let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match meaning(expr) {
            Ok(Some(meaning)) => *expr = meaning,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// A column, where there are columns.
const USER: &str = "user";

/// Breaks off at the first expression that is changed.
struct Changing;

impl Visitor for Changing {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let changes = match expr {
            Expr::Function(call) if call.args == FunctionArguments::None => name_of(call).as_deref() != Some(USER),
            Expr::Function(call) => known(call).is_some(),
            Expr::Identifier(word) => is_call(word),
            Expr::AtTimeZone { .. } | Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. } => true,
            Expr::Value(value) => matches!(&value.value, Value::Number(digits, _) if is_exact(digits)),
            _ => false,
        };
        if changes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The text of an expression; that of a word in lower case.
fn written(expr: &Expr) -> String {
    match expr {
        Expr::Function(Function { name, args: FunctionArguments::None, .. }) => name.to_string().to_lowercase(),
        Expr::Identifier(word) => word.value.to_lowercase(),
        other => other.to_string(),
    }
}

fn is_call(word: &Ident) -> bool {
    word.quote_style.is_none() && WORDS.iter().any(|known| word.value.eq_ignore_ascii_case(known))
}

/// `SELECT user`.
fn name_user(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) = item
        && let Expr::Function(call) = expr
        && call.args == FunctionArguments::None
        && name_of(call).as_deref() == Some(USER)
    {
        let mut expr = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
        if let Expr::Function(call) = &mut expr {
            call.name = ObjectName::from(vec![Ident::new("current_user")]);
        }
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(USER) };
    }
}

/// The name of what is called, if it has no schema.
fn name_of(call: &Function) -> Option<String> {
    match call.name.0.as_slice() {
        [part] => part.as_ident().map(|name| name.value.to_lowercase()),
        _ => None,
    }
}

/// What the expression means, if it stands for another.
fn meaning(expr: &mut Expr) -> Result<Option<Expr>> {
    match expr {
        Expr::Identifier(word) if is_call(word) => Ok(Some(call(word.clone(), FunctionArguments::None))),
        Expr::AtTimeZone { timestamp, time_zone } => Ok(Some(call_of_two("timezone", time_zone, timestamp))),
        // In PostgreSQL and DuckDB it is no operator on bits.
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => Ok(Some(call_of_two("power", left, right))),
        Expr::Function(function) => {
            unit_as_text(function);
            let Some((entry, arguments)) = known(function) else { return added(function) };
            let mut meaning = filled(entry.meaning, &arguments)?;
            if let Expr::Function(inner) = &mut meaning {
                inner.over = function.over.take();
                inner.filter = match (inner.filter.take(), function.filter.take()) {
                    (Some(own), Some(given)) => Some(Box::new(both(*given, *own))),
                    (own, given) => own.or(given),
                };
            }
            Ok(Some(Expr::Nested(Box::new(meaning))))
        }
        _ => Ok(None),
    }
}

fn both(left: Expr, right: Expr) -> Expr {
    let [left, right] = [left, right].map(|part| Box::new(Expr::Nested(Box::new(part))));
    Expr::BinaryOp { left, op: BinaryOperator::And, right }
}

fn call_of_two(name: &str, first: &mut Expr, second: &mut Expr) -> Expr {
    let args = [first, second].map(|arg| std::mem::replace(arg, Expr::Identifier(Ident::new(""))));
    let args = args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).into();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    call(Ident::new(name), FunctionArguments::List(list))
}

fn call(name: Ident, args: FunctionArguments) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The macro that is called, with its arguments, if nothing is said in the call that would be lost.
fn known(call: &Function) -> Option<(&'static Macro, Vec<Expr>)> {
    let name = name_of(call)?;
    let arguments = plain_arguments(call)?;
    let entry = MACROS.iter().find(|entry| entry.name == name && entry.arguments == arguments.len())?;
    let is_plain = call.null_treatment.is_none() && call.within_group.is_empty();
    let has_rows = call.over.is_some() || call.filter.is_some();
    (is_plain && (!has_rows || entry.kind == FunctionKind::Aggregate))
        .then(|| (entry, arguments.into_iter().cloned().collect()))
}

fn plain_arguments(call: &Function) -> Option<Vec<&Expr>> {
    let list = match &call.args {
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => list,
        _ => return None,
    };
    list.args.iter().map(plain).collect()
}

fn plain(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// The unit of `datediff(day, a, b)` as `datediff('day', a, b)`.
fn unit_as_text(call: &mut Function) {
    if !name_of(call).is_some_and(|name| OF_UNITS.contains(&name.as_str())) {
        return;
    }
    if let FunctionArguments::List(list) = &mut call.args
        && list.args.len() == 3
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) = list.args.first_mut()
        && let Expr::Identifier(word) = unit
        && word.quote_style.is_none()
        && UNITS.iter().any(|known| word.value.eq_ignore_ascii_case(known))
    {
        *unit = Expr::value(Value::SingleQuotedString(word.value.to_lowercase()));
    }
}

/// `dateadd('month', n, d)`, whose unit says which interval is added.
fn added(call: &Function) -> Result<Option<Expr>> {
    if !matches!(name_of(call).as_deref(), Some(ADDS_UNITS | "date_add")) {
        return Ok(None);
    }
    let Some(arguments) = plain_arguments(call) else { return Ok(None) };
    let [Expr::Value(unit), number, date] = arguments.as_slice() else { return Ok(None) };
    let Value::SingleQuotedString(unit) = &unit.value else { return Ok(None) };
    let singular = unit.to_lowercase();
    let singular = singular.strip_suffix('s').unwrap_or(&singular);
    if !UNITS.contains(&singular) {
        let known = UNITS.join(", ");
        return Err(
            Error::invalid(format!("'{unit}' is not a unit of {}", call.name)).hint(format!("units are {known}"))
        );
    }
    let interval = if singular == "quarter" { "3 months".to_owned() } else { format!("1 {singular}") };
    let arguments = [(*number).clone(), (*date).clone()];
    let sum = filled(&format!("$2 + $1 * INTERVAL '{interval}'"), &arguments)?;
    Ok(Some(Expr::Nested(Box::new(sum))))
}

/// The expression that the text means, with these arguments.
fn filled(text: &str, arguments: &[Expr]) -> Result<Expr> {
    let dialect = GenericDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    let mut expr = parsed.map_err(|error| Error::internal(format!("'{text}' is no expression: {error}")))?;
    // The visitor never breaks off.
    let _ = VisitMut::visit(&mut expr, &mut Places(arguments));
    Ok(expr)
}

/// Puts arguments where their numbers stand; the arguments themselves are not looked into.
struct Places<'a>(&'a [Expr]);

impl VisitorMut for Places<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(argument) = name.strip_prefix('$').and_then(|at| at.parse::<usize>().ok())
            && let Some(argument) = argument.checked_sub(1).and_then(|at| self.0.get(at))
        {
            *expr = Expr::Nested(Box::new(argument.clone()));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let crate::plan::parse::Parsed::Sql(mut statement) = crate::plan::parse::parse(text).unwrap() else { panic!() };
        expand_macros(&mut statement).unwrap();
        statement.to_string()
    }

    #[test]
    fn what_every_macro_means_is_an_expression() {
        for entry in MACROS {
            let argument = Expr::Identifier(Ident::new("argument"));
            let shown = filled(entry.meaning, &vec![argument; entry.arguments]).unwrap().to_string();
            assert!(!shown.contains('$'), "{}: {shown}", entry.name);
        }
    }

    #[test]
    fn a_column_is_called_what_was_written() {
        for (text, meant) in [
            ("SELECT mod(a, 2) FROM t", "SELECT ((a) % (2)) AS \"mod(a, 2)\" FROM t"),
            ("SELECT CURRENT_USER", "SELECT CURRENT_USER AS \"current_user\""),
            ("SELECT current_schema AS s", "SELECT current_schema AS s"),
            ("SELECT user", "SELECT current_user AS user"),
            (
                "SELECT user, current_date, current_date FROM t",
                "SELECT user, current_date AS \"current_date\", current_date FROM t",
            ),
            (
                "SELECT a FROM t WHERE dateadd(month, 2, d) > e",
                "SELECT a FROM t WHERE ((d) + (2) * INTERVAL '1 month') > e",
            ),
            (
                "SELECT count_if(a) OVER (ORDER BY b) AS n FROM t",
                "SELECT (count(*) FILTER (WHERE (a)) OVER (ORDER BY b)) AS n FROM t",
            ),
        ] {
            assert_eq!(expanded(text), meant);
        }
    }

    #[test]
    fn parameters_of_the_user_stay() {
        assert_eq!(expanded("SELECT mod($2, $1) AS m"), "SELECT (($2) % ($1)) AS m");
    }
}
