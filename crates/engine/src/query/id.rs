//! The id of a query: a UUIDv7, so that ids sort by the time of arrival.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result, Subject};

/// The id of a query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryId(Uuid);

impl QueryId {
    /// A new id, greater than those made before it.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl Default for QueryId {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for QueryId {
    type Err = Error;

    /// Accepts UUIDv7 only: other versions would break the order of listings.
    fn from_str(text: &str) -> Result<Self> {
        match Uuid::parse_str(text) {
            Ok(uuid) if uuid.get_version_num() == 7 => Ok(Self(uuid)),
            _ => Err(Error::invalid(format!("'{text}' is not a query id"))
                .about(Subject::Query)
                .hint("a query id is a UUID of version 7, such as 01890a5d-ac96-774b-bcce-b302099a8057")),
        }
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
