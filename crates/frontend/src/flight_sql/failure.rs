//! Failures as gRPC statuses, and the one table from the engine's kinds to gRPC codes.
//!
//! What a code can not say is in the status' details (`grpc-status-details-bin`): a `google.rpc.ErrorInfo` with the code, the
//! SQLSTATE, the position, the query's id and the hint, and a `google.rpc.RetryInfo` where a retry is worth it.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use arrow_flight::error::FlightError;
use tidemill_engine::{Error, ErrorKind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::oversize;

/// Who speaks in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "tidemill";
/// What is told of a bug: its message may hold anything, so that it is for the log alone.
const INTERNAL: &str = "the server failed; its log says why";
/// After what time a retry is worth it, where the error does not say.
const RETRY: Duration = Duration::from_secs(1);

/// A failed RPC. Boxed, because a status is large and results should stay small.
#[derive(Debug)]
pub(crate) struct Failure(Box<Status>);

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// The request itself is not what the protocol wants.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::from(&Error::invalid(message))
    }

    /// Nothing here implements it.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::from(&Error::unsupported(message))
    }

    /// The status, for a stream that ends with it.
    pub(crate) fn into_status(self) -> Status {
        *self.0
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.into_status()
    }
}

impl From<Failure> for FlightError {
    fn from(failure: Failure) -> Self {
        Self::Tonic(failure.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let message = if error.kind() == ErrorKind::Internal {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let query_id = error.query_id().map(tracing::field::display);
            tracing::error!(query_id, error = %error, cause, "internal error");
            INTERNAL.to_owned()
        } else {
            match error.hint_text() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            }
        };
        Self(Box::new(Status::with_error_details(code(error.kind()), message, details(error))))
    }
}

/// What encoding or decoding Arrow found wrong: with the client's bytes, since ours come from the engine.
impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::malformed(format!("cannot read the Arrow data: {error}"))
    }
}

impl From<prost::DecodeError> for Failure {
    fn from(error: prost::DecodeError) -> Self {
        Self::malformed(format!("cannot read the message: {error}"))
    }
}

/// A stream of the client that broke keeps its status, but for a message that is too large.
impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        oversize::told(&status).unwrap_or_else(|| Self(Box::new(status)))
    }
}

impl From<FlightError> for Failure {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::from(*status),
            FlightError::Arrow(error) => Self::from(error),
            other @ (FlightError::NotYetImplemented(_)
            | FlightError::ProtocolError(_)
            | FlightError::DecodeError(_)
            | FlightError::ExternalError(_)) => Self::malformed(format!("cannot read the stream: {other}")),
        }
    }
}

/// The one table from kinds to codes.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid | ErrorKind::Data => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::AlreadyExists,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        // Clients try again after these.
        ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Storage => Code::Unavailable,
        ErrorKind::Resources => Code::ResourceExhausted,
        ErrorKind::Internal => Code::Internal,
    }
}

fn details(error: &Error) -> ErrorDetails {
    let mut metadata = HashMap::from([("sqlstate".to_owned(), error.sqlstate().to_owned())]);
    let mut tell = |name: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value.to_string());
        }
    };
    let position = error.position();
    tell("line", position.as_ref().map(|position| &position.line as &dyn Display));
    tell("column", position.as_ref().map(|position| &position.column as &dyn Display));
    tell("query_id", error.query_id().as_ref().map(|id| id as &dyn Display));
    tell("hint", error.hint_text().as_ref().map(|hint| hint as &dyn Display));
    tell("did_you_mean", error.suggestions().first().map(|name| name as &dyn Display));
    let mut details = ErrorDetails::with_error_info(error.code(), DOMAIN, metadata);
    if error.retryable() {
        details.set_retry_info(Some(error.retry_delay().unwrap_or(RETRY)));
    }
    details
}
