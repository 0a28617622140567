//! Other names of functions: those that PostgreSQL, DuckDB, MySQL and others know them by.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;

use crate::error::Result;

const SCALAR: &[(&str, &[&str])] = &[
    ("array_min", &["list_min"]),
    ("make_array", &["list_value"]),
    ("signum", &["sign"]),
    ("to_char", &["strftime"]),
    ("uuid", &["gen_random_uuid"]),
];

const AGGREGATE: &[(&str, &[&str])] = &[
    ("approx_distinct", &["approx_count_distinct"]),
    ("array_agg", &["list"]),
    ("bool_and", &["every"]),
    ("first_value", &["first"]),
    ("last_value", &["last"]),
    ("string_agg", &["group_concat", "listagg"]),
    ("var", &["variance"]),
];

/// Registers the functions again, under these names too.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    for (name, others) in SCALAR {
        let function = state.udf(name)?.as_ref().clone().with_aliases(others.iter().copied());
        state.register_udf(Arc::new(function))?;
    }
    for (name, others) in AGGREGATE {
        let function = state.udaf(name)?.as_ref().clone().with_aliases(others.iter().copied());
        state.register_udaf(Arc::new(function))?;
    }
    Ok(())
}
