//! Integer arithmetic that fails when the result does not fit, where DataFusion's wraps around.
//!
//! The operators become functions rather than flags on DataFusion's own expression: those would be set after constants are
//! folded, and be lost when a plan travels as bytes.

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
        let constant = |side: &Expr| side.column_refs().is_empty() && !side.contains_outer() && !side.is_volatile();
        if !constant(&expr.left) || !constant(&expr.right) {
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
        let (left, right) = (expr.left.cast_to(&common, schema)?, expr.right.cast_to(&common, schema)?);
        Ok(PlannerResult::Planned(call(function, left, right)))
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
    expr.get_type(schema).ok().filter(DataType::is_integer)
}

fn call(function: &Arc<ScalarUDF>, left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![left, right]))
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

/// An operator on two integers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn function(operation: Operation) -> Arc<ScalarUDF> {
        let signature = Signature::any(2, Volatility::Immutable);
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
        let [left, right] = args else { return internal_err!("{} takes two arguments", self.name()) };
        Ok(format!("{} {} {}", left.schema_name(), self.operation, right.schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [left, right] if left == right && left.is_integer() => Ok(left.clone()),
            _ => internal_err!("{} takes two integers of one type, not {arg_types:?}", self.name()),
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
        let [left, right] = args.args.as_slice() else { return internal_err!("{} takes two arguments", self.name()) };
        match self.operation {
            Operation::Add => apply(left, right, add),
            Operation::Subtract => apply(left, right, sub),
            Operation::Multiply => apply(left, right, mul),
        }
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        let [left, right] = input else { return internal_err!("{} takes two arguments", self.name()) };
        match self.operation {
            Operation::Add => left.add(*right),
            Operation::Subtract => left.sub(*right),
            Operation::Multiply => left.mul(*right),
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let [left, right] = inputs else { return internal_err!("{} takes two arguments", self.name()) };
        Ok(match self.operation {
            Operation::Add => left.sort_properties.add(&right.sort_properties),
            Operation::Subtract => left.sort_properties.sub(&right.sort_properties),
            Operation::Multiply => SortProperties::Unordered,
        })
    }
}
