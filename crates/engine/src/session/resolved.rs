//! The typed values of a session's settings, as planning and running read them.

use std::time::Duration;

use datafusion::prelude::SessionConfig;

use crate::units::Share;

/// Who goes first when queries wait for permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    Low = 1,
    Normal = 5,
    High = 9,
}

/// Where queries of a session run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunnerChoice {
    /// In the cluster if they scan much and can go there, else locally.
    Auto,
    /// In this process.
    Local,
    /// In the cluster, or not at all.
    Cluster,
}

/// What a session's settings come to.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) time_zone: String,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) memory_limit: Option<Share>,
    pub(crate) row_limit: Option<u64>,
    pub(crate) priority: Priority,
    pub(crate) runner: RunnerChoice,
    /// Bytes that a query must scan more than to run in the cluster by itself.
    pub(crate) cluster_threshold: u64,
    pub(crate) read_only: bool,
    pub(crate) wire_views: bool,
    pub(crate) result_cache: bool,
    pub(crate) application_name: Option<String>,
    /// DataFusion's own configuration.
    pub(crate) config: SessionConfig,
}

impl Resolved {
    /// Neutral values; the table of settings fills in the defaults.
    pub(crate) fn new(config: SessionConfig) -> Self {
        Self {
            catalog: String::new(),
            schema: String::new(),
            time_zone: String::new(),
            statement_timeout: None,
            memory_limit: None,
            row_limit: None,
            priority: Priority::Normal,
            runner: RunnerChoice::Auto,
            cluster_threshold: 0,
            read_only: false,
            wire_views: false,
            result_cache: false,
            application_name: None,
            config,
        }
    }
}
