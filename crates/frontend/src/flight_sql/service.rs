//! The RPCs of Flight, each answered by its module.

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status, Streaming};

use super::door::Door;
use super::failure::Failure;
use super::{actions, encode, fetch, handshake, info, poll, put};

/// The Flight service of the server.
#[derive(Debug, Clone)]
pub struct FlightSql(Door);

impl FlightSql {
    pub(super) fn new(door: Door) -> Self {
        Self(door)
    }
}

#[tonic::async_trait]
impl FlightService for FlightSql {
    type HandshakeStream = handshake::Answers;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = encode::Messages;
    type DoPutStream = put::Answers;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = actions::Answers;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Ok(handshake::answer(&self.0, request).await?)
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Failure::unsupported("ListFlights is not part of Flight SQL; ask for tables by CommandGetTables").into())
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Ok(info::answer(&self.0, request).await?)
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Ok(poll::answer(&self.0, request).await?)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Ok(info::schema(&self.0, request).await?)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Ok(fetch::answer(&self.0, request).await?)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Ok(put::answer(&self.0, request).await?)
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Failure::unsupported("DoExchange is not part of Flight SQL").into())
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        Ok(actions::answer(&self.0, request).await?)
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(stream::iter(actions::list().into_iter().map(Ok)).boxed()))
    }
}
