//! `||` between texts as a function: its result is measured before it is made, and a chain of them is one call.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{is_null, nullif, or};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::bounded;

static CONCATENATION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Concatenation { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&CONCATENATION)
}

/// The function in the place of the operator, if it is between texts of one type.
pub(super) fn measured(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            match (text(&left, schema), text(&right, schema)) {
                (Some(one), Some(other)) if one == other => Ok(Transformed::yes(call(*left, *right))),
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, Operator::StringConcat, right)))),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The type of the expression, if it is a text.
fn text(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        // All its arguments are of its type.
        Expr::ScalarFunction(call) if is_concatenation(call) => text(call.args.last()?, schema),
        other => other.get_type(schema).ok().filter(DataType::is_string),
    }
}

fn is_concatenation(call: &ScalarFunction) -> bool {
    call.func.inner().is::<Concatenation>()
}

/// The operator's call; a call on the left side takes one more argument.
fn call(left: Expr, right: Expr) -> Expr {
    let arguments = match left {
        Expr::ScalarFunction(mut call) if is_concatenation(&call) => {
            call.args.push(right);
            call.args
        }
        left => vec![left, right],
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(function(), arguments))
}

/// As `concat`, but NULL if one of the texts is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &'static str {
        "text_concatenation"
    }

    /// As the operator, so that columns are called what the user wrote.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|text| text.schema_name().to_string()).collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [first, rest @ ..] if first.is_string() && rest.iter().all(|other| other == first) => Ok(first.clone()),
            _ => internal_err!("{} takes texts of one type, not {arg_types:?}", self.name()),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut missing: Option<BooleanArray> = None;
        for text in &args.args {
            match text {
                ColumnarValue::Scalar(value) if value.is_null() => {
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
                }
                ColumnarValue::Array(texts) if texts.null_count() > 0 => {
                    let these = is_null(texts)?;
                    missing = Some(match missing {
                        Some(others) => or(&others, &these)?,
                        None => these,
                    });
                }
                ColumnarValue::Scalar(_) | ColumnarValue::Array(_) => {}
            }
        }
        let texts = bounded::concat().invoke_with_args(args)?;
        match missing {
            Some(missing) => {
                let texts: ArrayRef = texts.into_array(rows)?;
                Ok(ColumnarValue::Array(nullif(&texts, &missing)?))
            }
            None => Ok(texts),
        }
    }
}
