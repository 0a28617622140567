//! `0.0` and `-0.0` are equal, also in a list of constants, which DataFusion compares by their bits.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::scalar::ScalarValue;

/// The list with both zeros in place of each value that may be one.
pub(super) fn both(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::InList(list) => match list.expr.get_type(schema) {
            Ok(data_type) if data_type.is_floating() => widened(list, &data_type),
            _ => Ok(Transformed::no(Expr::InList(list))),
        },
        other => Ok(Transformed::no(other)),
    }
}

fn widened(list: InList, data_type: &DataType) -> Result<Transformed<Expr>> {
    let zero = lit(ScalarValue::new_zero(data_type)?);
    let before = list.list.len();
    let mut items = Vec::with_capacity(before);
    for item in list.list {
        match &item {
            Expr::Literal(value, _) if is_zero(value) => {
                items.push(lit(value.arithmetic_negate()?));
                items.push(item);
            }
            Expr::Literal(..) => items.push(item),
            // A constant that is not folded yet: one of these is `-0.0` if it is a zero, and both are the value if not.
            constant if !constant.is_volatile() && constant.column_refs().is_empty() => {
                items.push(-(zero.clone() - constant.clone()));
                items.push(zero.clone() + constant.clone());
            }
            _ => items.push(item),
        }
    }
    let changed = items.len() > before;
    Ok(Transformed::new_transformed(Expr::InList(InList { list: items, ..list }), changed))
}

fn is_zero(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::Float16(Some(number)) => number.to_f32() == 0.0,
        ScalarValue::Float32(Some(number)) => *number == 0.0,
        ScalarValue::Float64(Some(number)) => *number == 0.0,
        _ => false,
    }
}
