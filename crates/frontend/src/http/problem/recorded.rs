//! The problem with a query that failed a while ago: history knows its code, not its kind.

use axum::http::StatusCode;
use tidemill_engine::QueryId;
use tidemill_engine::query::ErrorInfo;

use super::{INTERNAL_DETAIL, Problem, cancelled};

impl Problem {
    /// The problem with this query, as history tells it.
    pub(crate) fn recorded(error: &ErrorInfo, id: QueryId) -> Self {
        let status = status(&error.code, &error.sqlstate);
        let mut error = error.clone();
        conceal(&mut error);
        Self {
            sqlstate: Some(error.sqlstate),
            hint: error.hint,
            instance: Some(format!("/v1/queries/{id}")),
            query_id: Some(id.to_string()),
            retryable: error.retryable,
            ..Self::new(status, &error.code, error.message)
        }
    }
}

/// Takes the message of a bug out of what history tells: clients get what the problem document would say.
pub(crate) fn conceal(error: &mut ErrorInfo) {
    if status(&error.code, &error.sqlstate) == StatusCode::INTERNAL_SERVER_ERROR {
        INTERNAL_DETAIL.clone_into(&mut error.message);
    }
}

/// The status that the error had when it happened; the test holds this table to the one of kinds.
fn status(code: &str, sqlstate: &str) -> StatusCode {
    match code {
        "ALREADY_EXISTS"
        | "QUERY_EXISTS"
        | "IDEMPOTENCY_CONFLICT"
        | "RESULT_NOT_READY"
        | "DEPENDENTS_EXIST"
        | "UNIQUE_VIOLATION"
        | "CONCURRENT_CHANGE" => StatusCode::CONFLICT,
        "NOT_NULL_VIOLATION" | "CHECK_VIOLATION" | "CARDINALITY_VIOLATION" => StatusCode::UNPROCESSABLE_ENTITY,
        "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
        "FORBIDDEN" | "READ_ONLY" => StatusCode::FORBIDDEN,
        "UNSUPPORTED" => StatusCode::NOT_IMPLEMENTED,
        "RESULT_TOO_LARGE" => StatusCode::UNPROCESSABLE_ENTITY,
        "CANCELLED" => cancelled(),
        "TIMEOUT" => StatusCode::GATEWAY_TIMEOUT,
        "TOO_MANY_REQUESTS" => StatusCode::TOO_MANY_REQUESTS,
        "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
        "OUT_OF_MEMORY" | "DISK_QUOTA_EXCEEDED" | "RESOURCES_EXHAUSTED" => StatusCode::INSUFFICIENT_STORAGE,
        "STORAGE_ERROR" => StatusCode::BAD_GATEWAY,
        "SYNTAX_ERROR" | "AMBIGUOUS_COLUMN" => StatusCode::BAD_REQUEST,
        code if code.starts_with("INVALID_") || code.ends_with("NOT_FOUND") => StatusCode::BAD_REQUEST,
        // Class 22 is what PostgreSQL calls data exceptions, whatever their code.
        _ if sqlstate.starts_with("22") => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_engine::{Error, ErrorKind, Subject};

    use super::*;

    #[test]
    fn the_message_of_a_bug_is_not_told() {
        let mut bug = ErrorInfo::from(&Error::internal("index 7 out of bounds in secret.rs"));
        conceal(&mut bug);
        assert_eq!(bug.message, INTERNAL_DETAIL);
        let mut fault = ErrorInfo::from(&Error::invalid("no such thing"));
        conceal(&mut fault);
        assert_eq!(fault.message, "no such thing");
    }

    #[test]
    fn history_tells_the_status_that_the_client_would_have_seen() {
        let kinds = [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Unauthenticated,
            ErrorKind::Forbidden,
            ErrorKind::Unsupported,
            ErrorKind::Data,
            ErrorKind::Cancelled,
            ErrorKind::Timeout,
            ErrorKind::Busy,
            ErrorKind::Unavailable,
            ErrorKind::Resources,
            ErrorKind::Storage,
            ErrorKind::Internal,
        ];
        let subjects = [
            None,
            Some(Subject::Syntax),
            Some(Subject::Table),
            Some(Subject::Column),
            Some(Subject::Setting),
            Some(Subject::Query),
            Some(Subject::Parameter),
            Some(Subject::Memory),
            Some(Subject::Disk),
            Some(Subject::ResultSize),
            Some(Subject::ReadOnly),
            Some(Subject::Key),
            Some(Subject::Result),
            Some(Subject::Dependents),
            Some(Subject::Overflow),
            Some(Subject::ZeroDivision),
            Some(Subject::Constraint),
            Some(Subject::UniqueKey),
            Some(Subject::RequiredValue),
            Some(Subject::Check),
            Some(Subject::Cardinality),
            Some(Subject::Concurrency),
        ];
        for kind in kinds {
            for subject in subjects {
                let error = Error::new(kind, "x");
                let error = match subject {
                    Some(subject) => error.about(subject),
                    None => error,
                };
                let recorded = Problem::recorded(&ErrorInfo::from(&error), QueryId::new());
                assert_eq!(recorded.status, Problem::of_statement(&error).status, "{kind:?} {subject:?}");
            }
        }
    }
}
