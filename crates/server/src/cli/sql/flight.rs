//! A client of a server's Flight SQL door.

mod failed;
mod listing;

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightClient, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};
use url::Url;

use super::address::Login;
use super::client::{Answer, Client, Listing, Progress};
use super::failure::Failure;
use super::unreachable::unreachable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds calls that only manage: sessions, progress, cancelling, listings. Queries have no bound on this side.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// The header that carries credentials, and the session's token.
const AUTHORIZATION: &str = "authorization";

/// One session of a server.
#[derive(Debug)]
pub(crate) struct Flight {
    channel: Channel,
    base: Url,
    login: Login,
    /// What names the session in each call; none once it has expired.
    session: Mutex<Option<AsciiMetadataValue>>,
    /// What there is to fetch of the statement that runs.
    running: Mutex<Option<FlightInfo>>,
}

impl Flight {
    /// Opens a session at this server, which proves that it is there and lets us in.
    pub(crate) async fn connect(base: Url, login: Login) -> Result<Self, Failure> {
        let unreachable = |error: tonic::transport::Error| unreachable(&base, &error);
        let channel = endpoint(&base).map_err(unreachable)?.connect().await.map_err(unreachable)?;
        let flight = Self { channel, base, login, session: Mutex::new(None), running: Mutex::new(None) };
        flight.open_session().await?;
        Ok(flight)
    }

    fn service(&self) -> FlightServiceClient<Channel> {
        // The server bounds its messages.
        FlightServiceClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// The handshake: credentials in, the token of a new session out.
    async fn open_session(&self) -> Result<AsciiMetadataValue, Failure> {
        let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
        request.set_timeout(CONTROL_TIMEOUT);
        if let Some(credentials) = credentials(&self.login)? {
            request.metadata_mut().insert(AUTHORIZATION, credentials);
        }
        let response =
            self.service().handshake(request).await.map_err(|status| failed::refused(&self.base, &status))?;
        let mut token = response.metadata().get(AUTHORIZATION).cloned().ok_or_else(|| {
            Failure::Connection(format!("{} does not answer like a Tidemill server: it opens no session", self.base))
        })?;
        token.set_sensitive(true);
        *self.session.lock() = Some(token.clone());
        Ok(token)
    }

    /// Calls within this session.
    fn client(&self, session: AsciiMetadataValue) -> FlightClient {
        let mut client = FlightClient::new_from_inner(self.service());
        client.metadata_mut().insert(AUTHORIZATION, session);
        client
    }

    /// Calls within the session, if there is one.
    fn managing(&self) -> Option<FlightClient> {
        let session = self.session.lock().clone();
        session.map(|session| self.client(session))
    }

    async fn run_statement(&self, sql: &str) -> Result<Answer, Failure> {
        *self.running.lock() = None;
        let session = self.session.lock().clone();
        let session = match session {
            Some(session) => session,
            None => self.open_session().await?,
        };
        let mut client = self.client(session);
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = client.get_flight_info(descriptor).await.map_err(|error| self.failed(error))?;
        let schema = info.clone().try_decode_schema().map_err(|error| failed::garbled(&error))?;
        *self.running.lock() = Some(info.clone());

        let mut tickets = info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket);
        // The first share now: what is wrong with the statement is told before anything is shown.
        let first = match tickets.next() {
            Some(ticket) => fetch(&mut client, ticket).await.map_err(|error| self.failed(error))?,
            None => stream::empty().boxed(),
        };
        let rest = stream::try_unfold((client, tickets), |(mut client, mut tickets)| async move {
            let Some(ticket) = tickets.next() else { return Ok::<_, FlightError>(None) };
            let share = fetch(&mut client, ticket).await?;
            Ok(Some((share, (client, tickets))))
        });
        let batches = first.chain(rest.try_flatten()).map_err(failed::broken_off);
        Ok(Answer { schema: schema.into(), batches: batches.boxed() })
    }

    /// Why a statement can not be run.
    fn failed(&self, error: FlightError) -> Failure {
        let FlightError::Tonic(status) = error else { return failed::garbled(&error) };
        let Some(mut fault) = failed::fault(&status) else { return failed::unreachable(&self.base, &status) };
        if status.code() == Code::Unauthenticated {
            // Not retried in a new session: the statement may rely on settings and views that are gone.
            *self.session.lock() = None;
            fault.hint =
                Some("the session expired, with its settings and temporary views; a new one begins".to_owned());
        }
        Failure::Statement(fault)
    }

    async fn told(&self) -> Option<Progress> {
        let ticket = self.running.lock().as_ref()?.endpoint.first()?.ticket.clone()?;
        let mut client = self.managing()?;
        let asked = client.poll_flight_info(FlightDescriptor::new_cmd(ticket.ticket));
        let poll = timeout(CONTROL_TIMEOUT, asked).await.ok()?.ok()?;
        // Without a descriptor for the next time, nothing runs.
        poll.flight_descriptor?;
        let progress = serde_json::from_slice(&poll.info.unwrap_or_default().app_metadata);
        Some(progress.unwrap_or(Progress { fraction: poll.progress, ..Progress::default() }))
    }
}

impl Client for Flight {
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.run_statement(sql))
    }

    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let running = self.running.lock().take();
            if let (Some(info), Some(mut client)) = (running, self.managing()) {
                let _ = timeout(CONTROL_TIMEOUT, client.cancel_flight_info(CancelFlightInfoRequest::new(info))).await;
            }
        })
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        Box::pin(self.told())
    }

    fn names<'a>(&'a self, listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>> {
        Box::pin(async move {
            let mut client = self.managing()?;
            timeout(CONTROL_TIMEOUT, listing::names(&mut client, listing)).await.ok()?
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(mut client) = self.managing() {
                let closing = async { client.do_action(Action::new("CloseSession", "")).await?.try_next().await };
                let _ = timeout(CONTROL_TIMEOUT, closing).await;
            }
            *self.session.lock() = None;
        })
    }
}

fn endpoint(base: &Url) -> Result<Endpoint, tonic::transport::Error> {
    let scheme = if base.scheme() == "grpc+tls" { "https" } else { "http" };
    let (host, port) = (base.host_str().unwrap_or_default(), base.port().unwrap_or_default());
    let endpoint = Endpoint::from_shared(format!("{scheme}://{host}:{port}"))?
        .user_agent(concat!("tidemill-sql/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_TIMEOUT);
    match scheme {
        "https" => endpoint.tls_config(ClientTlsConfig::new().with_native_roots()),
        _ => Ok(endpoint),
    }
}

/// The header that shows who we are.
fn credentials(login: &Login) -> Result<Option<AsciiMetadataValue>, Failure> {
    let text = match login {
        Login::Anonymous => return Ok(None),
        Login::Password(user, password) => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
        }
        Login::Token(token) => format!("Bearer {}", token.expose()),
    };
    let header = AsciiMetadataValue::try_from(text);
    let mut header = header.map_err(|_| Failure::Usage("the token holds characters that no token has".to_owned()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The rows of a ticket, once the server has begun to answer.
async fn fetch(
    client: &mut FlightClient,
    ticket: Ticket,
) -> Result<BoxStream<'static, Result<RecordBatch, FlightError>>, FlightError> {
    let rows: FlightRecordBatchStream = client.do_get(ticket).await?;
    Ok(rows.boxed())
}
