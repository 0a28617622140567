//! What a statement touches: the one thing that the policy looks at.

/// What a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) effect: Effect,
    /// Whether the request or the session forbids everything but reading.
    pub(crate) read_only: bool,
    /// Full names of the tables it reads or writes, sorted, each once.
    pub(crate) tables: Vec<String>,
}

/// What is different afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// Nothing.
    Read,
    /// The client's own session.
    Session,
    /// Another query.
    Control,
    /// Data or catalog.
    Write,
}
