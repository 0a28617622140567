//! `DoPut`: updates, and parameters for prepared statements.

use std::sync::Arc;

use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tidemill_engine::{QueryId, QueryRequest, Session};
use tonic::{Request, Response, Status, Streaming};

use super::bound::{Bound, Sent};
use super::caller::Caller;
use super::decode::Batches;
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
            updated(update_by(door, &mut caller, request).await?)
        }
        Command::CommandStatementSubstraitPlan(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            let request = caller.substrait(command.plan)?;
            updated(update_by(door, &mut caller, request).await?)
        }
        Command::CommandPreparedStatementUpdate(update) => {
            let prepared = door.prepared.get(&caller, &update.prepared_statement_handle)?;
            caller.join(door, &prepared.session)?;
            let Sent { rows, batches } = door.bound.read(Batches::new(messages)).await?;
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
            caller.join(door, &prepared.session)?;
            prepared.bind(door.bound.read(Batches::new(messages)).await?.rows);
            let handle = Some(query.prepared_statement_handle);
            DoPutPreparedStatementResult { prepared_statement_handle: handle }.encode_to_vec()
        }
        Command::CommandStatementIngest(command) => {
            updated(ingest::run(&caller, &command, Batches::new(messages)).await?)
        }
        other => return Err(Failure::unsupported(format!("DoPut of {} is not supported", other.type_url()))),
    };
    let answer = PutResult { app_metadata: metadata.into() };
    Ok(caller.respond(stream::iter([Ok(answer)]).boxed()))
}

async fn update_by(door: &Door, caller: &mut Caller, request: QueryRequest) -> Result<i64> {
    if caller.session().describe(&request).await?.changes_session {
        caller.keep_session(door)?;
    }
    run(door, caller.session(), Work { request, rows: Bound::default() }).await
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
