//! `CREATE OR REPLACE TABLE` in the place of a table in memory, of which the new one may be made: no other statement changes
//! the old one between being read and being replaced.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::logical_expr::LogicalPlan;

use super::MemoryTable;
use super::rewrite::{as_seen, memory_table};
use super::turn::Turn;
use crate::catalog::{Catalogs, IfExists, NewTable};
use crate::error::{ErrorKind, Result};

/// The table that goes, as one statement sees it.
#[derive(Debug)]
pub(crate) struct Replaced(Arc<Turn>);

impl Replaced {
    /// None unless the table is in memory.
    pub(crate) fn of(table: &Arc<dyn TableProvider>) -> Option<Self> {
        Some(Self(Turn::new(memory_table(table)?)))
    }

    /// The query that makes the new table, which reads the old one as it is when the turn comes.
    ///
    /// # Errors
    /// What DataFusion says of a plan that can not be rewritten.
    pub(crate) fn query(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        as_seen(plan.clone(), &self.0)
    }

    /// Puts the new table in its place; statements that were planned with the old one fail from then on.
    ///
    /// # Errors
    /// `Conflict` if another statement altered or replaced the old one since this one was planned.
    pub(crate) async fn with(
        &self,
        catalogs: &Catalogs,
        name: &ResolvedTableReference,
        new: Arc<MemoryTable>,
    ) -> Result<()> {
        let (mut old, _) = self.0.begin().await?;
        match catalogs.alter_table(name, &self.0.table, name, Arc::clone(&new)).await {
            // It was dropped.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                catalogs.create_table(name, NewTable::Memory(new), IfExists::Replace).await?;
            }
            replaced => replaced?,
        }
        old.retired = true;
        Ok(())
    }
}
