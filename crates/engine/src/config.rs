//! What the engine can be told. The values come from the composition root; nothing here reads a file or the environment.
//!
//! There are no defaults in code: `config/default.toml` holds every key with its meaning and its default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::auth::Secret;
use crate::units::{ByteSize, Share, Span};

/// Everything the engine can be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Where history and spooled results live.
    pub data_dir: PathBuf,
    /// Threads and runtimes.
    pub runtime: RuntimeConfig,
    /// How many queries run at once.
    pub admission: AdmissionConfig,
    /// What an autoscaler is told.
    pub autoscale: AutoscaleConfig,
    /// The accounted memory pool.
    pub memory: MemoryConfig,
    /// Where queries spill when memory is short.
    pub spill: SpillConfig,
    /// Limits of one statement.
    pub limits: LimitsConfig,
    /// Limits of sessions.
    pub sessions: SessionsConfig,
    /// How much of the past is kept.
    pub history: HistoryConfig,
    /// Results that are kept in memory for whoever asks the same again.
    pub cache: CacheConfig,
    /// Spooled results of asynchronous queries.
    pub results: ResultsConfig,
    /// Object stores.
    pub storage: StorageConfig,
    /// Catalogs declared in the configuration, by name.
    pub catalogs: BTreeMap<String, CatalogConfig>,
    /// Initial values of session settings, by name; see `SHOW ALL`.
    pub settings: BTreeMap<String, String>,
}

/// Threads and runtimes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Threads that run queries; 0 means one per core.
    pub cpu_threads: usize,
    /// Statements that are planned at once, each on a thread of its own.
    pub planning_threads: usize,
}

/// How many queries run at once, and what happens to the rest.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Queries that run at once in the server.
    pub max_running: usize,
    /// Queries that one principal runs at once.
    pub max_running_per_principal: usize,
    /// Queries that the cluster runs at once.
    pub max_running_in_cluster: usize,
    /// Queries that wait for a permit; one more is refused.
    pub max_queued: usize,
    /// How long a query waits for a permit.
    pub queue_timeout: Span,
    /// What a query does when all permits are taken.
    pub when_full: WhenFull,
}

/// What an autoscaler is told.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AutoscaleConfig {
    /// The time in which the work at hand should be over.
    pub target: Span,
}

/// What a query does when all permits are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// Wait in the queue.
    Wait,
    /// Fail at once with a retryable error.
    Refuse,
}

/// The accounted memory pool.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// What all queries together may use: a size, or a share of the machine's (or cgroup's) memory.
    pub limit: Share,
    /// What one query may use: a size, or a share of `limit`.
    pub per_query: Share,
    /// What in-memory tables may hold: a size, or a share of `limit`.
    pub tables: Share,
}

/// Where queries spill when memory is short.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpillConfig {
    /// Directories that spill files are spread over; none means `spill` in the data directory.
    pub directories: Vec<PathBuf>,
    /// What all queries together may spill.
    pub max_bytes: ByteSize,
    /// What one query may spill.
    pub max_bytes_per_query: ByteSize,
}

/// Limits of one statement.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// The longest SQL text or Substrait plan.
    pub max_sql_bytes: ByteSize,
    /// The most parameters of one statement.
    pub max_parameters: usize,
    /// How deep an expression may nest.
    pub max_expression_depth: usize,
    /// The most operators of one plan.
    pub max_plan_operators: usize,
    /// How deep the operators of one plan may nest.
    pub max_plan_depth: usize,
    /// The most expressions that one `SELECT` or its `GROUP BY` may list.
    pub max_select_columns: usize,
    /// The longest time any session may set as `statement_timeout`; 0 means no bound.
    pub max_statement_timeout: Span,
}

/// Limits of sessions.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsConfig {
    /// Named sessions in the server.
    pub max: usize,
    /// Named sessions of one principal.
    pub max_per_principal: usize,
    /// A session that no query used for this long is closed.
    pub idle_timeout: Span,
    /// Prepared statements of one session.
    pub max_prepared: usize,
    /// Temporary views of one session.
    pub max_temporary_views: usize,
}

/// How much of the past is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// Finished queries kept in memory.
    pub memory_entries: usize,
    /// Finished queries kept in the data directory; 0 keeps none.
    pub stored_entries: usize,
    /// Stored queries older than this are deleted.
    pub retention: Span,
    /// Queries that wait to be written; more are counted and dropped.
    pub max_pending: usize,
    /// Longer SQL texts are cut in history.
    pub max_sql_bytes: ByteSize,
    /// Tasks of one query that are remembered one by one, while it runs and after; its stages count the rest.
    pub max_tasks: usize,
}

/// Results that are kept in memory for whoever asks the same again.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether there is a cache at all.
    pub enabled: bool,
    /// What all results together may take: a size, or a share of `memory.limit`. Queries that are short of memory get it back.
    pub max_bytes: Share,
    /// What one result may take.
    pub max_bytes_per_result: ByteSize,
    /// A result is kept for this long at most; 0 means until its place is needed.
    pub ttl: Span,
    /// The answer over a file that changed less than this long ago is not kept.
    pub min_file_age: Span,
}

/// Spooled results of asynchronous queries.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ResultsConfig {
    /// A result that nobody deleted is deleted this long after its query ended.
    pub ttl: Span,
    /// Disk that all results together may take.
    pub max_bytes: ByteSize,
    /// Disk that the results of one principal may take.
    pub max_bytes_per_principal: ByteSize,
    /// Disk that one result may take.
    pub max_bytes_per_query: ByteSize,
    /// A part is closed when it holds this much.
    pub part_bytes: ByteSize,
}

/// Object stores.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// URL prefixes that statements may name; empty allows none.
    pub allowed: Vec<String>,
    /// Files one scan may list.
    pub max_files_per_scan: usize,
    /// Bytes of file listings and Parquet footers kept in memory.
    pub metadata_cache: ByteSize,
    /// How long a file listing is trusted; 0 lists each time.
    pub listing_ttl: Span,
    /// What the files of web servers that send them only whole may take on disk while they are read.
    pub max_whole_file_bytes: ByteSize,
    /// How long one request to a remote store may take.
    pub request_timeout: Span,
    /// Retries of a request that failed with a passing error.
    pub max_retries: usize,
    /// How long a store may give nothing of what is read, retries included; 0 waits as long as those last.
    pub stall_timeout: Span,
    /// S3 defaults, used by every bucket without an entry of its own.
    pub s3: S3Config,
    /// S3 per bucket.
    pub buckets: BTreeMap<String, S3Config>,
}

/// How to reach S3. What is absent comes from the environment's `AWS_*` variables, which the composition root reads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// An endpoint other than Amazon's, such as `http://localhost:9000`.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The access key id.
    pub access_key_id: Option<String>,
    /// The secret access key.
    pub secret_access_key: Option<Secret>,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
    /// `https://endpoint/bucket` rather than `https://bucket.endpoint`; by default on with an endpoint.
    pub path_style: Option<bool>,
    /// Whether plain HTTP is allowed; by default on for an `http://` endpoint that is loopback.
    pub allow_http: Option<bool>,
    /// Do not sign requests (public buckets).
    pub anonymous: Option<bool>,
}

/// A catalog declared in the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// Schemas by name.
    pub schemas: BTreeMap<String, SchemaConfig>,
}

/// A schema declared in the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaConfig {
    /// A folder whose Parquet files and sub-folders are its tables: `orders.parquet` or `orders/` is table `orders`.
    pub location: Option<String>,
    /// Tables by name.
    pub tables: BTreeMap<String, TableConfig>,
}

/// A table declared in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The URL or path of its file, folder or glob.
    pub location: String,
    /// `parquet`, `csv`, `json`, `arrow` or `avro`; by default what the location's extension says.
    #[serde(default)]
    pub format: Option<String>,
    /// Hive partition columns, in the order of the folders.
    #[serde(default)]
    pub partitioned_by: Vec<String>,
    /// Options of the format, as in `CREATE EXTERNAL TABLE ... OPTIONS`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}
