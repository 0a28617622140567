//! The functions of SQL: one list for every statement, and what `system.functions` says of them.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF, Signature};
use datafusion::optimizer::Analyzer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use super::{attended, library, parameters, semantics};
use crate::catalog::{FunctionInfo, FunctionKind};
use crate::error::Result;
use crate::run::CpuThreads;
use crate::storage::ReadCalls;

/// The time zone of a session that sets none.
const TIME_ZONE: &str = "UTC";

/// The state that every statement starts from.
pub(crate) fn base_state(runtime: Arc<RuntimeEnv>, cpu_threads: usize) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(cpu_threads);
    config.options_mut().execution.time_zone = Some(TIME_ZONE.to_owned());
    config.set_extension(Arc::new(CpuThreads(cpu_threads)));
    let options = config.options_mut();
    // Positions in error messages need the parser's spans.
    options.sql_parser.collect_spans = true;
    // The file a table is read from decides where its rows are filtered best.
    options.execution.parquet.pushdown_filters = false;
    let mut analyzers = Analyzer::new().rules;
    analyzers.extend(semantics::rules());
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_expr_planners(vec![
            Arc::new(attended::Asking),
            Arc::new(semantics::Decimals),
            Arc::new(semantics::Constants),
            Arc::new(semantics::Intervals),
            Arc::new(parameters::Operands),
        ])
        .with_relation_planners(vec![
            Arc::new(attended::Asking),
            Arc::new(semantics::Merging),
            Arc::new(semantics::Unnesting),
        ])
        .with_analyzer_rules(attended::analyzers(analyzers))
        .with_optimizer_rules(attended::optimizers(semantics::optimizer_rules()))
        .with_physical_optimizer_rules(attended::physical_optimizers(PhysicalOptimizer::new().rules))
        .with_default_features()
        .build();
    datafusion_functions_json::register_all(&mut state)?;
    let own = OwnFunctions::list();
    library::register(&mut state)?;
    for function in own.scalars {
        state.register_udf(function)?;
    }
    for function in own.aggregates {
        state.register_udaf(function)?;
    }
    for (name, function) in semantics::table_functions(&state) {
        state.register_udtf(&name, function);
    }
    follow_config(&mut state)?;
    Ok(state)
}

/// The functions of the engine's own: those that its rules put into plans, and those in the place of DataFusion's.
#[derive(Debug)]
pub(crate) struct OwnFunctions {
    pub(crate) scalars: Vec<Arc<ScalarUDF>>,
    pub(crate) aggregates: Vec<Arc<AggregateUDF>>,
}

impl OwnFunctions {
    pub(crate) fn list() -> Self {
        let mut aggregates = vec![semantics::exact_sum()];
        aggregates.extend(semantics::aggregates());
        let mut scalars = semantics::functions();
        scalars.extend(semantics::bounded_functions());
        scalars.extend(library::functions());
        Self { scalars, aggregates }
    }
}

/// Lets the functions that depend on the configuration, such as `now`, see that of the state.
pub(crate) fn follow_config(state: &mut SessionState) -> Result<()> {
    let options = Arc::clone(state.config_options());
    let updated: Vec<ScalarUDF> = state
        .scalar_functions()
        .values()
        .filter_map(|function| function.inner().with_updated_config(&options))
        .collect();
    for function in updated {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// Every function that SQL can call, by name.
pub(crate) fn function_list(state: &SessionState) -> Vec<FunctionInfo> {
    let mut list = Vec::new();
    for (name, function) in state.scalar_functions().iter().filter(|(name, _)| !is_internal(name)) {
        list.push(describe(name, FunctionKind::Scalar, Some(function.signature()), function.documentation()));
    }
    for (name, function) in state.aggregate_functions().iter().filter(|(name, _)| !is_internal(name)) {
        list.push(describe(name, FunctionKind::Aggregate, Some(function.signature()), function.documentation()));
    }
    for (name, function) in state.window_functions() {
        list.push(describe(name, FunctionKind::Window, Some(function.signature()), function.documentation()));
    }
    for name in state.table_functions().keys() {
        list.push(describe(name, FunctionKind::Table, None, None));
    }
    list.extend(library::listed());
    for name in ReadCalls::functions() {
        list.push(FunctionInfo {
            name: name.to_owned(),
            kind: FunctionKind::Table,
            arguments: "path or [paths], option => value, ...".to_owned(),
            return_type: None,
            description: Some("Reads files as a table; the columns are those that the files tell.".to_owned()),
            example: Some(format!("SELECT * FROM {name}('data/*')")),
        });
    }
    list.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.kind.name().cmp(b.kind.name())));
    list
}

/// Functions that stand for operators, or for others where those answer wrongly; nobody calls them by name.
fn is_internal(name: &str) -> bool {
    semantics::functions().iter().any(|function| function.name() == name)
        || semantics::aggregates().iter().any(|function| function.name() == name)
}

fn describe(
    name: &str,
    kind: FunctionKind,
    signature: Option<&Signature>,
    documentation: Option<&Documentation>,
) -> FunctionInfo {
    let documented = documentation.and_then(|doc| doc.arguments.as_ref());
    let arguments = match (documented, signature) {
        (Some(arguments), _) => arguments.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        (None, Some(signature)) => signature.type_signature.to_string_repr().join(" | "),
        (None, None) => String::new(),
    };
    FunctionInfo {
        name: name.to_owned(),
        kind,
        arguments,
        return_type: None,
        description: documentation.map(|doc| doc.description.trim().to_owned()),
        example: documentation.and_then(|doc| doc.sql_example.clone()).map(|example| example.trim().to_owned()),
    }
}
