//! Views: their creation, and their planning whenever a statement names one.

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{CreateView, Statement as Ast};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::Command;
use super::classify::normal;
use super::command::catalog::Change;
use super::logical::{Names, analyze, logical, resolve};
use super::parse::{Parsed, parse};
use super::show::Place;
use crate::catalog::{NewTable, PlanView, SessionCatalogs, ViewDefinition};
use crate::error::{Error, Result};
use crate::session::{Statement, TemporaryView};

/// Plans the queries of views with the settings of the statement that names them.
#[derive(Debug)]
pub(crate) struct ViewPlanner(pub(crate) Statement);

impl PlanView for ViewPlanner {
    fn plan(&self, sql: &str, catalogs: SessionCatalogs) -> BoxFuture<'static, Result<LogicalPlan>> {
        let (statement, sql) = (self.0.clone(), sql.to_owned());
        let planned = async move {
            let Parsed::Sql(query) = parse(&sql)? else {
                return Err(Error::internal("the text of a view is no query"));
            };
            let (state, plan) = logical(&Names::within(&statement, catalogs), *query).await?;
            analyze(&state, plan)
        };
        planned.map(|outcome| outcome.map_err(Error::elsewhere)).boxed()
    }
}

/// `CREATE VIEW`: its query is planned once, to find mistakes now, and kept as text.
pub(super) async fn create(statement: &Statement, ast: Ast) -> Result<Box<dyn Command>> {
    let Ast::CreateView(view) = ast else {
        return Err(Error::internal("CREATE VIEW is no CREATE VIEW"));
    };
    supported(&view)?;
    let settings = &statement.settings;
    let sql = view.query.to_string();
    let definition = ViewDefinition {
        sql,
        columns: view.columns.iter().map(|column| normal(&column.name)).collect(),
        catalog: settings.catalog.clone(),
        schema: settings.schema.clone(),
    };
    let query = SqlStatement::Statement(Box::new(Ast::Query(view.query)));
    let (state, plan) = logical(&Names::new(statement), query).await?;
    let plan = analyze(&state, plan)?;
    let width = plan.schema().fields().len();
    if !definition.columns.is_empty() && definition.columns.len() != width {
        let named = definition.columns.len();
        return Err(Error::invalid(format!("the view names {named} columns, but its query has {width}")));
    }
    let replace = view.or_replace || view.or_alter;
    let change = if view.temporary {
        let [name] = view.name.0.as_slice() else {
            return Err(Error::invalid(format!("temporary view '{}' can not be in a schema", view.name)));
        };
        let name = name.as_ident().map(normal).unwrap_or_default();
        Change::CreateTemporaryView { name, view: TemporaryView::new(definition, plan), replace }
    } else {
        let place = Place { catalog: &settings.catalog, schema: &settings.schema };
        let if_exists = super::command::if_exists(view.if_not_exists, replace)?;
        Change::CreateTable { name: resolve(&view.name, place)?, table: NewTable::View(definition), if_exists }
    };
    Ok(Box::new(change))
}

fn supported(view: &CreateView) -> Result<()> {
    let unsupported = |what: &str| Err(Error::unsupported(format!("{what} is not supported")));
    if view.materialized {
        return unsupported("CREATE MATERIALIZED VIEW");
    }
    if view.secure || view.to.is_some() || view.params.is_some() || !view.cluster_by.is_empty() {
        return unsupported("this form of CREATE VIEW");
    }
    Ok(())
}
