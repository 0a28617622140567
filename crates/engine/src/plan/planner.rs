//! The way of a statement through planning.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use datafusion::common::TableReference;
use datafusion::common::stats::Precision;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::sql::parser::Statement as SqlStatement;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::classify::{Way, classify};
use super::command::CommandScope;
use super::constants::constants;
use super::identity::Watch;
use super::logical::{Names, logical};
use super::parse::{Parsed, parse};
use super::show::Place;
use super::{
    Access, Action, Command, Effect, Plan, StatementKind, command, ingest, logical as names, parameters, physical,
    substrait, views,
};
use crate::auth::policy::authorize;
use crate::cache::CacheMode;
use crate::catalog::{NamedTables, SessionCatalogs};
use crate::error::{Error, Result};
use crate::query::QueryHandle;
use crate::request::{Ingest, Parameters, QueryRequest, RequestLimits, Source};
use crate::run::Route;
use crate::session::{Description, Prepared, Session, Statement, Validation};
use crate::storage::READ_SCHEMA;
use crate::wire::wire_schema;

mod describe;

/// Plans the statement of a query.
pub(crate) async fn plan(statement: Statement, handle: &QueryHandle) -> Result<Plan> {
    let request = handle.request();
    let planner = Planner::new(statement, request);
    match &request.source {
        Source::Sql(text) => planner.plan(parse(text)?, &request.parameters, 0).await,
        // Boxed, because they would make the futures of all queries large.
        Source::Substrait(plan) => planner.substrait(plan, &request.parameters).boxed().await,
        Source::Ingest(rows) => planner.ingest(rows).boxed().await,
    }
}

/// Plans a statement without running it.
pub(crate) async fn validate(statement: Statement, request: QueryRequest) -> Result<Validation> {
    let planner = Planner::new(statement, &request);
    // Boxed, because it would make the futures of all that wait for it large.
    let validated = async {
        match &request.source {
            Source::Sql(text) => planner.validate(parse(text)?, &request.parameters).await,
            Source::Substrait(plan) => planner.validate_substrait(plan, &request.parameters).await,
            Source::Ingest(_) => Err(only_run()),
        }
    }
    .boxed();
    validated.await.map_err(|error| error.located(&request.text()))
}

/// Plans a statement as far as it takes to say what it would answer and change.
pub(crate) async fn describe(statement: Statement, request: QueryRequest) -> Result<Description> {
    let planner = Planner::new(statement, &request);
    let described = async {
        match &request.source {
            Source::Sql(text) => planner.describe(parse(text)?, &request.parameters, 0).await,
            Source::Substrait(plan) => planner.describe_substrait(plan, &request.parameters).await,
            Source::Ingest(_) => Err(only_run()),
        }
    }
    .boxed();
    described.await.map_err(|error| error.located(&request.text()))
}

/// Rows come once, so they can not be looked at first.
fn only_run() -> Error {
    Error::unsupported("rows for a table can only be run")
}

/// Plans a statement that is about to be kept, to find its mistakes.
pub(crate) async fn check_prepared(session: &Arc<Session>, prepared: &Prepared) -> Result<()> {
    let statement = Statement::new(Arc::clone(session), session.settings());
    let parsed = Parsed::Sql(Box::new(SqlStatement::Statement(prepared.statement.clone())));
    let checked = async move {
        let planner = Planner::new(statement, &QueryRequest::sql(""));
        planner.validate(parsed, &Parameters::None).await.map(drop)
    };
    session.engine().planning().run(checked).await
}

/// `EXECUTE` of an `EXECUTE` of ...: statements that lead to statements, down to this depth.
const MAX_DEPTH: usize = 8;

/// Everything that planning one statement needs to know.
#[derive(Debug)]
struct Planner {
    statement: Statement,
    limits: RequestLimits,
    read_only: bool,
    /// Whether the answer may come from the cache or go there.
    cached: bool,
}

impl Planner {
    fn new(statement: Statement, request: &QueryRequest) -> Self {
        let read_only = request.read_only || statement.settings.read_only;
        let cache = statement.session.engine().cache();
        let cached = cache.mode(request.cache.mode, statement.settings.result_cache) != CacheMode::Off;
        Self { statement, limits: request.limits, read_only, cached }
    }

    fn place(&self) -> Place<'_> {
        Place { catalog: &self.statement.settings.catalog, schema: &self.statement.settings.schema }
    }

    /// Boxed, because `EXECUTE` leads back here.
    fn plan<'a>(&'a self, parsed: Parsed, values: &'a Parameters, depth: usize) -> BoxFuture<'a, Result<Plan>> {
        async move {
            match classify(parsed, self.place())? {
                Way::Command(command) => Ok(self.command(command)),
                Way::ShowCreate(name) => {
                    let name = names::resolve(&name, self.place())?;
                    Ok(self.command(Box::new(command::catalog::ShowCreate(name))))
                }
                Way::Question(question) => {
                    let planned = async { self.logical(question.query(&self.catalogs())?, values).await };
                    planned.await.map_err(|error| question.blamed(error))
                }
                Way::CreateView(statement) => {
                    let command = views::create(&self.statement, *statement).await?;
                    Ok(self.command(command))
                }
                Way::Execute { name, values } => {
                    if depth >= MAX_DEPTH {
                        return Err(Error::invalid(format!(
                            "EXECUTE '{name}' leads to EXECUTE, more than {MAX_DEPTH} deep"
                        )));
                    }
                    let prepared = self.statement.session.prepared(&name)?;
                    let values = constants(&self.statement, values, &prepared)?;
                    let parsed = Parsed::Sql(Box::new(SqlStatement::Statement(prepared.statement)));
                    self.plan(parsed, &values, depth + 1).await.map_err(Error::elsewhere)
                }
                Way::Plan(statement) => self.logical(*statement, values).await,
            }
        }
        .boxed()
    }

    async fn logical(&self, statement: SqlStatement, values: &Parameters) -> Result<Plan> {
        self.within(&Names::with_values(&self.statement, values), statement, values).await
    }

    /// Plans the statement that takes a client's rows.
    async fn ingest(&self, rows: &Arc<Ingest>) -> Result<Plan> {
        let (statement, sent) = ingest::statement(&self.statement, rows).await?;
        self.within(&Names::with_sent(&self.statement, sent), statement, &Parameters::None).await
    }

    async fn within(&self, names: &Names<'_>, statement: SqlStatement, values: &Parameters) -> Result<Plan> {
        let text = if self.cached { statement.to_string() } else { String::new() };
        let (state, plan) = logical(names, statement).await?;
        self.bound(state, plan, values, &text).await
    }

    async fn substrait(&self, plan: &Bytes, values: &Parameters) -> Result<Plan> {
        let text = if self.cached { substrait::digest(plan) } else { String::new() };
        let (state, plan) = substrait::logical(&Names::new(&self.statement), plan).await?;
        self.bound(state, plan, values, &text).await
    }

    /// `text` is the statement, for the cache.
    async fn bound(&self, state: SessionState, plan: LogicalPlan, values: &Parameters, text: &str) -> Result<Plan> {
        let plan = parameters::bind(plan, values)?;
        match plan {
            LogicalPlan::Ddl(ddl) => {
                let command = super::command::ddl(&self.statement, &state, ddl).await?;
                Ok(self.command(command))
            }
            LogicalPlan::Statement(other) => {
                Err(Error::unsupported(format!("the statement '{}' is not supported", other.name())))
            }
            plan => self.query(state, plan, text).await,
        }
    }

    /// `text` is the statement, for the cache.
    async fn query(&self, mut state: SessionState, plan: LogicalPlan, text: &str) -> Result<Plan> {
        let access = physical::access(&plan, self.read_only)?;
        names::check_targets(&self.statement, &plan)?;
        let kind = if access.effect == Effect::Write { StatementKind::Dml } else { StatementKind::Query };
        let plan = self.limited(plan, kind)?;
        let watch = if self.cached { Watch::begin(&mut state, &plan)? } else { None };
        let mut query = physical::physical(&state, &plan).await?;
        let schema = self.wire(&query.logical);
        // What is over in microseconds is not worth a place in the cache.
        let identity = match watch.filter(|_| !query.light) {
            Some(watch) => Some(Box::new(watch.identity(&self.statement, text, &plan).await)),
            None => None,
        };
        let runners = self.statement.session.engine().runners();
        if runners.remote().is_some() {
            Box::pin(query.make_portable(state)).await;
            Box::pin(runners.plan(&mut query, &self.statement.settings)).await;
        }
        Ok(Plan { identity, ..self.finish(kind, Action::Query(query), access, schema) })
    }

    /// The plan with the row limits of request and session.
    fn limited(&self, plan: LogicalPlan, kind: StatementKind) -> Result<LogicalPlan> {
        let limits = [self.limits.rows, self.statement.settings.row_limit];
        match (limits.into_iter().flatten().min(), &plan) {
            (_, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) | (None, _) => {
                Ok(plan)
            }
            (Some(rows), _) if kind == StatementKind::Query => {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                Ok(LogicalPlanBuilder::from(plan).limit(0, Some(rows))?.build()?)
            }
            (Some(_), _) => Ok(plan),
        }
    }

    fn wire(&self, plan: &LogicalPlan) -> SchemaRef {
        wire_schema(plan.schema().as_arrow(), self.statement.settings.wire_views)
    }

    fn command(&self, command: Box<dyn Command>) -> Plan {
        let access = Access { effect: command.effect(), read_only: self.read_only, tables: Vec::new() };
        let (kind, schema) = (command.kind(), command.schema());
        self.finish(kind, Action::Command(command), access, schema)
    }

    fn finish(&self, kind: StatementKind, action: Action, access: Access, schema: SchemaRef) -> Plan {
        Plan {
            kind,
            action,
            access,
            schema,
            priority: self.statement.settings.priority,
            byte_limit: self.limits.bytes,
            settings: Arc::clone(&self.statement.settings),
            scope: CommandScope {
                session: Arc::clone(&self.statement.session),
                shown: Arc::clone(&self.statement.shown),
            },
            identity: None,
            recording: None,
            route: Route::Local(None),
        }
    }

    /// The catalogs as they are now.
    fn catalogs(&self) -> SessionCatalogs {
        SessionCatalogs::new(self.statement.scope(NamedTables::new()))
    }

    /// Full names of the tables that a plan touches, which has them as they are written.
    fn full_names(&self, state: &SessionState, written: Vec<String>) -> Vec<String> {
        let catalogs = state.catalog_list().downcast_ref::<SessionCatalogs>();
        let mut names = catalogs.map(SessionCatalogs::touched).unwrap_or_default();
        for name in written {
            let reference = TableReference::from(name.as_str());
            // Files have no name; the tables of the session's own views are looked up by themselves.
            let is_known = names.iter().any(|known| known.ends_with(&format!(".{}", reference.table())));
            if !is_known && reference.schema() != Some(READ_SCHEMA) {
                let place = self.place();
                names.insert(reference.resolve(place.catalog, place.schema).to_string());
            }
        }
        names.into_iter().collect()
    }

    fn validate_command(&self, command: &dyn Command) -> Result<Validation> {
        let effect = command.effect();
        let access = Access { effect, read_only: self.read_only, tables: Vec::new() };
        authorize(self.statement.session.principal(), &access)?;
        Ok(Validation::of(command.kind(), effect, command.schema()))
    }

    async fn validate(&self, parsed: Parsed, values: &Parameters) -> Result<Validation> {
        match classify(parsed, self.place())? {
            Way::Plan(statement) => self.validate_plan(*statement, values).await,
            Way::Question(question) => {
                let validated = async { self.validate_plan(question.query(&self.catalogs())?, values).await };
                validated.await.map_err(|error| question.blamed(error))
            }
            Way::Execute { name, .. } => {
                let prepared = self.statement.session.prepared(&name)?;
                let statement = SqlStatement::Statement(prepared.statement);
                self.validate_plan(statement, values).await.map_err(Error::elsewhere)
            }
            Way::Command(command) => self.validate_command(command.as_ref()),
            Way::ShowCreate(name) => {
                let name = names::resolve(&name, self.place())?;
                self.validate_command(&command::catalog::ShowCreate(name))
            }
            Way::CreateView(statement) => {
                let command = views::create(&self.statement, *statement).await?;
                self.validate_command(command.as_ref())
            }
        }
    }

    async fn validate_plan(&self, statement: SqlStatement, values: &Parameters) -> Result<Validation> {
        let (state, plan) = logical(&Names::with_values(&self.statement, values), statement).await?;
        self.validate_logical(state, plan, values).await
    }

    async fn validate_substrait(&self, plan: &Bytes, values: &Parameters) -> Result<Validation> {
        let (state, plan) = substrait::logical(&Names::new(&self.statement), plan).await?;
        self.validate_logical(state, plan, values).await
    }

    async fn validate_logical(
        &self,
        state: SessionState,
        plan: LogicalPlan,
        values: &Parameters,
    ) -> Result<Validation> {
        let parameters = parameter_types(&plan)?;
        let plan = match plan {
            LogicalPlan::Ddl(ddl) if parameters.is_empty() => {
                let command = command::ddl(&self.statement, &state, ddl).await?;
                return self.validate_command(command.as_ref());
            }
            LogicalPlan::Statement(other) => {
                return Err(Error::unsupported(format!("the statement '{}' is not supported", other.name())));
            }
            plan => plan,
        };
        let access = physical::access(&plan, self.read_only)?;
        authorize(self.statement.session.principal(), &access)?;
        let kind = match plan {
            LogicalPlan::Ddl(_) => return Ok(Validation::of(StatementKind::Ddl, access.effect, empty_schema())),
            _ if access.effect == Effect::Write => StatementKind::Dml,
            _ => StatementKind::Query,
        };
        // Without the types of its parameters, not every statement has those of its result.
        let mut validation = match names::analyze(&state, plan.clone()) {
            Ok(analyzed) => Validation::of(kind, access.effect, self.wire(&analyzed)),
            Err(_) if !parameters.is_empty() => Validation::of(kind, access.effect, self.wire(&plan)),
            Err(error) => return Err(error),
        };
        validation.tables = self.full_names(&state, access.tables);
        validation.plan = plan.display_indent().to_string();
        // A statement with open parameters has no physical plan yet.
        if parameters.is_empty() || *values != Parameters::None {
            let query = physical::physical(&state, &parameters::bind(plan, values)?).await?;
            validation.schema = self.wire(&query.logical);
            validation.plan = query.logical.display_indent().to_string();
            let statistics = StatisticsContext::new().compute(query.plan.as_ref(), &StatisticsArgs::new())?;
            validation.estimated_rows = known(&statistics.num_rows);
            validation.estimated_bytes = known(&statistics.total_byte_size);
        }
        validation.parameters = parameters;
        Ok(validation)
    }
}

fn empty_schema() -> SchemaRef {
    SchemaRef::new(arrow::datatypes::Schema::empty())
}

fn parameter_types(plan: &LogicalPlan) -> Result<Vec<(String, Option<DataType>)>> {
    let mut parameters: Vec<(String, Option<DataType>)> = plan.get_parameter_types()?.into_iter().collect();
    // `$10` comes after `$9`.
    parameters.sort_by_key(|(name, _)| (name.len(), name.clone()));
    Ok(parameters)
}

fn known(value: &Precision<usize>) -> Option<u64> {
    value.get_value().map(|value| *value as u64)
}
