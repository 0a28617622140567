//! Names, from the commands that ask for metadata.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTables, ProstMessageExt, SqlInfo,
};
use arrow_flight::{FlightClient, FlightDescriptor, IpcMessage};
use futures::TryStreamExt;
use prost::Message;

use crate::cli::sql::client::Listing;

/// The codes that answer with names of functions.
const FUNCTIONS: [SqlInfo; 4] = [
    SqlInfo::SqlNumericFunctions,
    SqlInfo::SqlStringFunctions,
    SqlInfo::SqlSystemFunctions,
    SqlInfo::SqlDatetimeFunctions,
];

/// Names that the server knows; `None` when it does not say, as of temporary views.
pub(super) async fn names(client: &mut FlightClient, listing: Listing<'_>) -> Option<Vec<String>> {
    match listing {
        Listing::Catalogs => Some(column(&ask(client, CommandGetCatalogs {}).await?, "catalog_name")),
        Listing::Schemas { catalog } => {
            let command = CommandGetDbSchemas { catalog: Some(catalog.to_owned()), ..Default::default() };
            Some(column(&ask(client, command).await?, "db_schema_name"))
        }
        Listing::Tables { catalog, schema } => {
            let command = CommandGetTables {
                catalog: Some(catalog.to_owned()),
                db_schema_filter_pattern: Some(literally(schema)),
                ..Default::default()
            };
            Some(column(&ask(client, command).await?, "table_name"))
        }
        Listing::Columns { catalog, schema, table } => columns(client, catalog, schema, table).await,
        Listing::TemporaryViews => None,
        Listing::Functions => functions(client).await,
    }
}

async fn columns(client: &mut FlightClient, catalog: &str, schema: &str, table: &str) -> Option<Vec<String>> {
    let command = CommandGetTables {
        catalog: Some(catalog.to_owned()),
        db_schema_filter_pattern: Some(literally(schema)),
        table_name_filter_pattern: Some(literally(table)),
        include_schema: true,
        ..Default::default()
    };
    let batches = ask(client, command).await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
    let message = batch.column_by_name("table_schema")?.as_binary_opt::<i32>()?.value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(message.into())).ok()?;
    Some(schema.fields().iter().map(|field| field.name().clone()).collect())
}

async fn functions(client: &mut FlightClient) -> Option<Vec<String>> {
    let info = FUNCTIONS.iter().map(|code| *code as u32).collect();
    let batches = ask(client, CommandGetSqlInfo { info }).await?;
    let mut names = Vec::new();
    for batch in &batches {
        let values = batch.column_by_name("value")?.as_union_opt()?;
        for row in 0..batch.num_rows() {
            let value = values.value(row);
            let list = value.as_list_opt::<i32>()?.value(0);
            names.extend(list.as_string_opt::<i32>()?.iter().flatten().map(str::to_owned));
        }
    }
    Some(names)
}

async fn ask(client: &mut FlightClient, command: impl ProstMessageExt) -> Option<Vec<RecordBatch>> {
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let info = client.get_flight_info(descriptor).await.ok()?;
    let ticket = info.endpoint.into_iter().next()?.ticket?;
    client.do_get(ticket).await.ok()?.try_collect().await.ok()
}

fn column(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let columns = batches.iter().filter_map(|batch| batch.column_by_name(name)?.as_string_opt::<i32>());
    columns.flat_map(|names| names.iter().flatten()).map(str::to_owned).collect()
}

/// A pattern that matches this name alone.
fn literally(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::literally;

    #[test]
    fn a_name_is_no_pattern() {
        assert_eq!(literally(r"t_100%\x"), r"t\_100\%\\x");
    }
}
