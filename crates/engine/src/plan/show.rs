//! `SHOW ...` and `DESCRIBE`: questions about the catalog, asked as queries of `information_schema` and `system`.

use datafusion::sql::sqlparser::ast::{
    ObjectName, ShowStatementFilter, ShowStatementIn, ShowStatementOptions, Statement,
};

use super::classify::normal;
use crate::error::{Error, Result, Subject};

/// Where names without a catalog or schema are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) catalog: &'a str,
    pub(super) schema: &'a str,
}

/// The query that answers the statement, if it is such a question.
pub(super) fn rewrite(statement: &Statement, place: Place<'_>) -> Result<Option<String>> {
    let query = match statement {
        Statement::ShowTables { show_options, .. } => tables(show_options, place, "")?,
        Statement::ShowViews { show_options, .. } => tables(show_options, place, " AND table_type = 'VIEW'")?,
        Statement::ShowSchemas { show_options, .. } | Statement::ShowDatabases { show_options, .. } => {
            schemas(show_options, place)?
        }
        Statement::ShowCatalogs { show_options, .. } => {
            let filter = filter(show_options, "catalog_name")?;
            format!(
                "SELECT DISTINCT catalog_name FROM information_schema.schemata WHERE true{filter} ORDER BY catalog_name"
            )
        }
        Statement::ShowColumns { show_options, .. } => columns(show_options)?,
        Statement::ShowFunctions { filter } => {
            let filter = clause(filter.as_ref(), "name")?;
            format!(
                "SELECT name, kind, arguments, return_type, description FROM system.functions WHERE true{filter} \
                 ORDER BY name, kind"
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(query))
}

fn tables(options: &ShowStatementOptions, place: Place<'_>, kind: &str) -> Result<String> {
    let filter = filter(options, "table_name")?;
    let target = target(options)?;
    let (catalog, schema) = match target.as_deref() {
        None => (place.catalog, place.schema),
        Some([schema]) => (place.catalog, schema.as_str()),
        Some([catalog, schema]) => (catalog.as_str(), schema.as_str()),
        Some(_) => return Err(expected("SHOW TABLES [FROM [catalog.]schema] [LIKE 'pattern']")),
    };
    Ok(format!(
        "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
         WHERE table_catalog = '{}' AND table_schema = '{}'{kind}{filter} ORDER BY table_name",
        escaped(catalog),
        escaped(schema)
    ))
}

fn schemas(options: &ShowStatementOptions, place: Place<'_>) -> Result<String> {
    let filter = filter(options, "schema_name")?;
    let target = target(options)?;
    let catalog = match target.as_deref() {
        None => place.catalog,
        Some([catalog]) => catalog.as_str(),
        Some(_) => return Err(expected("SHOW SCHEMAS [FROM catalog] [LIKE 'pattern']")),
    };
    Ok(format!(
        "SELECT catalog_name, schema_name FROM information_schema.schemata \
         WHERE catalog_name = '{}'{filter} ORDER BY schema_name",
        escaped(catalog)
    ))
}

/// `DESCRIBE` tells the same, and knows whether the table exists.
fn columns(options: &ShowStatementOptions) -> Result<String> {
    if options.filter_position.is_some() {
        return Err(Error::unsupported("SHOW COLUMNS with LIKE or WHERE is not supported")
            .hint("query information_schema.columns"));
    }
    let target = target(options)?.ok_or_else(|| expected("SHOW COLUMNS FROM table"))?;
    let name: Vec<String> = target.iter().map(|part| quoted(part)).collect();
    Ok(format!("DESCRIBE {}", name.join(".")))
}

fn filter(options: &ShowStatementOptions, column: &str) -> Result<String> {
    use datafusion::sql::sqlparser::ast::ShowStatementFilterPosition::{Infix, Suffix};
    match &options.filter_position {
        Some(Infix(filter) | Suffix(filter)) => clause(Some(filter), column),
        None => Ok(String::new()),
    }
}

fn clause(filter: Option<&ShowStatementFilter>, column: &str) -> Result<String> {
    Ok(match filter {
        None => String::new(),
        Some(ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern)) => {
            format!(" AND {column} LIKE '{}'", escaped(pattern))
        }
        Some(ShowStatementFilter::ILike(pattern)) => format!(" AND {column} ILIKE '{}'", escaped(pattern)),
        Some(ShowStatementFilter::Where(condition)) => format!(" AND ({condition})"),
    })
}

fn target(options: &ShowStatementOptions) -> Result<Option<Vec<String>>> {
    match &options.show_in {
        None => Ok(None),
        Some(ShowStatementIn { parent_name: Some(name), .. }) => Ok(Some(parts(name))),
        Some(other) => Err(Error::unsupported(format!("'{other}' is not supported here"))),
    }
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect()
}

fn escaped(text: &str) -> String {
    text.replace('\'', "''")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn expected(what: &str) -> Error {
    Error::invalid(format!("syntax error: expected {what}")).about(Subject::Syntax)
}
