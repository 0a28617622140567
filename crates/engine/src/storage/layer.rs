//! Stores as one query sees them: those of the server, each behind a wrapper.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use url::Url;

/// The stores of `inner`, each wrapped when it is asked for.
pub(super) struct Layer<W> {
    inner: Arc<dyn ObjectStoreRegistry>,
    wrap: W,
}

impl<W> Layer<W>
where
    W: Fn(&Url, Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync + 'static,
{
    /// The stores of `inner`, each handed through `wrap` with its URL.
    pub(super) fn over(inner: Arc<dyn ObjectStoreRegistry>, wrap: W) -> Arc<dyn ObjectStoreRegistry> {
        Arc::new(Self { inner, wrap })
    }
}

impl<W> ObjectStoreRegistry for Layer<W>
where
    W: Fn(&Url, Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync + 'static,
{
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.inner.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.inner.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok((self.wrap)(url, self.inner.get_store(url)?))
    }
}

impl<W> fmt::Debug for Layer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("inner", &self.inner).finish_non_exhaustive()
    }
}
