//! What a worker is and has under one id: its jobs, their files, what it has to tell. It ends as one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_executor::flight_service::BallistaFlightService;
use parking_lot::Mutex;
use tidemill_engine::error::Result;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::jobs::Jobs;
use super::reports::Reports;
use super::work_dir::Folder;
use super::{Shared, link, quota};
use crate::join::Report;

/// Jobs that one report names; the rest is named when these are gone.
const MAX_REPORTED_JOBS: usize = 1000;

/// A worker under one id.
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) folder: Folder,
    pub(super) jobs: Jobs,
    pub(super) reports: Reports,
    /// Serves the files of the folder to who was checked.
    pub(super) files: BallistaFlightService,
    /// Cancelled when the coordinator said that this id is nobody any more.
    pub(super) over: CancellationToken,
    /// When the coordinator last answered.
    heard: Mutex<Instant>,
    _ends_parts: DropGuard,
}

impl Membership {
    /// A new id, with an empty folder.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Result<Arc<Self>> {
        let id = Uuid::now_v7().to_string();
        let folder = shared.work_dir.begin(&id).await?;
        let over = CancellationToken::new();
        let membership = Arc::new(Self {
            reports: Reports::begin(&id, link::client(shared)?, over.clone()),
            files: BallistaFlightService::new(folder.text()),
            folder,
            jobs: Jobs::new(),
            heard: Mutex::new(Instant::now()),
            _ends_parts: over.clone().drop_guard(),
            over,
            id,
        });
        quota::watch(shared, &membership);
        Ok(membership)
    }

    /// Ends everything that was begun under this id, and deletes its files.
    pub(super) async fn end(&self) {
        self.over.cancel();
        self.jobs.end_all().await;
        self.folder.delete().await;
    }

    /// The coordinator answered.
    pub(super) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// How long the coordinator has not answered.
    pub(super) fn silence(&self) -> Duration {
        self.heard.lock().elapsed()
    }

    /// How the worker is.
    pub(super) fn report(&self, shared: &Shared) -> Report {
        Report {
            slots: shared.config.slots,
            memory_bytes: shared.environment.memory_limit(),
            memory_used: shared.environment.memory_used(),
            disk_bytes: shared.config.quota.0,
            disk_used: self.folder.used(),
            tasks_running: self.jobs.tasks() as u64,
            draining: shared.draining.is_cancelled(),
            jobs: self.jobs.names(MAX_REPORTED_JOBS),
            ..Report::of_this_build()
        }
    }
}
