//! From the text of a statement to something that can run.
//!
//! A Substrait plan is a logical plan already, and joins after that; SQL goes through all of it:
//! parse (our statements, then DataFusion's) → classify → logical plan, with parameters bound and names resolved through the
//! session's view of the catalogs → physical plan, or a command that changes the session, the catalog or another query.

mod access;
mod attended;
mod chains;
mod classify;
mod command;
mod constants;
mod defaults;
mod describe;
mod extent;
mod functions;
mod identity;
mod ingest;
mod library;
mod logical;
mod numbers;
mod parameters;
mod parse;
mod physical;
mod planner;
mod precedence;
mod semantics;
mod show;
mod spelling;
mod substrait;
pub(crate) mod suggest;
mod views;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

pub(crate) use access::Access;
pub use access::Effect;
pub use classify::StatementKind;
pub(crate) use classify::normal;
pub(crate) use command::{Command, CommandScope};
pub(crate) use functions::{OwnFunctions, base_state, follow_config, function_list};
pub(crate) use library::about_session;
pub(crate) use logical::analyze;
pub use parse::keywords;
pub(crate) use physical::{PhysicalQuery, Portable, Purpose};
pub(crate) use planner::{check_prepared, describe, plan, validate};
pub use substrait::substrait_versions;
pub(crate) use views::ViewPlanner;

use crate::cache::{Answer, Identity, Recording};
use crate::run::Route;
use crate::session::Resolved;
use crate::session::resolved::Priority;

/// A statement that is ready to be authorized, admitted and run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: StatementKind,
    pub(crate) action: Action,
    pub(crate) access: Access,
    /// The schema on the wire.
    pub(crate) schema: SchemaRef,
    pub(crate) priority: Priority,
    pub(crate) byte_limit: Option<u64>,
    pub(crate) settings: Arc<Resolved>,
    pub(crate) scope: CommandScope,
    /// What makes the answer the same as another; absent unless it is for the cache.
    pub(crate) identity: Option<Box<Identity>>,
    /// Keeps the result on its way to the client.
    pub(crate) recording: Option<Box<Recording>>,
    /// Where it is computed.
    pub(crate) route: Route,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Run a physical plan.
    Query(PhysicalQuery),
    /// Do something that is no plan.
    Command(Box<dyn Command>),
    /// Hand out an answer that is known; no rows, if the client has it.
    Recall(Option<Arc<Answer>>),
}

impl Plan {
    /// Whether it has to wait for a permit: looking at the server itself and commands do not, so that a full server can
    /// still be asked what it does and told to stop it.
    pub(crate) fn needs_permit(&self) -> bool {
        match &self.action {
            Action::Query(query) => !query.about_server,
            Action::Command(command) => command.needs_permit(),
            Action::Recall(_) => false,
        }
    }

    /// Whether it is over in microseconds.
    pub(crate) fn is_light(&self) -> bool {
        match &self.action {
            Action::Query(query) => query.light,
            Action::Command(command) => !command.needs_permit(),
            Action::Recall(_) => true,
        }
    }

    /// Whether it writes to storage.
    pub(crate) fn writes_files(&self) -> bool {
        match &self.action {
            Action::Query(query) => query.writes,
            Action::Command(_) | Action::Recall(_) => false,
        }
    }

    /// The optimized logical plan as text.
    pub(crate) fn logical_text(&self) -> String {
        match &self.action {
            Action::Query(query) => query.logical.display_indent().to_string(),
            Action::Command(_) | Action::Recall(_) => String::new(),
        }
    }
}
