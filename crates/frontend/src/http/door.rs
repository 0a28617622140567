//! What every route needs.

use std::sync::Arc;

use tidemill_engine::Engine;

use super::idempotency::Keys;
use super::metrics::Metrics;
use crate::config::HttpConfig;
use crate::configuration::Configuration;

/// What every route needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) configuration: Arc<dyn Configuration>,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
}

impl Door {
    pub(crate) fn new(engine: Arc<Engine>, config: Arc<HttpConfig>, configuration: Arc<dyn Configuration>) -> Self {
        let (keys, metrics) = (Keys::default(), Metrics::default());
        Self(Arc::new(Inner { engine, config, configuration, keys, metrics }))
    }
}

impl std::ops::Deref for Door {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
