//! The Flight SQL door: what Arrow clients speak (ADBC, JDBC, ODBC, Grafana, `pyarrow.flight`), over gRPC on the port of the HTTP
//! door. Results leave as the Arrow batches that the engine produces.
//!
//! A request finds its [`caller`] (credentials and session), its command is decoded, and one module an RPC answers it: `info`
//! plans and hands out tickets, `fetch` redeems them, `put` takes parameters and rows, `actions` does the rest. What a ticket
//! stands for lives in `statements`. The protocol: <https://arrow.apache.org/docs/format/FlightSql.html>.

mod actions;
mod bound;
mod caller;
mod decode;
mod describe;
mod door;
mod encode;
mod failure;
mod fetch;
mod handshake;
mod info;
mod ingest;
mod messages;
mod metadata;
mod outcome;
mod oversize;
mod poll;
mod prepared;
mod put;
mod service;
mod session_options;
mod statements;
mod ticket;

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use tidemill_engine::Engine;

use crate::config::FlightSqlConfig;
use crate::gate::Gate;
use door::Door;
pub use oversize::Told;
pub use service::FlightSql;

/// The paths of the service's methods.
pub const PATH: &str = "/arrow.flight.protocol.FlightService/{method}";

/// The service, for a listener that speaks HTTP/2.
pub fn service(engine: Arc<Engine>, gate: Gate, config: Arc<FlightSqlConfig>) -> Told<FlightServiceServer<FlightSql>> {
    let received = usize::try_from(config.max_received_message_bytes.0).unwrap_or(usize::MAX);
    let door = Door::new(engine, gate, config);
    let service = FlightServiceServer::new(FlightSql::new(door))
        .max_decoding_message_size(received)
        // What is sent is bounded where it is encoded, with an error that says what is too large.
        .max_encoding_message_size(usize::MAX);
    Told(service)
}
