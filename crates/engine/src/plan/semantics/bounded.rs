//! Functions that make long texts of short ones, bounded: a few rows of them could ask for more memory than there is, and
//! a process that does not get it is gone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::functions;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{Error, ErrorKind, Subject};
use crate::units::ByteSize;

/// The most that one call, for the rows of one batch, may make.
const LIMIT: u64 = 1 << 30;

/// The functions, in the place of DataFusion's.
pub(super) fn functions() -> [Arc<ScalarUDF>; 3] {
    let bounded = |inner: Arc<ScalarUDF>, size| Arc::new(ScalarUDF::from(Bounded { inner, size }));
    [
        bounded(functions::string::repeat(), Size::Times),
        bounded(functions::unicode::lpad(), Size::Length),
        bounded(functions::unicode::rpad(), Size::Length),
    ]
}

/// How the second argument tells the length of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Size {
    /// So many times as long as the first.
    Times,
    /// So many characters.
    Length,
}

/// A function whose result is measured before it is made.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

impl Bounded {
    /// Bytes that the result will take, at least.
    fn bytes(&self, arguments: &ScalarFunctionArgs) -> Result<u64> {
        let [text, count, ..] = arguments.args.as_slice() else { return Ok(0) };
        let counts = Numbers::of(as_given(count)?)?;
        let lengths = match self.size {
            Size::Times => Some(Numbers::of(lengths(&as_given(text)?)?)?),
            Size::Length => None,
        };
        let length = |row| lengths.as_ref().map_or(1, |lengths| lengths.at(row));
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        // A constant is computed once, whatever the number of rows.
        let rows = if constant { 1 } else { arguments.number_rows };
        Ok((0..rows).fold(0, |total: u64, row| total.saturating_add(counts.at(row).saturating_mul(length(row)))))
    }
}

/// The values of an argument: one, if it is a constant, for the rows of the batch could be more than there is memory for.
fn as_given(value: &ColumnarValue) -> Result<ArrayRef> {
    value.to_array(1)
}

/// The lengths of texts in bytes.
fn lengths(texts: &ArrayRef) -> Result<ArrayRef> {
    if texts.data_type().is_null() {
        return Ok(Arc::clone(texts));
    }
    Ok(arrow::compute::kernels::length::length(texts)?)
}

/// Numbers that count something, of which there may be one for all rows.
struct Numbers(PrimitiveArray<Int64Type>);

impl Numbers {
    fn of(numbers: ArrayRef) -> Result<Self> {
        Ok(Self(cast(&numbers, &DataType::Int64)?.as_primitive().clone()))
    }

    /// That of a row; 0 for NULL and for less than nothing.
    fn at(&self, row: usize) -> u64 {
        let row = if self.0.len() == 1 { 0 } else { row };
        if self.0.is_null(row) { 0 } else { u64::try_from(self.0.value(row)).unwrap_or(0) }
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.bytes(&arguments)?;
        if bytes > LIMIT {
            let message = format!(
                "{} would make {} of text for one batch of rows, more than {}",
                self.name(),
                ByteSize(bytes),
                ByteSize(LIMIT)
            );
            return Err(Error::new(ErrorKind::Resources, message)
                .about(Subject::Memory)
                .hint("make shorter texts")
                .into());
        }
        self.inner.invoke_with_args(arguments)
    }
}
