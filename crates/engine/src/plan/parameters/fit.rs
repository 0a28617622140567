//! Values take the type that the statement expects of their parameter, where that loses nothing.
//!
//! Drivers send what they have: a null without a type, a `Utf8` for a text column, a `BIGINT` for an `INTEGER` one. A value
//! that would change by the cast keeps its type, so that `id = $1` with 2.5 finds no row with id 2; the values of an `INSERT`
//! are assigned to their columns, as literals are.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{LogicalPlan, WriteOp};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result, Subject};

/// The value for parameter `name`, of which the statement expects this type.
pub(super) fn fit(name: &str, value: &ScalarValue, expected: Option<&DataType>, assigned: bool) -> Result<ScalarValue> {
    let Some(expected) = expected.filter(|expected| **expected != value.data_type()) else { return Ok(value.clone()) };
    if !assigned && is_another_kind(value, expected) {
        return Ok(value.clone());
    }
    let cast = match value {
        // By its digits, as a literal.
        ScalarValue::Float64(Some(double)) if expected.is_decimal() && double.is_finite() => {
            ScalarValue::from(double.to_string()).cast_to(expected)
        }
        // As a cast in a statement rounds.
        ScalarValue::Float64(Some(double)) if expected.is_integer() => {
            ScalarValue::from(double.round_ties_even()).cast_to(expected)
        }
        ScalarValue::Decimal128(Some(_), precision, scale @ 1..) if expected.is_integer() => {
            value.cast_to(&DataType::Decimal128(*precision, 0)).and_then(|whole| whole.cast_to(expected))
        }
        value => value.cast_to(expected),
    };
    match cast {
        Ok(cast) if assigned || value.is_null() || keeps(value, &cast) => Ok(cast),
        Err(cause) if assigned => {
            let (given, expected) = (crate::sql_type(&value.data_type()), crate::sql_type(expected));
            Err(Error::new(
                crate::ErrorKind::Data,
                format!("the value of parameter {name}, {value} of type {given}, does not fit {expected}"),
            )
            .about(Subject::Parameter)
            .caused_by(cause))
        }
        Ok(_) | Err(_) => Ok(value.clone()),
    }
}

/// Whether the value is of another kind than expected, which operators treat otherwise: `5 / 2.0` is no division of whole
/// numbers, `DATE '2024-01-06' - 5` a date, and so is that date less a span of time.
fn is_another_kind(value: &ScalarValue, expected: &DataType) -> bool {
    let given = value.data_type();
    let is_span = |data_type: &DataType| matches!(data_type, DataType::Duration(_) | DataType::Interval(_));
    !value.is_null()
        && (given.is_floating() && expected.is_integer()
            || given.is_integer() && expected.is_temporal()
            || is_span(&given) && !is_span(expected))
}

/// Whether a cast took nothing away.
fn keeps(value: &ScalarValue, cast: &ScalarValue) -> bool {
    !cast.is_null() && cast.cast_to(&value.data_type()).is_ok_and(|back| back == *value)
}

/// Whether the parameters of a plan are values to be inserted: `INSERT ... VALUES`, and nothing else.
pub(super) fn assigns(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Dml(dml) = plan else { return false };
    if !matches!(dml.op, WriteOp::Insert(_)) {
        return false;
    }
    let mut input = dml.input.as_ref();
    while let LogicalPlan::Projection(projection) = input {
        input = projection.input.as_ref();
    }
    matches!(input, LogicalPlan::Values(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(value: ScalarValue, expected: &DataType, assigned: bool) -> ScalarValue {
        fit("$1", &value, Some(expected), assigned).unwrap()
    }

    #[test]
    fn a_value_takes_the_expected_type_where_that_loses_nothing() {
        assert_eq!(fitted(ScalarValue::Null, &DataType::Date32, false), ScalarValue::Date32(None));
        assert_eq!(fitted(ScalarValue::Int64(Some(7)), &DataType::Int32, false), ScalarValue::Int32(Some(7)));
        let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
        let view = ScalarValue::Utf8View(Some("x".to_owned()));
        assert_eq!(fitted(text("x"), &DataType::Utf8View, false), view);
        assert_eq!(fitted(text("1970-01-02"), &DataType::Date32, false), ScalarValue::Date32(Some(1)));
    }

    #[test]
    fn a_value_that_would_change_keeps_its_type() {
        let half = ScalarValue::Float64(Some(2.5));
        assert_eq!(fitted(half.clone(), &DataType::Int64, false), half);
        let large = ScalarValue::Int64(Some(1 << 40));
        assert_eq!(fitted(large.clone(), &DataType::Int32, false), large);
    }

    #[test]
    fn a_number_of_another_kind_keeps_its_type() {
        let two = ScalarValue::Float64(Some(2.0));
        assert_eq!(fitted(two.clone(), &DataType::Int64, false), two);
        let days = ScalarValue::Int64(Some(5));
        assert_eq!(fitted(days.clone(), &DataType::Date32, false), days);
    }

    #[test]
    fn a_value_to_be_inserted_is_assigned_or_refused() {
        let tenth = ScalarValue::Float64(Some(0.1));
        assert_eq!(fitted(tenth, &DataType::Float32, true), ScalarValue::Float32(Some(0.1)));
        let digits = ScalarValue::Decimal128(Some(101), 10, 2);
        assert_eq!(fitted(ScalarValue::Float64(Some(1.005)), &DataType::Decimal128(10, 2), true), digits);
        assert_eq!(fitted(ScalarValue::Float64(Some(2.6)), &DataType::Int64, true), ScalarValue::Int64(Some(3)));
        assert_eq!(
            fitted(ScalarValue::Decimal128(Some(26), 2, 1), &DataType::Int64, true),
            ScalarValue::Int64(Some(3))
        );
        let text = ScalarValue::Utf8(Some("x".to_owned()));
        let error = fit("$2", &text, Some(&DataType::Int64), true).unwrap_err();
        assert!(error.message().contains("$2") && error.message().contains("BIGINT"), "{error}");
    }
}
