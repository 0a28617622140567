//! What makes two answers the same.

use std::time::Instant;

use super::{Digester, Fingerprint};

/// Everything that an answer depends on.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Who asks what, with which values and settings, of which tables.
    pub(crate) statement: Fingerprint,
    /// What the tables hold; absent if that can not be told without reading them.
    pub(crate) version: Option<Fingerprint>,
    /// Before anything was looked at: the answer is at least as new.
    pub(crate) since: Instant,
}

impl Identity {
    /// A name of the answer that can be told without running the statement; absent if the tables have no version.
    pub(crate) fn validator(&self) -> Option<String> {
        let version = self.version?;
        let mut name = Digester::new("answer").add(&self.statement).add(&version).end().to_string();
        // 128 bits tell apart more answers than there will ever be.
        name.truncate(32);
        Some(name)
    }
}
