//! Integer arithmetic that fails when the result does not fit, where DataFusion's wraps around.
//!
//! The operators become functions rather than flags on DataFusion's own expression: those would be set after constants are
//! folded, and be lost when a plan travels as bytes. A chain of one operator becomes one call, so that what planning does for
//! each level of a tree it does once for all of it.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::physical_expr_common::datum::apply;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

static ADD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operation::Add));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operation::Subtract));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operation::Multiply));

/// The functions, for the state that plans are made and read with.
pub(in crate::plan) fn functions() -> [Arc<ScalarUDF>; 3] {
    [&ADD, &SUBTRACT, &MULTIPLY].map(|function| Arc::clone(function))
}

/// Plans arithmetic on integer constants as checked from the start: in the arguments of a table function they are folded
/// before any rule of the analyzer runs.
#[derive(Debug)]
pub(in crate::plan) struct Constants;

impl ExprPlanner for Constants {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        if !is_constant(&expr.left) || !is_constant(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Some(left), Some(right)) = (integer(&expr.left, schema), integer(&expr.right, schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let (common, other) = BinaryTypeCoercer::new(&left, &operator, &right).get_input_types()?;
        if common != other || !common.is_integer() {
            return Ok(PlannerResult::Original(expr));
        }
        let Some(function) = function_of(operator) else { return Ok(PlannerResult::Original(expr)) };
        let as_common =
            |side: Expr, its: DataType| if its == common { Ok(side) } else { side.cast_to(&common, schema) };
        let (left, right) = (as_common(expr.left, left)?, as_common(expr.right, right)?);
        Ok(PlannerResult::Planned(call(function, left, right)))
    }
}

/// Whether it has a value by itself. Calls that were made of constants need no second look.
fn is_constant(side: &Expr) -> bool {
    match side {
        Expr::Literal(..) => true,
        Expr::ScalarFunction(call) if is_checked(call) => true,
        other => other.column_refs().is_empty() && !other.contains_outer() && !other.is_volatile(),
    }
}

fn function_of(operator: Operator) -> Option<&'static Arc<ScalarUDF>> {
    match operator {
        Operator::Plus => Some(&ADD),
        Operator::Minus => Some(&SUBTRACT),
        Operator::Multiply => Some(&MULTIPLY),
        _ => None,
    }
}

/// The expression with checked arithmetic, if it is arithmetic on integers.
pub(super) fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let Some(function) = function_of(op) else {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            };
            match (integer(&left, schema), integer(&right, schema)) {
                (Some(a), Some(b)) if a == b => Ok(Transformed::yes(call(function, *left, *right))),
                _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            }
        }
        Expr::Negative(value) => match integer(&value, schema) {
            Some(data_type) => {
                let zero = lit(ScalarValue::new_zero(&data_type)?);
                Ok(Transformed::yes(call(&SUBTRACT, zero, *value)))
            }
            None => Ok(Transformed::no(Expr::Negative(value))),
        },
        other => Ok(Transformed::no(other)),
    }
}

/// The type of the expression, if it is an integer type.
fn integer(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        // All its arguments are of its type, and the last one is the least deep.
        Expr::ScalarFunction(call) if is_checked(call) => integer(call.args.last()?, schema),
        other => other.get_type(schema).ok().filter(DataType::is_integer),
    }
}

fn is_checked(call: &ScalarFunction) -> bool {
    call.func.inner().is::<Checked>()
}

/// The operator's call; a call of the same operator on the left side takes one more argument.
fn call(function: &Arc<ScalarUDF>, left: Expr, right: Expr) -> Expr {
    let arguments = match left {
        Expr::ScalarFunction(mut call) if call.func == *function => {
            call.args.push(right);
            call.args
        }
        left => vec![left, right],
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), arguments))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        })
    }
}

/// An operator between integers of one type, applied from left to right.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn function(operation: Operation) -> Arc<ScalarUDF> {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Self { operation, signature }))
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
        }
    }

    /// As the operator, so that columns are called what the user wrote.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|operand| operand.schema_name().to_string()).collect();
        Ok(names.join(&format!(" {} ", self.operation)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [first, rest @ ..] if first.is_integer() && !rest.is_empty() && rest.iter().all(|other| other == first) => {
                Ok(first.clone())
            }
            _ => internal_err!("{} takes integers of one type, at least two, not {arg_types:?}", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut operands = args.args.into_iter();
        let Some(first) = operands.next() else { return internal_err!("{} takes arguments", self.name()) };
        operands.try_fold(first, |left, right| match self.operation {
            Operation::Add => apply(&left, &right, add),
            Operation::Subtract => apply(&left, &right, sub),
            Operation::Multiply => apply(&left, &right, mul),
        })
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        let [first, rest @ ..] = input else { return internal_err!("{} takes arguments", self.name()) };
        rest.iter().try_fold((*first).clone(), |left, right| match self.operation {
            Operation::Add => left.add(*right),
            Operation::Subtract => left.sub(*right),
            Operation::Multiply => left.mul(*right),
        })
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let [first, rest @ ..] = inputs else { return internal_err!("{} takes arguments", self.name()) };
        Ok(rest.iter().fold(first.sort_properties, |left, right| match self.operation {
            Operation::Add => left.add(&right.sort_properties),
            Operation::Subtract => left.sub(&right.sort_properties),
            Operation::Multiply => SortProperties::Unordered,
        }))
    }
}
