//! `DoGet`: the rows of a ticket.

use std::sync::Arc;

use arrow_flight::Ticket;
use arrow_flight::sql::{Any, Command, TicketStatementQuery};
use futures::{StreamExt, stream};
use prost::Message;
use tidemill_engine::results::SpooledResult;
use tonic::{Request, Response};

use super::caller::Caller;
use super::door::Door;
use super::encode::{Encoding, Messages};
use super::failure::{Failure, Result};
use super::metadata;
use super::statements::{Batches, Statement};

pub(crate) async fn answer(door: &Door, request: Request<Ticket>) -> Result<Response<Messages>> {
    let caller = Caller::of(door, &request).await?;
    let ticket = request.into_inner().ticket;
    let any = Any::decode(ticket).ok().filter(|any| !any.type_url.is_empty());
    let any = any.ok_or_else(|| Failure::malformed("the ticket is not one of this server's"))?;
    let messages = match Command::try_from(any)? {
        Command::TicketStatementQuery(ticket) => of_statement(door, &caller, &ticket).await?,
        command => {
            let batch = metadata::batch(door, &caller, &command).await?;
            let schema = batch.schema();
            Encoding::of(caller.session(), &door.config)?.encode(stream::iter([Ok::<_, Failure>(batch)]), schema)
        }
    };
    Ok(caller.respond(messages))
}

async fn of_statement(door: &Door, caller: &Caller, ticket: &TicketStatementQuery) -> Result<Messages> {
    let ticket = door.key.open(&ticket.statement_handle, &caller.principal)?;
    let statement = door.statements.get(ticket.statement)?;
    statement.session.touch();
    let encoding = Encoding::of(&statement.session, &door.config)?;
    let schema = Arc::clone(&statement.schema);
    let rows: Batches = if statement.kept.is_some() {
        let result = door.engine.results().open(&statement.principal, statement.id).await?;
        share(&result, ticket.share, ticket.shares)
    } else if let Some(once) = &statement.once {
        let outcome = once.outcome(&statement).await?;
        let batches: Vec<_> = outcome.batches.iter().cloned().map(Ok).collect();
        stream::iter(batches).boxed()
    } else {
        statement.rows().await?
    };
    let end = noted(statement, ticket.shares);
    Ok(encoding.encode(rows.chain(end), schema))
}

/// One of several contiguous shares of a kept result, as equal as whole rows allow.
fn share(result: &SpooledResult, share: u32, shares: u32) -> Batches {
    let rows = u128::from(result.rows());
    let bound = |share: u32| (rows * u128::from(share) / u128::from(shares.max(1))) as u64;
    let (from, to) = (bound(share), bound(share.saturating_add(1)));
    result.page(from, to.saturating_sub(from))
}

/// Nothing, but when it is asked for, the client has read all that came before.
fn noted(statement: Arc<Statement>, shares: u32) -> Batches {
    let noted = stream::once(async move { statement.fetched(shares) });
    noted.filter_map(|()| std::future::ready(None)).boxed()
}
