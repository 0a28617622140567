//! Plans that arrive as Substrait instead of SQL: dataframes of other libraries, as protobuf.
//!
//! A plan is decoded, surveyed (what it names, and whether all of it can be read), and read by DataFusion; from there it goes
//! the way of SQL. Names are looked up as those of SQL are. The format: <https://substrait.io>.

use std::collections::HashMap;

use bytes::Bytes;
use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion_substrait::extensions::Extensions;
use datafusion_substrait::logical_plan::consumer::from_substrait_plan_with_consumer;
use datafusion_substrait::serializer::deserialize_bytes;
use datafusion_substrait::substrait::proto::extensions::simple_extension_declaration::MappingType;
use datafusion_substrait::substrait::proto::plan_rel::RelType;
use datafusion_substrait::substrait::proto::{Plan, Rel};
use datafusion_substrait::substrait::version::version;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::extent;
use super::logical::Names;
use super::suggest::closest;
use crate::cache::Digester;
use crate::catalog::{NamedTables, SessionCatalogs};
use crate::error::{Error, ErrorKind, Result, Subject, catch_panic};

mod insert;
mod reader;
mod reshape;
mod survey;
#[cfg(test)]
mod tests;

use insert::Insert;
use reader::Reader;
use survey::Survey;

/// Since this version the names of functions carry the types of their arguments; older plans may mean other functions.
const OLDEST: &str = "0.32.0";

/// The oldest and the newest version of Substrait whose plans are understood.
pub fn substrait_versions() -> [String; 2] {
    let newest = version();
    let newest = format!("{}.{}.{}", newest.major_number, newest.minor_number, newest.patch_number);
    [OLDEST.to_owned(), newest]
}

/// The plan that the bytes hold, and the state that it was planned with.
///
/// # Errors
/// `Invalid` for what is no plan, `Unsupported` with the name of the relation or expression that can not be read, and those of
/// names that are not found.
pub(super) fn logical<'a>(
    names: &'a Names<'_>,
    bytes: &'a Bytes,
) -> BoxFuture<'a, Result<(SessionState, LogicalPlan)>> {
    async move {
        let mut plan = decode(bytes)?;
        let declarations = Declarations::of(&mut plan)?;
        let insert = insert::split(&mut plan)?;
        let tables = Survey::of(root(&mut plan)?, &declarations)?;
        let mut state = names.planning_state()?;
        let catalogs = names.catalogs(NamedTables::new(), tables.iter().cloned()).await?;
        for table in tables.iter().chain(insert.as_ref().map(Insert::table)) {
            require(&catalogs, table).await?;
        }
        state.register_catalog_list(std::sync::Arc::new(catalogs.clone()));
        let read = read(&state, &plan).await?;
        extent::check_plan(&read, &names.limits())?;
        let plan = match insert {
            Some(insert) => insert.plan(&state, &catalogs, read).await?,
            None => read,
        };
        Ok((state, plan))
    }
    .boxed()
}

/// The plan in the place of a statement's text, where it is told apart from others.
pub(super) fn digest(bytes: &Bytes) -> String {
    format!("substrait {}", Digester::new("substrait plan").add(&bytes[..]).end())
}

/// What the bytes hold does not make sense.
fn malformed(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the Substrait plan is malformed: {what}"))
}

/// What the plan holds is Substrait, but nothing here reads it.
fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("the Substrait plan holds {what}, which is not supported"))
}

fn decode(bytes: &Bytes) -> Result<Plan> {
    let plan = *deserialize_bytes(bytes).map_err(|error| {
        let reason = error.strip_backtrace();
        // The path to the place says little, and is as long as the plan is deep.
        let reason = reason.rsplit(": ").next().unwrap_or_default();
        let has_words = reason.contains(char::is_alphabetic);
        malformed(if has_words { reason } else { "it is no protobuf message" })
            .hint("send a message of type substrait.Plan, as protobuf")
    })?;
    if !plan.parameter_bindings.is_empty() {
        return Err(unsupported("values of parameters (parameter_bindings)").hint("bind them to the request instead"));
    }
    survey::no_enhancement(plan.advanced_extensions.as_ref())?;
    Ok(plan)
}

/// What a plan says of all of itself.
#[derive(Debug, Default)]
struct Declarations {
    /// Whether DataFusion made it, which has some things in ways of its own.
    by_datafusion: bool,
    /// The names of functions, by the anchors that calls refer to.
    functions: HashMap<u32, String>,
    /// The names of types, by theirs.
    types: HashMap<u32, String>,
}

impl Declarations {
    fn of(plan: &mut Plan) -> Result<Self> {
        let by_datafusion = plan.version.as_ref().is_some_and(|version| version.producer == "datafusion");
        let mut declared = Self { by_datafusion, ..Self::default() };
        for declaration in &mut plan.extensions {
            let (what, anchor, earlier) = match &mut declaration.mapping_type {
                Some(MappingType::ExtensionFunction(function)) => {
                    if function.name.split(':').next() == Some("xor") {
                        // The same for booleans; DataFusion would repeat the arguments, and theirs, and theirs.
                        "not_equal".clone_into(&mut function.name);
                    }
                    let anchor = function.function_anchor;
                    ("functions", anchor, declared.functions.insert(anchor, function.name.clone()))
                }
                Some(MappingType::ExtensionType(own)) => {
                    ("types", own.type_anchor, declared.types.insert(own.type_anchor, own.name.clone()))
                }
                Some(MappingType::ExtensionTypeVariation(variation)) => {
                    return Err(unsupported(format!("the type variation '{}'", variation.name)));
                }
                None => return Err(malformed("one of its extensions declares nothing")),
            };
            if earlier.is_some() {
                return Err(malformed(format!("it declares two {what} with the anchor {anchor}")));
            }
        }
        Ok(declared)
    }
}

/// The one relation that the plan computes.
fn root(plan: &mut Plan) -> Result<&mut Rel> {
    match plan.relations.as_mut_slice() {
        [] => Err(malformed("it has no relation")),
        [one] => match one.rel_type.as_mut() {
            Some(RelType::Rel(relation)) => Ok(relation),
            Some(RelType::Root(root)) => root.input.as_mut().ok_or_else(|| malformed("its root has no input")),
            None => Err(malformed("its relation is empty")),
        },
        several => Err(unsupported(format!("{} relations", several.len())).hint("send one plan with one root")),
    }
}

/// Whether there is such a table.
async fn require(catalogs: &SessionCatalogs, table: &TableReference) -> Result<()> {
    let name = catalogs.resolve(table.clone());
    if catalogs.table_type(&name).await?.is_some() {
        return Ok(());
    }
    Err(Error::not_found(Subject::Table, format!("table '{name}' not found")).suggest(catalogs.suggest_table(table)))
}

/// Has DataFusion read the plan.
async fn read(state: &SessionState, plan: &Plan) -> Result<LogicalPlan> {
    let extensions = Extensions::try_from(&plan.extensions)?;
    let reader = Reader::new(&extensions, state, plan);
    let read = catch_panic(async { Ok(from_substrait_plan_with_consumer(&reader, plan).await?) }).await;
    read.map_err(|error| match error.kind() {
        ErrorKind::Internal => malformed(error.message().trim_start_matches("the query panicked: ")),
        ErrorKind::Unsupported => unknown_function(&error, state).unwrap_or(error),
        ErrorKind::Invalid if error.message().contains("apply_projection") => {
            Error::unsupported("the Substrait plan reads a view whose columns are others than its base_schema says")
                .hint("name all columns of the view, in their order")
        }
        _ => error,
    })
}

/// The error for a function that there is not, if that is what the error is about.
fn unknown_function(error: &Error, state: &SessionState) -> Option<Error> {
    let message = error.message();
    let named = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split(" is not supported").next());
    let (name, known): (&str, Vec<&String>) = if let Some(name) = named("Unsupported function name: ") {
        (name.trim_matches('"'), state.scalar_functions().keys().collect())
    } else if let Some(name) = named("Aggregate function ") {
        (name, state.aggregate_functions().keys().collect())
    } else if let Some(name) = named("Window function ") {
        (name, state.window_functions().keys().chain(state.aggregate_functions().keys()).collect())
    } else {
        return None;
    };
    let name = name.split(':').next().unwrap_or_default();
    let not_found = Error::not_found(Subject::Function, format!("function '{name}' not found"))
        .suggest(closest(name, known.into_iter().map(String::as_str)))
        .hint("SELECT name FROM system.functions lists all functions");
    Some(not_found)
}
