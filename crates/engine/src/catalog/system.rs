//! `system`, in every catalog: what the server tells about itself.

mod functions;
mod memory;
mod nodes;
mod queries;
mod sessions;
mod settings;
mod stages;
mod tables;
mod tasks;
mod workers;

use super::VirtualSchema;

/// The schema and its tables, one file each.
pub(super) const SCHEMA: VirtualSchema = VirtualSchema {
    name: "system",
    tables: &[
        ("functions", functions::table),
        ("memory", memory::table),
        ("nodes", nodes::table),
        ("queries", queries::table),
        ("sessions", sessions::table),
        ("settings", settings::table),
        ("stages", stages::table),
        ("tables", tables::table),
        ("tasks", tasks::table),
        ("workers", workers::table),
    ],
};
