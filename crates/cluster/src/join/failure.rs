//! Why a task failed, on its way from the worker to the client: kind and subject survive, so that an error means the same
//! wherever it happened.
//!
//! Ballista wraps the text of a failure in texts of its own, so ours is found between marks.

use datafusion::error::DataFusionError;
use tidemill_engine::error::{Error, ErrorKind, Subject};

/// Around what is said of the failure.
const BEGIN: &str = "[[tidemill ";
const END: &str = "]]";
/// Between the parts.
const SEPARATOR: &str = " | ";

/// The failure as text.
pub fn fail_text(error: Error) -> String {
    let kind = kind_name(error.kind());
    let subject = error.subject().map(|subject| format!("{subject:?}")).unwrap_or_default();
    let clean = |text: &str| text.replace(END, "] ]").replace(SEPARATOR, " ¦ ");
    let hint = error.hint_text().map(clean).unwrap_or_default();
    let message = clean(error.message());
    [format!("{BEGIN}{kind}"), subject, message, hint].join(SEPARATOR) + END
}

/// The failure that a text tells of, whatever stands around it.
pub fn read_fail(text: &str) -> Error {
    parse(text).unwrap_or_else(|| Error::from(DataFusionError::Execution(text.trim().to_owned())))
}

fn parse(text: &str) -> Option<Error> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (parts, _) = rest.split_once(END)?;
    let mut parts = parts.split(SEPARATOR);
    let (kind, subject, message, hint) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let kind = KINDS.iter().copied().find(|known| kind_name(*known) == kind)?;
    let mut error = Error::new(kind, message);
    if let Some(subject) = SUBJECTS.iter().copied().find(|known| format!("{known:?}") == subject) {
        error = error.about(subject);
    }
    Some(if hint.is_empty() { error } else { error.hint(hint) })
}

const KINDS: [ErrorKind; 14] = [
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

fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::Forbidden => "forbidden",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Data => "data",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Busy => "busy",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Resources => "resources",
        ErrorKind::Storage => "storage",
        ErrorKind::Internal => "internal",
    }
}

/// What failures of running plans are about; what only planning meets has no place here.
const SUBJECTS: [Subject; 13] = [
    Subject::Table,
    Subject::Column,
    Subject::Function,
    Subject::Setting,
    Subject::Parameter,
    Subject::File,
    Subject::Credentials,
    Subject::Memory,
    Subject::Disk,
    Subject::ResultSize,
    Subject::Overflow,
    Subject::ZeroDivision,
    Subject::Cardinality,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_subject_and_hint_survive() {
        let told =
            Error::new(ErrorKind::Data, "division by zero in x | y [[1]]").about(Subject::ZeroDivision).hint("mind it");
        let text = format!("Job failed due to stage 1 failed: {}\n", fail_text(told));
        let read = read_fail(&text);
        assert_eq!((read.kind(), read.subject()), (ErrorKind::Data, Some(Subject::ZeroDivision)));
        assert_eq!(read.message(), "division by zero in x ¦ y [[1] ]");
        assert_eq!(read.hint_text(), Some("mind it"));
    }

    #[test]
    fn every_kind_is_read_again() {
        for kind in KINDS {
            assert_eq!(read_fail(&fail_text(Error::new(kind, "m"))).kind(), kind);
        }
    }

    #[test]
    fn a_text_of_others_is_told_as_it_is() {
        let read = read_fail("something else\n");
        assert_eq!(read.message(), "something else");
    }
}
