//! The files of tasks, for whoever needs them next: other workers, and the coordinator for results.
//!
//! What is asked for is checked before Ballista's service makes a path of it. The guard in front of the server has checked who
//! asks.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use ballista_core::serde::decode_protobuf;
use ballista_core::serde::scheduler::Action as Fetch;
use ballista_executor::flight_service::BallistaFlightService;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use super::membership::Membership;
use super::work_dir::is_job;

/// Serves files.
pub(super) struct Files {
    shared: Arc<Shared>,
}

impl Files {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Who has what is asked for.
    fn check(&self, asked: &[u8]) -> Result<Arc<Membership>, Status> {
        let asked = decode_protobuf(asked).map_err(|_| Status::invalid_argument("this is no ticket for a file"))?;
        let Fetch::FetchPartition { job_id, .. } = asked;
        if !is_job(job_id.as_str()) {
            return Err(Status::invalid_argument("this is no job"));
        }
        self.shared.current().ok_or_else(|| Status::not_found("this worker has no files"))
    }
}

type Answer<T> = Result<Response<BoxStream<'static, Result<T, Status>>>, Status>;

fn not_served<T>() -> Result<T, Status> {
    Err(Status::unimplemented("workers serve files and nothing else"))
}

#[tonic::async_trait]
impl FlightService for Files {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = <BallistaFlightService as FlightService>::DoGetStream;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = <BallistaFlightService as FlightService>::DoActionStream;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let member = self.check(&request.get_ref().ticket)?;
        member.files.do_get(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let member = self.check(&request.get_ref().body)?;
        member.files.do_action(request).await
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<HandshakeResponse> {
        not_served()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<FlightInfo> {
        not_served()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        not_served()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        not_served()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        not_served()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<PutResult> {
        not_served()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<FlightData> {
        not_served()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<ActionType> {
        not_served()
    }
}
