//! From a statement to a logical plan: names are resolved through the session's view of the catalogs, and files that the
//! statement reads are opened first, because looking into them needs IO and planning does not wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::ObjectName;

use super::classify::normal;
use super::command::declared::Declared;
use super::defaults::prepare;
use super::describe::described;
use super::extent;
use super::functions::function_list;
use super::library::expand_macros;
use super::parameters::{bare_in_rows, number_placeholders, say_spans, type_rows};
use super::parse::{Parsed, parse};
use super::semantics::{
    limit_fetched, merge_keys, name_duplicates, open_windows, say_clauses, settled, unnest_laterally, write_digits,
    write_intervals,
};
use super::show::Place;
use super::suggest::closest;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::catalog::memory::rewrite_dml;
use crate::catalog::{NamedTables, SessionCatalogs};
use crate::config::LimitsConfig;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::request::Parameters;
use crate::session::{Statement, TemporaryView};
use crate::storage::ReadCalls;

/// How the names of a statement are looked up.
#[derive(Debug)]
pub(super) struct Names<'a> {
    statement: &'a Statement,
    /// Set within a view, which knows its own defaults and which views led to it.
    catalogs: Option<SessionCatalogs>,
    /// Tables of this statement that are not files: what the client sends.
    sent: NamedTables,
    /// What the client sends for the parameters.
    values: &'a Parameters,
    /// How many temporary views led here.
    depth: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new(statement: &'a Statement) -> Self {
        Self { statement, catalogs: None, sent: NamedTables::new(), values: &Parameters::None, depth: 0 }
    }

    /// With values for the parameters.
    pub(super) fn with_values(statement: &'a Statement, values: &'a Parameters) -> Self {
        Self { values, ..Self::new(statement) }
    }

    /// With tables that the client sends.
    pub(super) fn with_sent(statement: &'a Statement, sent: NamedTables) -> Self {
        Self { sent, ..Self::new(statement) }
    }

    pub(super) fn within(statement: &'a Statement, catalogs: SessionCatalogs) -> Self {
        Self { catalogs: Some(catalogs), ..Self::new(statement) }
    }

    /// What the statement is planned with, but for its catalogs.
    pub(super) fn planning_state(&self) -> Result<SessionState> {
        let session = &self.statement.session;
        session.engine().planning_state(&self.statement.settings, session.principal())
    }

    /// How large the statement may be.
    pub(super) fn limits(&self) -> LimitsConfig {
        self.statement.session.engine().queries().limits()
    }

    /// The catalogs that the names are looked up in, with tables of the statement's own. `named` are the tables that it names:
    /// temporary views among them are planned now.
    pub(super) async fn catalogs(
        &self,
        mut generated: NamedTables,
        named: impl IntoIterator<Item = TableReference>,
    ) -> Result<SessionCatalogs> {
        generated.extend(self.sent.iter().map(|(name, table)| (name.clone(), Arc::clone(table))));
        if let Some(catalogs) = &self.catalogs {
            return Ok(catalogs.with_generated(generated));
        }
        let mut scope = self.statement.scope(generated);
        let fresh = temporary_views(self, named).await?;
        Arc::make_mut(&mut scope.temporary).extend(fresh);
        Ok(SessionCatalogs::new(scope))
    }
}

/// Temporary views that use temporary views, down to this depth.
const MAX_DEPTH: usize = 16;

/// Plans a statement, and gives the state that it was planned with. Boxed, because views lead back here.
pub(super) fn logical<'a>(
    names: &'a Names<'_>,
    mut sql: SqlStatement,
) -> BoxFuture<'a, Result<(SessionState, LogicalPlan)>> {
    async move {
        let limits = names.limits();
        extent::check_statement(&mut sql, &limits)?;
        number_placeholders(&mut sql)?;
        say_spans(&mut sql, names.values);
        let mut state = names.planning_state()?;
        let generated = open_files(&mut sql, &state, names.statement).await?;
        reword(&mut sql)?;
        unnest_laterally(&mut sql);
        merge_keys(&mut sql);
        name_duplicates(&mut sql);
        let catalogs = names.catalogs(generated, state.resolve_table_references(&sql)?).await?;
        let bare = bare_in_rows(&mut sql);
        let inserted = prepare(&mut sql, &catalogs).await?;
        if let Some(declared) = Declared::take(&mut sql)? {
            state.config_mut().set_extension(Arc::new(declared));
        }
        state.register_catalog_list(Arc::new(catalogs.clone()));
        match state.statement_to_plan(sql).await {
            Ok(plan) => {
                extent::check_plan(&plan, &limits)?;
                let plan = rewrite_dml(&state, settled(type_rows(plan, &bare)?)?, &inserted)?;
                Ok((state, described(plan)))
            }
            Err(error) => Err(with_suggestions(Error::from(error), &state, &catalogs)),
        }
    }
    .boxed()
}

/// Says in the words that DataFusion's planner knows what can be said in them.
///
/// # Errors
/// For what can not, and would be passed over.
pub(super) fn reword(sql: &mut SqlStatement) -> Result<()> {
    say_clauses(sql)?;
    open_windows(sql)?;
    limit_fetched(sql);
    write_intervals(sql);
    expand_macros(sql)?;
    write_digits(sql)
}

/// The plan with the types that its expressions have when it runs.
///
/// Some types follow from the values of constant arguments, such as the scale of `round(x, 2)`, and are known only once
/// these are folded.
pub(crate) fn analyze(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let folding = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
    let plan = folding.optimize(plan, state, |_, _| {})?;
    Ok(plan.transform_up(|node| Ok(Transformed::yes(node.recompute_schema()?))).data()?)
}

/// The temporary views among these names, planned now: they see tables that were replaced since.
async fn temporary_views(
    names: &Names<'_>,
    references: impl IntoIterator<Item = TableReference>,
) -> Result<NamedTables> {
    let session = &names.statement.session;
    let mut tables = NamedTables::new();
    for reference in references {
        let Some(view) = session.temporary_view(reference.table()) else { continue };
        if names.depth >= MAX_DEPTH {
            return Err(Error::invalid(format!(
                "temporary view '{}' is nested too deeply or refers to itself",
                reference.table()
            ))
            .about(Subject::Table));
        }
        let Parsed::Sql(query) = parse(&view.definition.sql)? else { continue };
        let inner = Names { depth: names.depth + 1, ..Names::new(names.statement) };
        let (state, plan) = logical(&inner, *query).await.map_err(Error::elsewhere)?;
        let view = TemporaryView::new(view.definition, analyze(&state, plan)?);
        tables.insert(reference.table().to_owned(), view.table);
    }
    Ok(tables)
}

/// Opens what `FROM 'file.csv'` and `read_csv(...)` name.
async fn open_files(sql: &mut SqlStatement, state: &SessionState, statement: &Statement) -> Result<NamedTables> {
    let mut tables = BTreeMap::new();
    for call in ReadCalls::extract(sql)? {
        let table = statement.session.engine().files().read(&call, state).await?;
        tables.insert(call.table, table);
    }
    Ok(tables)
}

/// Names of tables and functions that the user may have meant.
fn with_suggestions(error: Error, state: &SessionState, catalogs: &SessionCatalogs) -> Error {
    if error.kind() != ErrorKind::NotFound || !error.suggestions().is_empty() {
        return error;
    }
    let Some(name) = error.message().split('\'').nth(1) else { return error };
    let suggestions = match error.subject() {
        Some(Subject::Table) => catalogs.suggest_table(&TableReference::from(name)),
        Some(Subject::Function) => {
            let known = function_list(state);
            closest(name, known.iter().map(|function| function.name.as_str()))
        }
        _ => return error,
    };
    error.suggest(suggestions)
}

/// The full name of a table, with the session's catalog and schema where it has none.
pub(super) fn resolve(name: &ObjectName, place: Place<'_>) -> Result<ResolvedTableReference> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect();
    let reference = match parts.as_slice() {
        [table] => TableReference::bare(table.clone()),
        [schema, table] => TableReference::partial(schema.clone(), table.clone()),
        [catalog, schema, table] => TableReference::full(catalog.clone(), schema.clone(), table.clone()),
        _ => {
            return Err(Error::invalid(format!(
                "'{name}' is not the name of a table: expected [[catalog.]schema.]table"
            )));
        }
    };
    Ok(reference.resolve(place.catalog, place.schema))
}

/// `COPY TO` may only name what the configuration allows.
pub(super) fn check_targets(statement: &Statement, plan: &LogicalPlan) -> Result<()> {
    match plan {
        LogicalPlan::Copy(copy) => statement.session.engine().files().check_target(&copy.output_url),
        LogicalPlan::Explain(explain) => check_targets(statement, &explain.plan),
        LogicalPlan::Analyze(analyze) => check_targets(statement, &analyze.input),
        _ => Ok(()),
    }
}
