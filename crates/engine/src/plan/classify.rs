//! What sort of statement it is, and which way it goes.

use datafusion::sql::parser::{ExplainStatement, ResetStatement, Statement as SqlStatement};
use datafusion::sql::sqlparser::ast::{
    ContextModifier, Expr, Ident, ObjectName, Set, ShowCreateObject, Statement, Truncate, Use, Value,
};

use super::command::session as command;
use super::logical::reword;
use super::parse::Parsed;
use super::show::{self, Place, Question};
use crate::error::{Error, Result, Subject};
use crate::plan::Command;

/// What sort of statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// It answers with rows.
    Query,
    /// It changes rows, and answers with their count.
    Dml,
    /// It changes the catalog.
    Ddl,
    /// It changes the session, or another query.
    Utility,
}

impl StatementKind {
    /// The name, as history tells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Dml => "dml",
            Self::Ddl => "ddl",
            Self::Utility => "utility",
        }
    }
}

/// The way that a statement goes.
#[derive(Debug)]
pub(super) enum Way {
    /// It is a command of ours.
    Command(Box<dyn Command>),
    /// DataFusion plans it.
    Plan(Box<SqlStatement>),
    /// A prepared statement with these values.
    Execute { name: String, values: Vec<Expr> },
    /// Another `SHOW`, which a query answers.
    Question(Question),
    /// `SHOW CREATE TABLE` or `VIEW`.
    ShowCreate(ObjectName),
    /// `CREATE VIEW`, whose query is kept as text.
    CreateView(Box<Statement>),
}

/// Sends a statement its way.
pub(super) fn classify(parsed: Parsed, place: Place<'_>) -> Result<Way> {
    let mut statement = match parsed {
        Parsed::Kill(id) => return Ok(Way::Command(Box::new(command::Kill(id)))),
        Parsed::ResetAll => return Ok(Way::Command(Box::new(command::Reset(None)))),
        Parsed::Sql(statement) => *statement,
    };
    // DataFusion plans the expressions of these by themselves.
    if let SqlStatement::Statement(inner) = &statement
        && matches!(inner.as_ref(), Statement::AlterTable(_) | Statement::Execute { .. })
    {
        reword(&mut statement)?;
    }
    match statement {
        SqlStatement::Reset(ResetStatement::Variable(name)) => {
            Ok(Way::Command(Box::new(command::Reset(Some(dotted(&name))))))
        }
        SqlStatement::Statement(inner) => sql(*inner, place),
        SqlStatement::Explain(explain) => explained(explain, place),
        other => Ok(Way::Plan(Box::new(other))),
    }
}

/// `EXPLAIN` of what DataFusion plans; nothing else has a plan.
fn explained(explain: ExplainStatement, place: Place<'_>) -> Result<Way> {
    if matches!(*explain.statement, SqlStatement::Explain(_)) {
        return Err(Error::invalid("an EXPLAIN has no plan of its own")
            .about(Subject::Syntax)
            .hint("name the statement itself, with one EXPLAIN or EXPLAIN ANALYZE before it"));
    }
    match classify(Parsed::Sql(explain.statement), place)? {
        Way::Plan(statement) => {
            Ok(Way::Plan(Box::new(SqlStatement::Explain(ExplainStatement { statement, ..explain }))))
        }
        _ => Err(Error::invalid("the statement has no plan that could be explained")
            .hint("explain a query, or a statement that changes rows")),
    }
}

fn sql(statement: Statement, place: Place<'_>) -> Result<Way> {
    if let Some(question) = show::question(&statement, place)? {
        return Ok(Way::Question(question));
    }
    let way = match statement {
        Statement::Set(set) => Way::Command(Box::new(command::Set(assignments(set)?))),
        Statement::ShowVariable { variable } => Way::Command(show_setting(&variable)),
        Statement::Use(target) => Way::Command(Box::new(command::Set(use_target(target)?))),
        Statement::Prepare { name, data_types, statement } => {
            Way::Command(Box::new(command::Prepare { name: name.value, data_types, statement }))
        }
        Statement::Execute { name: Some(name), parameters, using, .. } => {
            let using = using.into_iter().map(|item| item.expr);
            Way::Execute { name: dotted(&name), values: parameters.into_iter().chain(using).collect() }
        }
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Way::Command(Box::new(command::Deallocate((!all).then_some(name.value))))
        }
        Statement::ShowCreate { obj_type: ShowCreateObject::Table | ShowCreateObject::View, obj_name } => {
            Way::ShowCreate(obj_name)
        }
        view @ Statement::CreateView(_) => Way::CreateView(Box::new(view)),
        Statement::AlterTable(table) => Way::Command(super::command::alter::command(table, place)?),
        Statement::Truncate(truncate) => Way::Plan(Box::new(SqlStatement::Statement(Box::new(truncated(truncate))))),
        Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. } => {
            return Err(Error::unsupported("transactions are not supported")
                .hint("each statement is its own transaction: it takes effect whole or not at all"));
        }
        other => Way::Plan(Box::new(SqlStatement::Statement(Box::new(other)))),
    };
    Ok(way)
}

/// What says how a `TRUNCATE` treats sequences and foreign keys changes nothing: there are none.
fn truncated(mut truncate: Truncate) -> Statement {
    truncate.identity = None;
    truncate.cascade = None;
    Statement::Truncate(truncate)
}

fn show_setting(variable: &[Ident]) -> Box<dyn Command> {
    let words: Vec<&str> = variable.iter().map(|ident| ident.value.as_str()).collect();
    let name = match words.as_slice() {
        [all] if all.eq_ignore_ascii_case("all") => None,
        // `SHOW TIME ZONE` is PostgreSQL's spelling.
        [time, zone] if time.eq_ignore_ascii_case("time") && zone.eq_ignore_ascii_case("zone") => {
            Some("time_zone".to_owned())
        }
        words => Some(words.join(".")),
    };
    Box::new(command::Show(name))
}

/// `SET name = value` in its spellings, as pairs.
fn assignments(set: Set) -> Result<Vec<(String, Option<String>)>> {
    match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            local(scope)?;
            let name = dotted(&variable);
            let value = values.iter().map(|value| text(&name, value)).collect::<Result<Vec<_>>>()?.join(",");
            Ok(vec![(name, unless_default(value))])
        }
        Set::ParenthesizedAssignments { variables, values } if variables.len() == values.len() => {
            let pairs = variables.iter().map(dotted).zip(&values);
            pairs.map(|(name, value)| Ok((name.clone(), unless_default(text(&name, value)?)))).collect()
        }
        Set::MultipleAssignments { assignments } => assignments
            .into_iter()
            .map(|assignment| {
                local(assignment.scope)?;
                let name = dotted(&assignment.name);
                let value = text(&name, &assignment.value)?;
                Ok((name, unless_default(value)))
            })
            .collect(),
        Set::SetTimeZone { local: is_local, value } => {
            local(is_local.then_some(ContextModifier::Local))?;
            Ok(vec![("time_zone".to_owned(), unless_default(text("time_zone", &value)?))])
        }
        other => Err(Error::unsupported(format!("'{other}' is not supported")).hint("use SET name = value")),
    }
}

fn local(scope: Option<ContextModifier>) -> Result<()> {
    if scope == Some(ContextModifier::Local) {
        return Err(Error::unsupported("SET LOCAL is not supported: there are no transactions").hint("use SET"));
    }
    Ok(())
}

/// `DEFAULT` resets.
fn unless_default(value: String) -> Option<String> {
    (!value.eq_ignore_ascii_case("default")).then_some(value)
}

/// The value of an assignment, as the text it stands for.
fn text(name: &str, expr: &Expr) -> Result<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(text.clone()),
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(truth) => Ok(truth.to_string()),
            other => Err(not_a_value(name, &other.to_string())),
        },
        Expr::Identifier(word) => Ok(word.value.clone()),
        Expr::UnaryOp { .. } => Ok(expr.to_string()),
        other => Err(not_a_value(name, &other.to_string())),
    }
}

fn not_a_value(name: &str, value: &str) -> Error {
    Error::invalid(format!("'{value}' is not a value for setting '{name}': accepted are text, numbers and words"))
        .about(Subject::Setting)
}

fn use_target(target: Use) -> Result<Vec<(String, Option<String>)>> {
    let (name, wide) = match target {
        Use::Catalog(name) | Use::Database(name) => (name, true),
        Use::Schema(name) => (name, false),
        Use::Object(name) => (name, false),
        other => return Err(Error::unsupported(format!("'{other}' is not supported")).hint("use USE [catalog.]schema")),
    };
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect();
    match parts.as_slice() {
        [catalog] if wide => Ok(vec![("catalog".into(), Some(catalog.clone()))]),
        [schema] => Ok(vec![("schema".into(), Some(schema.clone()))]),
        [catalog, schema] => {
            Ok(vec![("catalog".into(), Some(catalog.clone())), ("schema".into(), Some(schema.clone()))])
        }
        _ => Err(Error::invalid(format!("'{name}' is not a catalog and schema"))),
    }
}

/// An identifier as SQL means it: lower case unless quoted.
pub(crate) fn normal(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

fn dotted(name: &ObjectName) -> String {
    let parts: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    parts.join(".")
}
