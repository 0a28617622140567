//! From DataFusion's, Arrow's and the stores' failures to our vocabulary, and from our vocabulary to stable codes.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::panic::{panicked, too_large};
use super::{Error, ErrorKind, Place, Subject, words};

pub(super) fn code(kind: ErrorKind, subject: Option<Subject>) -> &'static str {
    match (kind, subject) {
        (ErrorKind::Invalid, Some(Subject::Syntax)) => "SYNTAX_ERROR",
        (ErrorKind::Invalid, Some(Subject::Setting)) => "INVALID_SETTING",
        (ErrorKind::Invalid, Some(Subject::Parameter)) => "INVALID_PARAMETER",
        (ErrorKind::Invalid, Some(Subject::Column)) => "AMBIGUOUS_COLUMN",
        (ErrorKind::Invalid, _) => "INVALID_REQUEST",
        (ErrorKind::NotFound, Some(Subject::Catalog)) => "CATALOG_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Schema)) => "SCHEMA_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Table)) => "TABLE_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Column)) => "COLUMN_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Function)) => "FUNCTION_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Setting)) => "SETTING_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Query)) => "QUERY_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Session)) => "SESSION_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Node)) => "NODE_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Prepared)) => "PREPARED_STATEMENT_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::File)) => "FILE_NOT_FOUND",
        (ErrorKind::NotFound, Some(Subject::Constraint)) => "CONSTRAINT_NOT_FOUND",
        (ErrorKind::NotFound, _) => "NOT_FOUND",
        (ErrorKind::Conflict, Some(Subject::Key)) => "IDEMPOTENCY_CONFLICT",
        (ErrorKind::Conflict, Some(Subject::Query)) => "QUERY_EXISTS",
        (ErrorKind::Conflict, Some(Subject::Result)) => "RESULT_NOT_READY",
        (ErrorKind::Conflict, Some(Subject::Dependents)) => "DEPENDENTS_EXIST",
        (ErrorKind::Conflict, Some(Subject::UniqueKey)) => "UNIQUE_VIOLATION",
        (ErrorKind::Conflict, Some(Subject::Concurrency)) => "CONCURRENT_CHANGE",
        (ErrorKind::Conflict, _) => "ALREADY_EXISTS",
        (ErrorKind::Unauthenticated, _) => "UNAUTHENTICATED",
        (ErrorKind::Forbidden, Some(Subject::ReadOnly)) => "READ_ONLY",
        (ErrorKind::Forbidden, _) => "FORBIDDEN",
        (ErrorKind::Unsupported, _) => "UNSUPPORTED",
        (ErrorKind::Data, Some(Subject::Overflow)) => "NUMERIC_OVERFLOW",
        (ErrorKind::Data, Some(Subject::ZeroDivision)) => "DIVISION_BY_ZERO",
        (ErrorKind::Data, Some(Subject::RequiredValue)) => "NOT_NULL_VIOLATION",
        (ErrorKind::Data, Some(Subject::Check)) => "CHECK_VIOLATION",
        (ErrorKind::Data, Some(Subject::Cardinality)) => "CARDINALITY_VIOLATION",
        (ErrorKind::Data, _) => "DATA_ERROR",
        (ErrorKind::Cancelled, _) => "CANCELLED",
        (ErrorKind::Timeout, _) => "TIMEOUT",
        (ErrorKind::Busy, _) => "TOO_MANY_REQUESTS",
        (ErrorKind::Unavailable, _) => "UNAVAILABLE",
        (ErrorKind::Resources, Some(Subject::Memory)) => "OUT_OF_MEMORY",
        (ErrorKind::Resources, Some(Subject::Disk)) => "DISK_QUOTA_EXCEEDED",
        (ErrorKind::Resources, Some(Subject::ResultSize)) => "RESULT_TOO_LARGE",
        (ErrorKind::Resources, _) => "RESOURCES_EXHAUSTED",
        (ErrorKind::Storage, _) => "STORAGE_ERROR",
        (ErrorKind::Internal, _) => "INTERNAL",
    }
}

pub(super) fn sqlstate(kind: ErrorKind, subject: Option<Subject>) -> &'static str {
    match (kind, subject) {
        (ErrorKind::Invalid, Some(Subject::Syntax)) => "42601",
        (ErrorKind::Invalid, Some(Subject::Column)) => "42702",
        (ErrorKind::Invalid, Some(Subject::Setting | Subject::Parameter)) => "22023",
        (ErrorKind::Invalid, Some(Subject::Constraint)) => "42P10",
        (ErrorKind::Invalid, _) => "42000",
        (ErrorKind::NotFound, Some(Subject::Catalog)) => "3D000",
        (ErrorKind::NotFound, Some(Subject::Schema)) => "3F000",
        (ErrorKind::NotFound, Some(Subject::Table)) => "42P01",
        (ErrorKind::NotFound, Some(Subject::Column)) => "42703",
        (ErrorKind::NotFound, Some(Subject::Function)) => "42883",
        (ErrorKind::NotFound, Some(Subject::Prepared)) => "26000",
        (ErrorKind::NotFound, Some(Subject::File)) => "58P01",
        (ErrorKind::NotFound, _) => "42704",
        (ErrorKind::Conflict, Some(Subject::Table)) => "42P07",
        (ErrorKind::Conflict, Some(Subject::Schema)) => "42P06",
        (ErrorKind::Conflict, Some(Subject::Catalog)) => "42P04",
        (ErrorKind::Conflict, Some(Subject::Prepared)) => "42P05",
        (ErrorKind::Conflict, Some(Subject::Result)) => "55000",
        (ErrorKind::Conflict, Some(Subject::Dependents)) => "2BP01",
        (ErrorKind::Conflict, Some(Subject::Column)) => "42701",
        (ErrorKind::Conflict, Some(Subject::UniqueKey)) => "23505",
        (ErrorKind::Conflict, Some(Subject::Concurrency)) => "40001",
        (ErrorKind::Conflict, _) => "42710",
        (ErrorKind::Unauthenticated, _) => "28000",
        (ErrorKind::Forbidden, Some(Subject::ReadOnly)) => "25006",
        (ErrorKind::Forbidden, _) => "42501",
        (ErrorKind::Unsupported, _) => "0A000",
        (ErrorKind::Data, Some(Subject::Overflow)) => "22003",
        (ErrorKind::Data, Some(Subject::ZeroDivision)) => "22012",
        (ErrorKind::Data, Some(Subject::RequiredValue)) => "23502",
        (ErrorKind::Data, Some(Subject::Check)) => "23514",
        (ErrorKind::Data, Some(Subject::Cardinality)) => "21000",
        (ErrorKind::Data, _) => "22000",
        (ErrorKind::Cancelled | ErrorKind::Timeout, _) => "57014",
        (ErrorKind::Busy, _) => "53300",
        (ErrorKind::Unavailable, _) => "57P03",
        (ErrorKind::Resources, Some(Subject::Memory)) => "53200",
        (ErrorKind::Resources, Some(Subject::Disk)) => "53100",
        (ErrorKind::Resources, _) => "54000",
        (ErrorKind::Storage, _) => "58030",
        (ErrorKind::Internal, _) => "XX000",
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::SQL(error, _) => syntax(&error),
            DataFusionError::SchemaError(error, _) => schema(&error),
            DataFusionError::Plan(message) => plan(message),
            DataFusionError::Configuration(message) => Self::invalid(message).about(Subject::Setting),
            DataFusionError::NotImplemented(message) => words::unsupported(message),
            DataFusionError::Execution(message) | DataFusionError::Ffi(message) => Self::new(ErrorKind::Data, message),
            DataFusionError::Substrait(message) => Self::invalid(message),
            DataFusionError::ResourcesExhausted(message) => resources(message),
            DataFusionError::ArrowError(error, _) => arrow(*error),
            DataFusionError::ParquetError(error) => parquet(*error),
            DataFusionError::ObjectStore(error) => store(*error),
            DataFusionError::IoError(error) => io(&error),
            DataFusionError::External(error) => external(error),
            DataFusionError::Context(context, inner) => with_context(&context, Self::from(*inner)),
            DataFusionError::Diagnostic(diagnostic, inner) => diagnosed(&diagnostic, Self::from(*inner)),
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(first) => Self::from(first),
                None => Self::internal("an empty collection of errors"),
            },
            DataFusionError::Shared(error) => shared(&error),
            DataFusionError::ExecutionJoin(error) => join(*error),
            DataFusionError::Internal(message) => Self::internal(message),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        arrow(error)
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        store(error)
    }
}

fn syntax(error: &ParserError) -> Error {
    let (ParserError::TokenizerError(text) | ParserError::ParserError(text)) = error else {
        return Error::invalid("the statement nests too deeply")
            .about(Subject::Syntax)
            .hint("split the statement into views or common table expressions");
    };
    let (message, place) = split_place(text);
    Error::invalid(format!("syntax error: {message}")).about(Subject::Syntax).at_place(place)
}

/// sqlparser ends its messages with ` at Line: 1, Column: 8`.
fn split_place(text: &str) -> (String, Option<Place>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return (text.to_owned(), None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (text.to_owned(), None) };
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    match (line.trim().parse(), digits.parse()) {
        (Ok(line), Ok(column)) if line > 0 => (message.to_owned(), Some(Place { line, column })),
        _ => (message.to_owned(), None),
    }
}

fn schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            Error::not_found(Subject::Column, format!("column '{}' not found", field.flat_name()))
                .suggest(crate::plan::suggest::closest(&field.name, names))
                .at_place(field.spans.first().map(Place::from))
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column reference '{}' is ambiguous", field.flat_name()))
                .about(Subject::Column)
                .hint("qualify the column with the name or alias of its table")
                .at_place(field.spans.first().map(Place::from))
        }
        SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
            Error::invalid(error.to_string()).hint("give each output column its own name with AS")
        }
    }
}

/// DataFusion reports most of what a user can get wrong as `Plan`; the text tells what is missing.
fn plan(message: String) -> Error {
    if let Some(error) = words::signature(&message).or_else(|| words::same_name(&message)) {
        return error;
    }
    let lower = message.to_ascii_lowercase();
    if lower.starts_with("table '") && lower.contains("not found") {
        return Error::not_found(Subject::Table, message);
    }
    if lower.starts_with("invalid function '") || lower.contains("table function") && lower.contains("not found") {
        return function(&message);
    }
    if lower.contains("failed to resolve catalog") || lower.starts_with("catalog ") && lower.contains("not found") {
        return Error::not_found(Subject::Catalog, message);
    }
    if lower.contains("failed to resolve schema") || lower.contains("schema ") && lower.contains("doesn't exist") {
        return Error::not_found(Subject::Schema, message);
    }
    if lower.contains("placeholder") || lower.contains("parameter") {
        return Error::invalid(message).about(Subject::Parameter);
    }
    Error::invalid(message)
}

/// `Invalid function 'foo'.\nDid you mean 'floor'?`, where the second name is the nearest one, however far that is, and any of
/// those that are equally near.
fn function(message: &str) -> Error {
    let name = message.split('\'').nth(1).unwrap_or_default();
    Error::not_found(Subject::Function, format!("function '{name}' not found"))
        .hint("SELECT name FROM system.functions lists all functions")
}

fn resources(message: String) -> Error {
    if is_spill_quota(&message) {
        return spill_quota();
    }
    Error::new(ErrorKind::Resources, message)
        .about(Subject::Memory)
        .hint("narrow the query, SET memory_limit for this session, or raise memory.limit of the server")
}

/// DataFusion's words for a spill directory that is full; they arrive bare, or wrapped as an error of IO.
fn is_spill_quota(message: &str) -> bool {
    message.contains("max_temp_directory_size")
}

fn spill_quota() -> Error {
    let message = "disk quota exceeded: the query spilled more than spill.max_bytes_per_query or spill.max_bytes allow";
    Error::new(ErrorKind::Resources, message)
        .about(Subject::Disk)
        .hint("narrow the query, give it more memory (SET memory_limit), or raise the quota")
}

fn arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => external(inner),
        ArrowError::NotYetImplemented(message) => Error::unsupported(message),
        ArrowError::IoError(_, inner) => io(&inner),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(message) => overflow(&message),
        ArrowError::OffsetOverflowError(_) => too_large(),
        ArrowError::SchemaError(message) | ArrowError::InvalidArgumentError(message) => {
            Error::new(ErrorKind::Data, message)
        }
        other => Error::new(ErrorKind::Data, other.to_string()),
    }
}

/// What comes before the text of a store's error in others.
const STORE_FAILED: &str = "Object Store error: ";

fn parquet(error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(inner) => external(inner),
        // Where a footer could not be fetched, DataFusion leaves of the store's error the text.
        parquet::errors::ParquetError::General(message) if message.contains(STORE_FAILED) => {
            let (_, told) = message.split_once(STORE_FAILED).unwrap_or_default();
            let told = told
                .split_once(" error: ")
                .filter(|(store, _)| store.starts_with("Generic"))
                .map_or(told, |told| told.1);
            Error::new(ErrorKind::Storage, told).about(Subject::File)
        }
        other => Error::new(ErrorKind::Data, format!("cannot read Parquet data: {other}")).about(Subject::File),
    }
}

fn store(error: object_store::Error) -> Error {
    if let Some(ours) = ours_within(&error) {
        return ours.copied();
    }
    match &error {
        object_store::Error::NotFound { path, .. } => {
            Error::not_found(Subject::File, format!("no file or object at '{path}'"))
        }
        object_store::Error::AlreadyExists { path, .. } => {
            Error::conflict(Subject::File, format!("a file or object exists already at '{path}'"))
        }
        object_store::Error::PermissionDenied { path, .. } | object_store::Error::Unauthenticated { path, .. } => {
            Error::new(ErrorKind::Storage, format!("the storage refused access to '{path}'"))
                .about(Subject::File)
                .hint("check the server's credentials for this store")
                .caused_by(error)
        }
        object_store::Error::NotImplemented { .. } => Error::unsupported(error.to_string()),
        _ => Error::new(ErrorKind::Storage, format!("storage failed: {error}")).about(Subject::File),
    }
}

/// Our own error, that a store of ours failed with.
fn ours_within(error: &object_store::Error) -> Option<&Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref() {
            return Some(ours);
        }
        cause = inner.source();
    }
    None
}

fn io(error: &std::io::Error) -> Error {
    match error.kind() {
        _ if is_spill_quota(&error.to_string()) => spill_quota(),
        std::io::ErrorKind::NotFound => Error::not_found(Subject::File, error.to_string()),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorKind::Resources, error.to_string()).about(Subject::Disk)
        }
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Data, error.to_string()).about(Subject::File)
        }
        _ => Error::new(ErrorKind::Storage, error.to_string()),
    }
}

fn external(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(other) => other,
    };
    let error = match error.downcast::<DataFusionError>() {
        Ok(inner) => return Error::from(*inner),
        Err(other) => other,
    };
    let error = match error.downcast::<ArrowError>() {
        Ok(inner) => return arrow(*inner),
        Err(other) => other,
    };
    let error = match error.downcast::<object_store::Error>() {
        Ok(inner) => return store(*inner),
        Err(other) => other,
    };
    match error.downcast::<std::io::Error>() {
        Ok(inner) => io(&inner),
        Err(other) => Error::new(ErrorKind::Data, other.to_string()),
    }
}

/// A shared error is borrowed, so what we know of it is copied.
fn shared(error: &DataFusionError) -> Error {
    let mut error = error;
    loop {
        error = match error {
            DataFusionError::Shared(inner) => inner,
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => inner,
            DataFusionError::External(inner) => return shared_external(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => return shared_arrow(inner),
            DataFusionError::ResourcesExhausted(message) => return resources(message.clone()),
            DataFusionError::NotImplemented(message) => return words::unsupported(message.clone()),
            DataFusionError::Plan(message) => return plan(message.clone()),
            DataFusionError::Internal(message) => return Error::internal(message.clone()),
            DataFusionError::ObjectStore(inner) => {
                let unknown = || Error::new(ErrorKind::Storage, inner.to_string());
                return ours_within(inner).map_or_else(unknown, Error::copied);
            }
            other => return Error::new(ErrorKind::Data, other.strip_backtrace()),
        };
    }
}

fn shared_external(inner: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(ours) = inner.downcast_ref::<Error>() {
        return ours.copied();
    }
    if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
        return shared(inner);
    }
    Error::new(ErrorKind::Data, inner.to_string())
}

fn shared_arrow(inner: &ArrowError) -> Error {
    match inner {
        ArrowError::ExternalError(inner) => shared_external(inner.as_ref()),
        ArrowError::IoError(_, inner) => io(inner),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(message) => overflow(message),
        ArrowError::OffsetOverflowError(_) => too_large(),
        other => Error::new(ErrorKind::Data, other.to_string()),
    }
}

fn division_by_zero() -> Error {
    Error::new(ErrorKind::Data, "division by zero").about(Subject::ZeroDivision)
}

/// Arrow tells the operands: `Overflow happened on: 9223372036854775807 + 1`
fn overflow(message: &str) -> Error {
    let operation = message.strip_prefix("Overflow happened on: ").unwrap_or(message);
    Error::new(ErrorKind::Data, format!("arithmetic overflow: {operation}"))
        .about(Subject::Overflow)
        .hint("cast an operand to a wider type, such as DECIMAL(38, 0)")
}

impl Error {
    /// The same failure without its cause, which can not be copied.
    pub(crate) fn copied(&self) -> Self {
        let inner = &self.0;
        Self(Box::new(super::Inner {
            kind: inner.kind,
            subject: inner.subject,
            message: inner.message.clone(),
            hint: inner.hint.clone(),
            suggestions: inner.suggestions.clone(),
            place: inner.place,
            position: inner.position,
            query_id: inner.query_id,
            retry_after: inner.retry_after,
            limit: inner.limit,
            source: None,
        }))
    }
}

fn with_context(context: &str, error: Error) -> Error {
    // DataFusion's contexts are the names of optimizer rules; they help us, not the user, unless it is our bug.
    if error.kind() == ErrorKind::Internal {
        return Error::internal(format!("{context}: {}", error.message()));
    }
    error
}

fn diagnosed(diagnostic: &Diagnostic, error: Error) -> Error {
    let help = diagnostic.helps.first().map(|help| help.message.clone());
    let error = error.at_place(diagnostic.span.map(Place::from));
    match help {
        Some(help) if error.hint_text().is_none() && error.suggestions().is_empty() => error.hint(help),
        _ => error,
    }
}

fn join(error: tokio::task::JoinError) -> Error {
    if error.is_cancelled() {
        return Error::new(ErrorKind::Cancelled, "the query's task was cancelled");
    }
    match error.try_into_panic() {
        Ok(panic) => panicked(&*panic),
        Err(error) => Error::internal("a task of the query was lost").caused_by(error),
    }
}
