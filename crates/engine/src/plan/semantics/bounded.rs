//! Functions that make much of little, bounded: a few rows of them could ask for more memory than there is, and a process that
//! does not get it is gone.

mod size;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::functions;
use datafusion::functions_nested;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{Error, ErrorKind, Subject};
use crate::units::ByteSize;
use size::Size;

/// The most that one call, for the rows of one batch, may make.
const LIMIT: u64 = 1 << 30;

static CONCAT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| bounded(functions::string::concat(), Size::Sum));

/// The functions, in the place of DataFusion's.
static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    vec![
        Arc::clone(&CONCAT),
        bounded(functions::string::repeat(), Size::Times),
        bounded(functions::unicode::lpad(), Size::Length),
        bounded(functions::unicode::rpad(), Size::Length),
        bounded(functions::string::concat_ws(), Size::Separated),
        bounded(functions::string::replace(), Size::Replaced),
        bounded(functions::regex::regexp_replace(), Size::Matched),
        bounded(functions_nested::repeat::array_repeat_udf(), Size::Times),
        bounded(functions_nested::resize::array_resize_udf(), Size::Resized),
        bounded(functions_nested::range::range_udf(), Size::Series),
        bounded(functions_nested::range::gen_series_udf(), Size::Series),
        bounded(functions_nested::concat::array_concat_udf(), Size::Sum),
        bounded(functions_nested::concat::array_append_udf(), Size::Sum),
        bounded(functions_nested::concat::array_prepend_udf(), Size::Sum),
        bounded(functions_nested::make_array::make_array_udf(), Size::Sum),
        bounded(functions_nested::string::array_to_string_udf(), Size::Joined),
        bounded(functions_nested::string::string_to_array_udf(), Size::Split),
    ]
});

static BY_NAME: LazyLock<HashMap<&'static str, &'static Arc<ScalarUDF>>> =
    LazyLock::new(|| FUNCTIONS.iter().map(|function| (function.name(), function)).collect());

fn bounded(inner: Arc<ScalarUDF>, size: Size) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Bounded { inner, size }))
}

/// The functions, in the place of those of the same name.
pub(in crate::plan) fn functions() -> Vec<Arc<ScalarUDF>> {
    FUNCTIONS.clone()
}

/// `concat`.
pub(super) fn concat() -> &'static ScalarUDF {
    &CONCAT
}

/// The bounded function, where DataFusion puts its own for an operator.
pub(super) fn measured(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(call) if !call.func.inner().is::<Bounded>() => match BY_NAME.get(call.func.name()) {
            Some(function) => {
                let call = ScalarFunction::new_udf(Arc::clone(function), call.args);
                Transformed::yes(Expr::ScalarFunction(call))
            }
            None => Transformed::no(Expr::ScalarFunction(call)),
        },
        other => Transformed::no(other),
    }
}

/// A function whose result is measured before it is made.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

impl Bounded {
    fn refused(&self, bytes: u64) -> Error {
        let (made, limit) = (ByteSize(bytes), ByteSize(LIMIT));
        let what = self.size.what();
        Error::new(
            ErrorKind::Resources,
            format!("{} would make {made} of {what} for one batch of rows, more than {limit}", self.name()),
        )
        .about(Subject::Memory)
        .hint(format!("make less {what}, or SET batch_size so that fewer rows are computed at once"))
    }

    /// Computes few rows at once, where what all of them may make is more than there may be, but is seldom made.
    fn invoke_by_parts(&self, arguments: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let (mut start, mut made) = (0, 0);
        while start < arguments.number_rows {
            let mut rows = arguments.number_rows - start;
            let mut part = part_of(arguments, start, rows);
            while let Some(bytes) = Some(self.size.of(&part)?).filter(|bytes| *bytes > LIMIT) {
                if rows == 1 {
                    return Err(self.refused(bytes).into());
                }
                rows /= 2;
                part = part_of(arguments, start, rows);
            }
            let result = self.inner.invoke_with_args(part)?.into_array(rows)?;
            made += size::of_texts(&result)?;
            if made > LIMIT {
                return Err(self.refused(made).into());
            }
            parts.push(result);
            start += rows;
        }
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(arrow::compute::concat(&parts)?))
    }
}

/// The arguments of some of the rows.
fn part_of(arguments: &ScalarFunctionArgs, start: usize, rows: usize) -> ScalarFunctionArgs {
    let part = |argument: &ColumnarValue| match argument {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    };
    ScalarFunctionArgs { args: arguments.args.iter().map(part).collect(), number_rows: rows, ..arguments.clone() }
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

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(arguments, context)? {
            ExprSimplifyResult::Simplified(expr) => ExprSimplifyResult::Simplified(measured(expr).data),
            original @ ExprSimplifyResult::Original(_) => original,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.size.of(&arguments)?;
        match bytes > LIMIT {
            false => self.inner.invoke_with_args(arguments),
            true if self.size.is_a_guess() => self.invoke_by_parts(&arguments),
            true => Err(self.refused(bytes).into()),
        }
    }
}
