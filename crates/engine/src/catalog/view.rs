//! Views: a stored query, planned anew whenever it is used.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use futures::future::BoxFuture;

use super::definition::ViewDefinition;
use super::overlay::SessionCatalogs;
use crate::error::{Error, Result, Subject};

/// Views that use views, down to this depth. Planning recurses on the stack, so it needs an end.
const MAX_DEPTH: usize = 32;

/// Plans the query of a view. The session implements it: planning needs its functions and options.
pub(crate) trait PlanView: fmt::Debug + Send + Sync {
    /// The logical plan of `sql`, a query, whose names are looked up in `catalogs` (which knows the defaults for
    /// unqualified names, and which views are being planned).
    fn plan(&self, sql: &str, catalogs: SessionCatalogs) -> BoxFuture<'static, Result<LogicalPlan>>;
}

/// The view as a table. `inside` are the views that led here, outermost first.
pub(super) async fn open(
    view: &ViewDefinition,
    name: ResolvedTableReference,
    catalogs: &SessionCatalogs,
) -> Result<Arc<dyn TableProvider>> {
    let inside = catalogs.inside();
    if let Some(start) = inside.iter().position(|outer| *outer == name) {
        let circle = inside[start..].iter().chain([&name]).map(ToString::to_string).collect::<Vec<_>>();
        return Err(Error::invalid(format!("view '{name}' refers to itself: {}", circle.join(" -> ")))
            .about(Subject::Table)
            .hint("redefine one of these views with CREATE OR REPLACE VIEW"));
    }
    if inside.len() >= MAX_DEPTH {
        return Err(
            Error::invalid(format!("view '{name}' is nested more than {MAX_DEPTH} views deep")).about(Subject::Table)
        );
    }
    let nested = catalogs.within_view(name, &view.catalog, &view.schema);
    let plan = catalogs.planner().plan(&view.sql, nested).await?;
    let plan = named(plan, &view.columns)?;
    Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
}

/// The plan under the names that `CREATE VIEW name (a, b)` gave its columns.
fn named(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    if columns.len() != names.len() {
        return Err(Error::invalid(format!(
            "the view names {} columns but its query has {}",
            names.len(),
            columns.len()
        ))
        .about(Subject::Column));
    }
    let aliased = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
    Ok(LogicalPlanBuilder::from(plan).project(aliased)?.build()?)
}
