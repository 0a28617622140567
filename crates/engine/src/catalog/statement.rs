//! The statement that would make a table again, for `SHOW CREATE TABLE`.

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::ResolvedTableReference;
use datafusion::common::utils::quote_identifier;

use super::definition::ViewDefinition;
use super::entry::{Body, TableEntry};
use super::memory::Shape;
use crate::sql_type::sql_type;
use crate::storage::TableDefinition;

/// The `CREATE` statement of an entry. Values of options are left out: they may be credentials.
pub(crate) fn create_statement(name: &ResolvedTableReference, entry: &TableEntry) -> String {
    let name = [&name.catalog, &name.schema, &name.table].map(|part| quote_identifier(part)).join(".");
    match &entry.body {
        Body::External(slot) => external(&name, slot.definition()),
        Body::Memory(table) => format!("CREATE TABLE {name} ({})", declarations(table.shape())),
        Body::View(view) => create_view(&name, view),
    }
}

fn external(name: &str, definition: &TableDefinition) -> String {
    let mut text = format!("CREATE EXTERNAL TABLE {name}");
    if let Some(schema) = &definition.schema {
        text += &format!(" ({})", columns(schema));
    }
    if let Some(format) = &definition.format {
        text += &format!(" STORED AS {}", format.to_uppercase());
    }
    if !definition.partitioned_by.is_empty() {
        text += &format!(" PARTITIONED BY ({})", identifiers(&definition.partitioned_by));
    }
    let location: Vec<_> = definition.locations.iter().map(|location| literal(location)).collect();
    text += &format!(" LOCATION {}", location.join(", "));
    if !definition.options.is_empty() {
        let options: Vec<_> = definition.options.keys().map(|key| format!("{} '...'", literal(key))).collect();
        text += &format!(" OPTIONS ({})", options.join(", "));
    }
    text
}

fn create_view(name: &str, view: &ViewDefinition) -> String {
    if view.columns.is_empty() {
        return format!("CREATE VIEW {name} AS {}", view.sql);
    }
    format!("CREATE VIEW {name} ({}) AS {}", identifiers(&view.columns), view.sql)
}

fn columns(schema: &Schema) -> String {
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

fn column(field: &FieldRef) -> String {
    let required = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{required}", quote_identifier(field.name()), sql_type(field.data_type()))
}

/// The columns with their defaults, and the constraints.
fn declarations(shape: &Shape) -> String {
    let columns = shape.schema.fields().iter().zip(&shape.defaults).map(|(field, default)| match default {
        Some(default) => format!("{} DEFAULT {default}", column(field)),
        None => column(field),
    });
    let constraints = shape.constraints().into_iter().map(|constraint| {
        let name = quote_identifier(&constraint.name);
        match constraint.check {
            Some(check) => format!("CONSTRAINT {name} CHECK ({check})"),
            None => {
                let kind = constraint.kind.standard_name();
                format!("CONSTRAINT {name} {kind} ({})", identifiers(&constraint.columns))
            }
        }
    });
    columns.chain(constraints).collect::<Vec<_>>().join(", ")
}

fn identifiers(names: &[String]) -> String {
    names.iter().map(|name| quote_identifier(name).into_owned()).collect::<Vec<_>>().join(", ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
