//! What a statement would answer and change, found without optimizing it: for doors that announce before they run.

use bytes::Bytes;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as SqlStatement;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{MAX_DEPTH, Planner, parameter_types};
use crate::auth::policy::authorize;
use crate::error::{Error, Result};
use crate::plan::classify::{Way, classify};
use crate::plan::constants::constants;
use crate::plan::logical::{Names, analyze, check_targets, logical, resolve};
use crate::plan::parse::Parsed;
use crate::plan::{Access, Command, Effect, StatementKind, command, parameters, physical, substrait, views};
use crate::request::Parameters;
use crate::session::Description;
use crate::wire::wire_type;

impl Planner {
    /// Boxed, because `EXECUTE` leads back here.
    pub(super) fn describe<'a>(
        &'a self,
        parsed: Parsed,
        values: &'a Parameters,
        depth: usize,
    ) -> BoxFuture<'a, Result<Description>> {
        async move {
            match classify(parsed, self.place())? {
                Way::Command(command) => self.described(command.as_ref()),
                Way::ShowCreate(name) => self.described(&command::catalog::ShowCreate(resolve(&name, self.place())?)),
                Way::Question(question) => {
                    let described = async { self.describe_plan(question.query(&self.catalogs())?, values).await };
                    described.await.map_err(|error| question.blamed(error))
                }
                Way::CreateView(statement) => {
                    self.described(views::create(&self.statement, *statement).await?.as_ref())
                }
                Way::Execute { name, values } => {
                    if depth >= MAX_DEPTH {
                        return Err(Error::invalid(format!("EXECUTE '{name}' leads to EXECUTE too often")));
                    }
                    let prepared = self.statement.session.prepared(&name)?;
                    let values = constants(&self.statement, values, &prepared)?;
                    let parsed = Parsed::Sql(Box::new(SqlStatement::Statement(prepared.statement)));
                    let described = self.describe(parsed, &values, depth + 1).await.map_err(Error::elsewhere)?;
                    // It has its values.
                    Ok(Description { parameters: Vec::new(), ..described })
                }
                Way::Plan(statement) => self.describe_plan(*statement, values).await,
            }
        }
        .boxed()
    }

    async fn describe_plan(&self, statement: SqlStatement, values: &Parameters) -> Result<Description> {
        let names = Names::with_values(&self.statement, values);
        let (state, plan) = logical(&names, statement).await?;
        self.describe_logical(&state, plan, values).await
    }

    pub(super) async fn describe_substrait(&self, plan: &Bytes, values: &Parameters) -> Result<Description> {
        let names = Names::new(&self.statement);
        let (state, plan) = substrait::logical(&names, plan).await?;
        self.describe_logical(&state, plan, values).await
    }

    async fn describe_logical(
        &self,
        state: &SessionState,
        plan: LogicalPlan,
        values: &Parameters,
    ) -> Result<Description> {
        let mut parameters = parameter_types(&plan)?;
        for data_type in parameters.iter_mut().filter_map(|(_, data_type)| data_type.as_mut()) {
            *data_type = wire_type(data_type, self.statement.settings.wire_views);
        }
        let bound = !parameters.is_empty() && *values != Parameters::None;
        let plan = if bound { parameters::bind(plan, values)? } else { plan };
        match plan {
            LogicalPlan::Ddl(ddl) => {
                let command = command::ddl(&self.statement, state, ddl).await?;
                Ok(Description { parameters, ..self.described(command.as_ref())? })
            }
            LogicalPlan::Statement(other) => {
                Err(Error::unsupported(format!("the statement '{}' is not supported", other.name())))
            }
            plan => {
                let access = physical::access(&plan, self.read_only)?;
                check_targets(&self.statement, &plan)?;
                authorize(self.statement.session.principal(), &access)?;
                let writes = access.effect == Effect::Write;
                let kind = if writes { StatementKind::Dml } else { StatementKind::Query };
                let schema = match analyze(state, plan.clone()) {
                    Ok(analyzed) => self.wire(&analyzed),
                    // Without the types of its parameters, not every statement has those of its result.
                    Err(_) if !parameters.is_empty() && !bound => self.wire(&plan),
                    Err(error) => return Err(error),
                };
                Ok(Description { kind, schema, parameters, effects: writes, changes_session: false })
            }
        }
    }

    fn described(&self, command: &dyn Command) -> Result<Description> {
        let effect = command.effect();
        let access = Access { effect, read_only: self.read_only, tables: Vec::new() };
        authorize(self.statement.session.principal(), &access)?;
        Ok(Description {
            kind: command.kind(),
            schema: command.schema(),
            parameters: Vec::new(),
            effects: effect > Effect::Read,
            changes_session: effect == Effect::Session,
        })
    }
}
