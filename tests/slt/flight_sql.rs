//! A session of the corpus through the Flight SQL door, as drivers use it: every statement is prepared, and runs as a query or
//! as an update, whichever the server says it is.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::Schema;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightClient, FlightDescriptor};
use futures::TryStreamExt;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::connection::{Answer, Failure, broken};

/// What most clients take.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// A session.
pub(crate) struct FlightSession {
    client: FlightSqlServiceClient<Channel>,
}

impl FlightSession {
    pub(crate) async fn open(url: String) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(url).map_err(|error| broken("no address", error))?;
        let channel = endpoint.connect().await.map_err(|error| broken("cannot connect", error))?;
        let service = FlightServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut client = FlightSqlServiceClient::new_from_inner(service);
        client.handshake("tester", "").await.map_err(|error| broken("cannot open a session", error))?;
        Ok(Self { client })
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<Answer, Failure> {
        let mut statement = self.client.clone().prepare(sql.to_owned(), None).await.map_err(failure)?;
        let announced = statement.dataset_schema().map_err(failure)?.clone();
        let answer = if announced.fields().is_empty() {
            self.update(sql, &mut statement).await
        } else {
            self.fetch(announced, &mut statement).await
        };
        statement.close().await.map_err(failure)?;
        answer
    }

    /// The count of an update, in the column that the statement has as a query.
    async fn update(&self, sql: &str, statement: &mut PreparedStatement<Channel>) -> Result<Answer, Failure> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let schema = Arc::new(self.plain()?.get_schema(descriptor).await.map_err(failure)?);
        let count = statement.execute_update().await.map_err(failure)?;
        if schema.fields().is_empty() {
            return match count {
                0 => Ok((schema, Vec::new())),
                rows => Err(broken("an update of nothing", format!("{rows} rows"))),
            };
        }
        let count = u64::try_from(count).map_err(|error| broken("an update without a count", error))?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(UInt64Array::from(vec![count]))]);
        Ok((schema, vec![batch.map_err(|error| broken("a count that is none", error))?]))
    }

    async fn fetch(&self, announced: Schema, statement: &mut PreparedStatement<Channel>) -> Result<Answer, Failure> {
        let info = statement.execute().await.map_err(failure)?;
        let schema = info.clone().try_decode_schema().map_err(|error| broken("no schema", error))?;
        same("GetFlightInfo", &announced, &schema)?;
        let mut batches = Vec::new();
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let mut rows = self.client.clone().do_get(ticket).await.map_err(failure)?;
            while let Some(batch) = rows.try_next().await.map_err(failure)? {
                batches.push(batch);
            }
            let sent = rows.schema().ok_or_else(|| broken("a result", "it has no schema"))?;
            same("DoGet", &announced, sent)?;
        }
        Ok((Arc::new(schema), batches))
    }

    /// A session that can not be closed expires by itself.
    pub(crate) async fn close(&self) {
        if let Ok(mut client) = self.plain() {
            let _ = client.do_action(Action::new("CloseSession", "")).await;
        }
    }

    /// For what the client of Flight SQL has no method.
    fn plain(&self) -> Result<FlightClient, Failure> {
        let mut client = FlightClient::new_from_inner(self.client.inner().clone());
        let token = self.client.token().ok_or_else(|| broken("a session", "it has no token"))?;
        client.add_header("authorization", &format!("Bearer {token}")).map_err(failure)?;
        Ok(client)
    }
}

/// One schema is announced from first to last.
fn same(what: &str, announced: &Schema, schema: &Schema) -> Result<(), Failure> {
    if announced == schema {
        return Ok(());
    }
    Err(broken(what, format!("its schema is {schema:?}, and {announced:?} was announced")))
}

/// The status, in the words of the engine's own error: the hint is told apart from them.
fn failure(error: FlightError) -> Failure {
    let FlightError::Tonic(status) = error else { return broken("no Flight SQL", error) };
    let Some(info) = status.get_details_error_info() else { return broken("a status without details", status) };
    let told = |name: &str| info.metadata.get(name).map(String::as_str);
    let message = status.message();
    let message = told("hint").and_then(|hint| message.strip_suffix(hint)?.strip_suffix("; ")).unwrap_or(message);
    Failure { message: message.to_owned(), sqlstate: told("sqlstate").map(str::to_owned) }
}
