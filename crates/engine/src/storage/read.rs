//! Tables that a statement names by their files: `FROM 'data/*.parquet'` and `FROM read_csv('a.csv', header => false)`.
//!
//! Planning is synchronous and looking into files is not. So they are found in the syntax tree first and replaced by names
//! in the schema [`READ_SCHEMA`]; the caller opens them and lets that schema answer while it plans.

mod arguments;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider};
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    FunctionArg, Ident, ObjectName, ObjectNamePart, Statement as SqlStatement, TableAlias, TableFactor,
    TableFunctionArgs, VisitMut, VisitorMut,
};

use super::definition::TableDefinition;
use super::external::ExternalTable;
use super::format;
use super::glob::is_pattern;
use super::policy::StoragePolicy;
use crate::error::Place;
use crate::{Error, Result};

/// The schema that the generated names are in. No statement can create it.
pub(crate) const READ_SCHEMA: &str = "$files";

/// The functions, with the format that each implies.
const FUNCTIONS: [(&str, Option<&str>); 7] = [
    ("read_parquet", Some("parquet")),
    ("read_csv", Some("csv")),
    ("read_json", Some("json")),
    ("read_ndjson", Some("json")),
    ("read_avro", Some("avro")),
    ("read_arrow", Some("arrow")),
    ("read_files", None),
];

/// Files that a statement reads as a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReadCall {
    /// The generated name, in [`READ_SCHEMA`].
    pub(crate) table: String,
    /// What to open.
    pub(crate) definition: TableDefinition,
    /// Where the statement calls the function; the parser does not say where a quoted file name stands.
    pub(crate) place: Option<Place>,
}

/// Finds the files that statements read as tables.
#[derive(Debug)]
pub(crate) struct ReadCalls {
    calls: Vec<ReadCall>,
}

impl ReadCall {
    /// Looks into the files.
    ///
    /// # Errors
    /// Those of [`ExternalTable::open`], at the place in the statement.
    pub(crate) async fn open(
        &self,
        policy: &Arc<StoragePolicy>,
        session: &dyn Session,
    ) -> Result<Arc<dyn TableProvider>> {
        let opened = ExternalTable::open(self.definition.clone(), policy, session).await;
        opened.map_err(|error| error.at_place(self.place))
    }
}

impl ReadCalls {
    /// Replaces each file and each `read_...` call by a name in [`READ_SCHEMA`] and returns what the names stand for.
    ///
    /// The same call twice has one name. A relation without an alias gets one: the name of its file without extension, so
    /// that `SELECT orders.id FROM 'orders.parquet'` works.
    ///
    /// # Errors
    /// `Invalid` for a call without a path or with an argument that is not a constant.
    pub(crate) fn extract(statement: &mut Statement) -> Result<Vec<ReadCall>> {
        let mut found = Self { calls: Vec::new() };
        found.in_statement(statement)?;
        Ok(found.calls)
    }

    /// The names of the functions, for listings.
    pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|(name, _)| *name)
    }

    fn in_statement(&mut self, statement: &mut Statement) -> Result<()> {
        match statement {
            Statement::Statement(sql) => self.visit(sql),
            Statement::Explain(explain) => self.in_statement(&mut explain.statement),
            Statement::CopyTo(copy) => match &mut copy.source {
                CopyToSource::Query(query) => self.visit(query),
                CopyToSource::Relation(name) => self.replace_name(name).map(drop),
            },
            Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
        }
    }

    fn visit(&mut self, part: &mut impl VisitMut) -> Result<()> {
        match part.visit(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn replace_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, args: args @ None, .. } => {
                self.replace_name(name)?.map(|it| (it, alias, args))
            }
            TableFactor::Table { name, alias, args: args @ Some(_), .. } => {
                let Some(given) = args.as_ref().map(|given| given.args.as_slice()) else { return Ok(()) };
                self.replace_call(name, given)?.map(|it| (it, alias, args))
            }
            TableFactor::Function { name, args, alias, .. } => {
                let Some(stem) = self.replace_call(name, args)? else { return Ok(()) };
                let alias = alias.take().or_else(|| Some(alias_of(&stem)));
                *factor = table(name.clone(), alias);
                return Ok(());
            }
            _ => None,
        };
        if let Some((stem, alias, args)) = alias {
            *args = None::<TableFunctionArgs>;
            alias.get_or_insert_with(|| alias_of(&stem));
        }
        Ok(())
    }

    /// `'data/orders.csv'`: a name in single quotes. Returns the alias that it gets by default.
    fn replace_name(&mut self, name: &mut ObjectName) -> Result<Option<String>> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(None) };
        if ident.quote_style != Some('\'') {
            return Ok(None);
        }
        let definition = TableDefinition::at(ident.value.as_str());
        Ok(Some(self.add(name, definition, Place::of(ident.span))))
    }

    fn replace_call(&mut self, name: &mut ObjectName, args: &[FunctionArg]) -> Result<Option<String>> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(None) };
        let wanted = ident.value.to_ascii_lowercase();
        let Some((function, format)) = FUNCTIONS.iter().find(|(known, _)| *known == wanted) else { return Ok(None) };
        let place = Place::of(ident.span);
        let mut definition = arguments::parse(function, args).map_err(|error| error.at_place(place))?;
        if let Some(format) = format {
            definition.format = Some((*format).to_owned());
        }
        if wanted == "read_ndjson" {
            definition.options.entry("layout".to_owned()).or_insert_with(|| "lines".to_owned());
        }
        Ok(Some(self.add(name, definition, place)))
    }

    fn add(&mut self, name: &mut ObjectName, definition: TableDefinition, place: Option<Place>) -> String {
        let stem = stem_of(&definition);
        let table = match self.calls.iter().find(|call| call.definition == definition) {
            Some(known) => known.table.clone(),
            None => {
                let table = self.unused(&stem);
                self.calls.push(ReadCall { table: table.clone(), definition, place });
                table
            }
        };
        *name = ObjectName::from(vec![Ident::with_quote('"', READ_SCHEMA), Ident::with_quote('"', table)]);
        stem
    }

    fn unused(&self, stem: &str) -> String {
        let is_used = |name: &str| self.calls.iter().any(|call| call.table == name);
        if !is_used(stem) {
            return stem.to_owned();
        }
        let numbered = (2..).map(|number: usize| format!("{stem}_{number}"));
        numbered.into_iter().find(|name| !is_used(name)).unwrap_or_else(|| stem.to_owned())
    }
}

impl VisitorMut for ReadCalls {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.replace_factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_statement(&mut self, statement: &mut SqlStatement) -> ControlFlow<Error> {
        let SqlStatement::ExplainTable { table_name, .. } = statement else { return ControlFlow::Continue(()) };
        match self.replace_name(table_name) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// What the user would call the files: the file's name, or that of the folder around a pattern, in lower case as names
/// without quotes are.
fn stem_of(definition: &TableDefinition) -> String {
    let text = definition.locations.first().map_or("", String::as_str);
    let path = text.split_once("://").map_or(text, |(_, rest)| rest);
    let path = if text.starts_with("http") { path.split(['?', '#']).next().unwrap_or(path) } else { path };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let named = |segment: &&&str| !is_pattern(segment) && !segment.contains('=') && !segment.starts_with('.');
    let stem = segments.iter().rev().find(named).map_or("files", |segment| format::stem(segment));
    stem.to_lowercase()
}

fn alias_of(stem: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', stem), columns: Vec::new(), at: None }
}

fn table(name: ObjectName, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Options by name, as [`arguments::parse`] collects them.
type Options = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
