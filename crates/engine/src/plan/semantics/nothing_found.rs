//! A scalar subquery without a row is NULL, also where its column holds none. DataFusion takes the column's word for it, and
//! fails when there is no row.
//!
//! So the column is handed on by a function of which nobody knows that it gives what it gets.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::internal_err;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Subquery, Volatility,
};

static NULLABLE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    // Volatile, so that it is not folded when its argument is a constant.
    let signature = Signature::any(1, Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(Nullable { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&NULLABLE)
}

/// The subquery with a column that may hold NULL, if the expression is one that may find nothing.
pub(super) fn admitted(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = expr else { return Ok(Transformed::no(expr)) };
    // With a correlation, it has become the right side of an outer join by then.
    let known = subquery.subquery.schema().field(0).is_nullable()
        || !subquery.outer_ref_columns.is_empty()
        || has_one_row(&subquery.subquery);
    if known {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    }
    let column = Expr::from(subquery.subquery.schema().qualified_field(0));
    let name = subquery.subquery.schema().field(0).name().clone();
    let call = Expr::ScalarFunction(ScalarFunction::new_udf(function(), vec![column]));
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project([call.alias(name)])?.build()?;
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery })))
}

/// Whether it is an aggregation of everything.
pub(super) fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(Aggregate { group_expr, .. }) => group_expr.is_empty(),
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Sort(sort) => has_one_row(&sort.input),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nullable {
    signature: Signature,
}

impl ScalarUDFImpl for Nullable {
    fn name(&self) -> &'static str {
        "nullable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [only] => Ok(only.clone()),
            _ => internal_err!("{} takes one argument, not {arg_types:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [field] = args.arg_fields else { return internal_err!("{} takes one argument", self.name()) };
        Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return internal_err!("{} takes one argument", self.name()) };
        Ok(value.clone())
    }
}
