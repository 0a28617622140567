//! The arguments of `generate_series` and `range`: constants of every width, and errors that say what is wrong with one.
//! DataFusion takes literals of one width, and shows what an expression is made of in place of why it has no value.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;

/// The table functions of the state, each with its arguments evaluated before it is called.
pub(in crate::plan) fn table_functions(state: &SessionState) -> Vec<(String, Arc<dyn TableFunctionImpl>)> {
    let evaluated = |(name, function): (&String, &Arc<datafusion::catalog::TableFunction>)| {
        let inner = Arc::clone(function.function());
        (name.clone(), Arc::new(Evaluated { name: name.clone(), inner }) as Arc<dyn TableFunctionImpl>)
    };
    state.table_functions().iter().map(evaluated).collect()
}

/// A table function whose arguments are literals by the time it is called.
#[derive(Debug)]
struct Evaluated {
    name: String,
    inner: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for Evaluated {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let session = args.session();
        let literals = args.exprs().iter().zip(1..).map(|(argument, number)| self.literal(argument, number, session));
        let literals = literals.collect::<Result<Vec<_>>>()?;
        self.inner.call_with_args(TableFunctionArgs::new(&literals, session))
    }
}

impl Evaluated {
    fn literal(&self, argument: &Expr, number: usize, session: &dyn Session) -> Result<Expr> {
        let value = match argument {
            Expr::Literal(value, _) => value.clone(),
            constant if constant.column_refs().is_empty() && !constant.contains_outer() => {
                // The folding of constants leaves what fails; its error is ours to tell.
                let empty = DFSchema::empty();
                let one_row = RecordBatchOptions::new().with_row_count(Some(1));
                let row = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &one_row)?;
                let value = session.create_physical_expr(constant.clone(), &empty)?.evaluate(&row)?;
                ScalarValue::try_from_array(&value.into_array(1)?, 0)?
            }
            other => return plan_err!("argument {number} of {} must be a constant, not {other}", self.name),
        };
        widened(value).map(lit)
    }
}

/// Integers of 64 bits and nanoseconds, which is what the functions know.
fn widened(value: ScalarValue) -> Result<ScalarValue> {
    match value.data_type() {
        DataType::Int64 => Ok(value),
        integer if integer.is_integer() => value.cast_to(&DataType::Int64),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, zone) => {
            value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone))
        }
        _ => Ok(value),
    }
}
