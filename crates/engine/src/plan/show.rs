//! `SHOW ...` and `DESCRIBE`: questions about the catalog, asked as queries of `information_schema` and `system`.

use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    ObjectName, ShowStatementFilter, ShowStatementIn, ShowStatementOptions, Statement,
};

use super::classify::normal;
use super::parse::{Parsed, parse};
use crate::catalog::SessionCatalogs;
use crate::error::{Error, Place as Spot, Result, Subject};

/// Where names without a catalog or schema are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) catalog: &'a str,
    pub(super) schema: &'a str,
}

/// A question about the catalog.
#[derive(Debug)]
pub(super) struct Question {
    /// The query that answers it. Places in it mean nothing to the client.
    query: String,
    /// What has to exist.
    within: Option<Within>,
    /// Where the statement names it.
    named_at: Option<Spot>,
}

/// What a listing is a listing of.
#[derive(Debug)]
enum Within {
    Catalog(String),
    Schema { catalog: String, schema: String },
}

impl Question {
    /// The query, once it is sure that what it asks of exists.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(super) fn query(&self, catalogs: &SessionCatalogs) -> Result<SqlStatement> {
        match &self.within {
            None => {}
            Some(Within::Catalog(catalog)) => catalogs.require_catalog(catalog)?,
            Some(Within::Schema { catalog, schema }) => catalogs.require_schema(catalog, schema)?,
        }
        match parse(&self.query)? {
            Parsed::Sql(query) => Ok(*query),
            _ => Err(Error::internal("a question is no query")),
        }
    }

    /// The error with the place in the client's statement, as far as it is known.
    pub(super) fn blamed(&self, error: Error) -> Error {
        let named = matches!(error.subject(), Some(Subject::Catalog | Subject::Schema | Subject::Table));
        error.elsewhere().at_place(self.named_at.filter(|_| named))
    }
}

/// The question that the statement asks, if it asks one.
pub(super) fn question(statement: &Statement, place: Place<'_>) -> Result<Option<Question>> {
    let mut within = None;
    let mut named_at = None;
    let query = match statement {
        Statement::ShowTables { show_options, .. } | Statement::ShowViews { show_options, .. } => {
            let views = matches!(statement, Statement::ShowViews { .. });
            let (catalog, schema) = schema_of(show_options, place)?;
            let query = tables(show_options, &catalog, &schema, views)?;
            named_at = place_of(show_options);
            within = Some(Within::Schema { catalog, schema });
            query
        }
        Statement::ShowSchemas { show_options, .. } | Statement::ShowDatabases { show_options, .. } => {
            let catalog = catalog_of(show_options, place)?;
            let query = schemas(show_options, &catalog)?;
            named_at = place_of(show_options);
            within = Some(Within::Catalog(catalog));
            query
        }
        Statement::ShowCatalogs { show_options, .. } => {
            let filter = filter(show_options, "catalog_name")?;
            format!(
                "SELECT DISTINCT catalog_name FROM information_schema.schemata WHERE true{filter} ORDER BY catalog_name"
            )
        }
        Statement::ShowColumns { show_options, .. } => {
            named_at = place_of(show_options);
            columns(show_options)?
        }
        Statement::ShowFunctions { filter } => {
            let filter = clause(filter.as_ref(), "name")?;
            format!(
                "SELECT name, kind, arguments, return_type, description FROM system.functions WHERE true{filter} \
                 ORDER BY name, kind"
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(Question { query, within, named_at }))
}

fn schema_of(options: &ShowStatementOptions, place: Place<'_>) -> Result<(String, String)> {
    match target(options)?.as_deref() {
        None => Ok((place.catalog.to_owned(), place.schema.to_owned())),
        Some([schema]) => Ok((place.catalog.to_owned(), schema.clone())),
        Some([catalog, schema]) => Ok((catalog.clone(), schema.clone())),
        Some(_) => Err(expected("SHOW TABLES [FROM [catalog.]schema] [LIKE 'pattern']")),
    }
}

fn catalog_of(options: &ShowStatementOptions, place: Place<'_>) -> Result<String> {
    match target(options)?.as_deref() {
        None => Ok(place.catalog.to_owned()),
        Some([catalog]) => Ok(catalog.clone()),
        Some(_) => Err(expected("SHOW SCHEMAS [FROM catalog] [LIKE 'pattern']")),
    }
}

fn tables(options: &ShowStatementOptions, catalog: &str, schema: &str, views: bool) -> Result<String> {
    let filter = filter(options, "table_name")?;
    let kind = if views { " AND table_type = 'VIEW'" } else { "" };
    Ok(format!(
        "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
         WHERE table_catalog = '{}' AND table_schema = '{}'{kind}{filter} ORDER BY table_name",
        escaped(catalog),
        escaped(schema)
    ))
}

fn schemas(options: &ShowStatementOptions, catalog: &str) -> Result<String> {
    let filter = filter(options, "schema_name")?;
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

/// Where the statement names what it asks of.
fn place_of(options: &ShowStatementOptions) -> Option<Spot> {
    let name = options.show_in.as_ref()?.parent_name.as_ref()?;
    Spot::of(name.0.first()?.as_ident()?.span)
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
