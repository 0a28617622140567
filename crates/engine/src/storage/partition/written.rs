//! Values on their way into the names of folders.
//!
//! DataFusion splits rows by the text of their partition columns and percent-encodes it as the path of an object wants it. It
//! knows no NULL, and leaves a `=` as it is, with which others take a folder for no partition. So the columns are turned into
//! text before: NULL into Hive's word for it, and what is to be encoded besides into characters for private use, of which
//! DataFusion makes three encoded bytes and [`folders_of`], in the end, the one that was meant.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use object_store::path::Path;

use super::NULL;
use crate::{Error, ErrorKind, Result, Subject};

/// The first of the characters that stand for a byte to be encoded.
const PRIVATE: u32 = 0xE000;

/// The function from a value to what the name of its folder says after the `=`.
pub(crate) fn folder_value() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(FolderValue { signature: Signature::any(1, Volatility::Immutable) }))
}

/// The rows of `input` with the columns that choose their folders as text.
pub(in crate::storage) fn with_folder_values(
    input: Arc<dyn ExecutionPlan>,
    columns: &[&str],
    options: &Arc<ConfigOptions>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let expression = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
        let alias = field.name().clone();
        let mut expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&alias, at));
        if columns.contains(&alias.as_str()) {
            let function = ScalarFunctionExpr::try_new(folder_value(), vec![expr], &schema, Arc::clone(options))?;
            expr = Arc::new(function);
        }
        Ok(ProjectionExpr { expr, alias })
    };
    let expressions = schema.fields().iter().enumerate().map(expression).collect::<DataFusionResult<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(expressions, input)?))
}

/// The path with the names of its folders as Hive has them.
pub(in crate::storage) fn folders_of(location: &Path) -> Path {
    let text = location.as_ref();
    let mut changed = text.to_owned();
    for byte in PRIVATELY_WRITTEN {
        changed = changed.replace(&in_a_path(byte), &format!("%{byte:02X}"));
    }
    // What is no path after that was none before.
    if changed == text { location.clone() } else { Path::parse(&changed).unwrap_or_else(|_| location.clone()) }
}

/// The bytes that are encoded by way of a private character.
const PRIVATELY_WRITTEN: [u8; 2] = [b'=', b'_'];

/// What becomes of the private character of a byte in a path.
fn in_a_path(byte: u8) -> String {
    private(byte).to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn private(byte: u8) -> char {
    char::from_u32(PRIVATE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The text that stands for a value, before DataFusion encodes it.
fn folder_text(value: &str) -> Result<String> {
    if let Some(taken) = value.chars().find(|c| PRIVATELY_WRITTEN.iter().any(|byte| *c == private(*byte))) {
        return Err(Error::new(
            ErrorKind::Data,
            format!("the character U+{:04X} can not be part of the value of a partition", u32::from(taken)),
        )
        .about(Subject::File));
    }
    let encoded = value.replace('=', &private(b'=').to_string());
    Ok(if value == NULL { encoded.replacen('_', &private(b'_').to_string(), 1) } else { encoded })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FolderValue {
    signature: Signature,
}

impl FolderValue {
    fn of(values: &ArrayRef) -> Result<ArrayRef> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let texts = cast_with_options(values, &DataType::Utf8, &strict)?;
        let text = |text: Option<&str>| text.map_or_else(|| Ok(NULL.to_owned()), folder_text);
        let named = texts.as_string::<i32>().iter().map(text).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StringArray::from(named)))
    }
}

impl ScalarUDFImpl for FolderValue {
    fn name(&self) -> &str {
        "folder_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        match arguments {
            [value] if value.is_nested() || value.is_binary() => {
                let name = crate::sql_type(value);
                Err(Error::unsupported(format!("files can not be partitioned by a column of type {name}"))
                    .hint("cast the column to text")
                    .into())
            }
            _ => Ok(DataType::Utf8),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [value] = arguments.args.as_slice() else {
            return datafusion::common::internal_err!("folder_value takes one value");
        };
        Ok(ColumnarValue::Array(Self::of(&value.to_array(arguments.number_rows)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the folder as it is written in the end.
    fn written(value: Option<&str>) -> String {
        let values: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let text = FolderValue::of(&values).unwrap();
        let folder = Path::from("t").join(format!("k={}", text.as_string::<i32>().value(0)));
        folders_of(&folder.join("x.parquet")).as_ref().to_owned()
    }

    #[test]
    fn folders_are_named_as_others_name_them() {
        for (value, folder) in [
            (Some("a/b"), "k=a%2Fb"),
            (Some("x=y"), "k=x%3Dy"),
            (Some("50%"), "k=50%25"),
            (Some("ü_z"), "k=%C3%BC_z"),
            (Some(""), "k="),
            (Some("__HIVE_DEFAULT_PARTITION__"), "k=%5F_HIVE_DEFAULT_PARTITION__"),
            (None, "k=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(written(value), format!("t/{folder}/x.parquet"), "{value:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let store = url::Url::parse("file:///").unwrap();
        let column = [super::super::PartitionColumn { name: "k".to_owned(), data_type: DataType::Utf8 }];
        for value in
            [None, Some(""), Some("%3D = /?#*\\{}~|\"'"), Some("%"), Some("ä%41"), Some("\n\t\u{1}"), Some(NULL)]
        {
            let read = super::super::values(&Path::parse(written(value)).unwrap(), &column, &store).unwrap();
            assert_eq!(read, [datafusion::common::ScalarValue::Utf8(value.map(str::to_owned))]);
        }
    }

    #[test]
    fn characters_that_mean_something_here_are_refused() {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["\u{E03D}"]));
        assert!(FolderValue::of(&values).unwrap_err().message().contains("U+E03D"));
    }
}
