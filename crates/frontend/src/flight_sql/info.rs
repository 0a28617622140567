//! `GetFlightInfo` and `GetSchema`: what a command would answer, and tickets for it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, SchemaResult, Ticket};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use prost::Message;
use tidemill_engine::{Description, Error, QueryId, QueryRequest, Session, Subject};
use tonic::{Request, Response};

use super::bound::Bound;
use super::caller::Caller;
use super::describe::schema_message;
use super::door::Door;
use super::failure::{Failure, Result};
use super::outcome::Once;
use super::statements::{Statement, Work};
use super::{metadata, poll, ticket};

/// The session's wish for the number of endpoints of a result.
const PARTITIONS: &str = "result_partitions";

pub(crate) async fn answer(door: &Door, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>> {
    let mut caller = Caller::of(door, &request).await?;
    let descriptor = request.into_inner();
    let info = match command(&descriptor)? {
        Command::TicketStatementQuery(ticket) => poll::wait_for(door, &caller, &ticket).await?,
        command => match announce(door, &mut caller, &command).await? {
            Some(statement) => announced(door, statement).await?,
            None => metadata::info(&command)?,
        },
    };
    Ok(caller.respond(info.with_descriptor(descriptor)))
}

pub(crate) async fn schema(door: &Door, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>> {
    let mut caller = Caller::of(door, &request).await?;
    let command = command(request.get_ref())?;
    let schema = match &command {
        Command::CommandStatementQuery(query) => {
            no_transaction(query.transaction_id.as_ref())?;
            caller.session().describe(&caller.request(&query.query)).await?.schema
        }
        Command::CommandStatementSubstraitPlan(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            caller.session().describe(&caller.substrait(command.plan.clone())?).await?.schema
        }
        Command::CommandPreparedStatementQuery(query) => {
            let prepared = door.prepared.get(&caller, &query.prepared_statement_handle)?;
            caller.join(door, &prepared.session)?;
            schema_of(&prepared.session, &prepared.work()).await?
        }
        other => metadata::schema(other)?,
    };
    Ok(caller.respond(SchemaResult { schema: schema_message(&schema)? }))
}

/// The command of a descriptor.
pub(crate) fn command(descriptor: &FlightDescriptor) -> Result<Command> {
    if descriptor.cmd.is_empty() {
        return Err(Failure::unsupported("only descriptors with a command are supported, not paths"));
    }
    let any = Any::decode(descriptor.cmd.clone())
        .map_err(|_| Failure::malformed("the descriptor's command is no Flight SQL message"))?;
    Ok(Command::try_from(any)?)
}

/// Each statement is its own transaction.
pub(crate) fn no_transaction(id: Option<&Bytes>) -> Result<()> {
    match id {
        Some(id) if !id.is_empty() => Err(no_transactions()),
        _ => Ok(()),
    }
}

pub(crate) fn no_transactions() -> Failure {
    Failure::from(
        Error::unsupported("transactions are not supported")
            .hint("each statement is its own transaction: it takes effect whole or not at all"),
    )
}

/// Announces the statement of a command; none for commands that ask for metadata.
pub(crate) async fn announce(door: &Door, caller: &mut Caller, command: &Command) -> Result<Option<Statement>> {
    match command {
        Command::CommandStatementQuery(query) => {
            no_transaction(query.transaction_id.as_ref())?;
            let request = caller.request(&query.query);
            Ok(Some(of_request(door, caller, request).await?))
        }
        Command::CommandStatementSubstraitPlan(command) => {
            no_transaction(command.transaction_id.as_ref())?;
            let request = caller.substrait(command.plan.clone())?;
            Ok(Some(of_request(door, caller, request).await?))
        }
        Command::CommandPreparedStatementQuery(query) => {
            let prepared = door.prepared.get(caller, &query.prepared_statement_handle)?;
            caller.join(door, &prepared.session)?;
            let work = prepared.work();
            if work.rows.is_empty() {
                needs_no_values(&prepared.description)?;
            }
            let schema = schema_of(&prepared.session, &work).await?;
            let effects = prepared.description.effects;
            Ok(Some(statement(door, Arc::clone(&prepared.session), work, schema, effects)))
        }
        _ => Ok(None),
    }
}

async fn of_request(door: &Door, caller: &mut Caller, request: QueryRequest) -> Result<Statement> {
    let description = caller.session().describe(&request).await?;
    needs_no_values(&description)?;
    if description.changes_session {
        caller.keep_session(door)?;
    }
    let work = Work { request, rows: Bound::default() };
    Ok(statement(door, Arc::clone(caller.session()), work, description.schema, description.effects))
}

fn needs_no_values(description: &Description) -> Result<()> {
    match description.parameters.first() {
        None => Ok(()),
        Some((name, _)) => Err(Failure::from(
            Error::invalid(format!("no value for parameter {name}"))
                .about(Subject::Parameter)
                .hint("prepare the statement and bind values to its parameters"),
        )),
    }
}

/// The schema that the work will have: types may depend on the values.
async fn schema_of(session: &Arc<Session>, work: &Work) -> Result<SchemaRef> {
    Ok(session.describe(&work.request(0)?).await?.schema)
}

fn statement(door: &Door, session: Arc<Session>, work: Work, schema: SchemaRef, effects: bool) -> Statement {
    let mut statement = Statement::new(QueryId::new(), session, work, schema, door.statements.expiry());
    statement.once = effects.then(Once::default);
    statement
}

/// The answer for a statement: one endpoint, or as many as the session wishes.
async fn announced(door: &Door, statement: Statement) -> Result<FlightInfo> {
    let shares = statement.session.setting(PARTITIONS)?.parse().unwrap_or(1);
    if shares > 1 && statement.once.is_none() && statement.work.runs() == 1 {
        let statement = poll::submit(door, statement)?;
        let _waiting = Waiting(&statement);
        return poll::kept(door, &statement, shares).await;
    }
    let statement = door.statements.open(statement)?;
    of_statement(door, &statement, 1)
}

/// A client waits for the tickets of a statement that runs in the background. Nobody else knows of it: without the client,
/// it is cancelled.
struct Waiting<'a>(&'a Statement);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Does nothing to one that has ended.
        self.0.cancel("the client went away");
    }
}

/// What there is to fetch of a statement.
pub(crate) fn of_statement(door: &Door, statement: &Statement, shares: u32) -> Result<FlightInfo> {
    let endpoints = (0..shares).map(|share| endpoint(door, statement, share, shares)).collect();
    Ok(FlightInfo {
        schema: schema_message(&statement.schema)?,
        endpoint: endpoints,
        // Rows are in the order of the endpoints.
        ordered: true,
        ..FlightInfo::new()
    })
}

/// Where to fetch a share of a result: here, by a ticket.
pub(crate) fn endpoint(door: &Door, statement: &Statement, share: u32, shares: u32) -> FlightEndpoint {
    let expires_at = statement.expires_at();
    let ticket = ticket::Ticket { statement: statement.id.as_uuid(), share, shares, expires_at };
    let sealed = door.key.seal(ticket, &statement.principal);
    FlightEndpoint {
        ticket: Some(Ticket { ticket: as_command(sealed) }),
        location: Vec::new(),
        expiration_time: Some(timestamp(expires_at)),
        app_metadata: Bytes::new(),
    }
}

/// A sealed ticket as the message that drivers expect in tickets.
pub(crate) fn as_command(sealed: Vec<u8>) -> Bytes {
    TicketStatementQuery { statement_handle: sealed.into() }.as_any().encode_to_vec().into()
}

pub(crate) fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default();
    prost_types::Timestamp { seconds: at.timestamp(), nanos }
}

/// The request of a statement whose result the engine keeps.
pub(crate) fn keeping(statement: &Statement) -> Result<QueryRequest> {
    Ok(QueryRequest { id: Some(statement.id), ..statement.work.request(0)? })
}
