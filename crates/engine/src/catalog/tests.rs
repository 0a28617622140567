//! The catalog through SQL, over a storage that is made up.

mod ddl;
mod listings;
pub(super) mod sandbox;
mod views;
