//! The one error vocabulary: what went wrong, in terms every door can translate.
//!
//! A door owns exactly one table from [`ErrorKind`] to its own code (HTTP status, gRPC code); the finer [`Error::code`] and
//! [`Error::sqlstate`] are decided here, so that all doors name the same failure by the same words.

use std::fmt;
use std::time::Duration;

use crate::query::QueryId;
use crate::text::cut_in_place;

mod classify;
mod panic;
mod position;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use panic::catch_panic;
pub(crate) use position::Place;
pub use position::Position;

/// What a fallible operation of the engine returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a failure: whose fault it is and whether trying again can help.
///
/// At most 14 kinds; each door maps them all without a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed: SQL that does not parse or type-check, a bad setting, a bad parameter.
    Invalid,
    /// A named thing does not exist: a table, a column, a query, a session.
    NotFound,
    /// The thing exists already, or two requests contradict each other.
    Conflict,
    /// Who the client is could not be established.
    Unauthenticated,
    /// The principal may not do this.
    Forbidden,
    /// Valid, but nothing here implements it.
    Unsupported,
    /// The data contradict the query: a failed cast, a division by zero, a corrupt file.
    Data,
    /// Somebody cancelled the query.
    Cancelled,
    /// A deadline passed.
    Timeout,
    /// A limit on concurrency or rate is reached; the same request can succeed later.
    Busy,
    /// The server is starting or draining; another server, or this one later, will answer.
    Unavailable,
    /// Memory, disk or a per-query limit is exhausted.
    Resources,
    /// Storage outside the server failed or refused.
    Storage,
    /// A bug of ours, and nothing else.
    Internal,
}

/// What a failure is about, where the kind alone leaves the client guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The text of the statement does not parse.
    Syntax,
    /// A catalog.
    Catalog,
    /// A schema.
    Schema,
    /// A table or view.
    Table,
    /// A column.
    Column,
    /// A function.
    Function,
    /// A setting.
    Setting,
    /// A query, by its id.
    Query,
    /// A session, by its id.
    Session,
    /// A worker, by its id.
    Node,
    /// A prepared statement, by its name.
    Prepared,
    /// A parameter of the statement.
    Parameter,
    /// A file or object.
    File,
    /// The principal's credentials.
    Credentials,
    /// The memory limit.
    Memory,
    /// The disk quota.
    Disk,
    /// A limit on the size of a result.
    ResultSize,
    /// Writing where only reading is allowed.
    ReadOnly,
    /// A key that was used for another request (idempotency).
    Key,
    /// A kept result, by the id of its query.
    Result,
    /// What else needs the thing.
    Dependents,
    /// A number that its type can not hold.
    Overflow,
    /// A division by zero.
    ZeroDivision,
    /// A constraint, by its name.
    Constraint,
    /// A key that another row has.
    UniqueKey,
    /// A value that must not be missing.
    RequiredValue,
    /// A condition on the rows of a table.
    Check,
    /// How many rows go together.
    Cardinality,
    /// What another statement did in the meantime.
    Concurrency,
}

/// A failure, with everything a client needs to act on it. Cheap to move: one pointer.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    subject: Option<Subject>,
    message: String,
    hint: Option<String>,
    suggestions: Vec<String>,
    /// Known before the text is at hand.
    place: Option<Place>,
    position: Option<Position>,
    query_id: Option<QueryId>,
    retry_after: Option<Duration>,
    limit: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Bytes of a message that are kept: a value that is not what was expected may be a whole file.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

impl Error {
    /// An error of this kind. The message is a lowercase fragment that names the input.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        cut_in_place(&mut message, MAX_MESSAGE_BYTES);
        Self(Box::new(Inner {
            kind,
            subject: None,
            message,
            hint: None,
            suggestions: Vec::new(),
            place: None,
            position: None,
            query_id: None,
            retry_after: None,
            limit: None,
            source: None,
        }))
    }

    /// The request is malformed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A named thing does not exist.
    pub fn not_found(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message).about(subject)
    }

    /// A named thing exists already.
    pub fn conflict(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message).about(subject)
    }

    /// Nothing here implements it.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Says what the failure is about.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.0.subject = Some(subject);
        self
    }

    /// Adds what the user can do next: one sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds names that the user may have meant, best first.
    #[must_use]
    pub fn suggest(mut self, suggestions: Vec<String>) -> Self {
        self.0.suggestions = suggestions;
        self
    }

    /// Adds to the message what was being done, such as ` (reading s3://bucket/a.parquet)`.
    #[must_use]
    pub(crate) fn while_doing(mut self, what: &str) -> Self {
        if !self.0.message.contains(what) {
            self.0.message = format!("{} ({what})", self.0.message);
        }
        self
    }

    /// Adds the place in the statement's text, unless one is known already.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.0.position = self.0.position.or(position);
        self
    }

    /// Adds the place in the statement's text, unless one is known already; [`Self::located`] makes a position of it.
    #[must_use]
    pub(crate) fn at_place(mut self, place: Option<Place>) -> Self {
        self.0.place = self.0.place.or(place);
        self
    }

    /// Turns the place into a position in the text of the statement.
    #[must_use]
    pub(crate) fn located(mut self, text: &str) -> Self {
        if let (Some(place), None) = (self.0.place, self.0.position) {
            self.0.position = Some(place.within(text));
        }
        self
    }

    /// Forgets the place: it is one in another text than the client's, such as that of a view.
    #[must_use]
    pub(crate) fn elsewhere(mut self) -> Self {
        self.0.place = None;
        self.0.position = None;
        self
    }

    /// Adds the query that failed, unless one is known already.
    #[must_use]
    pub fn of_query(mut self, id: QueryId) -> Self {
        self.0.query_id.get_or_insert(id);
        self
    }

    /// Says after what time a retry is worth it.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Says what the limit that is reached stands at: how many of what the message names are allowed.
    #[must_use]
    pub fn at_limit(mut self, limit: u64) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// Keeps the cause for the log. It is never shown to a client.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the failure is about, if known.
    pub fn subject(&self) -> Option<Subject> {
        self.0.subject
    }

    /// The message alone, without suggestion and position.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do next.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Names that the user may have meant, best first.
    pub fn suggestions(&self) -> &[String] {
        &self.0.suggestions
    }

    /// The place in the statement's text.
    ///
    /// It is known once the error has come back from the session.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// The query that failed.
    pub fn query_id(&self) -> Option<QueryId> {
        self.0.query_id
    }

    /// How long to wait before a retry, if a retry is worth it at all.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What the limit that is reached stands at, if the failure is about one that is counted.
    pub fn limit(&self) -> Option<u64> {
        self.0.limit
    }

    /// Whether the same request can succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Storage => true,
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Unsupported
            | ErrorKind::Data
            | ErrorKind::Cancelled
            | ErrorKind::Timeout
            | ErrorKind::Resources
            | ErrorKind::Internal => false,
        }
    }

    /// A stable, machine-readable name, such as `TABLE_NOT_FOUND`.
    pub fn code(&self) -> &'static str {
        classify::code(self.0.kind, self.0.subject)
    }

    /// The SQLSTATE of PostgreSQL's appendix A that says the same.
    pub fn sqlstate(&self) -> &'static str {
        classify::sqlstate(self.0.kind, self.0.subject)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(best) = self.0.suggestions.first() {
            write!(f, "; did you mean '{best}'?")?;
        }
        if let Some(Place { line, column }) = self.0.position.map(Place::from).or(self.0.place) {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Lets our own errors cross DataFusion (providers, functions, memory pool) without losing their kind.
impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
