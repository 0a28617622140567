//! Files and objects: from what users write to tables, and from queries to bytes.
//!
//! - [`Stores`] is the registry of the whole server: one client per bucket or host, made when first named. A query sees it
//!   through [`counted`] (progress) and, when it writes, through a [`FileCommit`] (nothing visible before the end).
//! - [`StoragePolicy`] says what statements may name.
//! - [`TableDefinition`] is what a table of files is; [`ExternalTable::open`] makes it a table.
//! - [`ReadCalls`] finds `FROM 'file.csv'` and `read_csv(...)` in a statement before it is planned, because looking into
//!   the files needs IO and planning does not wait.

mod commit;
mod counting;
mod definition;
mod external;
mod files;
mod folder;
mod format;
mod glob;
mod http;
mod layer;
mod listing;
mod local;
mod location;
mod one_file;
mod open;
mod options;
mod partition;
mod place;
mod policy;
mod read;
mod registry;
mod s3;
mod stall;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use commit::FileCommit;
pub(crate) use counting::{ReadCounter, counted};
pub use definition::TableDefinition;
pub(crate) use external::ExternalTable;
pub use external::is_json_array;
pub(crate) use files::Files;
pub(crate) use location::Location;
pub(crate) use one_file::{is_some_batch, with_one_file};
pub(crate) use partition::folder_value;
pub(crate) use policy::StoragePolicy;
pub(crate) use read::{READ_SCHEMA, ReadCall, ReadCalls};
pub(crate) use registry::Stores;
pub(crate) use version::FileSet;
