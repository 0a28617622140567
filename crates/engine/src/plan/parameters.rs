//! Placeholders: `?` becomes `$1`, `$2`, ... and values are bound into the plan.

use std::ops::ControlFlow;

use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::{CopyToSource, Statement as SqlStatement};
use datafusion::sql::sqlparser::ast::{Expr, TableFactor, Value, VisitMut, VisitorMut};

use crate::error::{Error, Result, Subject};
use crate::request::Parameters;

mod fit;
mod operands;
mod rows;

pub(super) use operands::{Operands, say_spans};
pub(super) use rows::{bare_in_rows, type_rows};

/// Numbers the `?` of a statement from left to right.
///
/// # Errors
/// When `?` and `$1` are mixed, and for an argument of a table function, which is called when the statement is planned.
pub(crate) fn number_placeholders(statement: &mut SqlStatement) -> Result<()> {
    let mut numbering = Numbering { next: 1, dollars: false };
    // It breaks off at the argument of a table function.
    if let ControlFlow::Break(function) = visit_inner(statement, &mut numbering) {
        return Err(Error::invalid(format!(
            "an argument of the table function {function} can not be a parameter: the columns it answers with are planned \
             before values are known"
        ))
        .about(Subject::Parameter)
        .hint("write the value itself into the statement"));
    }
    if numbering.dollars && numbering.next > 1 {
        return Err(Error::invalid("the statement mixes the placeholders ? and $1").about(Subject::Parameter));
    }
    Ok(())
}

/// Visits the statement and what it is wrapped around: EXPLAIN, COPY.
pub(super) fn visit_inner<V: VisitorMut>(statement: &mut SqlStatement, visitor: &mut V) -> ControlFlow<V::Break> {
    match statement {
        SqlStatement::Statement(inner) => inner.visit(visitor),
        SqlStatement::Explain(explain) => visit_inner(&mut explain.statement, visitor),
        SqlStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => ControlFlow::Continue(()),
    }
}

struct Numbering {
    next: usize,
    dollars: bool,
}

impl VisitorMut for Numbering {
    type Break = String;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        let (name, arguments) = match factor {
            TableFactor::Table { name, args: Some(arguments), .. } => (name, &mut arguments.args),
            TableFactor::Function { lateral: false, name, args: arguments, .. } => (name, arguments),
            _ => return ControlFlow::Continue(()),
        };
        match arguments.visit(&mut AnyPlaceholder) {
            ControlFlow::Break(()) => ControlFlow::Break(name.to_string()),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Some(name) = placeholder(expr) {
            if name == "?" {
                *name = format!("${}", self.next);
                self.next += 1;
            } else {
                self.dollars = true;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Breaks off at a placeholder.
struct AnyPlaceholder;

impl VisitorMut for AnyPlaceholder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if placeholder(expr).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The name of the parameter, if the expression is one.
fn placeholder(expr: &mut Expr) -> Option<&mut String> {
    match expr {
        Expr::Value(value) => match &mut value.value {
            Value::Placeholder(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Binds the values; a missing one, and one too many, is an error that names it.
pub(crate) fn bind(plan: LogicalPlan, parameters: &Parameters) -> Result<LogicalPlan> {
    let wanted = plan.get_parameter_names()?;
    let missing = |name: &str| {
        Error::invalid(format!("no value for parameter {name}"))
            .about(Subject::Parameter)
            .hint("send a value for each; over HTTP in `params`: a list for $1 and ?, an object for $name")
    };
    let (types, assigned) = (plan.get_parameter_types()?, fit::assigns(&plan));
    let fitted = |name: &str, value: &ScalarValue| {
        let expected = types.get(name).and_then(Option::as_ref);
        fit::fit(name, value, expected, assigned).map(ScalarAndMetadata::from)
    };
    let values = match parameters {
        Parameters::None => match wanted.iter().min() {
            Some(name) => return Err(missing(name)),
            None => return Ok(plan),
        },
        Parameters::Positional(values) => {
            for name in &wanted {
                match name.trim_start_matches('$').parse::<usize>() {
                    Ok(index) if index >= 1 && index <= values.len() => {}
                    _ => return Err(missing(name)),
                }
            }
            if values.len() > wanted.len() {
                let (sent, used) = (values.len(), wanted.len());
                return Err(Error::invalid(format!("{sent} parameters were sent, but the statement uses {used}"))
                    .about(Subject::Parameter));
            }
            let values = values.iter().enumerate().map(|(at, value)| fitted(&format!("${}", at + 1), value));
            ParamValues::List(values.collect::<Result<_>>()?)
        }
        Parameters::Named(values) => {
            for name in &wanted {
                if !values.contains_key(name.trim_start_matches('$')) {
                    return Err(missing(name));
                }
            }
            if let Some(extra) = values.keys().find(|key| !wanted.contains(&format!("${key}"))) {
                return Err(Error::invalid(format!(
                    "parameter '{extra}' was sent, but the statement does not use ${extra}"
                ))
                .about(Subject::Parameter));
            }
            let values = values.iter().map(|(key, value)| Ok((key.clone(), fitted(&format!("${key}"), value)?)));
            ParamValues::Map(values.collect::<Result<_>>()?)
        }
    };
    Ok(plan.with_param_values(values)?)
}
