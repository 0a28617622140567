//! The arguments of a `read_...` call: a path or a list of paths, then options by name.

use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, UnaryOperator, Value, ValueWithSpan,
};

use super::Options;
use crate::storage::TableDefinition;
use crate::{Error, Result};

/// # Errors
/// `Invalid` without a path, for a second one, for an option given twice and for what is not a constant.
pub(super) fn parse(function: &str, args: &[FunctionArg]) -> Result<TableDefinition> {
    let mut definition = TableDefinition::default();
    for arg in args {
        match arg {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                set(&mut definition, function, &name.value, value)?;
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                set(&mut definition, function, &name.value, value)?;
            }
            // Some dialects read `header = true` as a comparison.
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
                let Expr::Identifier(Ident { value: name, .. }) = left.as_ref() else { return Err(usage(function)) };
                set(&mut definition, function, name, right)?;
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(path)) if definition.locations.is_empty() => {
                definition.locations = texts(path).ok_or_else(|| usage(function))?;
            }
            _ => return Err(usage(function)),
        }
    }
    if definition.locations.is_empty() {
        return Err(usage(function));
    }
    Ok(definition)
}

fn set(definition: &mut TableDefinition, function: &str, name: &str, value: &Expr) -> Result<()> {
    let name = name.to_ascii_lowercase();
    let not_constant = || {
        Error::invalid(format!("{function}: the value of '{name}' is not a constant: {value}"))
            .hint(format!("write {name} => 'text', a number, true or false"))
    };
    if name == "partitioned_by" {
        definition.partitioned_by = texts(value).ok_or_else(not_constant)?;
        return Ok(());
    }
    let text = constant(value).ok_or_else(not_constant)?;
    if name == "format" && function == "read_files" {
        definition.format = Some(text);
        return Ok(());
    }
    insert(&mut definition.options, function, name, text)
}

fn insert(options: &mut Options, function: &str, name: String, value: String) -> Result<()> {
    if options.contains_key(&name) {
        return Err(Error::invalid(format!("{function}: '{name}' is given twice")));
    }
    options.insert(name, value);
    Ok(())
}

fn usage(function: &str) -> Error {
    Error::invalid(format!("{function} takes a path or a list of paths, and then options by name")).hint(format!(
        "write {function}('folder/*') or {function}(['a', 'b'], option => value); paths can not be parameters"
    ))
}

/// A text, or a list of texts.
fn texts(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Array(Array { elem, .. }) => elem.iter().map(text).collect(),
        Expr::Nested(inner) => texts(inner),
        other => text(other).map(|text| vec![text]),
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan { value, .. }) => value.clone().into_string(),
        _ => None,
    }
}

fn constant(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => Some(number.to_string()),
        Expr::Value(ValueWithSpan { value: Value::Boolean(value), .. }) => Some(value.to_string()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => constant(expr).map(|number| format!("-{number}")),
        // `delim => tab` without quotes.
        Expr::Identifier(ident) => Some(ident.value.clone()),
        other => text(other),
    }
}
