//! `TABLESAMPLE`: each row with a probability, or so many rows by chance. DataFusion reads them all.

use datafusion::sql::sqlparser::ast::{
    Expr, Query, SetExpr, TableAlias, TableFactor, TableSample, TableSampleKind, TableSampleModifier, TableSampleUnit,
    Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Error, Result};

/// The name of what a sample is taken of, within it.
const OF: &str = "sampled";

/// Writes a relation with a sample as a query for the sample.
///
/// # Errors
/// For samples that can be repeated, or are of no number that is known.
pub(super) fn sampled(factor: &mut TableFactor) -> Result<()> {
    let (TableFactor::Table { sample, alias, .. } | TableFactor::Derived { sample, alias, .. }) = factor else {
        return Ok(());
    };
    let Some(TableSampleKind::BeforeTableAlias(taken) | TableSampleKind::AfterTableAlias(taken)) = sample.take() else {
        return Ok(());
    };
    let mut query = query(&taken)?;
    let outer = alias.take();
    let outer = outer.or_else(|| match factor {
        TableFactor::Table { name, .. } => {
            let name = name.0.last()?.as_ident()?.clone();
            Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
        }
        _ => None,
    });
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(first) = select.from.first_mut()
    {
        std::mem::swap(&mut first.relation, factor);
    }
    *factor = TableFactor::Derived { lateral: false, subquery: query, alias: outer, sample: None };
    Ok(())
}

/// The query, of a table in the place of which the relation is put.
fn query(sample: &TableSample) -> Result<Box<Query>> {
    if sample.modifier != TableSampleModifier::TableSample || sample.bucket.is_some() || sample.offset.is_some() {
        return Err(unsupported("this form of a sample"));
    }
    if sample.seed.is_some() {
        return Err(unsupported("a sample with a seed"));
    }
    let Some(quantity) = &sample.quantity else { return Err(unsupported("a sample without a size")) };
    let number = match &quantity.value {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<f64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let text = match (number, &quantity.unit) {
        (Some(rows), Some(TableSampleUnit::Rows)) if rows.fract() == 0.0 => {
            format!("SELECT * FROM {OF} ORDER BY random() LIMIT {rows}")
        }
        (Some(percent), None | Some(TableSampleUnit::Percent)) if (0.0..=100.0).contains(&percent) => {
            format!("SELECT * FROM {OF} WHERE random() * 100 < {percent}")
        }
        _ => {
            let size = &quantity.value;
            return Err(Error::invalid(format!("'{size}' is not the size of a sample"))
                .hint("use TABLESAMPLE BERNOULLI (percent), a number from 0 to 100, or TABLESAMPLE (n ROWS)"));
        }
    };
    let dialect = GenericDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    parsed.map_err(|error| Error::internal(format!("'{text}' is no query: {error}")))
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("{what} is not supported"))
        .hint("use TABLESAMPLE BERNOULLI (percent) or TABLESAMPLE (n ROWS)")
}
