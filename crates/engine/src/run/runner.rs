//! Who runs a query: one trait, so that a cluster can stand beside this process.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::Result;
use crate::query::{Admitted, Query};
use crate::stream::QueryStream;

/// Runs admitted queries.
pub trait Runner: Debug + Send + Sync {
    /// The name, as history tells it.
    fn name(&self) -> &'static str;

    /// Starts the query. From here on the stream owns it.
    fn run(&self, query: Query<Admitted>) -> BoxFuture<'_, Result<QueryStream>>;
}

/// All runners of this server, and the choice between them.
#[derive(Debug)]
pub(crate) struct Runners {
    local: Arc<dyn Runner>,
}

impl Runners {
    pub(crate) fn new(local: Arc<dyn Runner>) -> Self {
        Self { local }
    }

    /// The runner for this query: in this process, as long as there is no other.
    pub(crate) fn choose(&self, _query: &Query<Admitted>) -> &dyn Runner {
        self.local.as_ref()
    }
}
