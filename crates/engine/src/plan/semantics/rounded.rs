//! A cast to an integer rounds, as in PostgreSQL and DuckDB: a half goes to the even neighbour of a double, and away from zero
//! of a decimal. DataFusion's cuts the fraction.
//!
//! A literal with a point is exact in SQL, so its half goes away from zero.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast,
    Volatility,
};
use datafusion::scalar::ScalarValue;

static TO_EVEN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(ToEven { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&TO_EVEN)
}

/// The cast of a number without a fraction, if it is one to an integer.
pub(super) fn first(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_integer() => {
            Ok(whole(*expr, schema).update_data(|number| Expr::Cast(Cast { expr: Box::new(number), field })))
        }
        Expr::TryCast(TryCast { expr, field }) if field.data_type().is_integer() => {
            Ok(whole(*expr, schema).update_data(|number| Expr::TryCast(TryCast { expr: Box::new(number), field })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn whole(number: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match number {
        Expr::Literal(ScalarValue::Float64(Some(value)), metadata) => {
            let whole = value.round();
            let changed = whole.to_bits() != value.to_bits();
            Transformed::new_transformed(Expr::Literal(ScalarValue::Float64(Some(whole)), metadata), changed)
        }
        Expr::ScalarFunction(call) if call.func.name() == TO_EVEN.name() => Transformed::no(Expr::ScalarFunction(call)),
        number => match number.get_type(schema) {
            Ok(data_type) if data_type.is_floating() => {
                Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function(), vec![number])))
            }
            Ok(data_type) => match without_scale(&data_type) {
                Some(whole) => Transformed::yes(Expr::Cast(Cast::new(Box::new(number), whole))),
                None => Transformed::no(number),
            },
            Err(_) => Transformed::no(number),
        },
    }
}

/// The decimal type that holds the whole numbers next to those of the type, which has a scale.
fn without_scale(data_type: &DataType) -> Option<DataType> {
    let digits = |precision: u8, scale: i8| {
        let scale = u8::try_from(scale).ok().filter(|scale| *scale > 0)?;
        Some(precision.saturating_sub(scale) + 1)
    };
    match data_type {
        DataType::Decimal32(precision, scale) => digits(*precision, *scale).map(|whole| DataType::Decimal32(whole, 0)),
        DataType::Decimal64(precision, scale) => digits(*precision, *scale).map(|whole| DataType::Decimal64(whole, 0)),
        DataType::Decimal128(precision, scale) => {
            digits(*precision, *scale).map(|whole| DataType::Decimal128(whole, 0))
        }
        DataType::Decimal256(precision, scale) => {
            digits(*precision, *scale).map(|whole| DataType::Decimal256(whole, 0))
        }
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToEven {
    signature: Signature,
}

impl ScalarUDFImpl for ToEven {
    fn name(&self) -> &'static str {
        "round_to_even"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [number] if number.is_floating() => Ok(number.clone()),
            _ => internal_err!("{} takes a float, not {types:?}", self.name()),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [number] = args.args.as_slice() else { return internal_err!("{} takes one argument", self.name()) };
        match number {
            ColumnarValue::Array(numbers) => Ok(ColumnarValue::Array(to_even(numbers)?)),
            ColumnarValue::Scalar(number) => {
                let whole = to_even(&number.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(whole.as_ref(), 0)?))
            }
        }
    }
}

fn to_even(numbers: &ArrayRef) -> Result<ArrayRef> {
    Ok(match numbers.data_type() {
        DataType::Float64 => {
            Arc::new(numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even))
        }
        DataType::Float32 => {
            Arc::new(numbers.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even))
        }
        DataType::Float16 => cast(&to_even(&cast(numbers, &DataType::Float32)?)?, &DataType::Float16)?,
        other => return internal_err!("{other} is no float"),
    })
}
