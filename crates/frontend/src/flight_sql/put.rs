//! `DoPut`: updates, and parameters for prepared statements.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tidemill_engine::units::ByteSize;
use tidemill_engine::{Error, ErrorKind, QueryId, Session, Subject};
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::door::Door;
use super::failure::{Failure, Result};
use super::info::{command, no_transaction};
use super::ingest;
use super::outcome::Once;
use super::statements::{Statement, Work};

pub(crate) type Answers = BoxStream<'static, std::result::Result<PutResult, Status>>;

pub(crate) async fn answer(door: &Door, request: Request<Streaming<FlightData>>) -> Result<Response<Answers>> {
    let mut caller = Caller::of(door, &request).await?;
    let mut messages = request.into_inner();
    let first = messages.next().await.transpose()?;
    let first = first.ok_or_else(|| Failure::malformed("DoPut without a message"))?;
    let descriptor = first.flight_descriptor.clone();
    let descriptor = descriptor.ok_or_else(|| Failure::malformed("the first message of DoPut has no descriptor"))?;
    let messages = stream::iter([Ok(first)]).chain(messages);
    let metadata = match command(&descriptor)? {
        Command::CommandStatementUpdate(update) => {
            no_transaction(update.transaction_id.as_ref())?;
            let request = caller.request(&update.query);
            if caller.session().describe(&request).await?.changes_session {
                caller.keep_session(door)?;
            }
            let work = Work { request, rows: Vec::new() };
            updated(run(door, caller.session(), work).await?)
        }
        Command::CommandPreparedStatementUpdate(update) => {
            let prepared = door.prepared.get(&caller, &update.prepared_statement_handle)?;
            let Sent { rows, batches } = parameters(door, messages).await?;
            let takes_none = prepared.description.parameters.is_empty();
            if rows.is_empty() && batches > 0 && !takes_none {
                // A batch without rows runs nothing.
                updated(0)
            } else {
                let work = if rows.is_empty() { prepared.work() } else { prepared.work_with(rows) };
                updated(run(door, &prepared.session, work).await?)
            }
        }
        Command::CommandPreparedStatementQuery(query) => {
            let prepared = door.prepared.get(&caller, &query.prepared_statement_handle)?;
            prepared.bind(parameters(door, messages).await?.rows);
            let handle = Some(query.prepared_statement_handle);
            DoPutPreparedStatementResult { prepared_statement_handle: handle }.encode_to_vec()
        }
        Command::CommandStatementIngest(command) => updated(ingest::run(&caller, &command, batches(messages)).await?),
        other => return Err(Failure::unsupported(format!("DoPut of {} is not supported", other.type_url()))),
    };
    let answer = PutResult { app_metadata: metadata.into() };
    Ok(caller.respond(stream::iter([Ok(answer)]).boxed()))
}

/// Runs what must run once, and counts the rows that it changed; -1 if it does not say, 0 if it changes no rows.
async fn run(door: &Door, session: &Arc<Session>, work: Work) -> Result<i64> {
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let statement =
        Statement::of_any_schema(QueryId::new(), Arc::clone(session), work, schema, door.statements.expiry());
    let outcome = Once::default().outcome(&Arc::new(statement)).await?;
    let rows = outcome.batches.iter().any(|batch| batch.num_rows() > 0);
    Ok(outcome.changed.unwrap_or(if rows { -1 } else { 0 }))
}

fn updated(record_count: i64) -> Vec<u8> {
    DoPutUpdateResult { record_count }.encode_to_vec()
}

/// Parameters that a client sent.
struct Sent {
    /// Batches that have rows.
    rows: Vec<RecordBatch>,
    /// All batches: drivers send one without rows where there is nothing to bind.
    batches: usize,
}

/// The rows of parameters that a client sends, all of them: they are bound before anything runs.
async fn parameters(
    door: &Door,
    messages: impl futures::Stream<Item = std::result::Result<FlightData, Status>> + Send + 'static,
) -> Result<Sent> {
    let limit = door.config.max_bound_bytes;
    let mut batches = batches(messages);
    let (mut sent, mut bytes) = (Sent { rows: Vec::new(), batches: 0 }, 0);
    while let Some(batch) = batches.try_next().await? {
        sent.batches += 1;
        bytes += batch.get_array_memory_size() as u64;
        if bytes > limit.0 {
            return Err(too_many(limit));
        }
        if batch.num_rows() > 0 {
            sent.rows.push(batch);
        }
    }
    Ok(sent)
}

/// The batches of a client's stream. Messages with nothing but a descriptor say nothing more.
pub(crate) fn batches(
    messages: impl futures::Stream<Item = std::result::Result<FlightData, Status>> + Send + 'static,
) -> FlightRecordBatchStream {
    let data = messages.map_err(FlightError::from);
    let data = data.try_filter(|message| std::future::ready(!message.data_header.is_empty()));
    FlightRecordBatchStream::new_from_flight_data(data)
}

fn too_many(limit: ByteSize) -> Failure {
    Failure::from(
        Error::new(ErrorKind::Resources, format!("the parameters take more than {limit}"))
            .about(Subject::Parameter)
            .hint("bind fewer rows at once, or raise flight_sql.max_bound_bytes of the server"),
    )
}
