//! What the Flight SQL door can be told.

use serde::Deserialize;
use tidemill_engine::error::Result;
use tidemill_engine::units::{ByteSize, Span};

use super::bad;

/// The Flight SQL door, on the port of the HTTP door.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlightSqlConfig {
    /// Whether Flight SQL is served.
    pub enabled: bool,
    /// How long a ticket can be redeemed, unless it is renewed.
    pub ticket_ttl: Span,
    /// Statements that wait for their results to be fetched, of all clients.
    pub max_statements: usize,
    /// Statements of one principal that wait for their results to be fetched.
    pub max_statements_per_principal: usize,
    /// Prepared statements of all clients.
    pub max_prepared: usize,
    /// Prepared statements of one principal.
    pub max_prepared_per_principal: usize,
    /// A prepared statement that nobody used for this long is closed when another is opened.
    pub prepared_idle_timeout: Span,
    /// Memory of the parameters that are bound to one statement.
    pub max_bound_bytes: ByteSize,
    /// Memory of the parameters that are bound to all statements.
    pub max_bound_bytes_in_all: ByteSize,
    /// Results are cut into messages of about this size.
    pub target_message_bytes: ByteSize,
    /// The largest message that is sent: a single row that takes more is an error.
    pub max_sent_message_bytes: ByteSize,
    /// The largest message that is taken.
    pub max_received_message_bytes: ByteSize,
    /// How long `PollFlightInfo` waits for a query to end before it says how far it is.
    pub poll_wait: Span,
}

impl FlightSqlConfig {
    /// Refuses limits that would leave the door closed.
    ///
    /// # Errors
    /// Naming the key.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("max_statements", self.max_statements as u64),
            ("max_statements_per_principal", self.max_statements_per_principal as u64),
            ("max_prepared", self.max_prepared as u64),
            ("max_prepared_per_principal", self.max_prepared_per_principal as u64),
            ("target_message_bytes", self.target_message_bytes.0),
            ("max_sent_message_bytes", self.max_sent_message_bytes.0),
            ("max_received_message_bytes", self.max_received_message_bytes.0),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(bad(format!("flight_sql.{name} is 0, so that no result could be served")));
        }
        if self.ticket_ttl.0.is_zero() {
            return Err(bad("flight_sql.ticket_ttl is 0, so that no ticket could be redeemed".to_owned()));
        }
        Ok(())
    }
}
