//! `PollFlightInfo`: a statement that runs in the background, its result kept, while the client asks how far it is.
//!
//! Asked for the ticket of a statement that runs as it is fetched, it tells how far that is; there is nothing to wait for.
//! What a fraction can not say is in `app_metadata` of the info: the progress as HTTP tells it, in JSON.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::sql::{Command, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use tidemill_engine::{Error, QueryHandle};
use tokio::time::timeout;
use tonic::{Request, Response};

use super::caller::Caller;
use super::door::Door;
use super::failure::Result;
use super::statements::Statement;
use super::{info, metadata, ticket};

pub(crate) async fn answer(door: &Door, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>> {
    let mut caller = Caller::of(door, &request).await?;
    let descriptor = request.into_inner();
    let info = match info::command(&descriptor)? {
        Command::TicketStatementQuery(ticket) => {
            let statement = opened(door, &caller, &ticket)?;
            progress(door, &statement, door.config.poll_wait.0).await?
        }
        command => match info::announce(door, &mut caller, &command).await? {
            Some(statement) if statement.work.runs() == 1 => {
                let statement = submit(door, statement)?;
                progress(door, &statement, Duration::ZERO).await?
            }
            // With many rows of parameters it runs when it is fetched.
            Some(statement) => complete(info::of_statement(door, &*door.statements.open(statement)?, 1)?),
            None => complete(metadata::info(&command)?),
        },
    };
    Ok(caller.respond(info))
}

/// Starts a statement in the background, and keeps its result.
pub(crate) fn submit(door: &Door, mut statement: Statement) -> Result<Arc<Statement>> {
    let request = info::keeping(&statement)?;
    let query = door.engine.submit(&statement.session, request)?;
    statement.once = None;
    statement.keep(query);
    Ok(door.statements.open(statement)?)
}

/// `GetFlightInfo` of what `PollFlightInfo` gave: waits to the end.
pub(crate) async fn wait_for(door: &Door, caller: &Caller, ticket: &TicketStatementQuery) -> Result<FlightInfo> {
    let statement = opened(door, caller, ticket)?;
    kept(door, &statement, 1).await
}

/// What there is to fetch of a statement that runs in the background, when it has ended.
pub(crate) async fn kept(door: &Door, statement: &Statement, shares: u32) -> Result<FlightInfo> {
    let Some(query) = &statement.kept else { return info::of_statement(door, statement, 1) };
    query.ended().await;
    finished(door, statement, query, shares).await
}

async fn progress(door: &Door, statement: &Statement, patience: Duration) -> Result<PollInfo> {
    let Some(query) = &statement.kept else {
        let info = info::of_statement(door, statement, 1)?;
        return match door.engine.queries().living(&statement.principal, statement.id) {
            Some(query) => running(door, statement, &query, info),
            None => Ok(complete(info)),
        };
    };
    // Whichever comes first, the client is told how things stand.
    let _ = timeout(patience, query.ended()).await;
    if query.state().is_final() {
        return Ok(complete(finished(door, statement, query, 1).await?));
    }
    running(door, statement, query, info::of_statement(door, statement, 0)?)
}

/// How far the query is, and the descriptor to ask again with.
fn running(door: &Door, statement: &Statement, query: &QueryHandle, info: FlightInfo) -> Result<PollInfo> {
    let progress = query.info().progress;
    let told = serde_json::to_vec(&progress)
        .map_err(|error| Error::internal("cannot write the progress of a query").caused_by(error))?;
    let expires_at = statement.expires_at();
    let ticket = ticket::Ticket { statement: statement.id.as_uuid(), share: 0, shares: 1, expires_at };
    let descriptor = FlightDescriptor::new_cmd(info::as_command(door.key.seal(ticket, &statement.principal)));
    // Clients cancel by what they know of the flight: here, that is the descriptor.
    Ok(PollInfo {
        info: Some(info.with_descriptor(descriptor.clone()).with_app_metadata(told)),
        flight_descriptor: Some(descriptor),
        progress: progress.fraction,
        expiration_time: Some(info::timestamp(expires_at)),
    })
}

async fn finished(door: &Door, statement: &Statement, query: &QueryHandle, shares: u32) -> Result<FlightInfo> {
    if let Some(error) = query.error() {
        return Err(error.into());
    }
    let result = door.engine.results().open(&statement.principal, statement.id).await?;
    let count = |number: u64| i64::try_from(number).unwrap_or(-1);
    let shares = shares.min(u32::try_from(result.rows()).unwrap_or(u32::MAX)).max(1);
    let info = info::of_statement(door, statement, shares)?;
    Ok(info.with_total_records(count(result.rows())).with_total_bytes(count(result.bytes())))
}

/// An answer after which there is nothing to poll.
fn complete(info: FlightInfo) -> PollInfo {
    PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }
}

fn opened(door: &Door, caller: &Caller, ticket: &TicketStatementQuery) -> Result<Arc<Statement>> {
    let opened = door.key.open(&ticket.statement_handle, &caller.principal)?;
    Ok(door.statements.get(opened.statement)?)
}
