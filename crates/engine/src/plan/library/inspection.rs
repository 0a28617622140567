//! `typeof`, `len`, and `version`: what a value and the server are.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::functions;
use datafusion::functions_nested::length::array_length_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::documentation;
use crate::sql_type::sql_type;

/// The functions.
pub(super) fn functions() -> [Arc<ScalarUDF>; 3] {
    let type_of = TypeOf {
        signature: Signature::any(1, Volatility::Immutable),
        documentation: documentation("Returns the SQL name of the type of a value.", &["value"]),
    };
    let len = Len {
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: documentation(
            "Returns how many characters a text has, or how many elements a list.",
            &["value"],
        ),
    };
    let version = Version {
        signature: Signature::nullary(Volatility::Stable),
        documentation: documentation("Returns the version of the server.", &[]),
    };
    [type_of.into(), len.into(), version.into()].map(Arc::new)
}

/// The SQL name of the type of a value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &'static str {
        "typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = args.arg_fields.first().map(|field| sql_type(field.data_type()));
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(name)))
    }
}

/// The length of a text in characters, or of a list in elements.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Len {
    signature: Signature,
    documentation: Documentation,
}

impl Len {
    /// What answers for a value of the type.
    fn of(data_type: &DataType) -> Option<Arc<ScalarUDF>> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(functions::unicode::character_length()),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Some(array_length_udf()),
            _ => None,
        }
    }
}

impl ScalarUDFImpl for Len {
    fn name(&self) -> &'static str {
        "len"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Null] => Ok(vec![DataType::Utf8]),
            [one] if Self::of(one).is_some() => Ok(vec![one.clone()]),
            [other] => plan_err!("{} takes a text or a list, not {}", self.name(), sql_type(other)),
            _ => plan_err!("{} takes one argument, not {}", self.name(), types.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(Self::of) {
            Some(function) => function.return_type(types),
            None => plan_err!("{} takes a text or a list", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.arg_fields.first().and_then(|field| Self::of(field.data_type())) {
            Some(function) => function.invoke_with_args(args),
            None => plan_err!("{} takes a text or a list", self.name()),
        }
    }
}

/// Which server answers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Version {
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for Version {
    fn name(&self) -> &'static str {
        "version"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (version, engine) = (env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
        Ok(ColumnarValue::Scalar(ScalarValue::from(format!("Tidemill {version} (DataFusion {engine})"))))
    }
}
