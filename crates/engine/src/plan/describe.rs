//! `DESCRIBE`: the columns of a table or a query, with the types that the rest of SQL names them by.

use datafusion::logical_expr::{DescribeTable, EmptyRelation, Expr, LogicalPlan, Values, lit};

use crate::sql_type::sql_type;

/// The plan, if it is not `DESCRIBE`; the rows that answer it, if it is. DataFusion's own show Arrow's types.
pub(super) fn described(plan: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }) = plan else { return plan };
    if schema.fields().is_empty() {
        return LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: output_schema });
    }
    let rows: Vec<Vec<Expr>> = schema
        .fields()
        .iter()
        .map(|field| {
            let nullable = if field.is_nullable() { "YES" } else { "NO" };
            vec![lit(field.name().as_str()), lit(sql_type(field.data_type())), lit(nullable)]
        })
        .collect();
    LogicalPlan::Values(Values { schema: output_schema, values: rows })
}
