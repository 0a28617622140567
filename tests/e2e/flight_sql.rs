//! The Flight SQL door where only the server's own process shows what happens.

use anyhow::{Context, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{
    CancelFlightInfoRequest, CancelStatus, FlightClient, FlightDescriptor, FlightInfo, PollInfo, Ticket,
};
use futures::TryStreamExt;
use prost::Message;
use tidemill_tests::TestServer;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::patience::{LONG, PATIENCE, come_true, run};

const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000) a(x), generate_series(1, 100000000) b(y) \
                       WHERE x % 7 = y % 11";

async fn channel(server: &TestServer) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(server.url(""))?.connect().await?)
}

async fn client(server: &TestServer) -> anyhow::Result<FlightClient> {
    Ok(FlightClient::new(channel(server).await?))
}

/// Calls within a session of their own.
async fn client_with_session(server: &TestServer) -> anyhow::Result<FlightClient> {
    let mut login = FlightSqlServiceClient::new(channel(server).await?);
    login.handshake("tester", "").await?;
    let mut client = FlightClient::new_from_inner(login.inner().clone());
    client.add_header("authorization", &format!("Bearer {}", login.token().context("no token")?))?;
    Ok(client)
}

fn statement(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn ticket(info: &FlightInfo) -> anyhow::Result<Ticket> {
    info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone()).context("no ticket")
}

/// Begins to fetch a statement.
async fn fetch(client: &mut FlightClient, sql: &str) -> anyhow::Result<FlightRecordBatchStream> {
    let info = client.get_flight_info(statement(sql)).await?;
    Ok(client.do_get(ticket(&info)?).await?)
}

async fn collect(client: &mut FlightClient, ticket: Ticket) -> Result<Vec<RecordBatch>, FlightError> {
    client.do_get(ticket).await?.try_collect().await
}

/// The only value of an answer.
fn number(batches: &[RecordBatch]) -> anyhow::Result<i64> {
    let mut values = batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| batch.column(0));
    let column = values.next().context("no row")?;
    ensure!(column.len() == 1 && values.next().is_none(), "more than one row");
    let signed = column.as_primitive_opt::<Int64Type>().map(|column| column.value(0));
    let unsigned = column.as_primitive_opt::<UInt64Type>().map(|column| column.value(0) as i64);
    signed.or(unsigned).context("no number")
}

/// Nothing of any query is left.
async fn at_rest(server: &TestServer, memory_before: u64) -> anyhow::Result<()> {
    let status = || server.engine().status();
    come_true("no query", PATIENCE, || status().queries_living == 0).await?;
    come_true("no permit", PATIENCE, || status().queries_running + status().queries_queued == 0).await?;
    come_true("no memory", PATIENCE, || status().memory_used_bytes <= memory_before).await
}

#[test]
fn a_stream_that_is_dropped_frees_its_query() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::with(&[("admission.max_running", "1")]).await?;
        let status = || server.engine().status();
        let before = status().memory_used_bytes;
        let mut client = client(&server).await?;
        // More than fits into the buffers between here and there; and the sort holds it all.
        let sql = "SELECT x, x % 1000 AS y FROM generate_series(1, 1000000) a(x) ORDER BY y, x";
        let mut rows = fetch(&mut client, sql).await?;
        ensure!(rows.try_next().await?.is_some());
        let now = status();
        ensure!(now.queries_running == 1 && now.memory_used_bytes > before, "{now:?}");
        drop(rows);
        at_rest(&server, before).await?;
        // The only permit is there for the next.
        let info = client.get_flight_info(statement("SELECT count(*) FROM generate_series(1, 10) a(x)")).await?;
        ensure!(number(&collect(&mut client, ticket(&info)?).await?)? == 10);
        Ok(())
    })
}

#[test]
fn a_client_that_does_not_wait_for_its_tickets_ends_the_query() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let mut client = client_with_session(&server).await?;
        let set = client.get_flight_info(statement("SET result_partitions = 2")).await?;
        collect(&mut client, ticket(&set)?).await?;
        let waiting = tokio::spawn(async move { client.get_flight_info(statement(ENDLESS)).await });
        come_true("the query", LONG, || server.engine().status().queries_running == 1).await?;
        waiting.abort();
        at_rest(&server, u64::MAX).await
    })
}

#[test]
fn a_ticket_that_two_redeem_at_once_takes_effect_once() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let mut client = client(&server).await?;
        fetch(&mut client, "CREATE TABLE once_t (v BIGINT)").await?.try_collect::<Vec<_>>().await?;
        let insert = "INSERT INTO once_t SELECT value FROM generate_series(1, 20000) g(value)";
        let info = client.get_flight_info(statement(insert)).await?;
        let mut redeeming = Vec::new();
        for _ in 0..8 {
            let (mut other, ticket) = (self::client(&server).await?, ticket(&info)?);
            redeeming.push(tokio::spawn(async move { collect(&mut other, ticket).await }));
        }
        for redeemed in redeeming {
            ensure!(number(&redeemed.await??)? == 20_000);
        }
        // Later, too.
        ensure!(number(&collect(&mut client, ticket(&info)?).await?)? == 20_000);
        let count = fetch(&mut client, "SELECT count(*) FROM once_t").await?.try_collect::<Vec<_>>().await?;
        ensure!(number(&count)? == 20_000, "the table holds {} rows", number(&count)?);
        Ok(())
    })
}

#[test]
fn polls_lead_to_the_whole_result() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::with(&[("admission.max_running", "1"), ("flight_sql.poll_wait", "10ms")]).await?;
        let mut client = client(&server).await?;
        let info = client.get_flight_info(statement(ENDLESS)).await?;
        let mut other = self::client(&server).await?;
        let occupant = ticket(&info)?;
        let occupied = tokio::spawn(async move { collect(&mut other, occupant).await });
        come_true("the permit taken", LONG, || server.engine().status().queries_running == 1).await?;

        let sql = "SELECT x FROM generate_series(1, 100000) a(x) WHERE x % 7 = 0";
        let mut poll = client.poll_flight_info(statement(sql)).await?;
        ensure!(poll.flight_descriptor.is_some(), "it is complete while it waits for its turn");
        occupied.abort();
        while let PollInfo { info, flight_descriptor: Some(descriptor), progress, .. } = poll {
            ensure!(progress.is_none_or(|progress| (0.0..=1.0).contains(&progress)));
            ensure!(info.is_some_and(|info| info.endpoint.is_empty()), "there is something to fetch before the end");
            poll = client.poll_flight_info(descriptor).await?;
        }
        let info = poll.info.context("no info at the end")?;
        ensure!(poll.progress == Some(1.0) && info.total_records == 14_285, "{info:?}");
        let rows: usize = collect(&mut client, ticket(&info)?).await?.iter().map(RecordBatch::num_rows).sum();
        ensure!(rows == 14_285);
        Ok(())
    })
}

#[test]
fn a_statement_tells_how_far_it_is_while_it_is_fetched() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let mut client = client(&server).await?;
        let sql = "SELECT value FROM generate_series(1, 100000000) g(value)";
        let info = client.get_flight_info(statement(sql)).await?;
        let asked = FlightDescriptor::new_cmd(ticket(&info)?.ticket);
        ensure!(client.poll_flight_info(asked.clone()).await?.flight_descriptor.is_none(), "it runs before its time");
        let mut rows = client.do_get(ticket(&info)?).await?;
        ensure!(rows.try_next().await?.is_some());
        let poll = client.poll_flight_info(asked.clone()).await?;
        ensure!(poll.flight_descriptor.is_some());
        let told: serde_json::Value = serde_json::from_slice(&poll.info.unwrap_or_default().app_metadata)?;
        ensure!(told["rows_read"].as_u64() > Some(0), "{told}");
        drop(rows);
        at_rest(&server, u64::MAX).await?;
        ensure!(client.poll_flight_info(asked).await?.flight_descriptor.is_none());
        Ok(())
    })
}

#[test]
fn a_statement_that_waits_for_its_turn_is_cancelled() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::with(&[("admission.max_running", "1")]).await?;
        let mut client = client(&server).await?;
        let sql = "SELECT value FROM generate_series(1, 100000000) g(value)";
        let occupant = fetch(&mut client, sql).await?;
        let info = client.get_flight_info(statement(ENDLESS)).await?;
        let (mut other, ticket) = (self::client(&server).await?, ticket(&info)?);
        let waiting = tokio::spawn(async move { collect(&mut other, ticket).await });
        come_true("the wait", LONG, || server.engine().status().queries_queued == 1).await?;
        let answer = client.cancel_flight_info(CancelFlightInfoRequest::new(info)).await?;
        ensure!(answer.status() == CancelStatus::Cancelled, "{answer:?}");
        match waiting.await? {
            Err(FlightError::Tonic(status)) => ensure!(status.code() == Code::Cancelled, "{status:?}"),
            other => anyhow::bail!("not cancelled: {other:?}"),
        }
        drop(occupant);
        at_rest(&server, u64::MAX).await
    })
}
