//! One statement on its way through planning: its session, and the settings that hold for it.

use std::sync::Arc;

use crate::catalog::{NamedTables, Scope};
use crate::plan::ViewPlanner;
use crate::session::{Resolved, Session, Settings};

/// One statement on its way through planning.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) session: Arc<Session>,
    /// The values, as planning reads them.
    pub(crate) settings: Arc<Resolved>,
    /// The same as text, for `SHOW`.
    pub(crate) shown: Arc<Settings>,
}

impl Statement {
    pub(crate) fn new(session: Arc<Session>, settings: Settings) -> Self {
        Self { session, settings: Arc::clone(settings.resolved()), shown: Arc::new(settings) }
    }

    /// What the names of the statement are looked up in.
    pub(crate) fn scope(&self, generated: NamedTables) -> Scope {
        let engine = self.session.engine();
        Scope {
            principal: self.session.principal().clone(),
            catalogs: Arc::clone(engine.catalogs()),
            census: engine.census(&self.session),
            planner: Arc::new(ViewPlanner(self.clone())),
            temporary: Arc::new(self.session.temporary_tables()),
            generated: Arc::new(generated),
            catalog: self.settings.catalog.clone(),
            schema: self.settings.schema.clone(),
        }
    }
}
