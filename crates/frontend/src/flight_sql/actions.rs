//! `DoAction`: prepared statements, cancelling, renewing, session options.

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedSubstraitPlanRequest, Any, Command, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightEndpoint, FlightInfo,
    RenewFlightEndpointRequest, Ticket,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::door::Door;
use super::failure::{Failure, Result};
use super::messages::SetSessionOptionsRequest;
use super::{info, prepared, session_options};

pub(crate) type Answers = BoxStream<'static, std::result::Result<arrow_flight::Result, Status>>;

/// Every action, with what it takes and gives.
const ACTIONS: [(&str, &str); 9] = [
    ("CreatePreparedStatement", "ActionCreatePreparedStatementRequest -> ActionCreatePreparedStatementResult"),
    ("ClosePreparedStatement", "ActionClosePreparedStatementRequest -> nothing"),
    ("CancelFlightInfo", "CancelFlightInfoRequest -> CancelFlightInfoResult"),
    ("CancelQuery", "ActionCancelQueryRequest -> ActionCancelQueryResult"),
    ("RenewFlightEndpoint", "RenewFlightEndpointRequest -> FlightEndpoint"),
    ("SetSessionOptions", "SetSessionOptionsRequest -> SetSessionOptionsResult"),
    ("GetSessionOptions", "GetSessionOptionsRequest -> GetSessionOptionsResult"),
    ("CloseSession", "CloseSessionRequest -> CloseSessionResult"),
    ("CreatePreparedSubstraitPlan", "ActionCreatePreparedSubstraitPlanRequest -> ActionCreatePreparedStatementResult"),
];

pub(crate) fn list() -> Vec<ActionType> {
    let describe =
        |(name, description): (&str, &str)| ActionType { r#type: name.to_owned(), description: description.to_owned() };
    ACTIONS.into_iter().map(describe).collect()
}

pub(crate) async fn answer(door: &Door, request: Request<Action>) -> Result<Response<Answers>> {
    let mut caller = Caller::of(door, &request).await?;
    let Action { r#type: name, body } = request.into_inner();
    let answer: Option<Vec<u8>> = match name.as_str() {
        "CreatePreparedStatement" => {
            let command: ActionCreatePreparedStatementRequest = unpack(&body)?;
            info::no_transaction(command.transaction_id.as_ref())?;
            let request = caller.request(&command.query);
            let created = prepared::create(door, &mut caller, request).await?;
            Some(prepared::as_any(&created).encode_to_vec())
        }
        "CreatePreparedSubstraitPlan" => {
            let command: ActionCreatePreparedSubstraitPlanRequest = unpack(&body)?;
            info::no_transaction(command.transaction_id.as_ref())?;
            let request = caller.substrait(command.plan)?;
            let created = prepared::create(door, &mut caller, request).await?;
            Some(prepared::as_any(&created).encode_to_vec())
        }
        "ClosePreparedStatement" => {
            let command: ActionClosePreparedStatementRequest = unpack(&body)?;
            door.prepared.close(&caller, &command.prepared_statement_handle)?;
            None
        }
        "CancelFlightInfo" => {
            let command = CancelFlightInfoRequest::decode(body)?;
            let status = cancel(door, &caller, &command.info.unwrap_or_default())?;
            Some(CancelFlightInfoResult::new(status).encode_to_vec())
        }
        "CancelQuery" => {
            let command: ActionCancelQueryRequest = unpack(&body)?;
            let status = cancel(door, &caller, &FlightInfo::decode(command.info)?)?;
            // The values are those of the newer action.
            let result = ActionCancelQueryResult { result: status.into() };
            Some(result.as_any().encode_to_vec())
        }
        "RenewFlightEndpoint" => {
            let command = RenewFlightEndpointRequest::decode(body)?;
            Some(renew(door, &caller, command.endpoint.unwrap_or_default())?.encode_to_vec())
        }
        "SetSessionOptions" => {
            let command = SetSessionOptionsRequest::decode(body)?;
            Some(session_options::set(door, &mut caller, command)?.encode_to_vec())
        }
        "GetSessionOptions" => Some(session_options::get(&caller).encode_to_vec()),
        "CloseSession" => Some(session_options::close(door, &caller)?.encode_to_vec()),
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
            return Err(info::no_transactions());
        }
        other => {
            return Err(Failure::unsupported(format!(
                "there is no action '{other}'; ListActions names those there are"
            )));
        }
    };
    let answers: Vec<_> = answer.into_iter().map(|body| Ok(arrow_flight::Result { body: body.into() })).collect();
    Ok(caller.respond(stream::iter(answers).boxed()))
}

/// The message that an action of Flight SQL carries.
fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M> {
    let any = Any::decode(body)?;
    let url = any.type_url.clone();
    any.unpack()?.ok_or_else(|| Failure::malformed(format!("the action carries '{url}', not '{}'", M::type_url())))
}

/// Cancels what the tickets of a flight stand for.
fn cancel(door: &Door, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus> {
    let reason = format!("by {} over Flight SQL", caller.principal.name());
    let in_descriptor = info.flight_descriptor.as_ref().map(|descriptor| descriptor.cmd.clone());
    let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref().map(|it| it.ticket.clone()));
    let mut cancelled = false;
    for ticket in tickets.chain(in_descriptor) {
        let Some(sealed) = sealed(&ticket) else { continue };
        let opened = door.key.open(&sealed, &caller.principal)?;
        let statement = door.statements.get(opened.statement)?;
        cancelled |= statement.cancel(&reason);
        // One that waits for its turn has no stream yet, by which the statement knows its queries.
        if let Some(query) = door.engine.queries().living(&caller.principal, statement.id) {
            query.cancel(&reason);
            cancelled = true;
        }
    }
    Ok(if cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable })
}

/// The same endpoint with more time.
fn renew(door: &Door, caller: &Caller, endpoint: FlightEndpoint) -> Result<FlightEndpoint> {
    let Ticket { ticket } = endpoint.ticket.unwrap_or_default();
    let sealed = sealed(&ticket).ok_or_else(|| Failure::malformed("the endpoint has no ticket that ends"))?;
    let opened = door.key.open(&sealed, &caller.principal)?;
    let statement = door.statements.get(opened.statement)?;
    statement.renew(door.statements.expiry());
    Ok(info::endpoint(door, &statement, opened.share, opened.shares))
}

/// The sealed ticket in a message, if that is what the message is.
fn sealed(message: &[u8]) -> Option<bytes::Bytes> {
    match Command::try_from(Any::decode(message).ok()?).ok()? {
        Command::TicketStatementQuery(ticket) => Some(ticket.statement_handle),
        _ => None,
    }
}
