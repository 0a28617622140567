//! What every route needs.

use std::sync::Arc;

use tidemill_engine::Engine;

use super::idempotency::Keys;
use super::metrics::Metrics;
use crate::config::HttpConfig;

/// What every route needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) keys: Keys,
    pub(crate) metrics: Metrics,
}

impl Door {
    pub(crate) fn new(engine: Arc<Engine>, config: Arc<HttpConfig>) -> Self {
        Self(Arc::new(Inner { engine, config, keys: Keys::default(), metrics: Metrics::default() }))
    }
}

impl std::ops::Deref for Door {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
