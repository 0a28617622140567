//! The configuration of the running server, as doors show and change it. Who holds it reads files and the environment; a
//! door only asks.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tidemill_engine::error::Result;
use utoipa::ToSchema;

/// The configuration of the running server.
pub trait Configuration: fmt::Debug + Send + Sync {
    /// All keys that are set, in order; secrets are masked.
    fn entries(&self) -> Vec<ConfigEntry>;

    /// One key, whether it is set or not.
    ///
    /// # Errors
    /// `NotFound`, with similar keys.
    fn entry(&self, key: &str) -> Result<ConfigEntry>;

    /// Gives another value to a key that is [`ConfigEntry::changeable`], until the server stops. The value is text, read and
    /// checked as that of an environment variable. `by` is who asked for it.
    ///
    /// # Errors
    /// `NotFound` for the key; `Invalid` for the value, and nothing is changed then; `Unsupported` for a key that is read
    /// only when the server starts.
    fn change(&self, key: &str, value: &str, by: &str) -> Result<ConfigEntry>;
}

/// A key of the configuration, and what it is set to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigEntry {
    /// The key, such as `admission.max_running`.
    #[schema(example = "admission.max_running")]
    pub key: String,
    /// The value in effect; secrets show as `***`, or as the reference that names their place. `null` when it is not set.
    pub value: Value,
    /// Who set it: `default`, `FILE:LINE`, `environment NAME`, `flag NAME` or `request of USER`. `null` when it is not set.
    pub origin: Option<String>,
    /// The default; `null` when there is none.
    pub default: Value,
    /// What it means.
    pub description: String,
    /// What it accepts.
    pub accepts: String,
    /// Whether a running server takes another value.
    pub changeable: bool,
}
