//! The catalogs of the server: one tree behind one lock, shared by all sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::definition::OpenTable;
use super::store::CatalogStore;
use super::tree::Tree;
use crate::config::CatalogConfig;
use crate::error::Result;

/// The catalogs of the server.
///
/// Readers take a snapshot, which costs one pointer and never waits for IO; a change copies the path from the root to
/// the changed node, is written to the store, and then takes the root's place.
#[derive(Debug)]
pub struct Catalogs {
    tree: RwLock<Arc<Tree>>,
    /// Held by a change from its checks to its visibility, so that changes happen one after another.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) opener: Arc<dyn OpenTable>,
    pub(super) store: Arc<dyn CatalogStore>,
}

impl Catalogs {
    /// The built-in catalog, the declared ones and what the store kept. Opens no table.
    ///
    /// # Errors
    /// If the store can not be read.
    pub async fn start(
        config: &BTreeMap<String, CatalogConfig>,
        opener: Arc<dyn OpenTable>,
        store: Arc<dyn CatalogStore>,
    ) -> Result<Arc<Self>> {
        let mut tree = Tree::declared(config);
        for change in store.load().await? {
            tree.replay(change);
        }
        let tree = RwLock::new(Arc::new(tree));
        Ok(Arc::new(Self { tree, changing: tokio::sync::Mutex::new(()), opener, store }))
    }

    /// Whether there is such a catalog, and in it such a schema.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn require(&self, catalog: &str, schema: Option<&str>) -> Result<()> {
        let tree = self.snapshot();
        match schema {
            Some(schema) => tree.require_schema(catalog, schema),
            None => tree.catalog(catalog).map(drop),
        }
    }

    /// The tree as it is now; later changes do not touch it.
    pub(crate) fn snapshot(&self) -> Arc<Tree> {
        Arc::clone(&self.tree.read())
    }

    /// Who opens tables over files.
    pub(crate) fn opener(&self) -> &Arc<dyn OpenTable> {
        &self.opener
    }

    pub(super) fn publish(&self, tree: Tree) {
        *self.tree.write() = Arc::new(tree);
    }
}
