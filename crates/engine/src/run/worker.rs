//! What is known of the processes that compute tasks.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// The id of this process among the workers.
pub(crate) const LOCAL_WORKER: &str = "local";

/// Whether a worker takes tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It takes tasks.
    #[default]
    Active,
    /// It finishes what it has, and takes no more.
    Draining,
    /// It has not been heard of for too long.
    Lost,
    /// It has gone, and said so.
    Left,
}

impl WorkerState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Active, Self::Draining, Self::Lost, Self::Left];

    /// The name, as in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Lost => "lost",
            Self::Left => "left",
        }
    }
}

/// A worker at one moment; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerInfo {
    /// Its id.
    pub id: String,
    /// Where it is reached; absent for this process.
    pub address: Option<String>,
    /// Whether it takes tasks.
    pub state: WorkerState,
    /// The version it runs.
    pub version: String,
    /// Tasks that it computes at once.
    pub slots: u64,
    /// Slots without a task.
    pub slots_free: u64,
    /// Memory that its tasks may use.
    pub memory_bytes: u64,
    /// Memory that its tasks use.
    pub memory_used: u64,
    /// Disk that its tasks may use.
    pub disk_bytes: u64,
    /// Disk that its tasks use.
    pub disk_used: u64,
    /// When it was last heard of.
    pub last_seen: DateTime<Utc>,
    /// When it joined.
    pub joined_at: DateTime<Utc>,
    /// Tasks that it computes now.
    pub tasks_running: u64,
}
