//! What the statuses of failed calls say.

use arrow_flight::error::FlightError;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use url::Url;

use crate::cli::sql::address::innermost;
use crate::cli::sql::failure::{Failure, Fault, Place};
use crate::cli::sql::unreachable;

/// What the server says is wrong; `None` when it does not speak in this status, as when the connection broke.
///
/// What a code can not say is in `google.rpc.ErrorInfo`: the reason is our code, the metadata hold the rest. The hint is at
/// the end of the message too, for clients that show nothing else.
pub(super) fn fault(status: &Status) -> Option<Fault> {
    let Some(info) = status.get_details_error_info() else {
        // The limits of gRPC itself, and those of other servers, come without details; these codes come from no connection.
        let spoken = !matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Unimplemented);
        let said = |detail: &str| Fault { detail: detail.to_owned(), ..Fault::default() };
        return (spoken && std::error::Error::source(status).is_none()).then(|| said(status.message()));
    };
    let told = |name: &str| info.metadata.get(name).map(String::as_str);
    let hint = told("hint");
    let message = status.message();
    let detail = hint.and_then(|hint| message.strip_suffix(hint)?.strip_suffix("; ")).unwrap_or(message);
    let number = |name: &str| told(name).and_then(|number| number.parse().ok());
    let position = number("line").zip(number("column")).map(|(line, column)| Place { line, column });
    Some(Fault { detail: detail.to_owned(), hint: hint.map(str::to_owned), position, code: info.reason })
}

/// Why the server opens no session.
pub(super) fn refused(base: &Url, status: &Status) -> Failure {
    let Some(fault) = fault(status) else { return unreachable(base, status) };
    let advice = match status.code() {
        Code::Unauthenticated => "; give --user or --token-env",
        _ => "",
    };
    Failure::Connection(format!("{base} refuses a session: {}{advice}", fault.detail))
}

/// A call that nobody answered, or no server of ours.
pub(super) fn unreachable(base: &Url, status: &Status) -> Failure {
    match status.code() {
        Code::Unimplemented => {
            let message = status.message();
            Failure::Connection(format!("{base} does not answer like a Tidemill server: {message}"))
        }
        _ => unreachable::unreachable(base, status),
    }
}

/// Why a result ended before its end.
pub(super) fn broken_off(error: FlightError) -> Failure {
    let status = match error {
        FlightError::Tonic(status) => status,
        other => return garbled(&other),
    };
    let detail = || format!("the result broke off, rows are missing: {}", innermost(&*status));
    Failure::Statement(fault(&status).unwrap_or_else(|| Fault { detail: detail(), ..Fault::default() }))
}

/// An answer that is not what the protocol says.
pub(super) fn garbled(error: &dyn std::error::Error) -> Failure {
    let detail = format!("the server's answer is not Flight SQL: {error}");
    Failure::Statement(Fault { detail, ..Fault::default() })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn base() -> Url {
        Url::parse("grpc://127.0.0.1:8080").unwrap()
    }

    #[test]
    fn details_become_the_fault_and_the_hint_is_told_once() {
        let metadata = [("hint", "look; twice"), ("line", "2"), ("column", "8"), ("sqlstate", "42703")];
        let metadata: HashMap<_, _> = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let details = ErrorDetails::with_error_info("COLUMN_NOT_FOUND", "tidemill", metadata);
        let status = Status::with_error_details(Code::NotFound, "column 'x' not found; look; twice", details);
        let fault = fault(&status).unwrap();
        assert_eq!((fault.code.as_str(), fault.detail.as_str()), ("COLUMN_NOT_FOUND", "column 'x' not found"));
        assert_eq!(fault.hint.as_deref(), Some("look; twice"));
        assert_eq!(fault.position, Some(Place { line: 2, column: 8 }));
    }

    #[test]
    fn who_does_not_answer_is_not_taken_for_the_statement() {
        assert!(fault(&Status::unavailable("transport error")).is_none());
        assert!(fault(&Status::unimplemented("")).is_none());
        assert_eq!(fault(&Status::out_of_range("too large")).unwrap().detail, "too large");
        let refused = refused(&base(), &Status::unauthenticated("credentials are missing"));
        assert!(
            matches!(refused, Failure::Connection(message) if message.ends_with("missing; give --user or --token-env"))
        );
        match broken_off(Status::unavailable("connection reset").into()) {
            Failure::Statement(fault) => assert!(fault.detail.contains("rows are missing"), "{}", fault.detail),
            other => panic!("{other:?}"),
        }
    }
}
