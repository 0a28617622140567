//! What a request asks of the cache, and what it is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a request asks of the cache.
#[derive(Debug, Clone, Default)]
pub struct CacheRequest {
    /// Whether to look and to keep; by default what the session's setting `result_cache` says.
    pub mode: Option<CacheMode>,
    /// How old an answer may be although the data may have changed since. None may be by default.
    pub max_staleness: Duration,
    /// Validators of answers that the client has.
    pub known: Vec<String>,
}

/// Whether to look into the cache, and whether to keep the result there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// Look, and keep what had to be run.
    Use,
    /// Run, and keep the result in place of what is there.
    Refresh,
    /// Run, and keep nothing.
    Off,
}

/// Where the answer of a query came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheStatus {
    /// From the cache; a run would have given the same.
    Hit,
    /// From a run; the result is kept unless it is too large.
    Miss,
    /// From the cache; the data may have changed since, within what the client allowed.
    Stale,
    /// From a run whose result is not for the cache.
    Bypass,
}

impl CacheStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Stale, Self::Bypass];

    /// The name, as in history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Bypass => "bypass",
        }
    }
}

/// What a query had of the cache.
#[derive(Debug, Clone)]
pub struct CacheOutcome {
    /// Where the answer came from.
    pub status: CacheStatus,
    /// The name of the answer, which changes with it; absent if it has none.
    pub validator: Option<String>,
    /// How old the answer is, if it came from the cache.
    pub age: Option<Duration>,
    /// The client has the answer, so that no rows follow.
    pub unchanged: bool,
}

impl CacheOutcome {
    pub(crate) fn of(status: CacheStatus) -> Self {
        Self { status, validator: None, age: None, unchanged: false }
    }
}
