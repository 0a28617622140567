//! Functions that SQL has elsewhere and DataFusion does not, or under another name.

mod date_difference;
mod date_parts;
mod inspection;
mod local_time;
mod macros;
mod names;
mod session_values;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DocSection, Documentation, ScalarUDF};

use crate::catalog::FunctionInfo;
use crate::error::Result;

pub(super) use macros::expand_macros;
pub(crate) use session_values::about_session;

/// Registers functions under other names, and the values of a session, which are known with the session.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for function in about_session("", "", "") {
        state.register_udf(function)?;
    }
    names::register(state)
}

/// The functions of which there is one for all sessions.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions: Vec<Arc<ScalarUDF>> = date_parts::functions();
    functions.extend([date_difference::function(), local_time::function()]);
    functions.extend(inspection::functions());
    functions
}

/// What stands for other expressions, for listings.
pub(super) fn listed() -> impl Iterator<Item = FunctionInfo> {
    macros::listed()
}

/// What listings say of a function.
fn documentation(description: impl Into<String>, arguments: &[&str]) -> Documentation {
    let builder = Documentation::builder(DocSection::default(), description, arguments.join(", "));
    arguments.iter().fold(builder, |builder, name| builder.with_argument(*name, "")).build()
}
