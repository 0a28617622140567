//! `timezone(zone, t)`, which is `t AT TIME ZONE zone`: a local time becomes the instant that the zone's clocks show it at, an
//! instant becomes the local time that they show then. DataFusion gives an instant in both cases.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::functions;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::documentation;
use crate::sql_type::sql_type;

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let description =
        "Returns the instant at which the clocks of a zone show a time, or the time that they show at an instant.";
    let documentation = documentation(description, &["zone", "time"]);
    Arc::new(ScalarUDF::new_from_impl(TimeZone { signature, documentation }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeZone {
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for TimeZone {
    fn name(&self) -> &'static str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Date32, Date64, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
        let [Utf8 | LargeUtf8 | Utf8View | Null, time] = types else {
            return plan_err!("{0} takes the name of a time zone and a timestamp", self.name());
        };
        match time {
            Timestamp(..) => Ok(vec![Utf8, time.clone()]),
            Date32 | Date64 | Utf8 | LargeUtf8 | Utf8View | Null => {
                Ok(vec![Utf8, Timestamp(TimeUnit::Nanosecond, None)])
            }
            other => plan_err!("AT TIME ZONE takes a timestamp, not {}", sql_type(other)),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its first argument", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ([_, time], [zone, _]) = (args.arg_fields, args.scalar_arguments) else {
            return internal_err!("{} takes two arguments", self.name());
        };
        let Some(zone) = zone.and_then(|zone| zone.try_as_str().flatten()) else {
            return plan_err!("AT TIME ZONE takes a constant name of a time zone");
        };
        let data_type = match time.data_type() {
            DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, Some(zone.into())),
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
            other => return plan_err!("AT TIME ZONE takes a timestamp, not {}", sql_type(other)),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, time.is_nullable())))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ([zone, time], [_, field]) = (args.args.as_slice(), args.arg_fields.as_slice()) else {
            return internal_err!("{} takes two arguments", self.name());
        };
        let DataType::Timestamp(unit, Some(_)) = field.data_type() else {
            return time.cast_to(args.return_field.data_type(), None);
        };
        let ColumnarValue::Scalar(zone) = zone else { return plan_err!("AT TIME ZONE takes a constant") };
        let zone = zone.try_as_str().flatten().unwrap_or_default();
        let there = DataType::Timestamp(*unit, Some(zone.into()));
        let time = time.cast_to(&there, None)?;
        args.args = vec![time];
        args.arg_fields = vec![Arc::new(Field::new("time", there, true))];
        functions::datetime::to_local_time().invoke_with_args(args)
    }
}
