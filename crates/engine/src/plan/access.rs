//! What a statement touches: the one thing that the policy looks at.

use crate::auth::Role;

/// What a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) effect: Effect,
    /// Whether the request or the session forbids everything but reading.
    pub(crate) read_only: bool,
    /// Full names of the tables it reads or writes, sorted, each once.
    pub(crate) tables: Vec<String>,
}

/// What is different after a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    Read,
    /// The client's own session.
    Session,
    /// Another query.
    Control,
    /// Data or catalog.
    Write,
}

impl Effect {
    /// The name, as in what is said of a statement before it runs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Session => "session",
            Self::Control => "control",
            Self::Write => "write",
        }
    }

    /// The least role that may do it.
    pub fn role(self) -> Role {
        match self {
            Self::Read | Self::Session | Self::Control => Role::Reader,
            Self::Write => Role::Writer,
        }
    }
}
